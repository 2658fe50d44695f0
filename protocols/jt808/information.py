"""Information, phone and vehicle control (信息、电话、车辆控制类).

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, sections 8.24 to 8.33. Events, questions and information on
demand are in the table of 2019 without their bodies, which are those of 2013.
"""

from __future__ import annotations

from construct import Array, GreedyBytes, If, IfThenElse, Int8ub, Int16ub, Prefixed, Struct, this

from protocols.fields import Bit, Choice, Count, Flags, Option, Text
from protocols.items import UntilEnd
from protocols.jt808.location import LOCATION_2013, LOCATION_2019
from protocols.jt808.positions import located_answer
from protocols.jt808.rows import ANSWERED_SEQUENCE, EXTRA, TERMINAL_GENERAL_RESPONSE, Answer, downlink, uplink

EVENT_REPORT = 0x0301
QUESTION_ANSWER = 0x0302
INFORMATION_DEMAND = 0x0303
VEHICLE_CONTROL_RESPONSE = 0x0500
TEXT_MESSAGE = 0x8300
SET_EVENTS = 0x8301
QUESTION = 0x8302
SET_INFORMATION_MENU = 0x8303
INFORMATION = 0x8304
PHONE_CALLBACK = 0x8400
SET_PHONE_BOOK = 0x8401
VEHICLE_CONTROL = 0x8500

_SCREENS = {
    2: Bit("display", "Show on the terminal's display 终端显示器显示"),
    3: Bit("read_aloud", "Read aloud 终端TTS播读"),
    4: Bit("advertising_screen", "Show on the advertising screen 广告屏显示"),
    5: Bit("fault_code", "CAN fault code, else navigation CAN故障码信息"),
}
_TEXT_2013 = {0: Bit("urgent", "Urgent 紧急")} | _SCREENS
_TEXT_2019 = {0: Bit("kind", "Kind 信息类型", 2, ("none", "service", "urgent", "notice"))} | _SCREENS
_TEXT_TYPES = {1: Option("notice", "Notice 通知"), 2: Option("service", "Service 服务")}
_QUESTION_FLAGS = {
    0: Bit("urgent", "Urgent 紧急"),
    3: Bit("read_aloud", "Read aloud 终端TTS播读"),
    4: Bit("advertising_screen", "Show on the advertising screen 广告屏显示"),
}
_DELETE_ALL = {0: Option("delete_all", "Delete all 删除全部")}
_MENU_SETTINGS = _DELETE_ALL | {
    1: Option("update", "Update 更新"),
    2: Option("append", "Append 追加"),
    3: Option("modify", "Modify 修改"),
}
_EVENT_SETTINGS = _MENU_SETTINGS | {4: Option("delete", "Delete the listed 删除特定")}
_BOOK_SETTINGS = _DELETE_ALL | {
    1: Option("replace", "Replace 更新"),
    2: Option("append", "Append 追加"),
    3: Option("modify", "Modify by contact 修改"),
}
_DEMANDS = {0: Option("cancel", "Cancel 取消"), 1: Option("demand", "Demand 点播")}
_CALLS = {0: Option("call", "Normal call 普通通话"), 1: Option("listen", "Listening 监听")}
_CONTACTS = {1: Option("incoming", "Incoming 呼入"), 2: Option("outgoing", "Outgoing 呼出"), 3: Option("both", "Both 呼入呼出")}
_CONTROL_FLAGS = {0: Bit("lock_doors", "Lock the doors, else unlock 车门加锁")}
_CONTROLS = {1: Option("doors", "Doors 车门")}
_DOORS = {0: Option("lock", "Lock 车门锁闭"), 1: Option("open", "Open 车门开启")}

_TEXT = "text" / Text() * "Text 文本信息"
_TEXT_MESSAGE_2013 = Struct("flags" / Flags(Int8ub, _TEXT_2013) * "Flags 标志", _TEXT)
_TEXT_MESSAGE_2019 = Struct(
    "flags" / Flags(Int8ub, _TEXT_2019) * "Flags 标志",
    "text_type" / Choice(Int8ub, _TEXT_TYPES) * "Type of the text 文本类型",
    _TEXT,
)

_IS_LISTED = this.setting != "delete_all"
_EVENT = Struct(
    "event_id" / Int8ub * "Event 事件ID",
    "content" / Prefixed(Int8ub, Text()) * "What it says 事件内容",
)
_SET_EVENTS = Struct(
    "setting" / Choice(Int8ub, _EVENT_SETTINGS) * "What to do 设置类型",
    "count" / If(_IS_LISTED, Count(Int8ub, "events")) * "Number of events 设置总数",
    "events" / If(_IS_LISTED, Array(this.count, _EVENT)) * "Events 事件项列表",
    EXTRA,
)
_EVENT_REPORT = Struct("event_id" / Int8ub * "Event 事件ID", EXTRA)

_QUESTION = Struct(
    "flags" / Flags(Int8ub, _QUESTION_FLAGS) * "Flags 标志",
    "question" / Prefixed(Int8ub, Text()) * "Question 问题",
    "answers"
    / UntilEnd(
        Struct(
            "answer_id" / Int8ub * "Answer 答案ID",
            "content" / Prefixed(Int16ub, Text()) * "What it says 答案内容",
        )
    )
    * "Answers to choose from 候选答案列表",
)
_QUESTION_ANSWER = Struct(ANSWERED_SEQUENCE, "answer_id" / Int8ub * "Answer 答案ID", EXTRA)

_INFORMATION_TYPE = "information_type" / Int8ub * "Type of information 信息类型"
_SET_INFORMATION_MENU = Struct(
    "setting" / Choice(Int8ub, _MENU_SETTINGS) * "What to do 设置类型",
    "count" / If(_IS_LISTED, Count(Int8ub, "entries")) * "Number of entries 信息项总数",
    "entries"
    / If(_IS_LISTED, Array(this.count, Struct(_INFORMATION_TYPE, "name" / Prefixed(Int16ub, Text()) * "Name 信息名称")))
    * "Entries 信息项列表",
    EXTRA,
)
_INFORMATION_DEMAND = Struct(_INFORMATION_TYPE, "demand" / Choice(Int8ub, _DEMANDS) * "Demand or cancel 点播/取消标志", EXTRA)
_INFORMATION = Struct(_INFORMATION_TYPE, "content" / Prefixed(Int16ub, Text()) * "Content 信息内容", EXTRA)

_PHONE_CALLBACK = Struct(
    "call" / Choice(Int8ub, _CALLS) * "Kind of call 标志",
    "number" / Text() * "Phone number, at most 20 bytes 电话号码",
)
_CONTACT = Struct(
    "calls" / Choice(Int8ub, _CONTACTS) * "Which calls 标志",
    "number" / Prefixed(Int8ub, Text()) * "Phone number 电话号码",
    "contact" / Prefixed(Int8ub, Text()) * "Contact 联系人",
)
_SET_PHONE_BOOK = Struct(
    "setting" / Choice(Int8ub, _BOOK_SETTINGS) * "What to do 设置类型",
    "count" / If(_IS_LISTED, Count(Int8ub, "contacts")) * "Number of contacts 联系人总数",
    "contacts" / If(_IS_LISTED, Array(this.count, _CONTACT)) * "Contacts 联系人项",
    EXTRA,
)

# How long the value of a vendor's control is, only its profile knows: it takes what is left.
_CONTROLS_2019 = (
    "controls"
    / UntilEnd(
        Struct(
            "control" / Choice(Int16ub, _CONTROLS) * "What is controlled 控制类型ID",
            "value" / IfThenElse(this.control == "doors", Choice(Int8ub, _DOORS), GreedyBytes) * "How 控制参数",
        )
    )
    * "Controls 控制类型列表"
)
_VEHICLE_CONTROL_2013 = Struct("flags" / Flags(Int8ub, _CONTROL_FLAGS) * "Control flags 控制标志", EXTRA)
_VEHICLE_CONTROL_2019 = Struct("count" / Count(Int16ub, "controls") * "Number of controls 控制类型数量", _CONTROLS_2019)
_VEHICLE_CONTROL_UNCOUNTED = Struct(_CONTROLS_2019)
_CONTROL_BYTES = 3


def _vehicle_control_layout(body: bytes, is_2019: bool) -> Struct:
    """One implementation leaves the count of 2019 out."""
    if not is_2019 or len(body) < _CONTROL_BYTES:
        return _VEHICLE_CONTROL_2013
    if len(body) == _CONTROL_BYTES and body[:2] == b"\0\1":
        return _VEHICLE_CONTROL_UNCOUNTED
    return _VEHICLE_CONTROL_2019


ROWS = (
    uplink(EVENT_REPORT, "event_report", "Event report", "事件报告", {"2011": _EVENT_REPORT}),
    uplink(QUESTION_ANSWER, "question_answer", "Question answer", "提问应答", {"2011": _QUESTION_ANSWER}, Answer.NONE),
    uplink(
        INFORMATION_DEMAND, "information_demand", "Information demand or cancel", "信息点播/取消", {"2011": _INFORMATION_DEMAND}
    ),
    uplink(
        VEHICLE_CONTROL_RESPONSE,
        "vehicle_control_response",
        "Vehicle control response",
        "车辆控制应答",
        {"2011": located_answer(LOCATION_2013), "2019": located_answer(LOCATION_2019)},
        Answer.NONE,
    ),
    downlink(
        TEXT_MESSAGE, "text_message", "Text message", "文本信息下发", {"2011": _TEXT_MESSAGE_2013, "2019": _TEXT_MESSAGE_2019}
    ),
    downlink(SET_EVENTS, "set_events", "Set events", "事件设置", {"2011": _SET_EVENTS}),
    downlink(QUESTION, "question", "Send question", "提问下发", {"2011": _QUESTION}, (TERMINAL_GENERAL_RESPONSE, QUESTION_ANSWER)),
    downlink(
        SET_INFORMATION_MENU, "set_information_menu", "Set information menu", "信息点播菜单设置", {"2011": _SET_INFORMATION_MENU}
    ),
    downlink(INFORMATION, "information", "Information service", "信息服务", {"2011": _INFORMATION}),
    downlink(PHONE_CALLBACK, "phone_callback", "Phone call-back", "电话回拨", {"2011": _PHONE_CALLBACK}),
    downlink(SET_PHONE_BOOK, "set_phone_book", "Set phone book", "设置电话本", {"2011": _SET_PHONE_BOOK}),
    downlink(
        VEHICLE_CONTROL,
        "vehicle_control",
        "Vehicle control",
        "车辆控制",
        {"2011": _VEHICLE_CONTROL_2013, "2019": _VEHICLE_CONTROL_2019, "2019 uncounted": _VEHICLE_CONTROL_UNCOUNTED},
        (TERMINAL_GENERAL_RESPONSE, VEHICLE_CONTROL_RESPONSE),
        _vehicle_control_layout,
    ),
)
