"""Terminal parameters (终端参数), set by 0x8103 and told by 0x0104.

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, table "terminal parameters" of section 8.8; 0x0075 to 0x007C:
JT/T 1078-2016. All ids that are not in the table stay raw: those reserved below 0xF000 and the vendors' above, among
them the settings of T/JSATL 12 (0xF364 to 0xF367).
"""

from __future__ import annotations

from construct import Bytes, GreedyBytes, Int8ub, Int16ub, Int32ub, Struct

from protocols.fields import Bit, Choice, Declaration, Flags, Option, Scaled, Secret, Text
from protocols.items import Items
from protocols.jt808.location import ALARMS_2019, VIDEO_ALARMS
from protocols.jt808.vehicle import COLOURS, PLATE

_ANY = Text()
_STRATEGIES = {
    0: Option("time", "By time 定时汇报"),
    1: Option("distance", "By distance 定距汇报"),
    2: Option("both", "By time and distance 定时和定距汇报"),
}
_SCHEMES = {
    0: Option("ignition", "By ignition 根据ACC状态"),
    1: Option("login", "By login, then by ignition 根据登录状态和ACC状态"),
}
_ANSWERING = {
    0: Option("auto", "Automatic 自动接听"),
    1: Option("auto_when_on", "Automatic with ignition on, by hand with it off ACC ON时自动接听,OFF时手动接听"),
}
_GNSS_MODES = {
    0: Bit("gps", "GPS used 启用GPS定位"),
    1: Bit("beidou", "BeiDou used 启用北斗定位"),
    2: Bit("glonass", "GLONASS used 启用GLONASS定位"),
    3: Bit("galileo", "Galileo used 启用Galileo定位"),
}
_BAUDS = {
    number: Option(f"baud_{baud}", f"{baud} baud 波特率{baud}")
    for number, baud in enumerate((4800, 9600, 19200, 38400, 57600, 115200))
}
_PERIODS = {0: Option("ms_500", "500 ms 毫秒")} | {number: Option(f"s_{number}", f"{number} s 秒") for number in range(1, 5)}
_UPLOADS = {
    0x00: Option("store", "Stored only 本地存储,不上传"),
    0x01: Option("time", "By time 按时间间隔上传"),
    0x02: Option("distance", "By distance 按距离间隔上传"),
    0x0B: Option("total_time", "By total time 按累计时间上传"),
    0x0C: Option("total_distance", "By total distance 按累计距离上传"),
    0x0D: Option("count", "By number 按累计条数上传"),
}
_COLLISION = {
    0: Bit("time", "Time, 4 ms a unit in 2013, 1 ms in 2019 碰撞时间", 8),
    8: Bit("acceleration", "Acceleration in 0.1 g, 0 to 79 碰撞加速度", 8),
}
_PHOTOS = (
    {at: Bit(f"channel_{at + 1}", f"Channel {at + 1} enabled 摄像通道{at + 1}开关标志") for at in range(5)}
    | {at + 8: Bit(f"upload_{at + 1}", f"Channel {at + 1} uploads, else stores 摄像通道{at + 1}上传") for at in range(5)}
    | {
        16: Bit("long_unit", "Interval in minutes or kilometres, else seconds or metres 时间或距离单位"),
        17: Bit("interval", "Interval 间隔", 15),
    }
)
_CAN_ID = {
    0: Bit("id", "CAN id CAN总线ID", 29),
    29: Bit("computed", "Computed over the interval, else as it came 数据采集方式"),
    30: Bit("extended", "Extended frame 扩展帧"),
    31: Bit("can_2", "Channel CAN 2, else CAN 1 CAN通道号"),
}
_FIRST_CAN_ID, _LAST_CAN_ID = 0x0110, 0x01FF


def _seconds(name: str, text: str) -> tuple[Declaration, ...]:
    return (name / Scaled(Int32ub, 1, "s") * text,)


def _metres(name: str, text: str) -> tuple[Declaration, ...]:
    return (name / Scaled(Int32ub, 1, "m") * text,)


def _number(name: str, text: str) -> tuple[Declaration, ...]:
    return (name / Int32ub * text,)


def _text(name: str, text: str) -> tuple[Declaration, ...]:
    return (name / _ANY * text,)


def _secret(name: str, text: str) -> tuple[Declaration, ...]:
    return (name / Secret(_ANY) * text,)


def _alarms(name: str, text: str) -> tuple[Declaration, ...]:
    return (name / Flags(Int32ub, ALARMS_2019) * text,)


_PERIOD = Struct(
    "start_hour" / Int8ub * "Start, hour 开始时",
    "start_minute" / Int8ub * "Start, minute 开始分",
    "end_hour" / Int8ub * "End, hour 结束时",
    "end_minute" / Int8ub * "End, minute 结束分",
)
_SPECIAL_RECORDING = Struct(
    "storage_percent" / Scaled(Int8ub, 1, "%") * "Storage kept for special recordings 特殊报警录像存储阈值",
    "duration_min" / Scaled(Int8ub, 1, "min") * "Longest recording 特殊报警录像持续时间",
    "before_min" / Scaled(Int8ub, 1, "min") * "Recorded before the alarm 特殊报警标识起始时间",
)
_CAN_SAMPLING = Struct(
    "interval_ms" / Scaled(Int32ub, 1, "ms") * "Sampling interval 采集时间间隔",
    "can" / Flags(Int32ub, _CAN_ID) * "What is sampled CAN总线ID及采集方式",
)

TABLE: dict[int, tuple[Declaration, ...]] = {
    0x0001: _seconds("heartbeat_interval_s", "Heartbeat interval 终端心跳发送间隔"),
    0x0002: _seconds("tcp_timeout_s", "TCP answer timeout TCP消息应答超时时间"),
    0x0003: _number("tcp_retransmissions", "TCP retransmissions TCP消息重传次数"),
    0x0004: _seconds("udp_timeout_s", "UDP answer timeout UDP消息应答超时时间"),
    0x0005: _number("udp_retransmissions", "UDP retransmissions UDP消息重传次数"),
    0x0006: _seconds("sms_timeout_s", "SMS answer timeout SMS消息应答超时时间"),
    0x0007: _number("sms_retransmissions", "SMS retransmissions SMS消息重传次数"),
    0x0010: _text("main_apn", "Main server APN, for CDMA the PPP number 主服务器APN"),
    0x0011: _text("main_user", "Main server dial-up user 主服务器拨号用户名"),
    0x0012: _secret("main_password", "Main server dial-up password 主服务器拨号密码"),
    0x0013: _text("main_address", "Main server address; since 2019 host:port, joined by semicolons 主服务器地址"),
    0x0014: _text("backup_apn", "Backup server APN 备份服务器APN"),
    0x0015: _text("backup_user", "Backup server dial-up user 备份服务器拨号用户名"),
    0x0016: _secret("backup_password", "Backup server dial-up password 备份服务器拨号密码"),
    0x0017: _text("backup_address", "Backup server address; since 2019 host:port, joined by semicolons 备份服务器地址"),
    0x0018: _number("tcp_port", "Server TCP port, until 2013 服务器TCP端口"),
    0x0019: _number("udp_port", "Server UDP port, until 2013 服务器UDP端口"),
    0x001A: _text("ic_card_address", "IC card authentication server 道路运输证IC卡认证主服务器地址"),
    0x001B: _number("ic_card_tcp_port", "IC card server TCP port 道路运输证IC卡认证主服务器TCP端口"),
    0x001C: _number("ic_card_udp_port", "IC card server UDP port 道路运输证IC卡认证主服务器UDP端口"),
    0x001D: _text("ic_card_backup_address", "IC card backup server 道路运输证IC卡认证备份服务器地址"),
    0x0020: ("report_strategy" / Choice(Int32ub, _STRATEGIES) * "Report strategy 位置汇报策略",),
    0x0021: ("report_scheme" / Choice(Int32ub, _SCHEMES) * "Report scheme 位置汇报方案",),
    0x0022: _seconds("no_driver_interval_s", "Report interval, driver not logged in 驾驶员未登录汇报时间间隔"),
    0x0023: _text("slave_apn", "Slave server APN 从服务器APN"),
    0x0024: _text("slave_user", "Slave server dial-up user 从服务器拨号用户名"),
    0x0025: _secret("slave_password", "Slave server dial-up password 从服务器拨号密码"),
    0x0026: _text("slave_address", "Slave server address, host:port, joined by semicolons 从服务器备份地址"),
    0x0027: _seconds("sleep_interval_s", "Report interval while sleeping 休眠时汇报时间间隔"),
    0x0028: _seconds("emergency_interval_s", "Report interval in emergency 紧急报警时汇报时间间隔"),
    0x0029: _seconds("report_interval_s", "Default report interval 缺省时间汇报间隔"),
    0x002C: _metres("report_distance_m", "Default report distance 缺省距离汇报间隔"),
    0x002D: _metres("no_driver_distance_m", "Report distance, driver not logged in 驾驶员未登录汇报距离间隔"),
    0x002E: _metres("sleep_distance_m", "Report distance while sleeping 休眠时汇报距离间隔"),
    0x002F: _metres("emergency_distance_m", "Report distance in emergency 紧急报警时汇报距离间隔"),
    0x0030: ("corner_angle_deg" / Scaled(Int32ub, 1, "°") * "Corner report angle, below 180 拐点补传角度",),
    0x0031: ("geofence_radius_m" / Scaled(Int16ub, 1, "m") * "Radius before a displacement is illegal 电子围栏半径",),
    0x0032: ("forbidden_period" / _PERIOD * "Time of day in which driving is forbidden 违规行驶时段范围",),
    0x0040: _text("platform_phone", "Platform phone number 监控平台电话号码"),
    0x0041: _text("reset_phone", "Reset phone number 复位电话号码"),
    0x0042: _text("factory_reset_phone", "Factory-reset phone number 恢复出厂设置电话号码"),
    0x0043: _text("platform_sms", "Platform SMS number 监控平台SMS电话号码"),
    0x0044: _text("alarm_sms", "SMS text alarm number 接收终端SMS文本报警号码"),
    0x0045: ("answering" / Choice(Int32ub, _ANSWERING) * "How calls are answered 终端电话接听策略",),
    0x0046: _seconds("call_limit_s", "Longest call; 0 none, 4294967295 unlimited 每次最长通话时间"),
    0x0047: _seconds("month_call_limit_s", "Longest call time a month; 0 none, 4294967295 unlimited 当月最长通话时间"),
    0x0048: _text("listening_phone", "Listening phone number 监听电话号码"),
    0x0049: _text("privileged_sms", "Privileged SMS number 监管平台特权短信号码"),
    0x0050: _alarms("alarm_mask", "Alarms suppressed 报警屏蔽字"),
    0x0051: _alarms("alarm_sms_switch", "Alarms that send an SMS 报警发送文本SMS开关"),
    0x0052: _alarms("alarm_photo_switch", "Alarms that take pictures 报警拍摄开关"),
    0x0053: _alarms("alarm_photo_store", "Alarms whose pictures are stored, else uploaded 报警拍摄存储标志"),
    0x0054: _alarms("key_alarms", "Key alarms 关键标志"),
    0x0055: ("speed_limit_kmh" / Scaled(Int32ub, 1, "km/h") * "Speed limit 最高速度",),
    0x0056: _seconds("overspeed_duration_s", "Overspeed duration 超速持续时间"),
    0x0057: _seconds("driving_limit_s", "Continuous driving limit 连续驾驶时间门限"),
    0x0058: _seconds("daily_driving_limit_s", "Daily driving limit 当天累计驾驶时间门限"),
    0x0059: _seconds("rest_s", "Minimum rest 最小休息时间"),
    0x005A: _seconds("parking_limit_s", "Longest parking 最长停车时间"),
    0x005B: ("overspeed_warning_kmh" / Scaled(Int16ub, 10, "km/h") * "Overspeed pre-warning difference 超速预警差值",),
    0x005C: ("fatigue_warning_s" / Scaled(Int16ub, 1, "s") * "Fatigue pre-warning difference 疲劳驾驶预警差值",),
    0x005D: ("collision" / Flags(Int16ub, _COLLISION) * "Collision alarm 碰撞报警参数设置",),
    0x005E: ("rollover_angle_deg" / Scaled(Int16ub, 1, "°") * "Rollover angle 侧翻报警参数设置",),
    0x0064: ("timed_photos" / Flags(Int32ub, _PHOTOS) * "Timed photos 定时拍照控制",),
    0x0065: ("distance_photos" / Flags(Int32ub, _PHOTOS) * "Distance photos 定距拍照控制",),
    0x0070: _number("picture_quality", "Image and video quality, 1 the best to 10 图像/视频质量"),
    0x0071: _number("brightness", "Brightness, 0 to 255 亮度"),
    0x0072: _number("contrast", "Contrast, 0 to 127 对比度"),
    0x0073: _number("saturation", "Saturation, 0 to 127 饱和度"),
    0x0074: _number("chroma", "Chroma, 0 to 255 色度"),
    0x0075: ("video" / Bytes(21) * "Audio and video 音视频参数设置",),
    0x0076: ("video_channels" / GreedyBytes * "Audio and video channels 音视频通道列表设置",),
    0x0077: ("video_by_channel" / GreedyBytes * "Video by channel 单独视频通道参数设置",),
    0x0079: ("special_recording" / _SPECIAL_RECORDING * "Recording of special alarms 特殊报警录像参数设置",),
    0x007A: ("video_alarm_mask" / Flags(Int32ub, VIDEO_ALARMS) * "Video alarms suppressed 视频相关报警屏蔽字",),
    0x007B: ("image_analysis" / Bytes(2) * "Image analysis alarms 图像分析报警参数设置",),
    0x007C: ("sleep_mode" / Bytes(20) * "Sleep and wake-up 终端休眠唤醒模式设置",),
    0x0080: ("odometer_km" / Scaled(Int32ub, 10, "km") * "Odometer reading 车辆里程表读数",),
    0x0081: ("province_id" / Int16ub * "Province 车辆所在的省域ID",),
    0x0082: ("city_id" / Int16ub * "City 车辆所在的市域ID",),
    0x0083: ("plate" / Text(likely=PLATE) * "Plate 机动车号牌",),
    0x0084: ("plate_colour" / Choice(Int8ub, COLOURS) * "Plate colour 车牌颜色",),
    0x0090: ("gnss_mode" / Flags(Int8ub, _GNSS_MODES) * "GNSS mode GNSS定位模式",),
    0x0091: ("gnss_baud" / Choice(Int8ub, _BAUDS) * "GNSS baud rate GNSS波特率",),
    0x0092: ("gnss_period" / Choice(Int8ub, _PERIODS) * "GNSS output period GNSS模块详细定位数据输出频率",),
    0x0093: _seconds("gnss_sampling_s", "GNSS detail sampling GNSS模块详细定位数据采集频率"),
    0x0094: ("gnss_upload" / Choice(Int8ub, _UPLOADS) * "GNSS detail upload GNSS模块详细定位数据上传方式",),
    0x0095: _number("gnss_upload_setting", "GNSS detail upload in s, m or records GNSS模块详细定位数据上传设置"),
    0x0100: ("can_1_sampling_ms" / Scaled(Int32ub, 1, "ms") * "CAN 1 sampling interval, 0 off CAN总线通道1采集时间间隔",),
    0x0101: ("can_1_upload_s" / Scaled(Int16ub, 1, "s") * "CAN 1 upload interval, 0 off CAN总线通道1上传时间间隔",),
    0x0102: ("can_2_sampling_ms" / Scaled(Int32ub, 1, "ms") * "CAN 2 sampling interval, 0 off CAN总线通道2采集时间间隔",),
    0x0103: ("can_2_upload_s" / Scaled(Int16ub, 1, "s") * "CAN 2 upload interval, 0 off CAN总线通道2上传时间间隔",),
} | {
    id: (f"can_sampling_{id:04x}" / _CAN_SAMPLING * "Sampling of one CAN id CAN总线ID单独采集设置",)
    for id in range(_FIRST_CAN_ID, _LAST_CAN_ID + 1)
}

PARAMETERS = Items(TABLE, head=">IB")
