"""Logging in, staying there, and the time.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, 5.1 and 5.4; JM-VL03 v1.1.2, 5.1, 5.2 and 5.7.
"""

from __future__ import annotations

from construct import Int8ub, Int16ub, Struct

from protocols.fields import BCD, Scaled
from protocols.gt06 import blocks
from protocols.gt06.frame import BARE, ZONE
from protocols.gt06.rows import EMPTY, EXTRA, Answer, MessageType, raw
from protocols.message import Message
from protocols.rows import Direction

LOGIN, HEARTBEAT, HEARTBEAT_VOLTAGE, TIME_REQUEST, TIME_ANSWER = 0x01, 0x13, 0x23, 0x8A, 0x808A
IMEI_BYTES = 8
_TERMINAL_ID = "terminal_id" / BCD(IMEI_BYTES) * "Terminal id: the IMEI, one 0 in front 终端ID"
_TYPE_CODE = "type_code" / Int16ub * "Class of the model 类型识别码"
LOGINS = {
    "zone": Struct(_TERMINAL_ID, _TYPE_CODE, "zone" / ZONE * "Time zone and language 时区语言", EXTRA),
    "type code": Struct(_TERMINAL_ID, _TYPE_CODE, EXTRA),
    "id": Struct(_TERMINAL_ID, EXTRA),
    "bare": Struct(_TERMINAL_ID, "version" / Int8ub * "Software version 软件版本号", EXTRA),
}
ZONE_BYTES = slice(10, 12)
_PORT = "port" / Int16ub * "Language, or status of the extension port 语言/扩展口状态"
HEARTBEAT_STATUS = Struct(blocks.TERMINAL, blocks.VOLTAGE_LEVEL, blocks.SIGNAL, _PORT, EXTRA)
_HEARTBEATS = {
    "standard": HEARTBEAT_STATUS,
    "terminal": Struct(blocks.TERMINAL, EXTRA),
    "bare": Struct("raw" / EXTRA.subcon * "Status of the bare dialect 状态包"),
}
_STANDARD_BYTES = 5
VOLTAGE_STATUS = Struct(
    blocks.TERMINAL, "battery_v" / Scaled(Int16ub, 100, "V") * "Battery voltage 电池电压", blocks.SIGNAL, _PORT, EXTRA
)
CLOCK = Struct(blocks.TIME, EXTRA)


def _login(message: Message) -> str:
    if message.head[:1] == bytes((BARE,)):
        return "bare"
    size = len(message.body)
    return "zone" if size >= ZONE_BYTES.stop else "type code" if size >= ZONE_BYTES.start else "id"


def _heartbeat(message: Message) -> str:
    if message.head[:1] == bytes((BARE,)):
        return "bare"
    return "standard" if len(message.body) <= _STANDARD_BYTES else "terminal"


ROWS = (
    MessageType(LOGIN, "login", "Login", "登录信息", LOGINS, answer=Answer.SHORT, choose=_login),
    MessageType(0x08, "heartbeat_bare", "Heartbeat of the bare dialect", "心跳包", {"empty": EMPTY}),
    MessageType(HEARTBEAT, "heartbeat", "Heartbeat", "状态信息", _HEARTBEATS, answer=Answer.SHORT, choose=_heartbeat),
    MessageType(
        HEARTBEAT_VOLTAGE, "heartbeat_voltage", "Heartbeat with the battery's voltage", "心跳包（电压）",
        {"standard": VOLTAGE_STATUS}, answer=Answer.SHORT,
    ),
    raw(0x14, "satellite_levels", "Signal levels of satellites", "卫星信噪比信息"),
    raw(0x1F, "time_synchronisation", "Time synchronisation of old units", "时间同步"),
    MessageType(TIME_REQUEST, "time_request", "Time wanted", "时间校验请求", {"empty": EMPTY}, answer=Answer.TIME),
    MessageType(TIME_ANSWER, "time", "Time in UTC", "时间校验回复", {"standard": CLOCK}, Direction.DOWN),
)  # fmt: skip
