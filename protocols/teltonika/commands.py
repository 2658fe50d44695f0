"""Commands and what devices answer to them, by codecs 12, 13, 14 and 15.

    codec id | Quantity 1 | type | size | [time] | [IMEI] | text | Quantity 2

Source: Teltonika, "Data Sending Protocols", Codec 12, Codec 13, Codec 14, Codec 15.
"""

from __future__ import annotations

from construct import GreedyBytes, Int8ub, Int32ub, Int64ub, Prefixed, Struct

from protocols.fields import BCD, Choice, Declaration, Option, UnixTime

CODEC_12, CODEC_13, CODEC_14, CODEC_15 = 0x0C, 0x0D, 0x0E, 0x0F
CODEC_12_COMMAND, CODEC_14_COMMAND = 0x0C05, 0x0E05
"""Codec id and type: what the platform sends has the codec ids of what the device answers with."""
COMMAND, RESPONSE, NACK = "command", "response", "nack"
IMEI_BYTES = 8
ANY_IMEI = "0" * 2 * IMEI_BYTES
"""Stands in a command for the device at the other end of the link, whichever it is."""

_TYPES = {
    0x05: Option(COMMAND, "Command 命令"),
    0x06: Option(RESPONSE, "Response 应答"),
    0x0B: Option("message", "Message of a professional device 专业终端消息"),
    0x0D: Option("camera", "Camera 摄像头"),
    0x11: Option(NACK, "Not executed: another device's IMEI 未执行"),
}
_TIME = "time" / UnixTime(Int32ub, 1) * "Time, in seconds 时间戳"
_LONG_TIME = "time" / UnixTime(Int64ub, 1000) * "Time, in milliseconds, of old firmware 时间戳"
_IMEI = "imei" / BCD(IMEI_BYTES) * "IMEI behind a zero 设备IMEI"
_TEXT = "text" / GreedyBytes * "Text of a command or an answer, or what came over a serial port 文本"


def _data(*content: Declaration) -> Struct:
    return Struct(
        "quantity" / Int8ub * "Quantity 1 数量1",
        "type" / Choice(Int8ub, _TYPES) * "Type 类型",
        "content" / Prefixed(Int32ub, Struct(*content)) * "What is said 内容",
        "quantity_again" / Int8ub * "Quantity 2, which devices do not check 数量2",
    )


TEXT = _data(_TEXT)
TIMED = _data(_TIME, _TEXT)
LONG_TIMED = _data(_LONG_TIME, _TEXT)
ADDRESSED = _data(_IMEI, _TEXT)
TIMED_ADDRESSED = _data(_TIME, _IMEI, _TEXT)
_TYPE_AT, _CONTENT_AT = 1, 6
_OLD_TYPE = 0x05


def timed_layout(body: bytes) -> Struct:
    """Codec 13's time has four bytes; an old form with type 05 had eight, which begin with zeros until the year 10889."""
    is_long = body[_TYPE_AT : _TYPE_AT + 1] == bytes([_OLD_TYPE]) and body[_CONTENT_AT : _CONTENT_AT + 2] == b"\0\0"
    return LONG_TIMED if is_long and len(body) > _CONTENT_AT + 8 else TIMED
