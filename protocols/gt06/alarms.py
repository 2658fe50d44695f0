"""Alarms: a position, a cell and the status of the terminal.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, 5.3; JM-VL03 v1.1.2, 5.5 and 5.6.
"""

from __future__ import annotations

from construct import Bytes, Int8ub, Int16sb, Struct, this

from protocols.fields import Bit, Choice, Flags, Option
from protocols.gt06 import blocks
from protocols.gt06.blocks import POSITION_BYTES, located
from protocols.gt06.rows import EXTRA, RAW, Answer, Choose, MessageType
from protocols.message import Message

ALARMS = {
    0x00: Option("normal", "Normal 正常"),
    0x01: Option("emergency", "SOS SOS求救"),
    0x02: Option("power_off", "External power cut 断电报警"),
    0x03: Option("vibration", "Vibration 震动报警"),
    0x04: Option("fence_entered", "Entered a fence 进围栏报警"),
    0x05: Option("fence_left", "Left a fence 出围栏报警"),
    0x06: Option("overspeed", "Overspeed 超速报警"),
    0x09: Option("displacement", "Displacement, tow or theft 位移报警"),
    0x0A: Option("gps_blind_area_entered", "Entered a GPS blind area 进GPS盲区报警"),
    0x0B: Option("gps_blind_area_left", "Left a GPS blind area 出GPS盲区报警"),
    0x0C: Option("powered_on", "Powered on 开机报警"),
    0x0D: Option("first_fix", "First fix GPS第一次定位报警"),
    0x0E: Option("power_low", "External battery low 外电低电报警"),
    0x0F: Option("power_protection", "External low-voltage protection 外电低电保护报警"),
    0x10: Option("sim_changed", "SIM changed 换卡报警"),
    0x11: Option("powered_off", "Powered off 关机报警"),
    0x12: Option("flight_mode", "Flight mode after low-voltage protection 外电低电保护后飞行模式报警"),
    0x13: Option("tamper", "Tamper or disassembly 拆卸报警"),
    0x14: Option("door", "Door 门报警"),
    0x15: Option("low_battery_shutdown", "Switched off by low battery 低电关机报警"),
    0x16: Option("sound", "Sound 声控报警"),
    0x17: Option("false_base_station", "False base station 伪基站报警"),
    0x18: Option("cover_removed", "Cover removed 开盖报警"),
    0x19: Option("battery_low", "Internal battery low 内部电池低电报警"),
    0x20: Option("deep_sleep", "Deep sleep entered 进入深度休眠报警"),
    0x23: Option("fall", "Fall 跌落报警"),
    0x25: Option("tamper_25", "Tamper, some units 拆卸报警"),
    0x26: Option("harsh_acceleration", "Harsh acceleration, some units 急加速报警"),
    0x27: Option("harsh_braking", "Harsh braking, some units 急减速报警"),
    0x28: Option("harsh_braking_28", "Harsh braking, most units 急减速报警"),
    0x29: Option("harsh_acceleration_29", "Harsh acceleration, most units 急加速报警"),
    0x2A: Option("sharp_left_turn", "Sharp left turn 左急转弯报警"),
    0x2B: Option("sharp_right_turn", "Sharp right turn 右急转弯报警"),
    0x2C: Option("crash", "Collision 碰撞报警"),
    0x30: Option("harsh_braking_30", "Harsh braking, most units 急减速报警"),
    0x32: Option("unplugged", "Unplugged 拔出报警"),
    0xFE: Option("ignition_on", "Ignition switched on ACC开"),
    0xFF: Option("ignition_off", "Ignition switched off ACC关"),
}
_SAME = {0x25: 0x13, 0x28: 0x27, 0x29: 0x26, 0x30: 0x27}
"""Numbers that mean what another one does."""
_CODES = {option.name: code for code, option in ALARMS.items()}

ALARM = "alarm" / Choice(Int8ub, ALARMS) * "Alarm, above 0x19 as most vendors have it 报警"
LANGUAGE = (
    "language"
    / Flags(
        Int8ub,
        {
            0: Bit("language", "Language, 0 no answer wanted, 1 Chinese, 2 English 语言", 4),
            4: Bit("alarm_page", "High part of the alarm's number, newer units 报警扩展", 4),
        },
    )
    * "Language, and more of the alarm 语言"
)
STATUS = (blocks.TERMINAL, blocks.VOLTAGE_LEVEL, blocks.SIGNAL, ALARM, LANGUAGE)
STATUS_BYTES = 5
_LBS = "lbs_length" / Int8ub * "Bytes of the cell, mostly this one included LBS长度"
_FENCE = "fence" / Int8ub * "Fence, 0 the first, 255 none 围栏编号"


def alarm_code(alarm: str | int) -> int:
    """An alarm's number on the wire."""
    return alarm if isinstance(alarm, int) else _CODES[alarm]


def alarm_name(code: int) -> str:
    """An alarm's word; its number where it has none, for no alarm may get lost."""
    option = ALARMS.get(_SAME.get(code, code))
    return f"alarm_{code:02x}" if option is None else option.name


def _layouts(cell: tuple, cell_bytes: int, fence: tuple = ()) -> dict[str, Struct]:  # type: ignore[type-arg]
    surplus = "lbs_extra" / Bytes(this.lbs_length - (1 + cell_bytes) - (this.mcc >> 15)) * "More about the cell LBS扩展"
    return {
        "standard": located(_LBS, *cell, *STATUS, *fence),
        "mileage": located(_LBS, *cell, *STATUS, blocks.MILEAGE, *fence),
        "no cell": located(_LBS, *STATUS, *fence),
        "longer cell": located(_LBS, *cell, surplus, *STATUS, *fence),
        "position": located(),
    }


def _choose(cell_bytes: int, fence_bytes: int, odd: tuple[int, ...]) -> Choose:
    """By what is left behind the standard's fields. ``odd`` are remainders of vendors that shift the status."""

    def choose(message: Message) -> str:
        body = message.body
        rest = len(body) - POSITION_BYTES - 1 - STATUS_BYTES - fence_bytes
        if rest == 0 and body[POSITION_BYTES] == 0:
            return "no cell"
        cell_size = cell_bytes + blocks.is_wide(body, POSITION_BYTES + 1)
        rest -= cell_size
        if rest in odd:
            return "position"
        if rest > 0 and body[POSITION_BYTES] == 1 + cell_size + rest:
            return "longer cell"
        return "mileage" if rest == blocks.MILEAGE_BYTES else "standard"

    return choose


_ODD_RESTS = (-1, -2, 1)
"""One byte less where a vendor leaves out the length (two if the cell then seems wide), one more for a longer cell."""
_SL4X = (_LBS, *blocks.WIDE_CELL, *STATUS)
SL4X_ALARM = {
    "standard": located(*_SL4X),
    "altitude": located(*_SL4X, "altitude" / Int16sb * "Altitude in metres 海拔高度"),
    "position": located(),
}
_SL4X_SIZES = {34: "standard", 36: "altitude"}
_ONLY = {"position": located()}
_CAMERA = {"position": located(), "raw": RAW}
_JC400 = b"\xff\xff"


def _rows() -> list[MessageType]:
    rows = []
    for kind, name, english, chinese, cell, cell_bytes, fence, is_local in (
        (0x16, "alarm_local", "Alarm, local time", "报警信息", blocks.CELL, blocks.CELL_BYTES, (), True),
        (0x26, "alarm", "Alarm", "报警数据（单围栏）", blocks.CELL, blocks.CELL_BYTES, (), False),
        (0x27, "fence_alarm", "Alarm, many fences", "报警数据（多围栏）", blocks.CELL, blocks.CELL_BYTES, (_FENCE,), False),
        (0xA3, "alarm_4g", "Alarm with a 4G cell", "4G报警数据（单围栏）", blocks.CELL_4G, blocks.CELL_4G_BYTES, (), False),
        (0xA4, "fence_alarm_4g", "Alarm with a 4G cell, many fences", "4G报警数据（多围栏）", blocks.CELL_4G,
         blocks.CELL_4G_BYTES, (_FENCE,), False),
    ):  # fmt: skip
        choose = _choose(cell_bytes, len(fence), _ODD_RESTS)
        rows.append(
            MessageType(
                kind,
                name,
                english,
                chinese,
                _layouts(cell, cell_bytes, fence),
                answer=Answer.SHORT,
                choose=choose,
                is_local=is_local,
            )
        )
    return rows


ROWS = (
    *_rows(),
    MessageType(
        0x19, "cell_alarm", "Alarm with the cell only", "LBS、状态合并信息",
        {"standard": Struct(*blocks.CELL, *STATUS, EXTRA)}, answer=Answer.SHORT,
    ),
    MessageType(
        0xA5, "cell_alarm_4g", "Alarm with the 4G cell only", "4G LBS报警数据",
        {"standard": Struct(*blocks.CELL_4G, *STATUS, EXTRA)}, answer=Answer.SHORT,
    ),
    MessageType(
        0x32, "alarm_sl4x", "Alarm, a vendor's form", "报警数据32", SL4X_ALARM, answer=Answer.SHORT,
        choose=lambda message: _SL4X_SIZES.get(len(message.body), "position"),
    ),
    MessageType(0x7932, "location_az735", "Position, a vendor's form", "定位数据AZ735", _ONLY, answer=Answer.LONG),
    MessageType(0x7933, "alarm_az735", "Alarm, a vendor's form", "报警数据AZ735", _ONLY, answer=Answer.LONG),
    MessageType(
        0x95, "camera_alarm", "Alarm with the names of files", "摄像报警", _CAMERA, answer=Answer.SHORT,
        choose=lambda message: "raw" if message.body.startswith(_JC400) else "position",
    ),
)  # fmt: skip
