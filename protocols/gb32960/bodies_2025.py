"""The information bodies of 2025. Types 6 to 9 are other bodies than in 2016.

Source: GB/T 32960.3-2025, section 7.2.3.
"""

from __future__ import annotations

from construct import Int8ub, Int16ub, Int32ub, Struct

from protocols.fields import Bit, Choice, Measured, Option
from protocols.gb32960.bodies import (
    CELL_VOLTAGE,
    CURRENT_2025,
    GEAR_2025,
    NUMBER,
    TEMPERATURE,
    VOLTAGE_2025,
    WIDE_NUMBER,
    BodyType,
    alarms,
    body,
    motor,
    pack_temperatures,
    report,
    switched,
    vehicle,
)
from protocols.gb32960.bodies_2016 import ALARMS as ALARMS_2016
from protocols.gb32960.bodies_2016 import LATITUDE, LONGITUDE, POSITION_STATUS
from protocols.gb32960.rows import SIGNATURE, WORDS, counted

ALARMS = ALARMS_2016 | {
    5: Bit("cell_over_voltage", "Parallel unit over-voltage 最小并联单元过压报警"),
    6: Bit("cell_under_voltage", "Parallel unit under-voltage 最小并联单元欠压报警"),
    10: Bit("cell_inconsistency", "Poor consistency of the parallel units 最小并联单元一致性差报警"),
    11: Bit("insulation_fault", "Insulation failure 绝缘电阻失效报警"),
    19: Bit("motor_over_speed", "Drive motor over-speed 驱动电机超速报警"),
    20: Bit("motor_over_current", "Drive motor over-current 驱动电机过流报警"),
    21: Bit("capacitor_over_temperature", "Super capacitor over-temperature 超级电容过温报警"),
    22: Bit("capacitor_over_voltage", "Super capacitor over-voltage 超级电容过压报警"),
    23: Bit("thermal_event", "Storage thermal event 可充电储能装置热事件报警"),
    24: Bit("hydrogen_leak", "Hydrogen leak 氢气泄漏异常报警"),
    25: Bit("hydrogen_pressure", "Hydrogen system pressure 车载氢系统压力异常报警"),
    26: Bit("hydrogen_temperature", "Hydrogen system temperature 车载氢系统温度异常报警"),
    27: Bit("stack_over_temperature", "Fuel cell stack over-temperature 燃料电池电堆超温报警"),
}

VEHICLE = Struct(*vehicle(5000, VOLTAGE_2025, CURRENT_2025, GEAR_2025))
_MOTOR = motor(
    "speed_rpm" / Measured(Int16ub, 1, "r/min", zero=32000) * "Speed 驱动电机转速",
    "torque_nm" / Measured(Int32ub, 10, "N·m", zero=200_000, highest=400_000) * "Torque 驱动电机转矩",
    "temperature_c" / TEMPERATURE * "Temperature 驱动电机温度",
)
DRIVE_MOTORS = Struct(*counted("motors", "Motors 驱动电机总成信息列表", "Number of motors 驱动电机个数", _MOTOR))
FUEL_CELL = Struct(
    "hydrogen_temperature_max_c"
    / Measured(Int16ub, 1, "°C", zero=40, highest=250)
    * "Highest temperature in the hydrogen system 车载氢系统中最高温度",
    "hydrogen_temperature_max_probe" / NUMBER * "Its probe 车载氢系统中最高温度探针代号",
    "hydrogen_concentration_max_percent" / Measured(Int16ub, 10_000, "%") * "Highest hydrogen concentration by volume 氢气最高浓度",
    "hydrogen_concentration_max_sensor" / NUMBER * "Its sensor 氢气最高浓度传感器代号",
    "hydrogen_pressure_max_mpa" / Measured(Int16ub, 10, "MPa") * "Highest hydrogen pressure 氢气最高压力",
    "hydrogen_pressure_max_sensor" / NUMBER * "Its sensor 氢气最高压力传感器代号",
    "high_voltage_dcdc_state" / switched("High-voltage DC/DC state 高压DC/DC状态"),
    "hydrogen_left_percent" / Measured(Int8ub, 1, "%", highest=100) * "Hydrogen left 剩余氢量百分比",
    "high_voltage_dcdc_temperature_c" / TEMPERATURE * "High-voltage DC/DC controller temperature 高压DC/DC控制器温度",
)
ENGINE = Struct("speed_rpm" / Measured(Int16ub, 1, "r/min", highest=60000) * "Crankshaft speed 曲轴转速")
POSITION = Struct(
    "status" / POSITION_STATUS * "Positioning state 定位状态",
    "datum"
    / Choice(
        Int8ub,
        {1: Option("wgs84", "WGS-84 坐标系"), 2: Option("gcj02", "GCJ-02 坐标系"), 3: Option("other", "Other 其他坐标系"), **WORDS},
    )
    * "Coordinate system 坐标系",
    "longitude" / LONGITUDE * "Longitude, its sign in the state 经度",
    "latitude" / LATITUDE * "Latitude, its sign in the state 纬度",
)
ALARM_BODY = Struct(
    *alarms(ALARMS),
    *counted(
        "alarm_levels",
        "Levels of single alarms 通用报警故障等级列表",
        "Number of single alarms 通用报警故障总数",
        Struct(
            "bit" / Int8ub * "Bit of the alarm among the flags 通用报警标志位",
            "level" / NUMBER * "Its level 通用报警故障等级",
        ),
    ),
)
_PACK_VOLTAGES = Struct(
    "pack" / NUMBER * "Pack number 动力蓄电池包号",
    "voltage_v" / VOLTAGE_2025 * "Pack voltage 动力蓄电池包电压",
    "current_a" / CURRENT_2025 * "Pack current 动力蓄电池包电流",
    *counted(
        "cell_voltages_v",
        "Voltages of the parallel units 最小并联单元电压",
        "Number of parallel units 最小并联单元总数",
        CELL_VOLTAGE,
        Int16ub,
    ),
)
PACK_VOLTAGES = Struct(
    *counted("pack_voltages", "Voltages by pack 动力蓄电池包列表", "Number of packs 动力蓄电池包个数", _PACK_VOLTAGES)
)
_PRESSURE = Measured(Int16ub, 10, "kPa", zero=1000)
_STACK = Struct(
    "stack" / NUMBER * "Stack number 燃料电池电堆序号",
    "voltage_v" / Measured(Int16ub, 10, "V") * "Stack voltage 燃料电池电堆电压",
    "current_a" / Measured(Int16ub, 10, "A") * "Stack current 燃料电池电堆电流",
    "hydrogen_pressure_kpa" / _PRESSURE * "Hydrogen inlet pressure 氢气入口压力",
    "air_pressure_kpa" / _PRESSURE * "Air inlet pressure 空气入口压力",
    "air_temperature_c" / TEMPERATURE * "Air inlet temperature 空气入口温度",
    *counted(
        "coolant_temperatures_c",
        "Coolant outlet temperatures 冷却水出水口温度",
        "Number of coolant outlet probes 冷却水出水口温度探针总数",
        TEMPERATURE,
        Int16ub,
    ),
)
FUEL_CELL_STACKS = Struct(*counted("fuel_cell_stacks", "Stacks 燃料电池电堆列表", "Number of stacks 燃料电池电堆个数", _STACK))
SUPER_CAPACITOR = Struct(
    "system" / NUMBER * "Management system number 超级电容管理系统号",
    "voltage_v" / VOLTAGE_2025 * "Total voltage 超级电容总电压",
    "current_a" / CURRENT_2025 * "Total current 超级电容总电流",
    *counted("cell_voltages_v", "Cell voltages 超级电容单体电压", "Number of cells 超级电容单体总数", CELL_VOLTAGE, Int16ub),
    *counted(
        "temperatures_c", "Temperatures 探针温度值", "Number of temperature probes 超级电容温度探针总数", TEMPERATURE, Int16ub
    ),
)
SUPER_CAPACITOR_EXTREMES = Struct(
    "voltage_max_system" / NUMBER * "System of the highest voltage 最高电压管理系统号",
    "voltage_max_cell" / WIDE_NUMBER * "Cell of the highest voltage 最高电压超级电容单体代号",
    "voltage_max_v" / CELL_VOLTAGE * "Highest cell voltage 超级电容单体电压最高值",
    "voltage_min_system" / NUMBER * "System of the lowest voltage 最低电压管理系统号",
    "voltage_min_cell" / WIDE_NUMBER * "Cell of the lowest voltage 最低电压超级电容单体代号",
    "voltage_min_v" / CELL_VOLTAGE * "Lowest cell voltage 超级电容单体电压最低值",
    "temperature_max_system" / NUMBER * "System of the highest temperature 最高温度管理系统号",
    "temperature_max_probe" / WIDE_NUMBER * "Probe of the highest temperature 最高温度探针代号",
    "temperature_max_c" / TEMPERATURE * "Highest temperature 最高温度值",
    "temperature_min_system" / NUMBER * "System of the lowest temperature 最低温度管理系统号",
    "temperature_min_probe" / WIDE_NUMBER * "Probe of the lowest temperature 最低温度探针代号",
    "temperature_min_c" / TEMPERATURE * "Lowest temperature 最低温度值",
)

BODIES = {
    0x01: BodyType("vehicle", "Vehicle 整车数据", VEHICLE),
    0x02: BodyType("drive_motors", "Drive motors 驱动电机数据", DRIVE_MOTORS),
    0x03: BodyType("fuel_cell", "Fuel cell engine and hydrogen system 燃料电池发动机及车载氢系统数据", FUEL_CELL),
    0x04: BodyType("engine", "Engine 发动机数据", ENGINE),
    0x05: BodyType("position", "Position 车辆位置数据", POSITION),
    0x06: BodyType("alarms", "Alarms 报警数据", ALARM_BODY),
    0x07: BodyType("pack_voltages", "Voltages of parallel units 动力蓄电池最小并联单元电压数据", PACK_VOLTAGES),
    0x08: BodyType("pack_temperatures", "Battery temperatures 动力蓄电池温度数据", pack_temperatures()),
    0x30: BodyType("fuel_cell_stacks", "Fuel cell stacks 燃料电池电堆数据", FUEL_CELL_STACKS),
    0x31: BodyType("super_capacitor", "Super capacitor 超级电容器数据", SUPER_CAPACITOR),
    0x32: BodyType("super_capacitor_extremes", "Super capacitor extremes 超级电容器极值数据", SUPER_CAPACITOR_EXTREMES),
    0xFF: BodyType("signature", "Signature by the vehicle 车端签名信息", SIGNATURE),
}
BODY_2025 = body(BODIES)
REPORT_2025 = report(BODY_2025)
