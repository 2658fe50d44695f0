"""Files, photos, modules of id, length and value, and what other devices say through this one.

    device                                        platform
      ── 35 photo (id, size) ─────────────────────▶
      ◀───────────────── 36 (id, 0, 1024 bytes) ──  once the message is stored
      ── 36 (id, 0, the bytes) ───────────────────▶
      ◀────────────── 36 (id, 1024, 1024 bytes) ──  and so on, until all have come

Source: Concox communication protocol V5; JM-VL03 v1.1.2, chapter 5.
"""

from __future__ import annotations

from construct import Bytes, GreedyBytes, Int8ub, Int16sb, Int16ub, Int32ub, Prefixed, Struct, Switch, this

from protocols.fields import BinaryTime, Choice, Option, Scaled, UnixTime
from protocols.gt06 import blocks
from protocols.gt06.alarms import STATUS, STATUS_BYTES
from protocols.gt06.rows import EXTRA, RAW, Answer, MessageType, raw
from protocols.items import Items, UntilEnd
from protocols.message import Message
from protocols.rows import Direction

PHOTO, PHOTO_DATA, PHOTO_REQUEST, FILE = 0x35, 0x36, 0x8036, 0x798D
PHOTO_PART_BYTES = 1024
MODULE_POSITION = 0x33
_PHOTO_BYTES = 26
_PHOTO_HEAD_BYTES = 10

_PICTURE = "picture_id" / Int32ub * "Number of the photo 图片编号"
_OFFSET = "offset" / Int32ub * "Offset of the first byte 偏移"
_DEGREES = (blocks.GPS[1], blocks.GPS[2])
PHOTO_LAYOUT = Struct(
    blocks.TIME,
    "positioned" / Int8ub * "Positioned 定位状态",
    *_DEGREES,
    "camera" / Int8ub * "Camera 摄像头",
    "source" / Int8ub * "What made it take a photo 来源",
    "format" / Int8ub * "Format 格式",
    "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size of the photo 大小",
    _PICTURE,
    EXTRA,
)
PHOTO_PART = Struct(_PICTURE, _OFFSET, "data" / Prefixed(Int16ub, GreedyBytes) * "Bytes of the photo 图片数据", EXTRA)
PHOTO_WANTED = Struct(
    _PICTURE, _OFFSET, "wanted_bytes" / Scaled(Int16ub, 1, "bytes") * "Bytes wanted, at most 1024 请求长度", EXTRA
)

_ID = "id" / Int16ub * "Module 模块编号"
_SHORT_MODULES = UntilEnd(Struct(_ID, "value" / Prefixed(Int8ub, GreedyBytes) * "Value 模块内容"))
_LONG_MODULES = UntilEnd(Struct(_ID, "value" / Prefixed(Int16ub, GreedyBytes) * "Value 模块内容"))
_TEXT = "Modules of id, length and value 扩展模块"
STATUS_MODULES = Struct(*STATUS, "modules" / _SHORT_MODULES * _TEXT)
MODULES = Items(
    {
        MODULE_POSITION: (
            "position"
            / Struct(
                "time" / UnixTime() * "Date and time 日期时间",
                "satellites" / Int8ub * "Satellites in use 卫星数",
                "altitude" / Scaled(Int16sb, 1, "m") * "Altitude 海拔高度",
                *blocks.GPS[1:],
            )
            * "Position 定位信息",
        )
    },
    ">HH",
)
_MODULES = Struct("items" / MODULES * "Modules 模块")
_UNIX_TIME = "time" / UnixTime() * "Date and time 日期时间"
TIMED_MODULES = {
    "short lengths": Struct(_UNIX_TIME, "modules" / _SHORT_MODULES * _TEXT),
    "long lengths": Struct(_UNIX_TIME, "modules" / _LONG_MODULES * _TEXT),
    "raw": RAW,
}
_FILES = {0: Option("monitoring", "Monitoring 监听"), 1: Option("emergency", "SOS SOS录音"), 2: Option("intercom", "Intercom 对讲")}
_CHECKS = {0: Option("crc", "CRC-ITU CRC校验"), 1: Option("md5", "MD5 MD5校验")}
FILE_PART = Struct(
    "file" / Choice(Int8ub, _FILES) * "Kind of file 文件类型",
    "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size of the file 文件总长度",
    "check_kind" / Choice(Int8ub, _CHECKS) * "Kind of check 校验类型",
    "check" / Switch(this.check_kind, {"crc": Bytes(2), "md5": Bytes(16)}, default=GreedyBytes) * "Check of the file 校验值",
    _OFFSET,
    "data" / Prefixed(Int16ub, GreedyBytes) * "Bytes of the file 文件内容",
    "flag"
    / Switch(this.file, {"emergency": Int16ub, "monitoring": BinaryTime(0), "intercom": BinaryTime(0)}, default=GreedyBytes)
    * "Time, or the alarm's serial number 标志位",
    EXTRA,
)
_CHECK_BYTES = {0: 2, 1: 16}
_FLAG_BYTES = {0: 6, 1: 2, 2: 6}
_SERIAL = Struct("device" / Int8ub * "Kind of the serial device 串口设备", "data" / GreedyBytes * "What it says 透传内容")
_MODULE = Struct(
    "module" / Int8ub * "Module 模块编号",
    "data" / Prefixed(Int8ub, GreedyBytes) * "What it says 透传内容",
    EXTRA,
)


def is_photo_part(body: bytes) -> bool:
    """Whether a body is a part of a photo: its size says so, and what it would be otherwise does not fit."""
    is_part = len(body) > _PHOTO_HEAD_BYTES and int.from_bytes(body[8:10], "big") == len(body) - _PHOTO_HEAD_BYTES
    return is_part and not _ends(body, STATUS_BYTES, 1)


def is_photo(body: bytes) -> bool:
    """Whether a body announces a photo."""
    return len(body) == _PHOTO_BYTES


def _ends(body: bytes, at: int, width: int) -> bool:
    """Whether items of two bytes of id and ``width`` of length end where the body does."""
    while at + 2 + width <= len(body):
        at += 2 + width + int.from_bytes(body[at + 2 : at + 2 + width], "big")
    return at == len(body)


def _status(message: Message) -> str:
    body = message.body
    if is_photo_part(body):
        return "photo"
    return "modules" if _ends(body, STATUS_BYTES, 1) else "raw"


def _status_long(message: Message) -> str:
    return "modules" if _ends(message.body, STATUS_BYTES, 1) else "raw"


def _timed(message: Message) -> str:
    if _ends(message.body, 4, 1):
        return "short lengths"
    return "long lengths" if _ends(message.body, 4, 2) else "raw"


def _file(message: Message) -> str:
    body = message.body
    if len(body) < 6 or body[0] not in _FLAG_BYTES or body[5] not in _CHECK_BYTES:
        return "raw"
    at = 6 + _CHECK_BYTES[body[5]] + 4
    size = int.from_bytes(body[at : at + 2], "big")
    return "part" if at + 2 + size + _FLAG_BYTES[body[0]] == len(body) else "raw"


def _module(message: Message) -> str:
    return "module" if len(message.body) > 1 and message.body[1] == len(message.body) - 2 else "raw"


_STATUS = {"modules": STATUS_MODULES, "raw": RAW}
_MODULE_LAYOUTS = {"module": _MODULE, "raw": RAW}


ROWS = (
    raw(0x33, "wifi_sl4x", "WiFi, a vendor's form", "WIFI信息33"),
    raw(0x34, "cells_sl4x", "Cells or a position, a vendor's form", "LBS信息34"),
    MessageType(
        PHOTO, "photo", "Photo announced", "图片信息", {"photo": PHOTO_LAYOUT, "raw": RAW}, answer=Answer.PHOTO,
        choose=lambda message: "photo" if is_photo(message.body) else "raw",
    ),
    MessageType(
        PHOTO_DATA, "status_modules", "Status with modules, or a part of a photo", "状态扩展包或图片数据",
        {**_STATUS, "photo": PHOTO_PART}, answer=Answer.PHOTO, choose=_status,
    ),
    MessageType(
        PHOTO_REQUEST, "photo_request", "Part of a photo wanted", "图片数据请求", {"standard": PHOTO_WANTED}, Direction.DOWN,
        answered_by=(PHOTO_DATA,),
    ),
    *(
        MessageType(kind, name, english, chinese, _STATUS, answer=Answer.SHORT, choose=_status_long)
        for kind, name, english, chinese in (
            (0x39, "alarm_modules", "Alarm with modules", "报警扩展包"),
            (0x7936, "status_modules_long", "Status with modules", "状态扩展长包"),
            (0x7939, "alarm_modules_long", "Alarm with modules", "报警扩展长包"),
        )
    ),
    raw(0x7940, "battery_pack", "Data of a battery pack", "电池数据", Answer.SHORT),
    raw(0x7941, "photo_wd209", "Part of a photo, a vendor's form", "图片数据WD209", Answer.LONG),
    raw(0x7965, "fault_codes", "Fault codes", "故障码"),
    raw(0x7966, "obd_values", "OBD values", "OBD数据流"),
    raw(0x798C, "obd_text", "OBD text", "OBD文本"),
    MessageType(0x7970, "modules", "Modules", "模块化数据包", {"modules": _MODULES}, answer=Answer.SHORT),
    MessageType(FILE, "file", "Part of a file", "文件传输", {"part": FILE_PART, "raw": RAW}, choose=_file),
    MessageType(0x799B, "serial", "What a serial device says", "外设透传", {"serial": _SERIAL}),
    MessageType(0x9C, "module", "What a module says", "模块透传", _MODULE_LAYOUTS, choose=_module),
    MessageType(0x799C, "module_long", "What a module says", "模块透传长包", _MODULE_LAYOUTS, choose=_module),
    raw(0xF3, "wifi_cells", "WiFi and cells, a vendor's form", "WIFI基站信息"),
    *(
        row
        for form, suffix, chinese in ((0, "", ""), (0x7900, "_long", "长包"))
        for row in (
            raw(form | 0xA9, f"wifi_alarm{suffix}", "Alarm with WiFi", f"WIFI报警{chinese}"),
            raw(form | 0xB0, f"attendance{suffix}", "Attendance", f"考勤{chinese}"),
            raw(form | 0xB2, f"bluetooth_clock{suffix}", "Bluetooth attendance", f"蓝牙打卡{chinese}"),
            MessageType(form | 0xF1, f"device_status{suffix}", "Status of the device", f"设备状态{chinese}", TIMED_MODULES,
                        answer=Answer.SHORT, choose=_timed),
            MessageType(form | 0xF2, f"peripheral{suffix}", "Peripherals", f"外设数据{chinese}", TIMED_MODULES,
                        answer=Answer.SHORT, choose=_timed),
            raw(form | 0xFD, f"version{suffix}", "Text with version and build", f"版本信息{chinese}"),
        )
    ),
)  # fmt: skip
