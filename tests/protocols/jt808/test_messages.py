"""The table of messages: who sends and answers what, bodies that no capture has, and that no body raises or gets lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from construct import ConstructError
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Decoded
from protocols.jt808 import JT808
from protocols.jt808.header import is_2019, read_header
from protocols.jt808.messages import MESSAGES, Answer, answer_of
from protocols.report import digest
from protocols.rows import Direction
from tests.protocols.captures import captures
from tests.protocols.jt808.frames import LOCATION_BODY, only, up

IDS = [
    *(0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102, 0x0104, 0x0107, 0x0108, 0x0200, 0x0201, 0x0301, 0x0302, 0x0303),
    *(0x0500, 0x0608, 0x0700, 0x0701, 0x0702, 0x0704, 0x0705, 0x0800, 0x0801, 0x0802, 0x0805, 0x0900, 0x0901, 0x0A00),
    *(0x1003, 0x1005, 0x1205, 0x1206, 0x1210, 0x1211, 0x1212),
    *(0x8001, 0x8003, 0x8004, 0x8100, 0x8103, 0x8104, 0x8105, 0x8106, 0x8107, 0x8108, 0x8201, 0x8202, 0x8203, 0x8204, 0x8300),
    *(0x8301, 0x8302, 0x8303, 0x8304, 0x8400, 0x8401, 0x8500, 0x8600, 0x8601, 0x8602, 0x8603, 0x8604, 0x8605, 0x8606, 0x8607),
    *(0x8608, 0x8700, 0x8701, 0x8702, 0x8800, 0x8801, 0x8802, 0x8803, 0x8804, 0x8805, 0x8900, 0x8A00),
    *(0x9003, 0x9101, 0x9102, 0x9105, 0x9201, 0x9202, 0x9205, 0x9206, 0x9207, 0x9208, 0x9212),
    *(0x9301, 0x9302, 0x9303, 0x9304, 0x9305, 0x9306),
]
ANSWERS_THEMSELVES = {
    *(0x0001, 0x0104, 0x0107, 0x0201, 0x0302, 0x0500, 0x0608, 0x0700, 0x0802, 0x0805, 0x1003, 0x1205, 0x1206),
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADERS: list[dict[str, Any]] = [{}, {"phone": "00000000013800000001", "version": 1}]
EDITIONS = ["2013", "2019"]
BODIES = [(only(capture["frame"]).kind, only(capture["frame"]).body) for capture in captures("jt808")]


def decode(id: int, body: bytes | str, is_new: bool = False) -> Decoded:
    raw = body if isinstance(body, bytes) else bytes.fromhex(body)
    message = only(up(id, b"", **HEADERS[is_new]))
    return JT808.decode(message._replace(body=raw))


def values(id: int, body: bytes | str, is_new: bool = False) -> dict[str, Any]:
    decoded = decode(id, body, is_new)
    assert decoded.error is None
    (report,) = decoded.reports
    return report.values


def test_table_has_every_message_of_the_three_standards() -> None:
    assert sorted(MESSAGES) == sorted(IDS)
    assert {row.direction for row in MESSAGES.values() if row.id < 0x8000} == {Direction.UP}
    assert {row.direction for row in MESSAGES.values() if row.id >= 0x8000} == {Direction.DOWN}


def test_answers() -> None:
    assert {id for id in IDS if id < 0x8000 and answer_of(id) is Answer.NONE} == ANSWERS_THEMSELVES
    special = {id: answer_of(id) for id in IDS if answer_of(id) not in (Answer.NONE, Answer.GENERAL)}
    assert special == {
        0x0004: Answer.SERVER_TIME,
        0x0005: Answer.SUB_PACKETS,
        0x0100: Answer.REGISTRATION,
        0x0102: Answer.AUTHENTICATION,
        0x0801: Answer.MULTIMEDIA,
        0x0A00: Answer.KEY,
        0x1212: Answer.FILE_UPLOADED,
    }
    assert answer_of(0xE001) is answer_of(0x0210) is Answer.GENERAL


def test_answered_by() -> None:
    rows = [row for row in MESSAGES.values() if row.direction is Direction.DOWN]
    assert all(id in MESSAGES and id < 0x8000 for row in rows for id in row.answered_by)
    assert {row.id for row in rows if not row.answered_by} == {0x8001, 0x8003, 0x8004, 0x8100, 0x8800, 0x9212}
    assert {row.id: row.answered_by for row in rows if row.answered_by not in ((), (0x0001,))} == {
        0x8104: (0x0104,),
        0x8106: (0x0104,),
        0x8107: (0x0107,),
        0x8108: (0x0001, 0x0108),
        0x8201: (0x0201,),
        0x8302: (0x0001, 0x0302),
        0x8500: (0x0001, 0x0500),
        0x8608: (0x0608,),
        0x8700: (0x0700,),
        0x8702: (0x0702,),
        0x8801: (0x0001, 0x0805),
        0x8802: (0x0802,),
        0x8803: (0x0001, 0x0801),
        0x8805: (0x0001, 0x0801),
        0x8A00: (0x0A00,),
        0x9003: (0x1003,),
        0x9201: (0x1205,),
        0x9205: (0x1205,),
        0x9206: (0x0001, 0x1206),
    }


@pytest.mark.parametrize("id", [0x0201, 0x0500])
def test_location_in_an_answer_is_the_location_that_comes_by_itself(id: int) -> None:
    (alone,) = decode(0x0200, LOCATION_BODY).reports
    (report,) = decode(id, b"\x12\x34" + LOCATION_BODY).reports
    assert report.digest == alone.digest == digest("location", LOCATION_BODY)
    assert report.values == alone.values | {"answered_sequence": 0x1234}
    assert (report.time, report.latitude, report.is_position) == (alone.time, 31.2, True)


def test_location_answer_of_2011_without_a_sequence() -> None:
    (report,) = decode(0x0201, LOCATION_BODY).reports
    assert report.body == LOCATION_BODY
    assert "answered_sequence" not in report.values


def test_picture_has_its_place_and_keeps_its_data_out_of_the_values() -> None:
    (report,) = decode(0x0801, bytes.fromhex("0000007b 00 00 03 02") + LOCATION_BODY + b"\xff\xd8picture").reports
    assert (report.kind, report.latitude, report.longitude, report.time) == ("multimedia_data", 31.2, 121.50128, NOON)
    told = {"media_id": 123, "media_type": "image", "format": "jpeg", "event": "collision_or_rollover", "channel": 2}
    assert report.values.items() >= (told | {"size_bytes": 9, "fix": True}).items()
    assert report.is_event
    assert b"picture".hex() not in str(report.values)


def test_picture_of_2011_has_no_place() -> None:
    (report,) = decode(0x0801, bytes.fromhex("0000007b 00 00 03 02") + b"\xff\xd8" + bytes(100)).reports
    assert (report.time, report.is_position, report.values["size_bytes"]) == (None, False, 102)


def driver(*, card: bytes = b"", state: int = 1) -> bytes:
    name, issuer = "王五".encode("gbk"), "交通局".encode("gbk")
    known = bytes([0, len(name)]) + name + b"QUALIFICATION".ljust(20, b"\0") + bytes([len(issuer)]) + issuer
    return bytes([state]) + bytes.fromhex("260301200000") + known + bytes.fromhex("20301231") + card


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("state", [1, 2])
def test_driver(is_new: bool, state: int) -> None:
    body = driver(card=b"110101199001011234".ljust(20, b"\0") if is_new else b"", state=state)
    (report,) = decode(0x0702, body, is_new).reports
    assert report.time == NOON
    assert report.values == {
        "status": "on_duty" if state == 1 else "off_duty",
        "card": "success",
        "name": "王五",
        "qualification": "QUALIFICATION",
        "issuer": "交通局",
        "valid_until": "20301231",
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("02260301200000", {"status": "off_duty"}),
        ("0126030120000002", {"status": "on_duty", "card": "locked"}),
        ("0126030120000003ff", {"status": "on_duty", "card": "removed", "extra": "ff"}),
    ],
)
def test_driver_without_a_card_that_can_be_read(body: str, told: dict[str, Any]) -> None:
    assert values(0x0702, body) == told


def test_driver_of_2011() -> None:
    body = b"\x04" + "王五".encode("gbk") + b"110101199001011234".ljust(20, b"\0") + b"Q1".ljust(40, b"\0") + b"\2ab"
    assert values(0x0702, body) == {"name": "王五", "qualification": "Q1", "issuer": "ab"}


def test_can_data() -> None:
    item = "c0000123 0102030405060708"
    told = {"can": ["extended", "can_2"], "data": "0102030405060708"}
    assert values(0x0705, "0002 1530450123" + item * 2) == {"count": 2, "time_of_day": "1530450123", "items": [told, told]}
    decoded = decode(0x0705, "0002 1530450123" + item + "c000")
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.path) == ("truncated", "items[1]")
    assert decoded.reports[0].values["trailing"] == "c000"


@pytest.mark.parametrize(
    ("id", "body", "told"),
    [
        (0x0005, "1234 02 0001 0003", {"original_sequence": 0x1234, "count": 2, "indexes": [1, 3]}),
        (0x0005, "1234 0002 0001 0003", {"original_sequence": 0x1234, "count": 2, "indexes": [1, 3]}),
        (0x0104, "0004 09 00000001 04 0000000a", {"answered_sequence": 4, "count": 9, "parameters": {"heartbeat_interval_s": 10}}),
        (0x0104, "0004 00 00000012 03 616263", {"answered_sequence": 4, "count": 0, "parameters": {}}),
        (0x0108, "0063", {"upgraded": "terminal", "result": 99}),
        (0x0301, "07", {"event_id": 7}),
        (0x0303, "0501", {"information_type": 5, "demand": "demand"}),
        (0x0700, "0007 08 557a0800", {"answered_sequence": 7, "command": "speeds", "data": "557a0800"}),
        (0x0700, "08 557a0800", {"command": "speeds", "data": "557a0800"}),
        (0x0701, "00000003 616263", {"size_bytes": 3, "data": "616263"}),
        (0x0802, "0001 0000", {"answered_sequence": 1, "count": 0, "items": []}),
        (0x0805, "0001 02", {"answered_sequence": 1, "result": "channel_unsupported"}),
        (0x0900, "41 0102", {"transparent_type": "serial_1", "data": "0102"}),
        (0x0900, "f3 0102", {"transparent_type": 0xF3, "data": "0102"}),
        (0x0A00, "00010001" + "ab" * 128, {}),
        (0x0608, "05 00000001 abcd", {"kind": 5, "count": 1, "data": "abcd"}),
    ],
)
def test_values(id: int, body: str, told: dict[str, Any]) -> None:
    assert values(id, body) == told


@pytest.mark.parametrize(("size", "has_id"), [(35, True), (31, False)])
def test_search_response_with_and_without_media_ids(size: int, has_id: bool) -> None:
    item = (bytes.fromhex("00000001") if has_id else b"") + b"\0\2\1" + LOCATION_BODY
    assert len(item) == size
    told = values(0x0802, b"\0\7\0\2" + item * 2)
    assert told["count"] == len(told["items"]) == 2
    assert ("media_id" in told["items"][0], told["items"][1]["location"]["latitude"]) == (has_id, 31.2)


def attributes(maker: int, model: int, terminal: int) -> bytes:
    texts = b"ab".ljust(maker, b"\0") + b"cd".ljust(model, b"\0") + b"ef".ljust(terminal, b"\0")
    return b"\0\7" + texts + bytes(range(0x10, 0x1A)) + b"\2H1\3F12\3\x21"


@pytest.mark.parametrize("sizes", [(5, 20, 7), (5, 30, 30), (11, 30, 30)])
@pytest.mark.parametrize("is_new", [False, True])
def test_attributes_by_their_lengths(sizes: tuple[int, int, int], is_new: bool) -> None:
    assert values(0x0107, attributes(*sizes), is_new) == {
        "terminal_type": ["passenger", "dangerous_goods", "freight"],
        "manufacturer_id": "ab",
        "model": "cd",
        "terminal_id": "ef",
        "iccid": "10111213141516171819",
        "hardware": "H1",
        "software": "F12",
        "gnss_module": ["gps", "beidou"],
        "communication_module": ["gprs", "td_lte"],
    }


def test_areas_that_come_back_are_read_as_they_are_set_or_stay_raw() -> None:
    circle = {"area_id": 7, "attributes": 0, "latitude": 31.2, "longitude": 121.5, "radius_m": 500, "name": "仓库"}
    body = JT808.build("set_circles", {"setting": "update", "areas": [circle]}, "2019")
    told = values(0x0608, bytes.fromhex("01 00000001") + body, True)
    assert told["data"][0]["areas"][0] == circle | {"attributes": []}
    assert values(0x0608, bytes.fromhex("01 00000001") + body[2:], True)["data"] == body[2:].hex()


def test_no_secret_is_shown() -> None:
    told = [
        values(0x8103, JT808.build("set_parameters", {"parameters": {"main_password": "hush", "main_apn": "net"}})),
        values(0x8105, JT808.build("terminal_control", {"command": 2, "parameters": "0;hush"})),
        values(0x0104, b"\0\1\2" + 2 * (b"\0\0\0\x12\4hush")),
    ]
    assert told[0] == {"count": 2, "parameters": {"main_apn": "net"}}
    assert told[1] == {"command": "connect"}
    assert told[2]["parameters"] == {}
    cut = decode(0x0104, b"\0\1\2\0\0\0\x12\7hush")
    assert cut.reports[0].values["parameters"] == {"trailing_bytes": 9}


LAYOUTS = [(row.id, name, layout) for row in MESSAGES.values() for name, layout in row.layouts.items()]


@pytest.mark.parametrize(("id", "name", "layout"), LAYOUTS, ids=[f"{MESSAGES[id].name} {name}" for id, name, _ in LAYOUTS])
@settings(max_examples=15)
@given(data=st.data())
def test_what_parses_is_built_again_to_the_byte(id: int, name: str, layout: Any, data: st.DataObject) -> None:
    known = [body for kind, body in BODIES if kind == id and len(body) < 300]
    size = st.integers(0, 4)
    random = st.binary(max_size=300) | st.builds(lambda head, tail: bytes(head) + tail, size, st.binary(max_size=120))
    body = data.draw(random | st.sampled_from(known) if known else random)
    try:
        parsed = layout.parse(body)
    except ConstructError:
        return
    # A layout that is chosen by its size does not read on behind it.
    built = layout.build(parsed)
    assert body.startswith(built)
    assert built == body or layout not in (MESSAGES[id].layout(body, False), MESSAGES[id].layout(body, True))


@settings(max_examples=400)
@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=200), st.booleans())
def test_no_body_raises(id: int, body: bytes, is_new: bool) -> None:
    decoded = decode(id, body, is_new)
    assert decoded.error or decoded.reports
    assert all(report.digest for report in decoded.reports)


@settings(max_examples=400)
@given(st.sampled_from(BODIES), st.data(), st.booleans())
def test_no_changed_body_raises_or_gets_lost(known: tuple[int, bytes], data: st.DataObject, is_new: bool) -> None:
    id, body = known
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(0, 4))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))]) + data.draw(st.binary(max_size=5))
    decoded = decode(id, cut, is_new)
    assert decoded.error or decoded.reports
    layout = MESSAGES[id].layout(cut, is_new)
    try:
        parsed = layout.parse(cut)
    except ConstructError:
        return
    assert layout.build(parsed) == cut


def test_editions_are_told_by_the_header() -> None:
    heads = [only(up(0x0002, **header)).head for header in HEADERS]
    assert [is_2019(head) for head in heads] == [False, True]
    assert [read_header(head).version for head in heads] == [None, 1]
