"""Cells and WiFi access points, for where there is no fix.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, 5.2; JM-VL03 v1.1.2, 5.4 and 5.8.
"""

from __future__ import annotations

from functools import cache

from construct import Array, Int8ub, Int16ub, Struct, this

from protocols.fields import BcdTime, Count
from protocols.gt06 import blocks
from protocols.gt06.blocks import CELLS_4G_BYTES, CELLS_BYTES, TIME_BYTES, located
from protocols.gt06.frame import BARE
from protocols.gt06.positions import RFID
from protocols.gt06.rows import EXTRA, RAW, Answer, Choose, MessageType
from protocols.gt06.texts import PHONE_TAIL
from protocols.message import Message

_ONE = Struct(blocks.TIME, *blocks.CELL, blocks.LANGUAGE, EXTRA)
_ONE_BYTES = 16
_WITHOUT_LANGUAGE = Struct(blocks.TIME, *blocks.CELL, EXTRA)
_WIDE_BYTES = 28
_SEVEN = Struct(blocks.TIME, *blocks.CELLS, blocks.LANGUAGE, EXTRA)
_SEVEN_4G = Struct(blocks.TIME, *blocks.CELLS_4G, blocks.LANGUAGE, EXTRA)
_WANWAY_BYTES = (41, 44)
_LW4G_BYTES = 59
_RFID_BYTES = 35
_BARE_CELL = Struct(
    "lac" / Int16ub * "Location area code 位置区码",
    "cell_id" / Int16ub * "Cell 基站编号",
    "rssi" / Int8ub * "Received signal strength, as the device gives it 信号强度",
)
_BARE_CELLS = (
    "cell_count" / Count(Int8ub, "cells") * "Number of cells 基站数量",
    "mcc" / Int16ub * "Mobile country code 移动国家号码",
    "mnc" / Int8ub * "Mobile network code 移动网号码",
    "cells" / Array(this.cell_count, _BARE_CELL) * "Cells 基站",
)
_BARE_TIME = "time" / BcdTime(0) * "Date and time 日期时间"


@cache
def bare_wifi(count: int) -> Struct:
    """A body of the bare dialect: how many access points it has, the frame's third byte says."""
    points = "access_points" / Array(count, blocks.POINT) * "Access points, as many as the frame's third byte says WIFI热点"
    return Struct(_BARE_TIME, points, *_BARE_CELLS, EXTRA)


def is_bare(message: Message) -> bool:
    """Whether a message came in the bare dialect."""
    return message.head[:1] == bytes((BARE,))


def _one(message: Message) -> str:
    size = len(message.body)
    if is_bare(message):
        return "position"
    if size == _WIDE_BYTES:
        return "wide cell"
    return "language" if size >= _ONE_BYTES + blocks.is_wide(message.body, TIME_BYTES) else "cell"


def _request(message: Message) -> str | Struct:
    if is_bare(message):
        return bare_wifi(message.head[1])
    return "rfid" if len(message.body) == _RFID_BYTES else "request"


def _extension(message: Message) -> str:
    return "position" if len(message.body) in _WANWAY_BYTES else "cells"


def _points(cells_bytes: int) -> Choose:
    """With network names or without, whichever ends where the body does."""

    def choose(message: Message) -> str:
        body = message.body
        if len(body) == _LW4G_BYTES:
            return "position"
        at = TIME_BYTES + cells_bytes + blocks.is_wide(body, TIME_BYTES)
        count = body[at] if at < len(body) else 0
        if len(body) != at + 1 + blocks.POINT_BYTES * count and _ends_named(body, at + 1, count):
            return "named access points"
        return "access points"

    return choose


def _ends_named(body: bytes, at: int, count: int) -> bool:
    for _ in range(count):
        at += blocks.POINT_BYTES
        if at >= len(body):
            return False
        at += 1 + body[at]
    return at == len(body)


def _wifi(cells: tuple) -> dict[str, Struct]:  # type: ignore[type-arg]
    return {
        "access points": Struct(blocks.TIME, *cells, *blocks.POINTS, EXTRA),
        "named access points": Struct(blocks.TIME, *cells, *blocks.NAMED_POINTS, EXTRA),
        "position": located(),
    }


_EXTENSION = {"cells": _SEVEN, "position": located()}
ROWS = (
    MessageType(
        0x11, "cell", "Cell only, or a position with one", "LBS信息",
        {"cell": _WITHOUT_LANGUAGE, "language": _ONE, "wide cell": located(*blocks.WIDE_CELL), "position": located()},
        choose=_one, is_local=True,
    ),
    MessageType(
        0x17, "cell_address_request", "Address of a cell wanted, or a card read, or WiFi", "LBS通过电话号码查询地址信息",
        {"request": Struct(*blocks.CELL, *PHONE_TAIL, EXTRA), "rfid": RFID, "bare": bare_wifi(1)},
        answer=Answer.NO_ADDRESS, choose=_request,
    ),
    MessageType(0x18, "cells_local", "Seven cells, local time", "LBS扩展信息", {"cells": _SEVEN}, is_local=True),
    MessageType(0x24, "cells_24", "Seven cells, a vendor's form", "LBS扩展信息24", _EXTENSION, choose=_extension),
    MessageType(0x28, "cells", "Seven cells", "LBS多基站扩展信息", {"cells": _SEVEN}),
    MessageType(0x2E, "cells_2e", "Seven cells, a vendor's form", "LBS扩展信息2E", {"cells": _SEVEN}),
    MessageType(0xA1, "cells_4g", "Seven 4G cells", "4G LBS多基站扩展信息", {"cells": _SEVEN_4G}),
    MessageType(
        0x2C, "wifi", "Cells and WiFi", "WIFI信息", _wifi(blocks.CELLS), answer=Answer.SHORT, choose=_points(CELLS_BYTES)
    ),
    MessageType(0xA2, "wifi_4g", "4G cells and WiFi", "4G WIFI信息", _wifi(blocks.CELLS_4G), choose=_points(CELLS_4G_BYTES)),
    MessageType(
        0x69, "wifi_bare", "WiFi and cells of the bare dialect", "WIFI在线数据", {"bare": bare_wifi(1), "raw": RAW},
        choose=lambda message: bare_wifi(message.head[1]) if is_bare(message) else "raw",
    ),
    MessageType(
        0xA7, "cell_address_request_4g", "Address of a 4G cell wanted", "4G LBS查询地址信息",
        {"request": Struct(*blocks.CELL_4G, *PHONE_TAIL, EXTRA)}, answer=Answer.NO_ADDRESS,
    ),
)  # fmt: skip
