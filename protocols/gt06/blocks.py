"""What the bodies of many messages are put together from.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, chapter 5; JM-VL03 v1.1.2, chapter 5.
"""

from __future__ import annotations

from typing import Any

from construct import Array, Bytes, IfThenElse, Int8ub, Int16ub, Int24ub, Int32ub, Int64ub, Prefixed, Struct, this

from protocols.fields import BinaryTime, Bit, Choice, Count, Flags, Option, Scaled, Text
from protocols.gt06.rows import EXTRA

TIME = "time" / BinaryTime(0) * "Date and time, in the zone of the login 日期时间"
TIME_BYTES = 6
GPS = (
    "gps"
    / Flags(
        Int8ub,
        {
            0: Bit("satellites", "Satellites in use 卫星数", 4),
            4: Bit("size", "Bytes of the GPS information, often wrong GPS信息长度", 4),
        },
    )
    * "GPS information GPS信息",
    "latitude" / Scaled(Int32ub, 1_800_000, "°") * "Latitude, without its sign 纬度",
    "longitude" / Scaled(Int32ub, 1_800_000, "°") * "Longitude, without its sign 经度",
    "speed" / Scaled(Int8ub, 1, "km/h") * "Speed 速度",
    "course"
    / Flags(
        Int16ub,
        {
            0: Bit("degrees", "Course from north, clockwise 航向", 10),
            10: Bit("north", "Northern latitude 北纬"),
            11: Bit("west", "Western longitude 西经"),
            12: Bit("fix", "Positioned 已定位"),
            13: Bit("differential", "Differential GPS 差分定位"),
            14: Bit("has_ignition", "The next bit tells the ignition ACC状态有效"),
            15: Bit("ignition", "Ignition on, if the bit before it is set ACC开"),
        },
    )
    * "Course and status 航向状态",
)
GPS_BYTES = 12
POSITION_BYTES = TIME_BYTES + GPS_BYTES

_MCC = "mcc" / Int16ub * "Mobile country code; with bit 15 set, the network code has two bytes 移动国家号码"
_MNC = "mnc" / IfThenElse(this.mcc & 0x8000, Int16ub, Int8ub) * "Mobile network code 移动网号码"
CELL = (_MCC, _MNC, "lac" / Int16ub * "Location area code 位置区码", "cell_id" / Int24ub * "Cell 基站编号")
CELL_4G = (_MCC, _MNC, "lac" / Int32ub * "Tracking area code 跟踪区码", "cell_id" / Int64ub * "Cell 基站编号")
CELL_BYTES, CELL_4G_BYTES = 8, 15
"""With a network code of one byte."""
WIDE_CELL = (
    "mcc" / Int16ub * "Mobile country code 移动国家号码",
    "mnc" / Int16ub * "Mobile network code 移动网号码",
    "lac" / Int16ub * "Location area code 位置区码",
    "cell_id" / Int32ub * "Cell 基站编号",
)

_RSSI = "rssi" / Int8ub * "Received signal strength, as the device gives it 信号强度"
_ENTRY = Struct("lac" / Int16ub * "Location area code 位置区码", "cell_id" / Int24ub * "Cell 基站编号", _RSSI)
_ENTRY_4G = Struct("lac" / Int32ub * "Tracking area code 跟踪区码", "cell_id" / Int64ub * "Cell 基站编号", _RSSI)
_CELLS_TEXT = "The serving cell and six neighbours 主基站与邻区"
_TIMING = "timing_advance" / Int8ub * "Timing advance, FF for none 时间提前量"
CELLS = (_MCC, _MNC, "cells" / Array(7, _ENTRY) * _CELLS_TEXT, _TIMING)
CELLS_4G = (_MCC, _MNC, "cells" / Array(7, _ENTRY_4G) * _CELLS_TEXT, _TIMING)
CELLS_BYTES, CELLS_4G_BYTES = 46, 95
LANGUAGE = "language" / Int16ub * "Language, 1 Chinese, 2 English 语言"

_MAC = "mac" / Bytes(6) * "Hardware address MAC地址"
_LEVEL = "level" / Int8ub * "Level, as the device gives it WIFI强度"
_POINTS_COUNT = "count" / Count(Int8ub, "access_points") * "Number of access points WIFI数量"
POINT = Struct(_MAC, _LEVEL)
POINT_BYTES = 7
POINTS = (_POINTS_COUNT, "access_points" / Array(this.count, POINT) * "Access points WIFI热点")
NAMED_POINTS = (
    _POINTS_COUNT,
    "access_points"
    / Array(this.count, Struct(_MAC, _LEVEL, "ssid" / Prefixed(Int8ub, Text(None, "utf-8")) * "Network name SSID 网络名称"))
    * "Access points WIFI热点",
)

UPLOADS = {
    0x00: Option("interval", "Time interval 定时上报"),
    0x01: Option("distance", "Distance 定距上报"),
    0x02: Option("corner", "Corner 拐点上传"),
    0x03: Option("ignition_change", "Ignition switched ACC状态改变上传"),
    0x04: Option("became_still", "Last fix when becoming still 运动变静止补传"),
    0x05: Option("network_lost", "Last fix before the network was lost 网络断开前最后定位点"),
    0x06: Option("ephemeris", "Forced after an ephemeris refresh 星历更新强制上传"),
    0x07: Option("key", "Key pressed 按键上传"),
    0x08: Option("power_on", "Powered on 开机上报"),
    0x0A: Option("still_new_time", "Still: last position, new time 静止后最后经纬度时间更新"),
    0x0B: Option("wifi", "Position from WiFi WIFI解析经纬度上传"),
    0x0C: Option("commanded", "Asked for by command 立即定位指令上传"),
    0x0D: Option("still", "Still: last position 静止后最后经纬度"),
    0x0E: Option("still_interval", "Interval while still 静止状态定时上传"),
    0x0F: Option("tracking_ended", "End of tracking mode 追踪模式结束"),
}
IGNITION = "acc" / Int8ub * "Ignition, 0 off, 1 on ACC状态"
UPLOAD = "upload" / Choice(Int8ub, UPLOADS) * "Why it was sent 数据上报模式"
RESENT = (
    "delivery"
    / Choice(Int8ub, {0: Option("live", "Live 实时上传"), 1: Option("stored", "Stored, and sent later 补传")})
    * "Live or sent later 补传标识"
)
MILEAGE = "odometer_km" / Scaled(Int32ub, 1000, "km") * "Mileage 里程"
STATUS_TAIL = (IGNITION, UPLOAD, RESENT)
STATUS_TAIL_BYTES, MILEAGE_BYTES = 3, 4

TERMINAL = (
    "terminal"
    / Flags(
        Int8ub,
        {
            0: Bit("armed", "Armed 设防"),
            1: Bit("ignition", "Ignition on ACC开"),
            2: Bit("charging", "External power or charging 充电"),
            3: Bit(
                "state",
                "State of alarm 报警状态",
                3,
                ("none", "vibration", "power_off", "battery_low", "emergency", "reserved_5", "vendor_6", "vendor_7"),
            ),
            6: Bit("gps_tracking", "GPS tracking on GPS已定位"),
            7: Bit("oil_cut", "Oil and electricity cut off 油电断开"),
        },
    )
    * "Terminal information 终端信息"
)
VOLTAGE_LEVEL = "voltage_level" / Int8ub * "Voltage level, 0 to 6; per cent on some devices 电压等级"
SIGNAL = "signal" / Int8ub * "Radio signal strength, 0 to 4; CSQ or per cent on some devices GSM信号强度"


def located(*rest: Any) -> Struct:
    """A body that begins with the time and the position."""
    return Struct(TIME, *GPS, *rest, EXTRA)


def is_wide(body: bytes, at: int) -> bool:
    """Whether the network code of the cell block that begins here has two bytes."""
    return len(body) > at and body[at] >= 0x80
