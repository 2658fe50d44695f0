"""The location report (位置信息汇报): alarm flags, status bits and additional items.

Source: JT/T 808-2013 and JT/T 808-2019, section 8.18, tables 23 to 33; items 0x14 to 0x18: JT/T 1078-2016, 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from construct import Bytes, Int8ub, Int16sb, Int16ub, Int32ub, Struct

from protocols.fields import Adapted, BcdTime, Bit, Choice, Declaration, Flags, Option, Scaled
from protocols.items import Items

if TYPE_CHECKING:
    from construct.core import Context

_ALARMS = {
    0: Bit("emergency", "Emergency 紧急报警"),
    1: Bit("overspeed", "Overspeed 超速报警"),
    2: Bit("fatigue_driving", "Fatigue driving 疲劳驾驶报警"),
    4: Bit("gnss_fault", "GNSS module fault GNSS模块发生故障"),
    5: Bit("gnss_antenna_cut", "GNSS antenna not connected or cut GNSS天线未接或被剪断"),
    6: Bit("gnss_antenna_short", "GNSS antenna short circuit GNSS天线短路"),
    7: Bit("power_low", "Main power under-voltage 终端主电源欠压"),
    8: Bit("power_off", "Main power off 终端主电源掉电"),
    9: Bit("display_fault", "Display fault 终端LCD或显示器故障"),
    10: Bit("tts_fault", "Text-to-speech module fault TTS模块故障"),
    11: Bit("camera_fault", "Camera fault 摄像头故障"),
    12: Bit("ic_card_fault", "IC card module fault 道路运输证IC卡模块故障"),
    13: Bit("overspeed_warning", "Overspeed warning 超速预警"),
    14: Bit("fatigue_warning", "Fatigue driving warning 疲劳驾驶预警"),
    18: Bit("daily_driving_exceeded", "Driving time of the day exceeded 当天累计驾驶超时"),
    19: Bit("parking_exceeded", "Parked too long 超时停车"),
    20: Bit("area_crossing", "Area entered or left 进出区域"),
    21: Bit("route_crossing", "Route entered or left 进出路线"),
    22: Bit("segment_time", "Segment driven too fast or too slowly 路段行驶时间不足/过长"),
    23: Bit("route_deviation", "Off the route 路线偏离报警"),
    24: Bit("vss_fault", "Vehicle speed sensor fault 车辆VSS故障"),
    25: Bit("fuel_abnormal", "Fuel level abnormal 车辆油量异常"),
    26: Bit("stolen", "Vehicle stolen 车辆被盗"),
    27: Bit("illegal_ignition", "Illegal ignition 车辆非法点火"),
    28: Bit("illegal_displacement", "Illegal displacement 车辆非法位移"),
    30: Bit("rollover_warning", "Rollover warning 侧翻预警"),
}
ALARMS_2013 = _ALARMS | {
    3: Bit("danger_warning", "Danger warning 危险预警"),
    29: Bit("collision_warning", "Collision warning 碰撞预警"),
    31: Bit("illegal_door_opening", "Illegal door opening 非法开门报警"),
}
ALARMS_2019 = _ALARMS | {
    3: Bit("dangerous_driving", "Dangerous driving behaviour 危险驾驶行为报警"),
    15: Bit("forbidden_driving", "Driving against the rules 违规行驶报警"),
    16: Bit("tyre_pressure_warning", "Tyre pressure warning 胎压预警"),
    17: Bit("right_turn_blind_zone", "Right-turn blind zone 右转盲区异常报警"),
    29: Bit("collision_or_rollover", "Collision or rollover 碰撞侧翻报警"),
}

_STATUS_2013 = {
    0: Bit("ignition", "Ignition (ACC) on ACC开"),
    1: Bit("fix", "Position fix 定位"),
    2: Bit("south", "South latitude 南纬"),
    3: Bit("west", "West longitude 西经"),
    4: Bit("out_of_operation", "Out of operation 停运状态"),
    5: Bit("coordinates_encrypted", "Coordinates encrypted 经纬度已加密"),
    8: Bit("load", "Load 载重状态", 2, ("empty", "half", "reserved", "full")),
    10: Bit("fuel_cut", "Fuel line cut 油路断开"),
    11: Bit("circuit_cut", "Electric circuit cut 电路断开"),
    12: Bit("doors_locked", "Doors locked 车门加锁"),
    13: Bit("door_1_open", "Front door open 前门开"),
    14: Bit("door_2_open", "Middle door open 中门开"),
    15: Bit("door_3_open", "Rear door open 后门开"),
    16: Bit("door_4_open", "Driver's door open 驾驶席门开"),
    17: Bit("door_5_open", "Fifth door open 门5(自定义)开"),
    18: Bit("gps_used", "GPS used 使用GPS卫星定位"),
    19: Bit("beidou_used", "BeiDou used 使用北斗卫星定位"),
    20: Bit("glonass_used", "GLONASS used 使用GLONASS卫星定位"),
    21: Bit("galileo_used", "Galileo used 使用Galileo卫星定位"),
}
_STATUS_2019 = _STATUS_2013 | {
    6: Bit("forward_collision_warning", "Forward collision warning of the brake system 紧急刹车系统前撞预警"),
    7: Bit("lane_departure_warning", "Lane departure warning 车道偏移预警"),
    22: Bit("moving", "Moving 车辆行驶状态"),
}

CHANNELS = {at: Bit(f"channel_{at + 1}", f"Channel {at + 1} 通道{at + 1}") for at in range(32)}
_STORES = {at: Bit(f"main_{at + 1}", f"Main store {at + 1} 主存储器{at + 1}") for at in range(12)} | {
    at + 12: Bit(f"backup_{at + 1}", f"Backup store {at + 1} 灾备存储{at + 1}") for at in range(4)
}
_PLACES = {
    0: Option("none", "No particular place 无特定位置"),
    1: Option("circle", "Circle 圆形区域"),
    2: Option("rectangle", "Rectangle 矩形区域"),
    3: Option("polygon", "Polygon 多边形区域"),
    4: Option("segment", "Route segment 路段"),
}
_DIRECTIONS = {0: Option("in", "Entered 进"), 1: Option("out", "Left 出")}
_SEGMENT_RESULTS = {0: Option("too_short", "Too short 不足"), 1: Option("too_long", "Too long 过长")}
_CROSSED = {**_PLACES, 4: Option("route", "Route 路线")}
VIDEO_ALARMS = {
    0: Bit("signal_lost", "Video signal lost 视频信号丢失报警"),
    1: Bit("signal_masked", "Video signal masked 视频信号遮挡报警"),
    2: Bit("storage_fault", "Storage fault 存储单元故障报警"),
    3: Bit("other_fault", "Other video equipment fault 其他视频设备故障报警"),
    4: Bit("overload", "Passenger car overloaded 客车超员报警"),
    5: Bit("abnormal_driving", "Abnormal driving behaviour 异常驾驶行为报警"),
    6: Bit("recording_full", "Special recordings near the limit 特殊报警录像达到存储阈值报警"),
}
_BEHAVIOURS = {
    0: Bit("fatigue", "Fatigue 疲劳"),
    1: Bit("phone", "Telephoning 打电话"),
    2: Bit("smoking", "Smoking 抽烟"),
    **{at: Bit(f"custom_{at - 10}", f"Custom {at - 10} 自定义{at - 10}") for at in range(11, 16)},
}
_VEHICLE_SIGNALS = {
    0: Bit("low_beam", "Low beam 近光灯"),
    1: Bit("high_beam", "High beam 远光灯"),
    2: Bit("right_turn", "Right turn 右转向灯"),
    3: Bit("left_turn", "Left turn 左转向灯"),
    4: Bit("brake", "Brake 制动"),
    5: Bit("reverse", "Reverse 倒档"),
    6: Bit("fog_lamp", "Fog lamp 雾灯"),
    7: Bit("position_lamp", "Position lamp 示廓灯"),
    8: Bit("horn", "Horn 喇叭"),
    9: Bit("air_conditioning", "Air conditioning 空调"),
    10: Bit("neutral", "Neutral gear 空挡"),
    11: Bit("retarder", "Retarder 缓速器"),
    12: Bit("abs", "ABS working ABS工作"),
    13: Bit("heater", "Heater 加热器"),
    14: Bit("clutch", "Clutch 离合器"),
}
_IO_STATUS = {0: Bit("deep_sleep", "Deep sleep 深度休眠"), 1: Bit("sleep", "Sleep 休眠")}


class SignedWord(int):
    """A number below zero that does not say how it was written."""

    raw: int

    def __new__(cls, value: int, raw: int) -> SignedWord:
        word = super().__new__(cls, value)
        word.raw = raw
        return word


class EitherSigned(Adapted):
    """A word below zero in sign and magnitude, as the text's range of -32767 to 32767 implies, or in two's complement.

    Both occur; of the two readings the one nearer to zero is taken.
    """

    def __init__(self, subcon: Declaration, unit: str) -> None:
        super().__init__(subcon)
        self.unit = unit

    def _decode(self, obj: int, context: Context, path: str) -> int:
        if obj < 0x8000:
            return obj
        return SignedWord(-min(obj & 0x7FFF, 0x10000 - obj), obj)

    def _encode(self, obj: int, context: Context, path: str) -> int:
        if isinstance(obj, SignedWord):
            return obj.raw
        return 0x8000 | -obj if obj < 0 else obj


_PLACE = "place" / Choice(Int8ub, _PLACES) * "Kind of place 位置类型"
_AREA_ID = "area_id" / Int32ub * "Area or segment id 区域或路段ID"
_ABNORMAL = "behaviours" / Flags(Int16ub, _BEHAVIOURS) * "Kinds of behaviour 异常驾驶行为类型"

ITEMS: dict[int, tuple[Declaration, ...]] = {
    0x01: ("odometer_km" / Scaled(Int32ub, 10, "km") * "Odometer 里程",),
    0x02: ("fuel_l" / Scaled(Int16ub, 10, "L") * "Fuel 油量",),
    0x03: ("recorder_speed_kmh" / Scaled(Int16ub, 10, "km/h") * "Speed from the driving recorder 行驶记录功能获取的速度",),
    0x04: ("alarm_event_id" / Int16ub * "Alarm event to be confirmed by hand 需要人工确认报警事件的ID",),
    0x05: ("tyre_pressures" / Bytes(30) * "Tyre pressures from the front, left to right, of no settled scale 胎压",),
    0x06: ("compartment_temperature_c" / EitherSigned(Int16ub, "°C") * "Compartment temperature 车厢温度",),
    0x11: (
        "overspeed_place" / Struct(_PLACE) * "Where it was too fast 超速报警附加信息",
        "overspeed_place" / Struct(_PLACE, _AREA_ID) * "Where it was too fast 超速报警附加信息",
    ),
    0x12: (
        "area_crossed"
        / Struct(
            "place" / Choice(Int8ub, _CROSSED) * "Kind of place 位置类型",
            "area_id" / Int32ub * "Area or route id 区域或线路ID",
            "direction" / Choice(Int8ub, _DIRECTIONS) * "Direction 方向",
        )
        * "Area or route entered or left 进出区域/路线报警附加信息",
    ),
    0x13: (
        "segment_driven"
        / Struct(
            "segment_id" / Int32ub * "Segment id 路段ID",
            "time_s" / Scaled(Int16ub, 1, "s") * "Driving time 路段行驶时间",
            "result" / Choice(Int8ub, _SEGMENT_RESULTS) * "Result 结果",
        )
        * "Driving time of a segment 路段行驶时间不足/过长报警附加信息",
    ),
    0x14: ("video_alarms" / Flags(Int32ub, VIDEO_ALARMS) * "Video alarms 视频相关报警",),
    0x15: ("video_lost" / Flags(Int32ub, CHANNELS) * "Channels without video signal 视频信号丢失报警状态",),
    0x16: ("video_masked" / Flags(Int32ub, CHANNELS) * "Channels with masked video 视频信号遮挡报警状态",),
    0x17: ("storage_faults" / Flags(Int16ub, _STORES) * "Stores at fault 存储器故障报警状态",),
    0x18: (
        # The text says two bytes and lists three.
        "abnormal_driving" / Struct(_ABNORMAL) * "Abnormal driving behaviour 异常驾驶行为报警详细描述",
        "abnormal_driving"
        / Struct(_ABNORMAL, "fatigue_percent" / Scaled(Int8ub, 1, "%") * "Degree of fatigue 疲劳程度")
        * "Abnormal driving behaviour 异常驾驶行为报警详细描述",
    ),
    0x25: ("vehicle_signals" / Flags(Int32ub, _VEHICLE_SIGNALS) * "Extended vehicle signals 扩展车辆信号状态位",),
    0x2A: ("io_status" / Flags(Int16ub, _IO_STATUS) * "IO status IO状态位",),
    0x2B: (
        "analog"
        / Struct(
            "ad1" / Int16ub * "Input AD1, without a set unit 模拟量AD1",
            "ad0" / Int16ub * "Input AD0, without a set unit 模拟量AD0",
        )
        * "Analogue inputs 模拟量",
    ),
    0x30: ("signal" / Int8ub * "Radio signal strength, of no settled scale 无线通信网络信号强度",),
    0x31: ("satellites" / Int8ub * "Satellites used GNSS定位卫星数",),
}
"""Additional items (附加信息) by id, one declaration per length. Ids that are vendors' own are in no table."""

LOCATION_ITEMS = Items(ITEMS)


def _basic(alarms: dict[int, Bit], status: dict[int, Bit]) -> tuple[Declaration, ...]:
    return (
        "alarm_flags" / Flags(Int32ub, alarms) * "Alarm flags 报警标志",
        "status" / Flags(Int32ub, status) * "Status 状态",
        "latitude" / Scaled(Int32ub, 1_000_000, "°") * "Latitude, its sign in the status 纬度",
        "longitude" / Scaled(Int32ub, 1_000_000, "°") * "Longitude, its sign in the status 经度",
        # Unsigned in the text; terminals below sea level send two's complement.
        "altitude" / Scaled(Int16sb, 1, "m") * "Altitude 高程",
        "speed" / Scaled(Int16ub, 10, "km/h") * "Speed 速度",
        "course" / Scaled(Int16ub, 1, "°") * "Course, clockwise from north 方向",
        "time" / BcdTime(8) * "Time, GMT+8 时间",
    )


_ITEMS = "items" / LOCATION_ITEMS * "Additional items 位置附加信息"

BASIC_2013 = Struct(*_basic(ALARMS_2013, _STATUS_2013))
BASIC_2019 = Struct(*_basic(ALARMS_2019, _STATUS_2019))
"""The 28 bytes that other messages hold of a location."""
LOCATION_2013 = Struct(*_basic(ALARMS_2013, _STATUS_2013), _ITEMS)
LOCATION_2019 = Struct(*_basic(ALARMS_2019, _STATUS_2019), _ITEMS)
