"""The information bodies of 2016.

Source: GB/T 32960.3-2016, section 7.2.3, tables 7 to 19.
"""

from __future__ import annotations

from construct import Int8ub, Int16ub, Int32ub, Struct

from protocols.fields import Bit, Choice, Flags, Measured, Option
from protocols.gb32960.bodies import (
    CELL_VOLTAGE,
    CURRENT_2016,
    GEAR_2016,
    NUMBER,
    TEMPERATURE,
    VOLTAGE_2016,
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
from protocols.gb32960.rows import WORDS, counted

ALARMS = {
    0: Bit("temperature_difference", "Temperature difference 温度差异报警"),
    1: Bit("battery_over_temperature", "Battery over-temperature 电池高温报警"),
    2: Bit("storage_over_voltage", "Storage device over-voltage 车载储能装置类型过压报警"),
    3: Bit("storage_under_voltage", "Storage device under-voltage 车载储能装置类型欠压报警"),
    4: Bit("soc_low", "SOC low SOC低报警"),
    5: Bit("cell_over_voltage", "Cell over-voltage 单体电池过压报警"),
    6: Bit("cell_under_voltage", "Cell under-voltage 单体电池欠压报警"),
    7: Bit("soc_high", "SOC too high SOC过高报警"),
    8: Bit("soc_jump", "SOC jump SOC跳变报警"),
    9: Bit("storage_mismatch", "Storage system mismatch 可充电储能系统不匹配报警"),
    10: Bit("cell_inconsistency", "Poor cell consistency 电池单体一致性差报警"),
    11: Bit("insulation_fault", "Insulation 绝缘报警"),
    12: Bit("dcdc_temperature", "DC-DC temperature DC-DC温度报警"),
    13: Bit("brake_system", "Brake system 制动系统报警"),
    14: Bit("dcdc_fault", "DC-DC state DC-DC状态报警"),
    15: Bit("motor_controller_temperature", "Drive motor controller temperature 驱动电机控制器温度报警"),
    16: Bit("high_voltage_interlock", "High-voltage interlock 高压互锁状态报警"),
    17: Bit("motor_temperature", "Drive motor temperature 驱动电机温度报警"),
    18: Bit("storage_overcharge", "Storage device overcharge 车载储能装置类型过充"),
}
_POSITION = {
    0: Bit("no_fix", "No fix: the last position there was 无效定位"),
    1: Bit("south", "South latitude 南纬"),
    2: Bit("west", "West longitude 西经"),
}
POSITION_STATUS = Flags(Int8ub, _POSITION)
LONGITUDE = Measured(Int32ub, 1_000_000, "°", highest=180_000_000)
LATITUDE = Measured(Int32ub, 1_000_000, "°", highest=90_000_000)

VEHICLE = Struct(
    *vehicle(2200, VOLTAGE_2016, CURRENT_2016, GEAR_2016),
    # Both are reserved, and mostly 0, where a platform sends them.
    "accelerator_percent" / Measured(Int8ub, 1, "%", highest=100) * "Accelerator pedal travel 加速踏板行程值",
    "brake_percent"
    / Measured(Int8ub, 1, "%", highest=100, words={0x65: "braking", 0xFE: "abnormal", 0xFF: "invalid"})
    * "Brake pedal travel 制动踏板状态",
)
_MOTOR = motor(
    "speed_rpm" / Measured(Int16ub, 1, "r/min", zero=20000, highest=65531) * "Speed 驱动电机转速",
    "torque_nm" / Measured(Int16ub, 10, "N·m", zero=20000, highest=65531) * "Torque 驱动电机转矩",
    "temperature_c" / TEMPERATURE * "Temperature 驱动电机温度",
    "input_voltage_v" / Measured(Int16ub, 10, "V", highest=60000) * "Controller input voltage 电机控制器输入电压",
    "bus_current_a" / CURRENT_2016 * "Controller DC bus current 电机控制器直流母线电流",
)
DRIVE_MOTORS = Struct(*counted("motors", "Motors 驱动电机总成信息列表", "Number of motors 驱动电机个数", _MOTOR))
FUEL_CELL = Struct(
    "voltage_v" / Measured(Int16ub, 10, "V", highest=20000) * "Fuel cell voltage 燃料电池电压",
    "current_a" / Measured(Int16ub, 10, "A", highest=20000) * "Fuel cell current 燃料电池电流",
    "consumption_kg_100km" / Measured(Int16ub, 100, "kg/100 km", highest=60000) * "Fuel consumption 燃料消耗率",
    *counted(
        "temperatures_c",
        "Probe temperatures 探针温度值",
        "Number of temperature probes 燃料电池温度探针总数",
        Measured(Int8ub, 1, "°C", zero=40, highest=240),
        Int16ub,
    ),
    "hydrogen_temperature_max_c"
    / Measured(Int16ub, 10, "°C", zero=400, highest=2400)
    * "Highest temperature in the hydrogen system 氢系统中最高温度",
    "hydrogen_temperature_max_probe" / NUMBER * "Its probe 氢系统中最高温度探针代号",
    "hydrogen_concentration_max_mg_kg"
    / Measured(Int16ub, 1, "mg/kg", highest=60000)
    * "Highest hydrogen concentration 氢气最高浓度",
    "hydrogen_concentration_max_sensor" / NUMBER * "Its sensor 氢气最高浓度传感器代号",
    "hydrogen_pressure_max_mpa" / Measured(Int16ub, 10, "MPa", highest=1000) * "Highest hydrogen pressure 氢气最高压力",
    "hydrogen_pressure_max_sensor" / NUMBER * "Its sensor 氢气最高压力传感器代号",
    "high_voltage_dcdc_state" / switched("High-voltage DC/DC state 高压DC/DC状态"),
)
ENGINE = Struct(
    "state"
    / Choice(Int8ub, {1: Option("running", "Running 启动状态"), 2: Option("off", "Off 关闭状态"), **WORDS})
    * "Engine state 发动机状态",
    "speed_rpm" / Measured(Int16ub, 1, "r/min", highest=60000) * "Crankshaft speed 曲轴转速",
    "consumption_l_100km" / Measured(Int16ub, 100, "L/100 km", highest=60000) * "Fuel consumption 燃料消耗率",
)
POSITION = Struct(
    "status" / POSITION_STATUS * "Positioning state 定位状态",
    "longitude" / LONGITUDE * "Longitude, its sign in the state 经度",
    "latitude" / LATITUDE * "Latitude, its sign in the state 纬度",
)
_EXTREME_VOLTAGE = Measured(Int16ub, 1000, "V", highest=15000)
EXTREMES = Struct(
    "voltage_max_pack" / NUMBER * "Subsystem of the highest voltage 最高电压电池子系统号",
    "voltage_max_cell" / NUMBER * "Cell of the highest voltage 最高电压电池单体代号",
    "voltage_max_v" / _EXTREME_VOLTAGE * "Highest cell voltage 电池单体电压最高值",
    "voltage_min_pack" / NUMBER * "Subsystem of the lowest voltage 最低电压电池子系统号",
    "voltage_min_cell" / NUMBER * "Cell of the lowest voltage 最低电压电池单体代号",
    "voltage_min_v" / _EXTREME_VOLTAGE * "Lowest cell voltage 电池单体电压最低值",
    "temperature_max_pack" / NUMBER * "Subsystem of the highest temperature 最高温度子系统号",
    "temperature_max_probe" / NUMBER * "Probe of the highest temperature 最高温度探针序号",
    "temperature_max_c" / TEMPERATURE * "Highest temperature 最高温度值",
    "temperature_min_pack" / NUMBER * "Subsystem of the lowest temperature 最低温度子系统号",
    "temperature_min_probe" / NUMBER * "Probe of the lowest temperature 最低温度探针序号",
    "temperature_min_c" / TEMPERATURE * "Lowest temperature 最低温度值",
)
ALARM_BODY = Struct(*alarms(ALARMS))
_PACK_VOLTAGES = Struct(
    "pack" / NUMBER * "Subsystem number 可充电储能子系统号",
    "voltage_v" / VOLTAGE_2016 * "Storage device voltage 可充电储能装置电压",
    "current_a" / CURRENT_2016 * "Storage device current 可充电储能装置电流",
    "cell_total" / WIDE_NUMBER * "Cells of the subsystem 单体电池总数",
    "first_cell" / WIDE_NUMBER * "Number of the first cell in this frame, from 1 本帧起始电池序号",
    *counted("cell_voltages_v", "Cell voltages 单体电池电压", "Cells in this frame 本帧单体电池总数", CELL_VOLTAGE),
)
PACK_VOLTAGES = Struct(
    *counted(
        "pack_voltages",
        "Voltages by pack 可充电储能子系统电压信息列表",
        "Number of subsystems 可充电储能子系统个数",
        _PACK_VOLTAGES,
    )
)

BODIES = {
    0x01: BodyType("vehicle", "Vehicle 整车数据", VEHICLE),
    0x02: BodyType("drive_motors", "Drive motors 驱动电机数据", DRIVE_MOTORS),
    0x03: BodyType("fuel_cell", "Fuel cell 燃料电池数据", FUEL_CELL),
    0x04: BodyType("engine", "Engine 发动机数据", ENGINE),
    0x05: BodyType("position", "Position 车辆位置数据", POSITION),
    0x06: BodyType("extremes", "Extremes 极值数据", EXTREMES),
    0x07: BodyType("alarms", "Alarms 报警数据", ALARM_BODY),
    0x08: BodyType("pack_voltages", "Storage device voltages 可充电储能装置电压数据", PACK_VOLTAGES),
    0x09: BodyType("pack_temperatures", "Storage device temperatures 可充电储能装置温度数据", pack_temperatures()),
}
BODY_2016 = body(BODIES)
REPORT_2016 = report(BODY_2016)
