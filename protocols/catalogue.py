"""The names that protocols share, so that a page or a rule works for all of them.

A name carries its unit. What is not in here is a protocol's own and keeps the name its declaration gives it.
"""

from __future__ import annotations

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
}
