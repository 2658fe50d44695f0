"""Positions, with and without the cell that the device is in.

A layout is told by the bytes that are left behind the cell. Where none fits, the vendor's tail stays as it came: the
position in front of it is good all the same.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, 5.2; JM-VL03 v1.1.2, 5.3.
"""

from __future__ import annotations

from typing import Any

from construct import GreedyBytes, If, Int8ub, Int16sb, Int16ub, Struct, this

from protocols.fields import BCD, BinaryTime, Scaled
from protocols.gt06 import blocks
from protocols.gt06.blocks import POSITION_BYTES, located
from protocols.gt06.rows import EXTRA, RAW, Choose, MessageType
from protocols.items import Items
from protocols.message import Message

_IMEI_BYTES = 8
_ONLY = located()
_TAILS = {
    blocks.STATUS_TAIL_BYTES: "status",
    blocks.MILEAGE_BYTES: "mileage",
    blocks.STATUS_TAIL_BYTES + blocks.MILEAGE_BYTES: "status and mileage",
}
_IMEI = "imei" / BCD(_IMEI_BYTES) * "IMEI, one 0 in front 设备号"
_SEEWORLD_BYTES = 42
"""Its cell has four bytes where the standard has three."""
_DRIVER_BYTES = (55, 73)
_OWNED_BYTES = 34

OWNED = Struct(_IMEI, blocks.TIME, *blocks.GPS, *blocks.CELL, EXTRA)
"""Of the QH302R, which has its IMEI in every position."""
DRIVER = Struct(
    "source" / Int8ub * "Source of the report 来源",
    _IMEI,
    "device_time" / BinaryTime(0) * "Time of the device's clock 设备时间",
    blocks.TIME,
    *blocks.GPS,
    EXTRA,
)
"""Of the NT and XT40 series; what stands behind the position differs among them."""
OWNER = Struct(_IMEI, "raw" / GreedyBytes * "Content, whose layout depends on the model 原始内容")

MODULES = Items(
    {
        0x0027: ("external_v" / Scaled(Int16ub, 100, "V") * "External voltage 外部电压",),
        0x002E: (blocks.MILEAGE,),
        0x003B: ("accuracy_m" / Scaled(Int16ub, 100, "m") * "Accuracy of the position 定位精度",),
    },
    ">HB",
)
_MODULES = "items" / MODULES * "Modules of id, length and value 扩展模块"
_KIND = "cell_kind" / Int8ub * "Kind of cell, 3 and above 4G 基站类型"
UPLOADED = Struct(
    blocks.TIME,
    *blocks.GPS,
    blocks.UPLOAD,
    blocks.RESENT,
    _KIND,
    *blocks.CELL[:2],
    "narrow"
    / If(this.cell_kind < 3, Struct(*blocks.CELL[2:], "rssi" / Int8ub * "Signal strength 信号强度"))
    * "Cell of 2G or 3G 2G基站",
    "wide"
    / If(this.cell_kind >= 3, Struct(*blocks.CELL_4G[2:], "rssi" / Int16ub * "Signal strength 信号强度"))
    * "Cell of 4G 4G基站",
    _MODULES,
)

GPS_ONLY = {
    "word": located("word" / Int16ub * "Word without a known meaning 未知字"),
    "plain": _ONLY,
}
LOCATION = {
    "status": located(*blocks.CELL, *blocks.STATUS_TAIL),
    "status and mileage": located(*blocks.CELL, *blocks.STATUS_TAIL, blocks.MILEAGE),
    "mileage": located(*blocks.CELL, blocks.MILEAGE),
    "cell": located(*blocks.CELL),
    "position": _ONLY,
    "driver": DRIVER,
}
LOCATION_4G = {
    "status": located(*blocks.CELL_4G, *blocks.STATUS_TAIL),
    "status and mileage": located(*blocks.CELL_4G, *blocks.STATUS_TAIL, blocks.MILEAGE),
    "mileage": located(*blocks.CELL_4G, blocks.MILEAGE),
    "cell": located(*blocks.CELL_4G),
}
LOCAL_LOCATION = {name: LOCATION[name] for name in ("cell", "mileage", "status", "status and mileage")} | {"owned": OWNED}
_SL4X = located(*blocks.WIDE_CELL, *blocks.STATUS_TAIL, blocks.MILEAGE, "altitude" / Scaled(Int16sb, 1, "m") * "Altitude 海拔高度")
_SL4X_BYTES = 37
TAGGED = Struct(blocks.TIME, *blocks.GPS, *blocks.CELL, *blocks.STATUS_TAIL, _MODULES)
RFID = located(*blocks.CELL, "rfid" / BCD(8) * "RFID card 射频卡号", "is_valid" / Int8ub * "Validity 有效性")
CELLS = located(*blocks.CELLS, blocks.LANGUAGE)


def is_owned(message: Message, at: int = 0) -> bool:
    """Whether the device's own identity stands at this place of a body."""
    return message.body[at : at + _IMEI_BYTES].hex().upper() == message.identity.zfill(2 * _IMEI_BYTES)


def identity_place(kind: int, size: int) -> int | None:
    """Where a body of this kind and size has its device's identity; None where it can have none."""
    if kind == 0x61 or (kind == 0x12 and size == _OWNED_BYTES):
        return 0
    return 1 if kind in (0x22, 0x25) and size in _DRIVER_BYTES else None


def _tail(body: bytes, cell_bytes: int) -> str:
    cell_bytes += blocks.is_wide(body, POSITION_BYTES)
    return _TAILS.get(len(body) - POSITION_BYTES - cell_bytes, "cell")


def _local_location(message: Message) -> str:
    if len(message.body) == _OWNED_BYTES and is_owned(message):
        return "owned"
    return _tail(message.body, blocks.CELL_BYTES)


def _location(message: Message) -> str:
    if len(message.body) in _DRIVER_BYTES and is_owned(message, 1):
        return "driver"
    if len(message.body) == _SEEWORLD_BYTES:
        return "position"
    return _tail(message.body, blocks.CELL_BYTES)


def by_size(sizes: dict[int, str], other: str) -> Choose:
    """A layout by the body's size."""
    return lambda message: sizes.get(len(message.body), other)


def _rows() -> list[MessageType]:
    sl4x: dict[str, Any] = {"layouts": {"sl4x": _SL4X, "position": _ONLY}, "choose": by_size({_SL4X_BYTES: "sl4x"}, "position")}
    rows = [
        MessageType(
            0x10, "gps", "GPS only", "GPS信息", GPS_ONLY, choose=by_size({POSITION_BYTES + 2: "word"}, "plain"), is_local=True
        ),
        MessageType(
            0x12, "location_local", "Position and cell, local time", "GPS、LBS合并信息", LOCAL_LOCATION, choose=_local_location,
            is_local=True,
        ),
        MessageType(0x1E, "gps_cells", "Position and seven cells", "GPS、LBS扩展合并信息", {"cells": CELLS}, is_local=True),
        MessageType(0x22, "location", "Position", "定位数据", LOCATION, choose=_location),
        MessageType(
            0x25, "driver_location", "Position with the driver's id", "司机定位数据", {"driver": DRIVER, "position": _ONLY},
            choose=lambda message: "driver" if len(message.body) in _DRIVER_BYTES and is_owned(message, 1) else "position",
        ),
        MessageType(
            0x61, "ibutton", "Position with an iButton", "iButton定位数据", {"owner": OWNER, "raw": RAW},
            choose=lambda message: "owner" if is_owned(message) else "raw",
        ),
        MessageType(
            0xA0, "location_4g", "Position with a 4G cell", "4G定位数据", LOCATION_4G,
            choose=lambda message: _tail(message.body, blocks.CELL_4G_BYTES),
        ),
    ]  # fmt: skip
    tailed = {name: LOCATION[name] for name in ("cell", "status", "status and mileage", "mileage")}
    for kind, suffix, long in ((0, "", ""), (0x7900, "_long", "长包")):
        rows += [
            MessageType(
                kind | 0x2D, f"location_2d{suffix}", "Position, a vendor's form", f"定位数据2D{long}", tailed,
                choose=lambda message: _tail(message.body, blocks.CELL_BYTES),
            ),
            MessageType(kind | 0x31, f"location_31{suffix}", "Position, a vendor's form", f"定位数据31{long}", **sl4x),
            MessageType(kind | 0x37, f"location_37{suffix}", "Position with modules", f"定位数据37{long}", {"modules": TAGGED}),
            MessageType(
                kind | 0x38, f"location_38{suffix}", "Position with modules", f"定位数据38{long}",
                {"modules": UPLOADED} if kind else {"position": _ONLY},
            ),
        ]  # fmt: skip
    return rows


ROWS = tuple(_rows())
