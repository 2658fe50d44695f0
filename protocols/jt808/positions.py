"""Messages of locations and alarms (位置、报警类): reports, queries, tracking, batches.

Source: JT/T 808-2013 and JT/T 808-2019, sections 8.18 to 8.23 and 8.49.
"""

from __future__ import annotations

from construct import If, Int8ub, Int16ub, Int32ub, Struct, this

from protocols.fields import BcdTime, Choice, Flags, Option, Scaled
from protocols.items import Records
from protocols.jt808.location import ALARMS_2013, ALARMS_2019, LOCATION_2013, LOCATION_2019
from protocols.jt808.rows import ANSWERED_SEQUENCE, EMPTY, EXTRA, Answer, downlink, uplink

LOCATION = 0x0200
LOCATION_RESPONSE = 0x0201
LOCATION_BATCH = 0x0704
QUERY_LOCATION = 0x8201
TRACK_LOCATION = 0x8202
CONFIRM_ALARM = 0x8203
LINK_CHECK = 0x8204

_BATCH_TYPES = {0: Option("normal", "Normal batch 正常位置批量汇报"), 1: Option("catch_up", "Blind-area catch-up 盲区补报")}
_TIME_AT = 22
_WORD = 2
_TIME = BcdTime(8)


def located_answer(location: Struct) -> Struct:
    """A whole location behind the serial number of the request that it answers."""
    return Struct(ANSWERED_SEQUENCE, "location" / location * "Location 位置信息汇报消息体")


LOCATION_ANSWERS = {
    "2011 no serial": Struct("location" / LOCATION_2013 * "Location 位置信息汇报消息体"),
    "2013": located_answer(LOCATION_2013),
    "2019": located_answer(LOCATION_2019),
}


def _location_answer_layout(body: bytes, is_2019: bool) -> Struct:
    """A draft of 2011 leaves the serial number out: the time is then two bytes nearer."""
    if not _is_time(body, _TIME_AT + _WORD) and _is_time(body, _TIME_AT):
        return LOCATION_ANSWERS["2011 no serial"]
    return LOCATION_ANSWERS["2019" if is_2019 else "2013"]


def _is_time(body: bytes, at: int) -> bool:
    raw = body[at : at + 6]
    return len(raw) == 6 and not isinstance(_TIME.parse(raw), bytes)


def _location_batch(location: Struct) -> Struct:
    return Struct(
        "count" / Int16ub * "Number of locations 数据项个数",
        "type" / Choice(Int8ub, _BATCH_TYPES) * "Why they come together 位置数据类型",
        "items" / Records(location) * "Locations with their lengths 位置汇报数据项",
    )


_TRACK_LOCATION = Struct(
    "interval_s" / Scaled(Int16ub, 1, "s") * "Interval; 0 ends the tracking 时间间隔",
    "validity_s" / If(this.interval_s, Scaled(Int32ub, 1, "s")) * "How long it is tracked 位置跟踪有效期",
    EXTRA,
)


def _confirm_alarm(flags: Flags) -> Struct:
    return Struct(
        "alarm_sequence" / Int16ub * "Serial number of the alarm's message, 0 for all 报警消息流水号",
        "alarms" / flags * "Alarms confirmed 人工确认报警类型",
        EXTRA,
    )


ROWS = (
    uplink(LOCATION, "location", "Location report", "位置信息汇报", {"2013": LOCATION_2013, "2019": LOCATION_2019}),
    uplink(
        LOCATION_RESPONSE,
        "location_response",
        "Location query response",
        "位置信息查询应答",
        LOCATION_ANSWERS,
        Answer.NONE,
        _location_answer_layout,
    ),
    uplink(
        LOCATION_BATCH,
        "location_batch",
        "Batch location upload",
        "定位数据批量上传",
        {"2013": _location_batch(LOCATION_2013), "2019": _location_batch(LOCATION_2019)},
    ),
    downlink(QUERY_LOCATION, "query_location", "Location query", "位置信息查询", {"2011": EMPTY}, (LOCATION_RESPONSE,)),
    downlink(TRACK_LOCATION, "track_location", "Temporary tracking control", "临时位置跟踪控制", {"2011": _TRACK_LOCATION}),
    downlink(
        CONFIRM_ALARM,
        "confirm_alarm",
        "Manual alarm confirmation",
        "人工确认报警消息",
        {
            "2013": _confirm_alarm(Flags(Int32ub, ALARMS_2013)),
            "2019": _confirm_alarm(Flags(Int32ub, ALARMS_2019)),
        },
    ),
    downlink(LINK_CHECK, "link_check", "Link check", "链路检测", {"2019": EMPTY}),
)
