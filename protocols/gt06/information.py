"""Information transmission: a sub-type and its data, told apart by the sub-type and the size.

Source: JM-VL03 v1.1.2, 5.12; Concox communication protocol V5, information transmission packet.
"""

from __future__ import annotations

from construct import Array, GreedyBytes, Int8ub, Int16ub, Int32sb, Prefixed, Struct, this

from protocols.fields import BCD, Bit, Choice, Count, Flags, Option, Scaled, Text
from protocols.gt06 import blocks
from protocols.gt06.rows import EXTRA, MessageType
from protocols.message import Message

INFORMATION = 0x7994
_SUBTYPES = {
    0x00: Option("power", "External supply 外电电压"),
    0x04: Option("status", "Status of the terminal 终端状态同步"),
    0x05: Option("door", "Door 门状态"),
    0x08: Option("self_test", "Self-test 自检参数"),
    0x09: Option("gps", "Satellites 定位卫星信息"),
    0x0A: Option("ids", "IMEI, IMSI and ICCID ICCID信息"),
    0x0B: Option("network", "Network, or a voltage 网络"),
    0x0D: Option("fuel_probe", "Fuel probe 油感数据"),
    0x1B: Option("rfid", "Card read 射频卡"),
    0x1E: Option("climate", "Temperature and humidity 温湿度"),
}
_SUBTYPE = "subtype" / Choice(Int8ub, _SUBTYPES) * "What it tells 信息类型"
_TEXT = "text" / Text(None, "ascii") * "Text 文本"
_DOOR = (
    "door"
    / Flags(
        Int8ub,
        {
            0: Bit("open", "Door open 门开"),
            1: Bit("high", "Triggered by the high level 高电平触发"),
            2: Bit("port", "Port high 端口高电平"),
        },
    )
    * "Door 门状态"
)
_STATES = {
    0: Option("none", "No GPS 无GPS"),
    1: Option("searching", "Searching 搜星中"),
    2: Option("fix_2d", "2D fix 2D定位"),
    3: Option("fix_3d", "3D fix 3D定位"),
    4: Option("sleeping", "Sleeping 休眠"),
}


def _satellites(name: str, english: str, chinese: str) -> tuple:  # type: ignore[type-arg]
    return (
        f"{name}_state" / Choice(Int8ub, _STATES) * f"{english}: state {chinese}状态",
        f"{name}_used_count" / Count(Int8ub, f"{name}_used") * f"{english}: satellites in use {chinese}参与定位卫星数",
        f"{name}_used" / Array(this[f"{name}_used_count"], Int8ub) * f"{english}: their levels {chinese}参与定位信号强度",
        f"{name}_seen_count" / Count(Int8ub, f"{name}_seen") * f"{english}: satellites in view {chinese}可见卫星数",
        f"{name}_seen" / Array(this[f"{name}_seen_count"], Int8ub) * f"{english}: their levels {chinese}可见信号强度",
    )


_LAYOUTS = {
    "raw": Struct(_SUBTYPE, "data" / GreedyBytes * "Data 内容"),
    "power": Struct(_SUBTYPE, "external_v" / Scaled(Int16ub, 100, "V") * "External voltage 外电电压"),
    "text": Struct(_SUBTYPE, _TEXT),
    "time and text": Struct(_SUBTYPE, blocks.TIME, _TEXT),
    "door": Struct(_SUBTYPE, _DOOR),
    "time and door": Struct(_SUBTYPE, blocks.TIME, _DOOR),
    "satellites": Struct(
        _SUBTYPE,
        *_satellites("gps", "GPS", "GPS"),
        *_satellites("beidou", "BeiDou", "北斗"),
        "more" / Prefixed(Int8ub, GreedyBytes) * "Extension 扩展",
        EXTRA,
    ),
    "ids": Struct(
        _SUBTYPE,
        "imei" / BCD(8) * "IMEI, one 0 in front IMEI号",
        "imsi" / BCD(8) * "IMSI, one 0 in front IMSI号",
        "iccid" / BCD(10) * "ICCID of the card, F behind ICCID号",
    ),
    "network": Struct(
        _SUBTYPE, "network" / Choice(Int8ub, {0: Option("gsm", "2G 二代"), 1: Option("lte", "4G 四代")}) * "Network 网络"
    ),
    "voltage": Struct(_SUBTYPE, "voltage_v" / Scaled(Int16ub, 100, "V") * "Voltage 电压"),
    "climate": Struct(
        _SUBTYPE,
        "temperature_c" / Scaled(Int32sb, 10, "°C") * "Temperature 温度",
        "humidity_percent" / Scaled(Int32sb, 10, "%") * "Humidity 湿度",
    ),
}
_SIZED = {
    (0x00, 2): "power",
    (0x05, 1): "door",
    (0x05, 7): "time and door",
    (0x0A, 26): "ids",
    (0x0B, 1): "network",
    (0x0B, 2): "voltage",
    (0x1E, 8): "climate",
}
_TIMED, _CARD_START = 0x0D, b"\x02"


def _choose(message: Message) -> str:
    subtype, data = message.body[0] if message.body else 0, message.body[1:]
    if subtype in (0x04, 0x08) or (subtype == 0x1B and not data.startswith(_CARD_START)):
        return "text"
    if subtype == _TIMED:
        return "text" if data[:1].isascii() and data[:1] >= b" " else "time and text"
    if subtype == 0x09:
        return "satellites"
    return _SIZED.get((subtype, len(data)), "raw")


ROWS = (
    MessageType(INFORMATION, "information", "Information transmission", "信息传输通用包", _LAYOUTS, choose=_choose),
    MessageType(
        0x94, "information_short", "External voltage, short form", "信息传输短包",
        {"power": Struct("external_v" / Scaled(Int16ub, 100, "V") * "External voltage 外电电压", EXTRA)},
    ),
)  # fmt: skip
