"""Lists of Bluetooth beacons within a property.

Source: Teltonika, "Beacon list" and "Advanced beacons" of FMB devices.
"""

from __future__ import annotations

from construct import (
    Bytes,
    GreedyBytes,
    If,
    Int8sb,
    Int8ub,
    Int16sb,
    Int16ub,
    Prefixed,
    Struct,
    this,
)

from protocols.fields import Scaled
from protocols.items import Items, UntilEnd

_IBEACON = Struct(
    "uuid" / Bytes(16) * "UUID 通用唯一识别码",
    "major" / Int16ub * "Major 主编号",
    "minor" / Int16ub * "Minor 次编号",
)
_EDDYSTONE = Struct("namespace" / Bytes(10) * "Namespace 命名空间", "instance" / Bytes(6) * "Instance 实例")
_BEACON = Struct(
    "flags" / Int8ub * "What is there 标志",
    "ibeacon" / If(this.flags >= 0x10, _IBEACON) * "iBeacon 信标编号",
    "eddystone" / If(this.flags < 0x10, _EDDYSTONE) * "Eddystone 信标编号",
    "rssi_dbm" / Scaled(Int8sb, 1, "dBm") * "Signal 信号强度",
    "battery_v" / If(this.flags & 0x02, Scaled(Int16ub, 100, "V")) * "Battery 电池电压",
    "temperature" / If(this.flags & 0x04, Int16ub) * "Temperature, raw 温度",
)
SIMPLE_BEACONS = Struct(
    "part" / Int8ub * "Number of this part, and of parts in all, in four bits each 分段",
    "beacons" / UntilEnd(_BEACON) * "Beacons 信标",
)

_PARAMETERS = Items(
    {
        0: ("rssi_dbm" / Scaled(Int8sb, 1, "dBm") * "Signal 信号强度",),
        1: ("id" / GreedyBytes * "Beacon id 信标编号",),
        2: ("data" / GreedyBytes * "Beacon data 信标数据",),
        5: ("name" / GreedyBytes * "Name 名称",),
        6: ("temperature" / Int16sb * "Temperature, raw 温度",),
        7: ("humidity_percent" / Scaled(Int8ub, 1, "%") * "Humidity 湿度",),
        8: ("magnet" / Int8ub * "Magnet 磁铁",),
        9: ("movement" / Int8ub * "Movement 移动",),
        10: ("movements" / Int16ub * "Movements counted 移动次数",),
        11: ("pitch_deg" / Scaled(Int8sb, 1, "°") * "Pitch 俯仰",),
        12: ("roll_deg" / Scaled(Int16sb, 1, "°") * "Roll 横滚",),
        13: ("battery_low" / Int8ub * "Battery low 电量低",),
        14: ("battery_v" / Scaled(Int16ub, 1000, "V") * "Battery 电池电压",),
        15: ("mac" / Bytes(6) * "MAC 物理地址",),
    }
)
ADVANCED_BEACONS = Struct(
    "header" / Int8ub * "Header 头",
    "beacons" / UntilEnd(Prefixed(Int8ub, _PARAMETERS)) * "Beacons 信标",
)
