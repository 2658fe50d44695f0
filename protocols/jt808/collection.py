"""Data collection (信息采集类): driving recorder, waybill, driver, CAN bus.

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, sections 8.44 to 8.50; the recorder's blocks: GB/T 19056.
"""

from __future__ import annotations

from construct import Bytes, GreedyBytes, Int8ub, Int16ub, Int32ub, Prefixed, Struct

from protocols.fields import BCD, BcdTime, Bit, Choice, Count, Flags, Option, Scaled, Secret, Text
from protocols.items import UntilEnd
from protocols.jt808.rows import ANSWERED_SEQUENCE, EMPTY, EXTRA, Answer, downlink, uplink

DRIVING_RECORD = 0x0700
WAYBILL = 0x0701
DRIVER_IDENTITY = 0x0702
CAN_DATA = 0x0705
COLLECT_DRIVING_RECORD = 0x8700
SET_DRIVING_RECORDER = 0x8701
QUERY_DRIVER_IDENTITY = 0x8702

_COMMANDS = {
    0x00: Option("standard", "Standard and its year 执行标准版本"),
    0x01: Option("driver", "Driver 驾驶人信息"),
    0x02: Option("clock", "Clock 实时时间"),
    0x03: Option("mileage", "Mileage 累计行驶里程"),
    0x04: Option("pulse_coefficient", "Pulse coefficient 脉冲系数"),
    0x05: Option("vehicle", "Vehicle 车辆信息"),
    0x06: Option("signals", "Signal configuration 状态信号配置信息"),
    0x07: Option("number", "Unique number 记录仪唯一性编号"),
    0x08: Option("speeds", "Speeds 行驶速度记录"),
    0x09: Option("positions", "Positions 位置信息记录"),
    0x10: Option("accidents", "Accidents 事故疑点记录"),
    0x11: Option("overtime", "Driving without rest 超时驾驶记录"),
    0x12: Option("drivers", "Changes of the driver 驾驶人身份记录"),
    0x13: Option("power", "External power 外部供电记录"),
    0x14: Option("changes", "Changes of parameters 参数修改记录"),
    0x15: Option("speed_states", "Log of the speed's state 速度状态日志"),
    0x82: Option("set_vehicle", "Set the vehicle 设置车辆信息"),
    0x83: Option("set_installation", "Set the first installation 设置初次安装日期"),
    0x84: Option("set_signals", "Set the signal configuration 设置状态信号配置信息"),
    0xC2: Option("set_clock", "Set the clock 设置记录仪时间"),
    0xC3: Option("set_pulse_coefficient", "Set the pulse coefficient 设置脉冲系数"),
    0xC4: Option("set_mileage", "Set the mileage 设置初始里程"),
}
_STATES = {
    1: Option("on_duty", "Card inserted, on duty 驾驶员上班"),
    2: Option("off_duty", "Card removed, off duty 驾驶员下班"),
}
_CARD_RESULTS = {
    0: Option("success", "Read 读卡成功"),
    1: Option("key_refused", "Key authentication failed 卡片密钥认证未通过"),
    2: Option("locked", "Card locked 卡片已被锁定"),
    3: Option("removed", "Card removed 卡片被拔出"),
    4: Option("check_failed", "Data check failed 数据校验错误"),
}
_CAN_ID = {
    0: Bit("id", "CAN id CAN总线ID", 29),
    29: Bit("averaged", "Averaged over the interval, else as it came 数据采集方式"),
    30: Bit("extended", "Extended frame 扩展帧"),
    31: Bit("can_2", "Channel CAN 2, else CAN 1 CAN通道号"),
}

_COMMAND = "command" / Choice(Int8ub, _COMMANDS) * "Command of the recorder 命令字"
_BLOCK = "data" / GreedyBytes * "Block of GB/T 19056 数据块"
_RECORDER = Struct(_COMMAND, _BLOCK)
_DRIVING_RECORD_2013 = Struct(ANSWERED_SEQUENCE, _COMMAND, _BLOCK)
_BLOCK_BEGINNING = b"\x55\x7a"


def _driving_record_layout(body: bytes, is_2019: bool) -> Struct:
    """The older form has no serial number: the block begins nearer."""
    return _RECORDER if body[1:3] == _BLOCK_BEGINNING and body[3:5] != _BLOCK_BEGINNING else _DRIVING_RECORD_2013


_WAYBILL = Struct(
    "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size of the waybill 电子运单长度",
    "data" / GreedyBytes * "Waybill 电子运单内容",
)

_NAME = "name" / Prefixed(Int8ub, Text()) * "Name of the driver 驾驶员姓名"
_ISSUER = "issuer" / Prefixed(Int8ub, Text()) * "Issuer of the qualification 发证机构名称"
_QUALIFICATION_TEXT = "Number of the qualification 从业资格证编码"
_IDENTITY_CARD = "identity_card" / Secret(Text(20)) * "Identity card of the driver 驾驶员身份证号"
_CARD_TIME = (
    "status" / Choice(Int8ub, _STATES) * "Status 状态",
    "time" / BcdTime(8) * "When the card went in or out, GMT+8 插卡/拔卡时间",
)
_CARD_READ = "card" / Choice(Int8ub, _CARD_RESULTS) * "Whether the card could be read IC卡读取结果"
_DRIVER = (
    _NAME,
    "qualification" / Text(20) * _QUALIFICATION_TEXT,
    _ISSUER,
    "valid_until" / BCD(4) * "Last day of the qualification, YYYYMMDD 证件有效期",
)
_DRIVER_2011 = Struct(_NAME, _IDENTITY_CARD, "qualification" / Text(40) * _QUALIFICATION_TEXT, _ISSUER, EXTRA)
_DRIVER_2013 = Struct(*_CARD_TIME, _CARD_READ, *_DRIVER, EXTRA)
_DRIVER_2019 = Struct(*_CARD_TIME, _CARD_READ, *_DRIVER, _IDENTITY_CARD, EXTRA)
_DRIVER_UNREAD = Struct(*_CARD_TIME, _CARD_READ, EXTRA)
_DRIVER_OFF_DUTY = Struct(*_CARD_TIME)
_TIME = BcdTime(8)


def _driver_layout(body: bytes, is_2019: bool) -> Struct:
    """By what is there: terminals send the driver with status 2 too, and identity cards before 2019."""
    if not (body[:1] in (b"\1", b"\2") and len(body) >= 7 and not isinstance(_TIME.parse(body[1:7]), bytes)):
        return _DRIVER_2011
    if len(body) == 7:
        return _DRIVER_OFF_DUTY
    if len(body) == 8 or body[7]:
        return _DRIVER_UNREAD
    issuer_at = 29 + body[8]
    left = len(body) - issuer_at - 1 - (body[issuer_at] if len(body) > issuer_at else 0)
    return _DRIVER_2019 if left >= 4 + 20 else _DRIVER_2013


_CAN_DATA = Struct(
    "count" / Count(Int16ub, "items") * "Number of items 数据项个数",
    "time_of_day" / BCD(5) * "Time of the first item, hhmmss and four digits of ms CAN总线数据接收时间",
    "items"
    / UntilEnd(Struct("can" / Flags(Int32ub, _CAN_ID) * "Where it comes from CAN总线ID", "data" / Bytes(8) * "Data CAN数据"))
    * "Items CAN总线数据项",
)

ROWS = (
    uplink(
        DRIVING_RECORD,
        "driving_record",
        "Driving record data upload",
        "行驶记录数据上传",
        {"2011": _RECORDER, "2013": _DRIVING_RECORD_2013},
        Answer.NONE,
        _driving_record_layout,
    ),
    uplink(WAYBILL, "waybill", "Electronic waybill report", "电子运单上报", {"2011": _WAYBILL}),
    uplink(
        DRIVER_IDENTITY,
        "driver_identity",
        "Driver identity report",
        "驾驶员身份信息采集上报",
        {
            "2011": _DRIVER_2011,
            "2013": _DRIVER_2013,
            "2013 unread": _DRIVER_UNREAD,
            "2013 off duty": _DRIVER_OFF_DUTY,
            "2019": _DRIVER_2019,
            "2019 unread": _DRIVER_UNREAD,
            "2019 off duty": _DRIVER_OFF_DUTY,
        },
        choose=_driver_layout,
    ),
    uplink(CAN_DATA, "can_data", "CAN bus data upload", "CAN总线数据上传", {"2013": _CAN_DATA}),
    downlink(
        COLLECT_DRIVING_RECORD,
        "collect_driving_record",
        "Collect driving record data",
        "行驶记录数据采集命令",
        {"2011": _RECORDER},
        (DRIVING_RECORD,),
    ),
    downlink(
        SET_DRIVING_RECORDER,
        "set_driving_recorder",
        "Set driving recorder parameters",
        "行驶记录参数下传命令",
        {"2011": _RECORDER},
    ),
    downlink(
        QUERY_DRIVER_IDENTITY,
        "query_driver_identity",
        "Request driver identity",
        "上报驾驶员身份信息请求",
        {"2013": EMPTY},
        (DRIVER_IDENTITY,),
    ),
)
