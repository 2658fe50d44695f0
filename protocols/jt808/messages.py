"""JT/T 808's messages, one row each.

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, chapter 8 and annex A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from construct import GreedyBytes, Int8ub, Int16ub, Prefixed, Struct

from protocols.fields import Choice, Option, Secret, Text
from protocols.items import Records
from protocols.jt808.location import LOCATION_2013, LOCATION_2019

TERMINAL_GENERAL_RESPONSE = 0x0001
HEARTBEAT = 0x0002
LOGOUT = 0x0003
REGISTER = 0x0100
AUTHENTICATE = 0x0102
LOCATION = 0x0200
LOCATION_BATCH = 0x0704
PLATFORM_GENERAL_RESPONSE = 0x8001
REGISTER_RESPONSE = 0x8100

PLATE = "[\u4e00-\u9fff][A-Z][A-Z0-9\u4e00-\u9fff]{4,7}"
"""What a Chinese plate looks like: province, letter, number."""

_COLOURS = {
    0: Option("none", "No plate 未上牌"),
    1: Option("blue", "Blue 蓝色"),
    2: Option("yellow", "Yellow 黄色"),
    3: Option("black", "Black 黑色"),
    4: Option("white", "White 白色"),
    5: Option("green", "Green 绿色"),
    9: Option("other", "Other 其他"),
    91: Option("farm_yellow", "Farm yellow 农黄色"),
    92: Option("farm_green", "Farm green 农绿色"),
    93: Option("yellow_green", "Yellow-green 黄绿色"),
    94: Option("gradient_green", "Gradient green 渐变绿色"),
}
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
_BATCH_TYPES = {0: Option("normal", "Normal batch 正常位置批量汇报"), 1: Option("catch_up", "Blind-area catch-up 盲区补报")}

_EXTRA = "extra" / GreedyBytes * "Bytes of the vendor's behind the standard's 多余字节"
_ANSWERED_SEQUENCE = "answered_sequence" / Int16ub * "Serial number of the answered message 应答流水号"

EMPTY = Struct(_EXTRA)
GENERAL_RESPONSE = Struct(
    _ANSWERED_SEQUENCE,
    "answered_kind" / Int16ub * "Id of the answered message 应答ID",
    "result" / Choice(Int8ub, _RESULTS) * "Result 结果",
    _EXTRA,
)
REGISTRATION_ACCEPTED = Struct(
    _ANSWERED_SEQUENCE,
    "result" / Choice(Int8ub, _REGISTRATION_RESULTS) * "Result 结果",
    "code" / Secret(Text()) * "Authentication code, with result 0 only 鉴权码",
)


def _registration(manufacturer: int, model: int, terminal: int) -> Struct:
    return Struct(
        "province_id" / Int16ub * "Province, first two digits of GB/T 2260 省域ID",
        "city_id" / Int16ub * "City or county, last four digits of GB/T 2260 市县域ID",
        "manufacturer_id" / Text(manufacturer) * "Manufacturer 制造商ID",
        "model" / Text(model) * "Terminal model 终端型号",
        "terminal_id" / Text(terminal) * "Terminal id 终端ID",
        "plate_colour" / Choice(Int8ub, _COLOURS) * "Plate colour 车牌颜色",
        "plate" / Text(likely=PLATE) * "Plate; VIN where the colour is none 车牌",
    )


REGISTRATION_2011 = _registration(5, 8, 7)
REGISTRATION_2013 = _registration(5, 20, 7)
REGISTRATION_2019 = _registration(11, 30, 30)

_CODE = "code" / Secret(Prefixed(Int8ub, Text())) * "Authentication code 鉴权码内容"
_IMEI = "imei" / Text(15) * "IMEI 终端IMEI"
AUTHENTICATION_2013 = Struct("code" / Secret(Text()) * "Authentication code 鉴权码")
AUTHENTICATION_2019 = Struct(_CODE, _IMEI, "software" / Text(20) * "Software version 软件版本号")
AUTHENTICATION_2019_IMEI = Struct(_CODE, _IMEI)
AUTHENTICATION_2019_CODE = Struct(_CODE)


def _location_batch(location: Struct) -> Struct:
    return Struct(
        "count" / Int16ub * "Number of locations 数据项个数",
        "type" / Choice(Int8ub, _BATCH_TYPES) * "Why they come together 位置数据类型",
        "items" / Records(location) * "Locations with their lengths 位置汇报数据项",
    )


def _registration_layout(body: bytes, is_2019: bool) -> Struct:
    """2011 and 2013 share a header: what tells them apart is where the plate's colour is."""
    if is_2019 and len(body) >= 76:
        return REGISTRATION_2019
    if len(body) < 37:
        return REGISTRATION_2011
    # A 2013 body has the end of its model where 2011 has the colour: mostly 0x00, which is no colour of 2011.
    is_text = all(byte == 0 or 0x20 <= byte < 0x7F for byte in body[29:36])
    if (body[36] in _COLOURS and is_text) or body[24] not in _COLOURS_2011:
        return REGISTRATION_2013
    return REGISTRATION_2011


def _authentication_layout(body: bytes, is_2019: bool) -> Struct:
    """Under a 2019 header some terminals leave out the version, or the IMEI too, or send the code as in 2013."""
    if not is_2019 or not body:
        return AUTHENTICATION_2013
    layouts = {36: AUTHENTICATION_2019, 16: AUTHENTICATION_2019_IMEI, 1: AUTHENTICATION_2019_CODE}
    return layouts.get(len(body) - body[0], AUTHENTICATION_2013)


def _by_version(layout_2013: Struct, layout_2019: Struct) -> Callable[[bytes, bool], Struct]:
    return lambda body, is_2019: layout_2019 if is_2019 else layout_2013


class Answer(Enum):
    """How the platform answers a message."""

    NONE = "none"
    """Not at all: it is an answer itself."""
    GENERAL = "general"
    REGISTRATION = "registration"
    AUTHENTICATION = "authentication"
    """By the general response, which says whether the code is the one that registration gave."""


class MessageType(NamedTuple):
    """A row of the table."""

    id: int
    name: str
    english: str
    chinese: str
    layouts: Mapping[str, Struct]
    """The body's declarations by the edition they come from."""
    answer: Answer = Answer.GENERAL
    ends_session: bool = False
    choose: Callable[[bytes, bool], Struct] | None = None
    """Which layout a body has, given whether its header is of 2019. None where there is only one."""

    def layout(self, body: bytes, is_2019: bool) -> Struct:
        return self.choose(body, is_2019) if self.choose else next(iter(self.layouts.values()))


_BATCH_2013, _BATCH_2019 = _location_batch(LOCATION_2013), _location_batch(LOCATION_2019)

MESSAGES: dict[int, MessageType] = {
    row.id: row
    for row in (
        MessageType(
            TERMINAL_GENERAL_RESPONSE,
            "general_response",
            "Terminal general response",
            "终端通用应答",
            {"2011": GENERAL_RESPONSE},
            Answer.NONE,
        ),
        MessageType(HEARTBEAT, "heartbeat", "Terminal heartbeat", "终端心跳", {"2011": EMPTY}),
        MessageType(LOGOUT, "logout", "Terminal log-out", "终端注销", {"2011": EMPTY}, ends_session=True),
        MessageType(
            REGISTER,
            "register",
            "Terminal registration",
            "终端注册",
            {"2011": REGISTRATION_2011, "2013": REGISTRATION_2013, "2019": REGISTRATION_2019},
            Answer.REGISTRATION,
            choose=_registration_layout,
        ),
        MessageType(
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
            choose=_authentication_layout,
        ),
        MessageType(
            LOCATION,
            "location",
            "Location report",
            "位置信息汇报",
            {"2013": LOCATION_2013, "2019": LOCATION_2019},
            choose=_by_version(LOCATION_2013, LOCATION_2019),
        ),
        MessageType(
            LOCATION_BATCH,
            "location_batch",
            "Batch location upload",
            "定位数据批量上传",
            {"2013": _BATCH_2013, "2019": _BATCH_2019},
            choose=_by_version(_BATCH_2013, _BATCH_2019),
        ),
        MessageType(
            PLATFORM_GENERAL_RESPONSE,
            "platform_general_response",
            "Platform general response",
            "平台通用应答",
            {"2011": GENERAL_RESPONSE},
            Answer.NONE,
        ),
        MessageType(
            REGISTER_RESPONSE,
            "register_response",
            "Registration response",
            "终端注册应答",
            {"2011": REGISTRATION_ACCEPTED},
            Answer.NONE,
        ),
    )
}

ANSWERS_WITHOUT_ROW = frozenset({0x0104, 0x0107, 0x0201, 0x0302, 0x0500, 0x0608, 0x0700, 0x0802, 0x0805, 0x1003, 0x1205})
"""Ids that answer a command, so that the platform does not answer them in its turn."""


def answer_of(id: int) -> Answer:
    """How the platform answers a message of this id; one it does not know like any other, for it would come again."""
    row = MESSAGES.get(id)
    if row is not None:
        return row.answer
    return Answer.NONE if id in ANSWERS_WITHOUT_ROW else Answer.GENERAL
