"""The names that protocols share, so that a page or a rule works for all of them.

A name carries its unit. What is not in here is a protocol's own and keeps the name its declaration gives it.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Entry(NamedTuple):
    """What a name stands for."""

    unit: str
    """Empty for words, yes or no, and plain counts."""
    english: str
    chinese: str


CATALOGUE: dict[str, Entry] = {
    "ignition": Entry("", "Ignition", "点火"),
    "fix": Entry("", "Position fix", "定位"),
    "moving": Entry("", "Moving", "行驶中"),
    "load": Entry("", "Load", "载重状态"),
    "doors_locked": Entry("", "Doors locked", "车门加锁"),
    "odometer_km": Entry("km", "Odometer", "里程"),
    "fuel_l": Entry("L", "Fuel", "油量"),
    "recorder_speed_kmh": Entry("km/h", "Speed from the driving recorder", "行驶记录仪速度"),
    "compartment_temperature_c": Entry("°C", "Compartment temperature", "车厢温度"),
    "satellites": Entry("", "Satellites", "卫星数"),
    "signal": Entry("", "Radio signal strength", "无线信号强度"),
    "imei": Entry("", "IMEI", "IMEI"),
    "software": Entry("", "Software version", "软件版本号"),
    "model": Entry("", "Model", "型号"),
    "plate": Entry("", "Plate", "车牌"),
    "emergency": Entry("", "Emergency", "紧急报警"),
    "overspeed": Entry("", "Overspeed", "超速报警"),
    "fatigue_driving": Entry("", "Fatigue driving", "疲劳驾驶报警"),
    "power_low": Entry("", "Main power low", "主电源欠压"),
    "power_off": Entry("", "Main power off", "主电源掉电"),
    "external_v": Entry("V", "External voltage", "外部电压"),
    "battery_v": Entry("V", "Battery voltage", "电池电压"),
    "battery_percent": Entry("%", "Battery level", "电池电量"),
    "soc_percent": Entry("%", "State of charge of the traction battery", "动力电池SOC"),
    "total_voltage_v": Entry("V", "Traction battery voltage", "动力电池总电压"),
    "trip_odometer_km": Entry("km", "Trip odometer", "行程里程"),
    "hdop": Entry("", "Horizontal dilution of precision", "水平精度因子"),
    "event": Entry("", "What made the report", "触发事件"),
    "towing": Entry("", "Towing", "拖车报警"),
    "crash": Entry("", "Crash", "碰撞报警"),
    "jamming": Entry("", "Radio jamming", "信号干扰报警"),
    "gnss_jamming": Entry("", "GNSS jamming", "卫星信号干扰报警"),
    "harsh_acceleration": Entry("", "Harsh acceleration", "急加速"),
    "harsh_braking": Entry("", "Harsh braking", "急减速"),
    "harsh_cornering": Entry("", "Harsh cornering", "急转弯"),
    "oil_cut": Entry("", "Oil and electricity cut off", "油电断开"),
    "armed": Entry("", "Armed", "设防"),
    "charging": Entry("", "Charging or external power", "充电"),
    "imsi": Entry("", "IMSI", "IMSI"),
    "iccid": Entry("", "ICCID of the SIM card", "SIM卡ICCID"),
    "mcc": Entry("", "Mobile country code", "移动国家码"),
    "mnc": Entry("", "Mobile network code", "移动网络码"),
    "lac": Entry("", "Location area code", "位置区码"),
    "cell_id": Entry("", "Cell", "基站编号"),
    "vibration": Entry("", "Vibration", "震动报警"),
    "battery_low": Entry("", "Internal battery low", "内部电池低电报警"),
    "tamper": Entry("", "Tamper", "拆卸报警"),
    "fence_entered": Entry("", "Entered a fence", "进围栏报警"),
    "fence_left": Entry("", "Left a fence", "出围栏报警"),
    "displacement": Entry("", "Displacement", "位移报警"),
    "temperature_c": Entry("°C", "Temperature", "温度"),
    "humidity_percent": Entry("%", "Relative humidity", "相对湿度"),
    "uptime_s": Entry("s", "Time since it was started", "运行时间"),
    "distance_m": Entry("m", "Distance", "距离"),
    "door_open": Entry("", "Door open", "门开"),
    "motion": Entry("", "Motion seen", "检测到移动"),
    "relay_on": Entry("", "Relay on", "继电器闭合"),
    "smoke": Entry("", "Smoke", "烟雾报警"),
    "leak": Entry("", "Water where there should be none", "漏水报警"),
    "temperature_high": Entry("", "Temperature too high", "温度过高"),
    "temperature_low": Entry("", "Temperature too low", "温度过低"),
}

MEASURES: dict[str, Entry] = {
    "altitude_m": Entry("m", "Altitude", "海拔"),
    "speed_kmh": Entry("km/h", "Speed", "速度"),
    "course_deg": Entry("°", "Course", "航向"),
}
"""What a report has places of its own for, beside where it is."""

UNITS = {
    **{"km": "km", "m": "m", "mm": "mm", "kmh": "km/h", "mss": "m/s²", "deg": "°", "rpm": "rpm"},
    **{"l": "L", "lmin": "L/min", "kg": "kg", "ppm": "ppm", "ugm3": "µg/m³", "percent": "%", "c": "°C", "hpa": "hPa", "kpa": "kPa"},
    **{"v": "V", "mv": "mV", "a": "A", "ma": "mA", "w": "W", "kw": "kW", "kwh": "kWh", "ohm": "Ω", "hz": "Hz"},
    **{"s": "s", "ms": "ms", "min": "min", "h": "h", "bytes": "bytes", "db": "dB", "dbm": "dBm", "lux": "lx"},
}
"""By what stands for it behind the last underscore of a name."""


def languages(text: str) -> tuple[str, str]:
    """The English and the Chinese of a text that has both, one behind the other."""
    english, chinese = re.fullmatch(r"([^\u4e00-\u9fff]*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return english.strip(), chinese.strip()
