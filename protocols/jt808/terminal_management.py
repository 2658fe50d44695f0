"""Terminal management (终端管理类): registration, parameters, control, attributes and upgrade.

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, sections 8.1 to 8.17.
"""

from __future__ import annotations

from construct import Array, GreedyBytes, Int8ub, Int16ub, Int32ub, Prefixed, Struct, this

from protocols.fields import BCD, BcdTime, Bit, Choice, Count, Flags, Option, Scaled, Secret, Text
from protocols.jt808.parameters import PARAMETERS
from protocols.jt808.rows import (
    ANSWERED_SEQUENCE,
    EMPTY,
    EXTRA,
    PLATFORM_GENERAL_RESPONSE,
    TERMINAL_GENERAL_RESPONSE,
    Answer,
    Choose,
    downlink,
    uplink,
)
from protocols.jt808.vehicle import COLOURS, PLATE

HEARTBEAT = 0x0002
LOGOUT = 0x0003
SERVER_TIME_QUERY = 0x0004
SUB_PACKET_REQUEST = 0x0005
REGISTER = 0x0100
AUTHENTICATE = 0x0102
PARAMETERS_RESPONSE = 0x0104
ATTRIBUTES_RESPONSE = 0x0107
UPGRADE_RESULT = 0x0108
PLATFORM_SUB_PACKET_REQUEST = 0x8003
SERVER_TIME = 0x8004
REGISTER_RESPONSE = 0x8100
SET_PARAMETERS = 0x8103
QUERY_PARAMETERS = 0x8104
TERMINAL_CONTROL = 0x8105
QUERY_LISTED_PARAMETERS = 0x8106
QUERY_ATTRIBUTES = 0x8107
UPGRADE_PACKAGE = 0x8108

_COLOURS_2011 = frozenset({1, 2, 3, 4, 9})
_RESULTS = {
    0: Option("success", "Success or confirmed 成功/确认"),
    1: Option("failure", "Failure 失败"),
    2: Option("message_wrong", "Message wrong 消息有误"),
    3: Option("not_supported", "Not supported 不支持"),
    4: Option("alarm_confirmed", "Handling of the alarm confirmed 报警处理确认"),
}
_REGISTRATION_RESULTS = {
    0: Option("success", "Success 成功"),
    1: Option("vehicle_registered", "Vehicle registered already 车辆已被注册"),
    2: Option("no_such_vehicle", "No such vehicle 数据库中无该车辆"),
    3: Option("terminal_registered", "Terminal registered already 终端已被注册"),
    4: Option("no_such_terminal", "No such terminal 数据库中无该终端"),
}
_COMMANDS = {
    1: Option("upgrade", "Upgrade over the air, until 2013 无线升级"),
    2: Option("connect", "Connect to the given server 控制终端连接指定服务器"),
    3: Option("power_off", "Power off, until 2013 终端关机"),
    4: Option("reset", "Reset 终端复位"),
    5: Option("factory_reset", "Factory reset 终端恢复出厂设置"),
    6: Option("close_data", "Close data communication, until 2013 关闭数据通信"),
    7: Option("close_wireless", "Close all wireless communication, until 2013 关闭所有无线通信"),
}
_TERMINAL_TYPES = {
    0: Bit("passenger", "For passenger vehicles 适用客运车辆"),
    1: Bit("dangerous_goods", "For dangerous goods vehicles 适用危险品车辆"),
    2: Bit("freight", "For freight vehicles 适用普通货运车辆"),
    3: Bit("taxi", "For taxis 适用出租车辆"),
    6: Bit("hard_disk_video", "Hard-disk video recording 支持硬盘录像"),
    7: Bit("split", "Split, else in one piece 分体机"),
    8: Bit("trailer", "For trailers, since 2019 适用挂车"),
}
_GNSS_MODULE = {
    0: Bit("gps", "GPS 支持GPS定位"),
    1: Bit("beidou", "BeiDou 支持北斗定位"),
    2: Bit("glonass", "GLONASS 支持GLONASS定位"),
    3: Bit("galileo", "Galileo 支持Galileo定位"),
}
_COMMUNICATION_MODULE = {
    0: Bit("gprs", "GPRS 支持GPRS通信"),
    1: Bit("cdma", "CDMA 支持CDMA通信"),
    2: Bit("td_scdma", "TD-SCDMA 支持TD-SCDMA通信"),
    3: Bit("wcdma", "WCDMA 支持WCDMA通信"),
    4: Bit("cdma2000", "CDMA2000 支持CDMA2000通信"),
    5: Bit("td_lte", "TD-LTE 支持TD-LTE通信"),
    7: Bit("other", "Other 支持其他通信方式"),
}
UPGRADED = {
    0: Option("terminal", "Terminal 终端"),
    12: Option("ic_card_reader", "IC card reader 道路运输证IC卡读卡器"),
    52: Option("gnss_module", "BeiDou or GNSS module 北斗卫星定位模块"),
}
_UPGRADE_RESULTS = {
    0: Option("success", "Success 成功"),
    1: Option("failure", "Failure 失败"),
    2: Option("cancelled", "Cancelled 取消"),
}

_GENERAL_RESPONSE = (
    ANSWERED_SEQUENCE,
    "answered_kind" / Int16ub * "Id of the answered message 应答ID",
    "result" / Choice(Int8ub, _RESULTS) * "Result 结果",
)
GENERAL_RESPONSE = Struct(*_GENERAL_RESPONSE, EXTRA)
PLAIN_GENERAL_RESPONSE = Struct(*_GENERAL_RESPONSE)
"""As the platform sends it."""
SUCCESS, FAILURE = 0, 1
REGISTRATION_ACCEPTED = Struct(
    ANSWERED_SEQUENCE,
    "result" / Choice(Int8ub, _REGISTRATION_RESULTS) * "Result 结果",
    "code" / Secret(Text()) * "Authentication code, with result 0 only 鉴权码",
)
_SERVER_TIME = Struct("time" / BcdTime(0) * "Server time, UTC 服务器时间", EXTRA)

_ORIGINAL = "original_sequence" / Int16ub * "Serial number of the message's first sub-packet 原始消息流水号"
_INDEXES = "indexes" / Array(this.count, Int16ub) * "Sub-packets wanted, from 1 重传包ID列表"
SUB_PACKET_REQUEST_2013 = Struct(_ORIGINAL, "count" / Count(Int8ub, "indexes") * "Sub-packets wanted 重传包总数", _INDEXES, EXTRA)
SUB_PACKET_REQUEST_2019 = Struct(_ORIGINAL, "count" / Count(Int16ub, "indexes") * "Sub-packets wanted 重传包总数", _INDEXES, EXTRA)


def _sub_packet_request_layout(body: bytes, is_2019: bool) -> Struct:
    """The count grew from one byte to two; what comes out even is right."""
    if len(body) >= 4 and len(body) == 4 + 2 * int.from_bytes(body[2:4], "big"):
        return SUB_PACKET_REQUEST_2019
    if len(body) >= 3 and len(body) == 3 + 2 * body[2]:
        return SUB_PACKET_REQUEST_2013
    return SUB_PACKET_REQUEST_2019 if is_2019 else SUB_PACKET_REQUEST_2013


def _registration(manufacturer: int, model: int, terminal: int) -> Struct:
    return Struct(
        "province_id" / Int16ub * "Province, first two digits of GB/T 2260 省域ID",
        "city_id" / Int16ub * "City or county, last four digits of GB/T 2260 市县域ID",
        "manufacturer_id" / Text(manufacturer) * "Manufacturer 制造商ID",
        "model" / Text(model) * "Terminal model 终端型号",
        "terminal_id" / Text(terminal) * "Terminal id 终端ID",
        "plate_colour" / Choice(Int8ub, COLOURS) * "Plate colour 车牌颜色",
        "plate" / Text(likely=PLATE) * "Plate; VIN where the colour is none 车牌",
    )


REGISTRATION_2011 = _registration(5, 8, 7)
REGISTRATION_2013 = _registration(5, 20, 7)
REGISTRATION_2019 = _registration(11, 30, 30)


def _registration_layout(body: bytes, is_2019: bool) -> Struct:
    """2011 and 2013 share a header: what tells them apart is where the plate's colour is."""
    if is_2019 and len(body) >= 76:
        return REGISTRATION_2019
    if len(body) < 37:
        return REGISTRATION_2011
    # A 2013 body has the end of its model where 2011 has the colour: mostly 0x00, which is no colour of 2011.
    is_text = all(byte == 0 or 0x20 <= byte < 0x7F for byte in body[29:36])
    if (body[36] in COLOURS and is_text) or body[24] not in _COLOURS_2011:
        return REGISTRATION_2013
    return REGISTRATION_2011


_CODE = "code" / Secret(Prefixed(Int8ub, Text())) * "Authentication code 鉴权码内容"
_IMEI = "imei" / Text(15) * "IMEI 终端IMEI"
AUTHENTICATION_2013 = Struct("code" / Secret(Text()) * "Authentication code 鉴权码")
AUTHENTICATION_2019 = Struct(_CODE, _IMEI, "software" / Text(20) * "Software version 软件版本号")
AUTHENTICATION_2019_IMEI = Struct(_CODE, _IMEI)
AUTHENTICATION_2019_CODE = Struct(_CODE)


def _authentication_layout(body: bytes, is_2019: bool) -> Struct:
    """Under a 2019 header some terminals leave out the version, or the IMEI too, or send the code as in 2013."""
    if not is_2019 or not body:
        return AUTHENTICATION_2013
    layouts = {36: AUTHENTICATION_2019, 16: AUTHENTICATION_2019_IMEI, 1: AUTHENTICATION_2019_CODE}
    return layouts.get(len(body) - body[0], AUTHENTICATION_2013)


_COUNT_OF_PARAMETERS = "count" / Count(Int8ub, "parameters") * "Number of parameters 参数总数"
_PARAMETERS = "parameters" / PARAMETERS * "Parameters 参数项列表"
_SET_PARAMETERS = Struct(_COUNT_OF_PARAMETERS, _PARAMETERS)
_PARAMETERS_RESPONSE = Struct(ANSWERED_SEQUENCE, _COUNT_OF_PARAMETERS, _PARAMETERS)
_QUERY_LISTED_PARAMETERS = Struct(
    "count" / Count(Int8ub, "ids") * "Number of parameters 参数总数",
    "ids" / Array(this.count, Int32ub) * "Ids of the parameters 参数ID列表",
    EXTRA,
)
_TERMINAL_CONTROL = Struct(
    "command" / Choice(Int8ub, _COMMANDS) * "Command 命令字",
    # Among them are the password of an access point and another platform's authentication code.
    "parameters" / Secret(Text()) * "Parameters, decimal text joined by semicolons 命令参数",
)


def _attributes(model: int, terminal: int, manufacturer: int = 5) -> Struct:
    return Struct(
        "terminal_type" / Flags(Int16ub, _TERMINAL_TYPES) * "Terminal type 终端类型",
        "manufacturer_id" / Text(manufacturer) * "Manufacturer 制造商ID",
        "model" / Text(model) * "Terminal model 终端型号",
        "terminal_id" / Text(terminal) * "Terminal id 终端ID",
        "iccid" / BCD(10) * "ICCID of the SIM card 终端SIM卡ICCID",
        "hardware" / Prefixed(Int8ub, Text()) * "Hardware version 终端硬件版本号",
        "software" / Prefixed(Int8ub, Text()) * "Firmware version 终端固件版本号",
        "gnss_module" / Flags(Int8ub, _GNSS_MODULE) * "GNSS module GNSS模块属性",
        "communication_module" / Flags(Int8ub, _COMMUNICATION_MODULE) * "Communication module 通信模块属性",
        EXTRA,
    )


_ATTRIBUTES_2013, _ATTRIBUTES_2019, _ATTRIBUTES_2019_LONG = _attributes(20, 7), _attributes(30, 30), _attributes(30, 30, 11)
_ATTRIBUTE_SIZES = ((44, _ATTRIBUTES_2013), (77, _ATTRIBUTES_2019), (83, _ATTRIBUTES_2019_LONG))


def _attributes_layout(body: bytes, is_2019: bool) -> Struct:
    """Right is the layout in which both lengths of versions lead to the end."""
    order = _ATTRIBUTE_SIZES if not is_2019 else (_ATTRIBUTE_SIZES[1], _ATTRIBUTE_SIZES[0], _ATTRIBUTE_SIZES[2])
    for at, layout in order:
        firmware_at = at + 1 + body[at] if len(body) > at else len(body)
        if len(body) > firmware_at and len(body) == firmware_at + 1 + body[firmware_at] + 2:
            return layout
    return order[0][1]


_PACKAGE_HEAD = (
    "upgraded" / Choice(Int8ub, UPGRADED) * "What is upgraded 升级类型",
    "manufacturer_id" / Text(5) * "Manufacturer 制造商ID",
    "software" / Prefixed(Int8ub, Text()) * "Firmware version 版本号",
    "size_bytes" / Scaled(Int32ub, 1, "bytes") * "Size of the whole package 升级数据包长度",
)
PACKAGE_HEAD = Struct(*_PACKAGE_HEAD)
"""What stands before the package, in the first sub-packet."""
UPGRADE_PACKAGE_BODY = Struct(*_PACKAGE_HEAD, "data" / GreedyBytes * "Package 升级数据包")
UPGRADE_RESULT_BODY = Struct(
    "upgraded" / Choice(Int8ub, UPGRADED) * "What was upgraded 升级类型",
    "result" / Choice(Int8ub, _UPGRADE_RESULTS) * "Result 升级结果",
    EXTRA,
)
_REQUESTS: dict[str, Struct] = {"2013": SUB_PACKET_REQUEST_2013, "2019": SUB_PACKET_REQUEST_2019}
_ASKING: Choose = _sub_packet_request_layout

ROWS = (
    uplink(
        TERMINAL_GENERAL_RESPONSE,
        "general_response",
        "Terminal general response",
        "终端通用应答",
        {"2011": GENERAL_RESPONSE},
        Answer.NONE,
    ),
    uplink(HEARTBEAT, "heartbeat", "Terminal heartbeat", "终端心跳", {"2011": EMPTY}),
    uplink(LOGOUT, "logout", "Terminal log-out", "终端注销", {"2011": EMPTY}, ends_session=True),
    uplink(SERVER_TIME_QUERY, "server_time_query", "Query server time", "查询服务器时间请求", {"2019": EMPTY}, Answer.SERVER_TIME),
    uplink(
        SUB_PACKET_REQUEST,
        "sub_packet_request",
        "Terminal request for missing sub-packets",
        "终端补传分包请求",
        _REQUESTS,
        Answer.SUB_PACKETS,
        _ASKING,
    ),
    uplink(
        REGISTER,
        "register",
        "Terminal registration",
        "终端注册",
        {"2011": REGISTRATION_2011, "2013": REGISTRATION_2013, "2019": REGISTRATION_2019},
        Answer.REGISTRATION,
        _registration_layout,
    ),
    uplink(
        AUTHENTICATE,
        "authenticate",
        "Terminal authentication",
        "终端鉴权",
        {
            "2011": AUTHENTICATION_2013,
            "2019": AUTHENTICATION_2019,
            "2019 without version": AUTHENTICATION_2019_IMEI,
            "2019 code only": AUTHENTICATION_2019_CODE,
        },
        Answer.AUTHENTICATION,
        _authentication_layout,
    ),
    uplink(
        PARAMETERS_RESPONSE,
        "parameters_response",
        "Query parameters response",
        "查询终端参数应答",
        {"2011": _PARAMETERS_RESPONSE},
        Answer.NONE,
    ),
    uplink(
        ATTRIBUTES_RESPONSE,
        "attributes_response",
        "Query attributes response",
        "查询终端属性应答",
        {"2013": _ATTRIBUTES_2013, "2019": _ATTRIBUTES_2019, "2019 long manufacturer": _ATTRIBUTES_2019_LONG},
        Answer.NONE,
        _attributes_layout,
    ),
    uplink(UPGRADE_RESULT, "upgrade_result", "Upgrade result notification", "终端升级结果通知", {"2013": UPGRADE_RESULT_BODY}),
    downlink(
        PLATFORM_GENERAL_RESPONSE,
        "platform_general_response",
        "Platform general response",
        "平台通用应答",
        {"2011": GENERAL_RESPONSE},
        (),
    ),
    downlink(
        PLATFORM_SUB_PACKET_REQUEST,
        "platform_sub_packet_request",
        "Request for missing sub-packets",
        "服务器补传分包请求",
        _REQUESTS,
        (),
        _ASKING,
    ),
    downlink(SERVER_TIME, "server_time", "Query server time response", "查询服务器时间应答", {"2019": _SERVER_TIME}, ()),
    downlink(REGISTER_RESPONSE, "register_response", "Registration response", "终端注册应答", {"2011": REGISTRATION_ACCEPTED}, ()),
    downlink(SET_PARAMETERS, "set_parameters", "Set terminal parameters", "设置终端参数", {"2011": _SET_PARAMETERS}),
    downlink(
        QUERY_PARAMETERS, "query_parameters", "Query terminal parameters", "查询终端参数", {"2011": EMPTY}, (PARAMETERS_RESPONSE,)
    ),
    downlink(TERMINAL_CONTROL, "terminal_control", "Terminal control", "终端控制", {"2011": _TERMINAL_CONTROL}),
    downlink(
        QUERY_LISTED_PARAMETERS,
        "query_listed_parameters",
        "Query specified parameters",
        "查询指定终端参数",
        {"2013": _QUERY_LISTED_PARAMETERS},
        (PARAMETERS_RESPONSE,),
    ),
    downlink(
        QUERY_ATTRIBUTES, "query_attributes", "Query terminal attributes", "查询终端属性", {"2013": EMPTY}, (ATTRIBUTES_RESPONSE,)
    ),
    downlink(
        UPGRADE_PACKAGE,
        "upgrade_package",
        "Send upgrade package",
        "下发终端升级包",
        {"2013": UPGRADE_PACKAGE_BODY},
        (TERMINAL_GENERAL_RESPONSE, UPGRADE_RESULT),
    ),
)
