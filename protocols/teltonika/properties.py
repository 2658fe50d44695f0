"""IO properties by id: name, size, scale and unit.

What an id means depends on the family of the device. The same id has other sizes in other families, so that a value of
another size is not taken for what the table says.

Source: Teltonika, "AVL ID" parameter lists of FMB, FMC, FMM, FMx640 and FTC devices.
"""

from __future__ import annotations

from collections.abc import Mapping

from construct import Bytes, GreedyBytes, Int8ub, Int16sb, Int16ub, Int32ub, Struct

from protocols.fields import Bit, Choice, Declaration, Flags, Option, Text
from protocols.teltonika.beacons import ADVANCED_BEACONS, SIMPLE_BEACONS
from protocols.teltonika.quantities import (
    BLE_HUMIDITY,
    BLE_TEMPERATURE,
    DALLAS_TEMPERATURE,
    DALLAS_TEMPERATURE_SHORT,
    DATA_MODE,
    DIGITS,
    GEOFENCE,
    HEX,
    NETWORK_TYPE,
    PERCENT,
    VOLTS,
    YES_NO,
    Alcohol,
    ratio,
    s8,
    s16,
    u8,
    u16,
    u32,
    words,
)

Table = Mapping[int, tuple[Declaration, ...]]
"""By id, the declarations of its values, one per size."""


def _table(*tables: Mapping[int, Declaration]) -> dict[int, tuple[Declaration, ...]]:
    return {id: (declaration,) for table in tables for id, declaration in table.items()}


def _zones(ids: Mapping[int, int], zone: Declaration = GEOFENCE) -> dict[int, Declaration]:
    """The geofences, given the number of the zone by id."""
    return {id: f"geofence_{number}" / zone * f"Geofence zone {number} 电子围栏{number}" for id, number in ids.items()}


_ASCII = Text(encoding="ascii")
_EIGHT_CHARACTERS = Text(8, "ascii")
_FMB_ZONES = (*range(155, 160), *range(61, 66), 70, 88, *range(91, 100), 153, 154, *range(190, 199), 208, 209, *range(216, 232))
_DOORS = {
    8: Bit("front_left", "Front left 左前门"),
    9: Bit("front_right", "Front right 右前门"),
    10: Bit("rear_left", "Rear left 左后门"),
    11: Bit("rear_right", "Rear right 右后门"),
    12: Bit("hood", "Hood 引擎盖"),
    13: Bit("trunk", "Trunk 行李箱"),
    14: Bit("roof", "Roof 车顶"),
}
_GRAVITY = Struct(
    "reserved" / Int16ub * "Reserved 保留",
    "x_mg" / s16(1, "mG") * "Axis X X轴",
    "y_mg" / s16(1, "mG") * "Axis Y Y轴",
    "z_mg" / s16(1, "mG") * "Axis Z Z轴",
)

COMMON: Table = _table(
    {
        1: "digital_input_1" / YES_NO * "Digital input 1 数字输入1",
        2: "digital_input_2" / YES_NO * "Digital input 2 数字输入2",
        3: "digital_input_3" / YES_NO * "Digital input 3 数字输入3",
        9: "analog_input_1_v" / VOLTS * "Analog input 1 模拟输入1",
        21: "signal" / Int8ub * "GSM signal, 0 to 5 bars 信号强度",
        24: "gnss_speed_kmh" / u16(1, "km/h") * "Speed by GNSS 卫星定位速度",
        66: "external_v" / VOLTS * "External voltage 外部电压",
        67: "battery_v" / VOLTS * "Battery voltage 电池电压",
        68: "battery_a" / u16(1000, "A") * "Battery current while charging 电池充电电流",
        78: "ibutton" / HEX * "iButton 钮扣式钥匙",
        **_zones({id: id - 154 for id in range(155, 160)}),
        175: "auto_geofence"
        / words(Int8ub, Option("left", "Left 离开"), Option("entered", "Entered 进入"))
        * "Auto geofence 自动围栏",
        179: "digital_output_1" / YES_NO * "Digital output 1 数字输出1",
        180: "digital_output_2" / YES_NO * "Digital output 2 数字输出2",
        181: "pdop" / ratio(Int16ub, 10) * "Position dilution of precision 位置精度因子",
        182: "hdop" / ratio(Int16ub, 10) * "Horizontal dilution of precision 水平精度因子",
        199: "trip_odometer_km" / u32(1000, "km") * "Trip odometer 行程里程",
        200: "sleep_mode"
        / words(
            Int8ub,
            Option("none", "None 无"),
            Option("gps", "GPS sleep 定位休眠"),
            Option("deep", "Deep sleep 深度休眠"),
            Option("online_deep", "Online deep sleep 在线深度休眠"),
            Option("ultra", "Ultra deep sleep 超深度休眠"),
        )
        * "Sleep mode 休眠模式",
        **{
            id: f"lls_{number}_level" / Int16sb * f"Fuel level probe {number}, raw or litres 油位传感器{number}"
            for number, id in enumerate((201, 203, 210, 212, 214), 1)
        },
        **{
            id: f"lls_{number}_temperature_c" / s8(1, "°C") * f"Fuel level probe {number}, temperature 油位传感器{number}温度"
            for number, id in enumerate((202, 204, 211, 213, 215), 1)
        },
        206: "gsm_area_code" / Int16ub * "GSM area code 位置区码",
        207: "rfid" / HEX * "RFID 射频卡",
        239: "ignition" / YES_NO * "Ignition 点火",
        240: "moving" / YES_NO * "Movement 行驶中",
        241: "gsm_operator" / Int32ub * "GSM operator: country code, then network code 运营商",
        246: "towing" / YES_NO * "Towing 拖车",
        247: "crash"
        / words(
            Int8ub,
            None,
            Option("crash", "Crash, calibrated 碰撞"),
            Option("limited_trace_uncalibrated", "Limited trace, not calibrated 有限轨迹，未校准"),
            Option("limited_trace", "Limited trace, calibrated 有限轨迹"),
            Option("full_trace_uncalibrated", "Full trace, not calibrated 完整轨迹，未校准"),
            Option("full_trace", "Full trace, calibrated 完整轨迹"),
            Option("crash_uncalibrated", "Crash, not calibrated 碰撞，未校准"),
        )
        * "Crash detection 碰撞检测",
        249: "jamming" / YES_NO * "GSM jamming 信号干扰",
        250: "trip"
        / words(
            Int8ub,
            Option("stop", "Stop 结束"),
            Option("start", "Start 开始"),
            Option("business", "Business 公务"),
            Option("private", "Private 私人"),
        )
        * "Trip; custom from 4 on 行程",
        253: "green_driving"
        / words(
            Int8ub,
            None,
            Option("acceleration", "Acceleration 急加速"),
            Option("braking", "Braking 急减速"),
            Option("cornering", "Cornering 急转弯"),
        )
        * "Green driving 绿色驾驶",
        254: "green_driving_value" / ratio(Int8ub, 100) * "Green driving: g, or rad/s for cornering by GPS 绿色驾驶值",
        255: "overspeed_kmh" / u8(1, "km/h") * "Speed when over-speeding began or ended 超速速度",
        303: "instant_movement" / YES_NO * "Instant movement 瞬时移动",
    }
)
"""What means the same in all families that this is known of."""

_FMB_DEVICE: dict[int, Declaration] = {
    4: "pulses_1" / Int32ub * "Pulses at input 1 since the last record 输入1脉冲数",
    5: "pulses_2" / Int32ub * "Pulses at input 2 since the last record 输入2脉冲数",
    6: "analog_input_2_v" / VOLTS * "Analog input 2 模拟输入2",
    8: "authorised_ibutton" / HEX * "iButton that is on the list 已授权钥匙",
    10: "sd_card" / YES_NO * "SD card present 存储卡",
    11: "iccid_1" / DIGITS * "ICCID, first part SIM卡号前段",
    12: "fuel_used_gps_l" / u32(1000, "L") * "Fuel used, by GPS 耗油量",
    13: "fuel_rate_gps_l_per_100km" / u16(100, "L/100km") * "Fuel rate, by GPS 油耗率",
    14: "iccid_2" / DIGITS * "ICCID, second part SIM卡号后段",
    15: "eco_score" / ratio(Int16ub, 100) * "Eco score 环保评分",
    16: "odometer_km" / u32(1000, "km") * "Total odometer 总里程",
    17: "axis_x_mg" / s16(1, "mG") * "Axis X X轴",
    18: "axis_y_mg" / s16(1, "mG") * "Axis Y Y轴",
    19: "axis_z_mg" / s16(1, "mG") * "Axis Z Z轴",
    69: "gnss_status"
    / words(
        Int8ub,
        Option("off", "Off 关闭"),
        Option("fix", "On with fix 已定位"),
        Option("no_fix", "On without fix 未定位"),
        Option("sleep", "Sleep 休眠"),
        Option("static", "Off for static navigation 静态导航"),
    )
    * "GNSS status 卫星定位状态",
    71: "dallas_4" / HEX * "Dallas sensor 4 数字温度传感器4编号",
    **{
        71 + number: f"dallas_{number}_c" / DALLAS_TEMPERATURE * f"Dallas sensor {number}, temperature 数字温度传感器{number}"
        for number in range(1, 5)
    },
    76: "dallas_1" / HEX * "Dallas sensor 1 数字温度传感器1编号",
    77: "dallas_2" / HEX * "Dallas sensor 2 数字温度传感器2编号",
    79: "dallas_3" / HEX * "Dallas sensor 3 数字温度传感器3编号",
    80: "data_mode" / DATA_MODE * "Data mode 数据模式",
    113: "battery_percent" / PERCENT * "Battery level 电池电量",
    205: "gsm_cell" / Int16ub * "GSM cell, low 16 bits 小区编号",
    236: "alarm_button" / YES_NO * "Alarm button 报警按钮",
    237: "network_type" / NETWORK_TYPE * "Network type 网络类型",
    238: "user_id" / HEX * "Address of a Bluetooth client 用户编号",
    243: "green_driving_ms" / u16(1, "ms") * "Green driving, duration 绿色驾驶时长",
    248: "immobilizer"
    / words(
        Int8ub,
        Option("absent", "No fob 无钥匙"),
        Option("present", "Fob there, immobilizer 有钥匙"),
        Option("authorised", "Fob there, authorised driving 已授权"),
    )
    * "Immobilizer 防盗锁止",
    251: "idling" / YES_NO * "Idling 怠速",
    252: "unplugged" / YES_NO * "External supply unplugged 外部电源断开",
    256: "vin" / _ASCII * "VIN 车辆识别代号",
    257: "crash_trace" / GreedyBytes * "Crash trace 碰撞轨迹",
    258: "eco_maximum" / _GRAVITY * "Eco driving, highest acceleration 最大加速度",
    259: "eco_average" / _GRAVITY * "Eco driving, average acceleration 平均加速度",
    260: "eco_ms" / u16(1, "ms") * "Eco driving, duration 环保驾驶时长",
    263: "bluetooth"
    / words(
        Int8ub,
        Option("off", "Off 关闭"),
        Option("on", "On 开启"),
        Option("bt3", "Bluetooth 3 connected 已连接经典蓝牙"),
        Option("ble", "Low Energy connected 已连接低功耗蓝牙"),
        Option("both", "Both connected 两者均已连接"),
    )
    * "Bluetooth 蓝牙状态",
    264: "barcode" / _ASCII * "Barcode 条形码",
    283: "driving_state"
    / words(
        Int8ub,
        None,
        Option("ignition_on", "Ignition on 点火"),
        Option("driving", "Driving 行驶"),
        Option("ignition_off", "Ignition off 熄火"),
    )
    * "Driving state 驾驶状态",
    284: "driving_records" / Int16ub * "Driving records 驾驶记录数",
    285: "blood_alcohol" / Alcohol(Int16ub) * "Blood alcohol in per mille, and test mode 血液酒精浓度",
    317: "crash_counter" / Int8ub * "Crash event counter 碰撞计数",
    318: "gnss_jamming"
    / words(Int8ub, Option("healthy", "Healthy 正常"), Option("warning", "Warning 警告"), Option("critical", "Critical 严重"))
    * "GNSS jamming 卫星信号干扰",
    380: "digital_output_3" / YES_NO * "Digital output 3 数字输出3",
    381: "ground_sense" / YES_NO * "Ground sense 接地检测",
    383: "accelerometer_calibration"
    / words(
        Int8ub,
        Option("none", "None 未校准"),
        Option("calibrated", "Calibrated 已校准"),
        Option("not_configured", "Not configured 未配置"),
        Option("full", "Fully calibrated 完全校准"),
    )
    * "Accelerometer calibration 加速度计校准",
    387: "iso_6709" / _ASCII * "Position as text, ISO 6709 位置文本",
    391: "private_mode" / YES_NO * "Private mode 私人模式",
    449: "ignition_on_s" / u32(1, "s") * "Ignition-on counter 点火时长",
    622: "frequency_1_hz" / u16(10, "Hz") * "Frequency at input 1 输入1频率",
    623: "frequency_2_hz" / u16(10, "Hz") * "Frequency at input 2 输入2频率",
    636: "lte_cell" / Int32ub * "UMTS or LTE cell 小区编号",
    637: "wake_reason" / Int8ub * "Wake reason 唤醒原因",
}
_FMB_BLUETOOTH: dict[int, Declaration] = {
    29: "ble_1_percent" / PERCENT * "BLE sensor 1, battery 蓝牙传感器1电量",
    20: "ble_2_percent" / PERCENT * "BLE sensor 2, battery 蓝牙传感器2电量",
    22: "ble_3_percent" / PERCENT * "BLE sensor 3, battery 蓝牙传感器3电量",
    23: "ble_4_percent" / PERCENT * "BLE sensor 4, battery 蓝牙传感器4电量",
    **{
        24 + number: f"ble_{number}_c" / BLE_TEMPERATURE * f"BLE sensor {number}, temperature 蓝牙传感器{number}温度"
        for number in range(1, 5)
    },
    **{
        id: f"ble_{number}_humidity_percent" / BLE_HUMIDITY * f"BLE sensor {number}, humidity 蓝牙传感器{number}湿度"
        for number, id in enumerate((86, 104, 106, 108), 1)
    },
    **{
        267 + 3 * number: f"ble_{number}_fuel" / Int16ub * f"BLE sensor {number}, fuel level 蓝牙传感器{number}油位"
        for number in range(1, 5)
    },
    **{
        305 + number: f"ble_{number}_frequency" / Int32ub * f"BLE sensor {number}, fuel frequency 蓝牙传感器{number}频率"
        for number in range(1, 5)
    },
    **{
        330 + number: f"ble_{number}_custom" / GreedyBytes * f"BLE sensor {number}, custom data 蓝牙传感器{number}自定义数据"
        for number in range(1, 5)
    },
    **{
        334 + number: f"ble_{number}_lx" / u16(1, "lx") * f"BLE sensor {number}, luminosity 蓝牙传感器{number}照度"
        for number in range(1, 5)
    },
    385: "beacons" / SIMPLE_BEACONS * "Beacons 蓝牙信标",
    548: "advanced_beacons" / ADVANCED_BEACONS * "Beacons with parameters 高级蓝牙信标",
    **{450 + number: f"ble_rfid_{number}" / HEX * f"BLE RFID {number} 蓝牙射频卡{number}" for number in range(1, 5)},
    **{id: f"eye_{id}" / ADVANCED_BEACONS * f"EYE sensors, list {id} EYE传感器列表" for id in (10828, 10829, 10831, 11317)},
}
for _number in range(1, 5):
    _FMB_BLUETOOTH |= {
        10799 + _number: f"eye_{_number}_c" / s16(100, "°C") * f"EYE sensor {_number}, temperature EYE传感器{_number}温度",
        10803 + _number: f"eye_{_number}_humidity_percent" / PERCENT * f"EYE sensor {_number}, humidity EYE传感器{_number}湿度",
        10807 + _number: f"eye_{_number}_magnet" / YES_NO * f"EYE sensor {_number}, magnet EYE传感器{_number}磁铁",
        10811 + _number: f"eye_{_number}_movement" / Int16ub * f"EYE sensor {_number}, movement EYE传感器{_number}移动",
        10815 + _number: f"eye_{_number}_pitch_deg" / s8(1, "°") * f"EYE sensor {_number}, pitch EYE传感器{_number}俯仰",
        10819 + _number: f"eye_{_number}_battery_low" / YES_NO * f"EYE sensor {_number}, battery low EYE传感器{_number}电量低",
        10823 + _number: f"eye_{_number}_battery" / Int8ub * f"EYE sensor {_number}, battery, raw EYE传感器{_number}电池",
        10831 + _number: f"eye_{_number}_roll_deg" / s16(1, "°") * f"EYE sensor {_number}, roll EYE传感器{_number}横滚",
    }
_FMB_OBD: dict[int, Declaration] = {
    30: "obd_fault_count" / Int8ub * "OBD: number of faults 故障码个数",
    31: "obd_engine_load_percent" / PERCENT * "OBD: engine load 发动机负荷",
    32: "obd_coolant_c" / s8(1, "°C") * "OBD: coolant temperature 冷却液温度",
    33: "obd_short_fuel_trim_percent" / s8(1, "%") * "OBD: short fuel trim 短期燃油修正",
    34: "obd_fuel_pressure_kpa" / u16(1, "kPa") * "OBD: fuel pressure 燃油压力",
    35: "obd_intake_kpa" / u8(1, "kPa") * "OBD: intake manifold pressure 进气歧管压力",
    36: "obd_rpm" / u16(1, "rpm") * "OBD: engine speed 发动机转速",
    37: "obd_speed_kmh" / u8(1, "km/h") * "OBD: vehicle speed 车速",
    38: "obd_timing_advance_deg" / s8(1, "°") * "OBD: timing advance 点火提前角",
    39: "obd_intake_c" / s8(1, "°C") * "OBD: intake air temperature 进气温度",
    40: "obd_air_flow_g_per_s" / u16(100, "g/s") * "OBD: air flow 空气流量",
    41: "obd_throttle_percent" / PERCENT * "OBD: throttle position 节气门位置",
    42: "obd_run_s" / u16(1, "s") * "OBD: run time since start 启动后运行时间",
    43: "obd_mil_km" / u16(1, "km") * "OBD: distance with the fault lamp on 故障灯亮行驶距离",
    44: "obd_relative_rail_kpa" / u16(10, "kPa") * "OBD: relative fuel rail pressure 相对油轨压力",
    45: "obd_direct_rail_10kpa" / u16(1, "10 kPa") * "OBD: direct fuel rail pressure 直喷油轨压力",
    46: "obd_egr_percent" / PERCENT * "OBD: commanded exhaust recirculation 指令废气再循环",
    47: "obd_egr_error_percent" / s8(1, "%") * "OBD: exhaust recirculation error 废气再循环误差",
    48: "obd_fuel_percent" / PERCENT * "OBD: fuel level 燃油液位",
    49: "obd_cleared_km" / u16(1, "km") * "OBD: distance since faults were cleared 清码后行驶距离",
    50: "obd_barometric_kpa" / u8(1, "kPa") * "OBD: barometric pressure 大气压",
    51: "obd_module_v" / VOLTS * "OBD: control module voltage 控制模块电压",
    52: "obd_absolute_load_percent" / u16(1, "%") * "OBD: absolute load 绝对负荷",
    53: "obd_ambient_c" / s8(1, "°C") * "OBD: ambient temperature 环境温度",
    54: "obd_mil_min" / u16(1, "min") * "OBD: time with the fault lamp on 故障灯亮时间",
    55: "obd_cleared_min" / u16(1, "min") * "OBD: time since faults were cleared 清码后时间",
    56: "obd_absolute_rail_kpa" / u16(10, "kPa") * "OBD: absolute fuel rail pressure 绝对油轨压力",
    57: "obd_hybrid_battery_percent" / PERCENT * "OBD: hybrid battery life 混合动力电池寿命",
    58: "obd_oil_c" / u8(1, "°C") * "OBD: engine oil temperature 机油温度",
    59: "obd_injection_deg" / s16(100, "°") * "OBD: injection timing 喷油正时",
    60: "obd_fuel_rate_l_per_h" / u16(100, "L/h") * "OBD: fuel rate 燃油消耗率",
    281: "obd_faults" / _ASCII * "OBD: fault codes 故障码",
    389: "oem_odometer_km" / u32(1, "km") * "OBD: odometer of the vehicle 车辆里程",
    390: "oem_fuel_l" / u32(10, "L") * "OBD: fuel level of the vehicle 车辆油量",
    402: "oem_service_km" / u32(1, "km") * "OBD: distance to service 保养剩余里程",
    411: "oem_battery_percent" / PERCENT * "OBD: battery charge of the vehicle 车辆电池电量",
    540: "obd_throttle_group_percent" / PERCENT * "OBD: throttle position group 节气门位置组",
    541: "obd_equivalence_ratio" / ratio(Int8ub, 100) * "OBD: commanded equivalence ratio 指令当量比",
    543: "obd_hybrid_v" / u16(1, "V") * "OBD: hybrid system voltage 混合动力系统电压",
    544: "obd_hybrid_a" / s16(1, "A") * "OBD: hybrid system current 混合动力系统电流",
    755: "oem_remaining_km" / u16(1, "km") * "OBD: remaining distance 剩余里程",
    759: "fuel_type"
    / Choice(
        Int8ub,
        {
            1: Option("gasoline", "Gasoline 汽油"),
            4: Option("diesel", "Diesel 柴油"),
            5: Option("lpg", "LPG 液化石油气"),
            6: Option("cng", "CNG 压缩天然气"),
            8: Option("electric", "Electric 电力"),
        },
    )
    * "OBD: fuel type 燃料类型",
}
_FMB_CAN: dict[int, Declaration] = {
    81: "can_speed_kmh" / u8(1, "km/h") * "CAN: vehicle speed 车速",
    82: "can_pedal_percent" / PERCENT * "CAN: accelerator pedal 加速踏板",
    83: "can_fuel_used_l" / u32(10, "L") * "CAN: fuel consumed 耗油量",
    84: "can_fuel_l" / u16(10, "L") * "CAN: fuel level 油量",
    85: "can_rpm" / u16(1, "rpm") * "CAN: engine speed 发动机转速",
    87: "can_odometer_km" / u32(1000, "km") * "CAN: total mileage 总里程",
    89: "can_fuel_percent" / PERCENT * "CAN: fuel level 油位",
    90: "can_doors" / Flags(Int16ub, _DOORS) * "CAN: open doors 开启的车门",
    100: "can_program" / Int32ub * "CAN: program number 程序号",
    101: "can_module" / HEX * "CAN: module 模块编号",
    102: "can_engine_min" / u32(1, "min") * "CAN: engine work time 发动机工作时间",
    103: "can_engine_counted_min" / u32(1, "min") * "CAN: engine work time, counted 发动机累计工作时间",
    105: "can_odometer_counted_km" / u32(1000, "km") * "CAN: total mileage, counted 累计里程",
    107: "can_fuel_used_counted_l" / u32(10, "L") * "CAN: fuel consumed, counted 累计耗油量",
    110: "can_fuel_rate_l_per_h" / u16(10, "L/h") * "CAN: fuel rate 燃油消耗率",
    111: "can_adblue_percent" / PERCENT * "CAN: AdBlue 尿素液位",
    112: "can_adblue_l" / u16(10, "L") * "CAN: AdBlue 尿素量",
    114: "can_engine_load_percent" / PERCENT * "CAN: engine load 发动机负荷",
    115: "can_engine_c" / s16(10, "°C") * "CAN: engine temperature 发动机温度",
    **{117 + axle: f"can_axle_{axle}_kg" / u16(1, "kg") * f"CAN: load of axle {axle} {axle}轴载重" for axle in range(1, 6)},
    123: "can_control_flags" / Int32ub * "CAN: control state flags 控制状态",
    132: "can_security_flags" / Bytes(8) * "CAN: security state flags 安全状态",
    152: "can_hv_battery_percent" / PERCENT * "CAN: high-voltage battery 高压电池电量",
    160: "can_fault_count" / Int8ub * "CAN: number of faults 故障码个数",
    168: "can_battery" / Int16ub * "CAN: battery voltage, raw 电池电压",
    282: "can_faults" / GreedyBytes * "CAN: fault codes 故障码",
    325: "can_vin" / _ASCII * "CAN: VIN 车辆识别代号",
    654: "can_front_left_door" / YES_NO * "CAN: front left door 左前门",
    655: "can_front_right_door" / YES_NO * "CAN: front right door 右前门",
    656: "can_rear_left_door" / YES_NO * "CAN: rear left door 左后门",
    657: "can_rear_right_door" / YES_NO * "CAN: rear right door 右后门",
    658: "can_trunk" / YES_NO * "CAN: trunk 行李箱",
    662: "can_closed" / YES_NO * "CAN: car is closed 车辆已锁",
}
_FMB_GEOFENCES = _zones({id: number for number, id in enumerate(_FMB_ZONES, 1) if id not in COMMON})
FMB: Table = {**COMMON, **_table(_FMB_DEVICE, _FMB_BLUETOOTH, _FMB_OBD, _FMB_CAN, _FMB_GEOFENCES)}
"""Vehicles' small devices: FMB, FMC, FMM, FMU, FMT of 0xx, 1xx, 2xx, 8xx, 9xx, MTB100, MSP500."""

_AST_DIFFERS = {25, 26, 27, 28, 86, 104, 106, 108}
AST: Table = {
    **{id: row for id, row in FMB.items() if id not in _AST_DIFFERS},
    389: ("button_click" / GreedyBytes * "Button click 按键",),
}
"""Devices of assets and persons: TAT, TMT250, GH5200, TST100, TFT100. BLE sensors have other scales there, and stay raw."""

_FT_DIFFERS = {66, 70, 155, 156, 157, 358, 359, 360, 641}
FT: Table = {
    **{id: row for id, row in FMB.items() if id not in _FT_DIFFERS},
    800: ("external_v" / u32(1000, "V") * "External voltage 外部电压",),
}
"""The FTC and FTM platform, where some ids have a new meaning."""

_NO_YES_ZONES = _zones({id: id - 154 for id in range(160, 175)}, YES_NO)
FM6: Table = {
    **COMMON,
    **_table(
        {
            4: "digital_input_4" / YES_NO * "Digital input 4 数字输入4",
            **{
                id: f"dallas_{number}" / HEX * f"Dallas sensor {number} 数字温度传感器{number}编号"
                for number, id in enumerate((62, 63, 64, 65, 5, 7), 1)
            },
            **{
                id: f"dallas_{number}_c" / DALLAS_TEMPERATURE_SHORT * f"Dallas sensor {number}, temperature 数字温度传感器{number}"
                for number, id in enumerate((72, 73, 74, 75, 6, 8), 1)
            },
            10: "analog_input_2_v" / VOLTS * "Analog input 2 模拟输入2",
            11: "analog_input_3_v" / VOLTS * "Analog input 3 模拟输入3",
            245: "analog_input_4_v" / VOLTS * "Analog input 4 模拟输入4",
            12: "can_program" / Int16ub * "CAN: program number 程序号",
            14: "can_engine_min" / u32(1, "min") * "CAN: engine work time 发动机工作时间",
            15: "can_engine_counted_min" / u32(1, "min") * "CAN: engine work time, counted 发动机累计工作时间",
            16: "can_odometer_counted_km" / u32(1000, "km") * "CAN: total mileage, counted 累计里程",
            22: "data_mode" / DATA_MODE * "Data mode 数据模式",
            30: "can_speed_kmh" / u8(1, "km/h") * "CAN: vehicle speed 车速",
            31: "can_pedal_percent" / PERCENT * "CAN: accelerator pedal 加速踏板",
            34: "can_fuel_l" / u16(10, "L") * "CAN: fuel level 油量",
            35: "can_rpm" / u16(1, "rpm") * "CAN: engine speed 发动机转速",
            36: "can_odometer_km" / u32(1000, "km") * "CAN: total mileage 总里程",
            37: "can_fuel_percent" / PERCENT * "CAN: fuel level 油位",
            50: "digital_output_3" / YES_NO * "Digital output 3 数字输出3",
            51: "digital_output_4" / YES_NO * "Digital output 4 数字输出4",
            70: "board_c" / s16(10, "°C") * "Temperature of the board 电路板温度",
            71: "gnss_status"
            / words(
                Int8ub,
                Option("off", "Off 关闭"),
                Option("no_antenna", "No antenna 无天线"),
                Option("no_fix", "On without fix 未定位"),
                Option("fix", "On with fix 已定位"),
                Option("sleep", "Sleep 休眠"),
                Option("over_current", "Over-current 过流"),
            )
            * "GNSS status 卫星定位状态",
            76: "fuel_pulses" / Int32ub * "Fuel counter, pulses 燃油脉冲数",
            80: "fms_wheel_speed_kmh" / u32(1, "km/h") * "FMS: wheel speed 车轮速度",
            81: "fms_cruise" / Int8ub * "FMS: cruise control 定速巡航",
            82: "fms_clutch" / Int8ub * "FMS: clutch 离合器",
            83: "fms_pto" / Int8ub * "FMS: power take-off 取力器",
            84: "fms_pedal_percent" / u32(1, "%") * "FMS: accelerator pedal 加速踏板",
            85: "fms_load_percent" / PERCENT * "FMS: engine load 发动机负荷",
            86: "fms_fuel_used_l" / u32(1, "L") * "FMS: fuel used 耗油量",
            87: "fms_fuel_percent" / u32(1, "%") * "FMS: fuel level 油位",
            88: "fms_rpm" / u32(1, "rpm") * "FMS: engine speed 发动机转速",
            104: "fms_engine_h" / u32(1, "h") * "FMS: engine hours 发动机工时",
            144: "sd_card" / YES_NO * "SD card 存储卡",
            **_NO_YES_ZONES,
            178: "network_type" / words(Int8ub, *map(NETWORK_TYPE.options.get, (0, 1, 2, 3, 4))) * "Network type 网络类型",
            195: "driver_1_high" / _EIGHT_CHARACTERS * "Driver 1, first part 驾驶员1编号前段",
            196: "driver_1_low" / _EIGHT_CHARACTERS * "Driver 1, second part 驾驶员1编号后段",
            197: "driver_2_high" / _EIGHT_CHARACTERS * "Driver 2, first part 驾驶员2编号前段",
            198: "driver_2_low" / _EIGHT_CHARACTERS * "Driver 2, second part 驾驶员2编号后段",
            205: "gsm_cell" / Int32ub * "GSM cell 小区编号",
            216: "odometer_km" / u32(1000, "km") * "Total odometer 总里程",
            218: "imsi" / DIGITS * "IMSI 国际移动用户识别码",
            **{218 + part: f"iccid_{part}" / _EIGHT_CHARACTERS * f"ICCID, part {part} SIM卡号第{part}段" for part in range(1, 4)},
            231: "plate_1" / _EIGHT_CHARACTERS * "Registration number, part 1 车牌第1段",
            232: "plate_2" / _EIGHT_CHARACTERS * "Registration number, part 2 车牌第2段",
            233: "vin_1" / _EIGHT_CHARACTERS * "VIN, part 1 车辆识别代号第1段",
            234: "vin_2" / _EIGHT_CHARACTERS * "VIN, part 2 车辆识别代号第2段",
            235: "vin_3" / Text(1, "ascii") * "VIN, part 3 车辆识别代号第3段",
            236: "axis_x_mg" / s16(1, "mG") * "Axis X X轴",
            237: "axis_y_mg" / s16(1, "mG") * "Axis Y Y轴",
            238: "axis_z_mg" / s16(1, "mG") * "Axis Z Z轴",
            243: "idling" / YES_NO * "Idling 怠速",
            248: "overspeed_zone" / Int8ub * "Zone of over-speeding 超速区域",
            251: "immobilizer" / Int8ub * "Immobilizer 防盗锁止",
            252: "authorised_driving" / Int8ub * "Authorised driving 授权驾驶",
        }
    ),
}
"""Trucks' devices: FMB640, FMB641, FMC640, FMC650, FMM640, FMM650."""

OLD_FM: Table = {
    **COMMON,
    **_table(
        {
            10: "analog_input_2_v" / VOLTS * "Analog input 2 模拟输入2",
            11: "analog_input_3_v" / VOLTS * "Analog input 3 模拟输入3",
            245: "analog_input_4_v" / VOLTS * "Analog input 4 模拟输入4",
        }
    ),
}
"""FM1100, FM2200, FM4200, FM5300, FM6300: what all of their lists agree in."""
