"""AVL records: where a device was, when, and what its inputs and sensors said.

    timestamp | priority | GNSS element | event id | N | N1 x (id, value) | N2 ... | N4 ... | N8 ... | NX ...

Codec 8, 8 Extended and 16 have one record between them. They differ in how wide ids and counts are, and in what two of
them have beside the rest.

Source: Teltonika, "Data Sending Protocols", Codec 8, Codec 8 Extended, Codec 16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from construct import Array, Bytes, GreedyBytes, Int8ub, Int16sb, Int16ub, Int32sb, Int32ub, Int64ub, Prefixed, Struct, this

from protocols.fields import Choice, Declaration, Option, Scaled, UnixTime
from protocols.items import Pairs, Total

if TYPE_CHECKING:
    pass

CODEC_8 = 0x08
CODEC_8_EXTENDED = 0x8E
CODEC_16 = 0x10

PRIORITIES = {
    0: Option("low", "Low 低"),
    1: Option("high", "High 高"),
    2: Option("panic", "Panic 紧急"),
    3: Option("security", "Security, of old firmware 安全"),
}
GENERATION_TYPES = {
    0: Option("on_exit", "On exit 离开"),
    1: Option("on_entrance", "On entrance 进入"),
    2: Option("on_both", "On both 进入和离开"),
    3: Option("reserved", "Reserved 保留"),
    4: Option("hysteresis", "Hysteresis 迟滞"),
    5: Option("on_change", "On change 变化"),
    6: Option("eventual", "Eventual 事件"),
    7: Option("periodical", "Periodical 周期"),
}
_SIZES: dict[str, Declaration] = {"io_1": Int8ub, "io_2": Int16ub, "io_4": Int32ub, "io_8": Bytes(8)}
_TEXTS = {
    "io_1": "Properties of one byte, as id and value 一字节属性",
    "io_2": "Properties of two bytes 两字节属性",
    "io_4": "Properties of four bytes 四字节属性",
    "io_8": "Properties of eight bytes 八字节属性",
}
GROUPS = {"io_1": 1, "io_2": 2, "io_4": 4, "io_8": 8, "io_x": None}
"""The groups of properties and how many bytes a value has in each; None where it tells its length."""


def _record(id: Declaration, count: Declaration, has_generation_type: bool = False, has_variable: bool = False) -> Struct:
    groups = [name / Pairs(count, id, value) * _TEXTS[name] for name, value in _SIZES.items()]
    if has_variable:
        variable = Pairs(count, id, Prefixed(Int16ub, GreedyBytes))
        groups.append("io_x" / variable * "Properties that tell their length, which may be 0 可变长度属性")
    generation_type = "generation_type" / Choice(Int8ub, GENERATION_TYPES) * "What made the record 记录生成类型"
    return Struct(
        "time" / UnixTime(Int64ub, 1000) * "Time, in milliseconds 时间戳",
        "priority" / Choice(Int8ub, PRIORITIES) * "Priority 优先级",
        "longitude" / Scaled(Int32sb, 10_000_000, "°") * "Longitude; the last one known where there is no fix 经度",
        "latitude" / Scaled(Int32sb, 10_000_000, "°") * "Latitude; the last one known where there is no fix 纬度",
        "altitude" / Scaled(Int16sb, 1, "m") * "Altitude above sea level 高度",
        "course" / Scaled(Int16ub, 1, "°") * "Course, clockwise from north 方向角",
        "satellites" / Int8ub * "Satellites in use, 0 for no fix 卫星数",
        "speed" / Scaled(Int16ub, 1, "km/h") * "Speed 速度",
        "event_id" / id * "Property whose change made the record, 0 for none 事件属性ID",
        *([generation_type] if has_generation_type else []),
        "total" / Total(count, *(group.name or "" for group in groups)) * "Properties in all groups 属性总数",
        *groups,
    )


RECORDS = {
    CODEC_8: _record(Int8ub, Int8ub),
    CODEC_8_EXTENDED: _record(Int16ub, Int16ub, has_variable=True),
    CODEC_16: _record(Int16ub, Int8ub, has_generation_type=True),
}
"""A record by the codec it comes in."""


def packet(record: Struct) -> Struct:
    """The data of an AVL packet, behind the codec id."""
    return Struct(
        "count" / Int8ub * "Number of Data 1 记录数1",
        "records" / Array(this.count, record) * "AVL records 记录",
        "count_again" / Int8ub * "Number of Data 2, the same 记录数2",
    )
