"""Channels: what a reading is of, and the types that its value may have.

Numbers below 128 mean the same on every device. Those from 128 on are the device's own; DESCRIBE names them.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from construct import (
    Error,
    GreedyBytes,
    Int8sb,
    Int8ub,
    Int16sb,
    Int16ub,
    Int32sb,
    Int64sb,
    Pass,
    Prefixed,
    Struct,
    Switch,
    this,
)

from protocols.fields import Choice, Declaration, Option, Scaled, Text
from protocols.native.fields import Real

NO_POINT, NO_ALTITUDE, NO_SPEED, NO_COURSE = -(1 << 31) / 10_000_000, -(1 << 31) / 100, 0xFFFF / 10, 0xFFFF / 100
"""What stands in a point for what the device does not know, as it is read."""

POINT = Struct(
    "latitude" / Scaled(Int32sb, 10_000_000, "°") * "Latitude, north positive; −2³¹ on the wire without a fix 纬度",
    "longitude" / Scaled(Int32sb, 10_000_000, "°") * "Longitude, east positive 经度",
    "altitude" / Scaled(Int32sb, 100, "m") * "Altitude; −2³¹ on the wire if unknown 海拔",
    "speed" / Scaled(Int16ub, 10, "km/h") * "Speed; FFFF on the wire if unknown 速度",
    "course" / Scaled(Int16ub, 100, "°") * "Course, clockwise from north; FFFF on the wire if unknown 航向",
)

TYPES: dict[int, Option] = {
    0x00: Option("false", "No, without further bytes 否"),
    0x01: Option("true", "Yes, without further bytes 是"),
    0x02: Option("i8", "Whole number of 1 byte 整数"),
    0x03: Option("i16", "Whole number of 2 bytes 整数"),
    0x04: Option("i32", "Whole number of 4 bytes 整数"),
    0x05: Option("i64", "Whole number of 8 bytes 整数"),
    0x06: Option("f32", "Number of 4 bytes, IEEE 754 single 单精度数"),
    0x07: Option("f64", "Number of 8 bytes, IEEE 754 double 双精度数"),
    0x08: Option("text", "Length u16, then UTF-8 文本"),
    0x09: Option("bytes", "Length u16, then bytes 字节"),
    0x0A: Option("point", "Where it is, 16 bytes 位置"),
}
TYPE = "type" / Choice(Int8ub, TYPES) * "Type of the value 数值类型"
_BY_TYPE: dict[str, Declaration] = {
    "false": Pass,
    "true": Pass,
    "i8": Int8sb,
    "i16": Int16sb,
    "i32": Int32sb,
    "i64": Int64sb,
    "f32": Real(4),
    "f64": Real(8),
    "text": Prefixed(Int16ub, Text(None, "utf-8")),
    "bytes": Prefixed(Int16ub, GreedyBytes),
    "point": POINT,
}
VALUE = "value" / Switch(this.type, _BY_TYPE, default=Error) * "Value 数值"
READING = Struct("channel" / Int8ub * "Channel 通道", TYPE, VALUE)
NAMED_VALUE = Struct("name" / Prefixed(Int8ub, Text(None, "utf-8")) * "Name 名称", TYPE, VALUE)

FIRST_OWN_CHANNEL = 128


class Takes(Enum):
    """What a well-known channel may be given."""

    NUMBER = "a number"
    TRUTH = "yes or no"
    TEXT = "text"
    POINT = "a point"


TAKEN_AS = {
    **{"false": Takes.TRUTH, "true": Takes.TRUTH, "text": Takes.TEXT, "point": Takes.POINT},
    **dict.fromkeys(("i8", "i16", "i32", "i64", "f32", "f64"), Takes.NUMBER),
}


class Channel(NamedTuple):
    """A channel that means the same on every device."""

    name: str
    takes: Takes
    english: str
    chinese: str
    unit: str = ""
    is_alarm: bool = False
    """Whether "yes" raises the alarm of this name; "no" says that there is none."""


def _numbers(*rows: tuple[str, str, str, str]) -> list[Channel]:
    return [Channel(name, Takes.NUMBER, english, chinese, unit) for name, unit, english, chinese in rows]


POSITION = 1
_SENSORS = _numbers(
    ("temperature_c", "°C", "Temperature", "温度"),
    ("humidity_percent", "%", "Relative humidity", "相对湿度"),
    ("pressure_hpa", "hPa", "Air pressure", "气压"),
    ("illuminance_lux", "lx", "Illuminance", "光照度"),
    ("co2_ppm", "ppm", "Carbon dioxide", "二氧化碳浓度"),
    ("pm25_ugm3", "µg/m³", "Particles up to 2.5 µm", "PM2.5浓度"),
    ("pm10_ugm3", "µg/m³", "Particles up to 10 µm", "PM10浓度"),
    ("noise_db", "dB", "Noise", "噪声"),
    ("distance_m", "m", "Distance", "距离"),
    ("level_percent", "%", "Level of a tank", "液位"),
    ("weight_kg", "kg", "Weight", "重量"),
    ("volume_l", "L", "Volume", "体积"),
    ("flow_lmin", "L/min", "Flow", "流量"),
    ("soil_moisture_percent", "%", "Soil moisture", "土壤湿度"),
    ("ph", "", "Acidity", "酸碱度"),
    ("wind_speed_kmh", "km/h", "Wind speed", "风速"),
    ("wind_course_deg", "°", "Where the wind comes from", "风向"),
    ("rain_mm", "mm", "Rain since the reading before", "降雨量"),
    ("uv_index", "", "Ultraviolet index", "紫外线指数"),
    ("compartment_temperature_c", "°C", "Compartment temperature", "车厢温度"),
)
_POWER = _numbers(
    ("battery_v", "V", "Battery voltage", "电池电压"),
    ("battery_percent", "%", "Battery charge", "电池电量"),
    ("external_v", "V", "External voltage", "外部电压"),
    ("current_a", "A", "Current", "电流"),
    ("power_w", "W", "Power", "功率"),
    ("energy_kwh", "kWh", "Energy, counted up", "电能"),
    ("frequency_hz", "Hz", "Frequency", "频率"),
)
_DEVICE = _numbers(
    ("signal_dbm", "dBm", "Received signal strength", "接收信号强度"),
    ("uptime_s", "s", "Time since it was started", "运行时间"),
    ("memory_free_bytes", "bytes", "Free memory", "可用内存"),
    ("processor_temperature_c", "°C", "Temperature of the processor", "处理器温度"),
    ("restarts", "", "How often it was started", "重启次数"),
)
_VEHICLE = _numbers(
    ("odometer_km", "km", "Odometer", "里程"),
    ("fuel_l", "L", "Fuel", "油量"),
    ("satellites", "", "Satellites", "卫星数"),
    ("engine_rpm", "rpm", "Engine speed", "发动机转速"),
    ("acceleration_x_mss", "m/s²", "Acceleration forwards", "纵向加速度"),
    ("acceleration_y_mss", "m/s²", "Acceleration to the left", "横向加速度"),
    ("acceleration_z_mss", "m/s²", "Acceleration upwards", "垂直加速度"),
)
_TRUTHS = [
    Channel(name, Takes.TRUTH, english, chinese)
    for name, english, chinese in (
        ("ignition", "Ignition", "点火"),
        ("moving", "Moving", "行驶中"),
        ("door_open", "Door open", "门开"),
        ("motion", "Motion seen", "检测到移动"),
        ("relay_on", "Relay on", "继电器闭合"),
        ("charging", "Charging", "充电中"),
        ("occupied", "Occupied", "有人"),
        ("doors_locked", "Doors locked", "车门加锁"),
    )
]
_ALARMS = [
    Channel(name, Takes.TRUTH, english, chinese, is_alarm=True)
    for name, english, chinese in (
        ("emergency", "Emergency", "紧急报警"),
        ("power_low", "Main power low", "主电源欠压"),
        ("power_off", "Main power off", "主电源掉电"),
        ("overspeed", "Overspeed", "超速报警"),
        ("tamper", "Tampered with", "拆动报警"),
        ("smoke", "Smoke", "烟雾报警"),
        ("leak", "Water where there should be none", "漏水报警"),
        ("temperature_high", "Temperature too high", "温度过高"),
        ("temperature_low", "Temperature too low", "温度过低"),
        ("fall", "Fallen", "跌倒报警"),
        ("battery_low", "Internal battery low", "内部电池低电报警"),
        ("vibration", "Vibration", "震动报警"),
        ("crash", "Crash", "碰撞报警"),
    )
]

CHANNELS: dict[int, Channel] = {
    POSITION: Channel("position", Takes.POINT, "Where the device is", "位置"),
    **dict(enumerate(_SENSORS, 2)),
    **dict(enumerate(_POWER, 32)),
    **dict(enumerate(_DEVICE, 48)),
    **dict(enumerate(_VEHICLE, 64)),
    **dict(enumerate(_TRUTHS, 80)),
    **dict(enumerate(_ALARMS, 96)),
    112: Channel("message", Takes.TEXT, "A line of text", "文本信息"),
    113: Channel("state", Takes.TEXT, "What it is doing, in a word", "状态"),
}
"""By number. A number that was given out keeps its meaning for ever."""
NUMBERS = {channel.name: number for number, channel in CHANNELS.items()}
