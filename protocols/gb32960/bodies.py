"""Information bodies (信息体) that the editions share, and how a report is made of bodies.

Bodies have no common length: what follows a type's number is as long as its declaration says, so that one of a type
without a declaration is readable only if it brings a length, as user-defined ones do.

Source: GB/T 32960.3-2016 and GB/T 32960.3-2025, section 7.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from construct import GreedyBytes, Int8ub, Int16ub, Int32ub, Prefixed, Struct, Switch, this

from protocols.fields import Bit, Choice, Declaration, Flags, Measured, Option
from protocols.gb32960.rows import TIME, WORDS, counted
from protocols.items import UntilEnd

_WORKING = {1: Option("working", "Working 工作"), 2: Option("off", "Off 断开"), **WORDS}
_GEARS = ("neutral", *(f"gear_{number}" for number in range(1, 13)), "reverse", "drive", "park")
_GEAR = {
    0: Bit("gear", "Gear 挡位", 4, _GEARS),
    4: Bit("braking_force", "Braking force 制动力"),
    5: Bit("driving_force", "Driving force 驱动力"),
}
NUMBER = Measured(Int8ub)
"""A serial number, of a motor, a pack, a probe, from 1."""
WIDE_NUMBER = Measured(Int16ub)
TEMPERATURE = Measured(Int8ub, 1, "°C", zero=40, highest=250)
CELL_VOLTAGE = Measured(Int16ub, 1000, "V", highest=60000)
VOLTAGE_2016 = Measured(Int16ub, 10, "V", highest=10000)
VOLTAGE_2025 = Measured(Int16ub, 10, "V", highest=60000)
CURRENT_2016 = Measured(Int16ub, 10, "A", zero=10000, highest=20000)
CURRENT_2025 = Measured(Int16ub, 10, "A", zero=30000, highest=60000)

GEAR_2016 = Flags(Int8ub, _GEAR)
GEAR_2025 = Flags(Int8ub, _GEAR | {7: Bit("gear_invalid", "Gear invalid 挡位无效")})


class BodyType(NamedTuple):
    """A row of an edition's table of bodies."""

    name: str
    text: str
    layout: Struct


def switched(text: str) -> Declaration:
    """The state of something that works or does not."""
    return Choice(Int8ub, _WORKING) * text


def vehicle(speed: int, voltage: Measured, current: Measured, gear: Flags) -> tuple[Declaration, ...]:
    """The fields of a vehicle's body that both editions have. ``speed`` is the highest there is, in 0.1 km/h."""
    return (
        "vehicle_state"
        / Choice(
            Int8ub,
            {1: Option("started", "Started 启动"), 2: Option("off", "Off 熄火"), 3: Option("other", "Other 其他状态"), **WORDS},
        )
        * "Vehicle state 车辆状态",
        "charge_state"
        / Choice(
            Int8ub,
            {
                1: Option("charging_parked", "Charging while parked 停车充电"),
                2: Option("charging_driving", "Charging while driving 行驶充电"),
                3: Option("not_charging", "Not charging 未充电状态"),
                4: Option("charged", "Charge complete 充电完成"),
                **WORDS,
            },
        )
        * "Charging state 充电状态",
        "run_mode"
        / Choice(
            Int8ub,
            {1: Option("electric", "Electric 纯电"), 2: Option("hybrid", "Hybrid 混动"), 3: Option("fuel", "Fuel 燃油"), **WORDS},
        )
        * "Running mode 运行模式",
        "speed_kmh" / Measured(Int16ub, 10, "km/h", highest=speed) * "Speed 车速",
        "odometer_km" / Measured(Int32ub, 10, "km", highest=9_999_999) * "Odometer 累计里程",
        "total_voltage_v" / voltage * "Total voltage 总电压",
        "total_current_a" / current * "Total current, of discharge where positive 总电流",
        "soc_percent" / Measured(Int8ub, 1, "%", highest=100) * "State of charge SOC 荷电状态",
        "dcdc_state" / switched("DC-DC state DC-DC状态"),
        "gear" / gear * "Gear 挡位",
        "insulation_kohm" / Measured(Int16ub, 1, "kΩ", highest=60000) * "Insulation resistance 绝缘电阻",
    )


def motor(*measured: Declaration) -> Struct:
    """One drive motor: what the editions have alike, and ``measured`` behind it."""
    return Struct(
        "motor" / NUMBER * "Motor number 驱动电机序号",
        "state"
        / Choice(
            Int8ub,
            {
                1: Option("consuming", "Consuming 耗电"),
                2: Option("generating", "Generating 发电"),
                3: Option("off", "Off 关闭状态"),
                4: Option("ready", "Ready 准备状态"),
                **WORDS,
            },
        )
        * "Motor state 驱动电机状态",
        "controller_temperature_c" / TEMPERATURE * "Controller temperature 驱动电机控制器温度",
        *measured,
    )


def alarms(flags: Mapping[int, Bit]) -> tuple[Declaration, ...]:
    """The alarms' level, flags, and lists of codes that the makers give a meaning."""
    code = Int32ub
    return (
        "alarm_level" / NUMBER * "Highest alarm level now, 0 for none 最高报警等级",
        "alarm_flags" / Flags(Int32ub, flags) * "General alarm flags 通用报警标志",
        *counted(
            "storage_faults",
            "Fault codes of the storage devices 可充电储能装置故障代码列表",
            "Number of storage device faults 可充电储能装置故障总数",
            code,
        ),
        *counted(
            "motor_faults", "Fault codes of the drive motors 驱动电机故障代码列表", "Number of motor faults 驱动电机故障总数", code
        ),
        *counted("engine_faults", "Fault codes of the engine 发动机故障列表", "Number of engine faults 发动机故障总数", code),
        *counted("other_faults", "Other fault codes 其他故障代码列表", "Number of other faults 其他故障总数", code),
    )


def pack_temperatures() -> Struct:
    """Temperatures of storage devices by pack, alike in both editions."""
    pack = Struct(
        "pack" / NUMBER * "Subsystem or pack number 可充电储能子系统号",
        *counted("temperatures_c", "Temperatures 各温度探针检测到的温度值", "Number of probes 温度探针个数", TEMPERATURE, Int16ub),
    )
    return Struct(
        *counted(
            "pack_temperatures", "Temperatures by pack 可充电储能子系统温度信息列表", "Number of packs 可充电储能子系统个数", pack
        )
    )


def body(types: Mapping[int, BodyType]) -> Struct:
    """A body behind its type. One in no table has to bring its length."""
    return Struct(
        "type"
        / Choice(Int8ub, {id: Option(row.name, row.text) for id, row in types.items()})
        * "Type of the body behind it 信息类型标志",
        "body"
        / Switch(this.type, {row.name: row.layout for row in types.values()}, default=Prefixed(Int16ub, GreedyBytes))
        * "Body 信息体",
    )


def report(body: Struct) -> Struct:
    """The data unit of a report (信息上报)."""
    return Struct("time" / TIME * "Collection time, GMT+8 数据采集时间", "bodies" / UntilEnd(body) * "Information bodies 信息体")
