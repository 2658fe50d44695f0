"""Every captured frame: what it says, what answers it, and that its bytes come back."""

from __future__ import annotations

from datetime import datetime

import pytest

from protocols import Malformed, Message, Outcome
from protocols.jt808 import JT808
from protocols.jt808.header import close_frame, is_2019
from protocols.jt808.location import LOCATION_2013, LOCATION_2019
from protocols.jt808.messages import MESSAGES
from tests.protocols.captures import Capture, captures
from tests.protocols.jt808.frames import NOON, only, up

CAPTURES = captures("jt808")
each_capture = pytest.mark.parametrize("capture", CAPTURES, ids=[capture["id"] for capture in CAPTURES])
TENTHS = {"01": "odometer_km", "02": "fuel_l", "03": "recorder_speed_kmh"}
WHOLE = {"04": "alarm_event_id", "30": "signal", "31": "satellites"}
LENGTHS = {
    **dict.fromkeys(("01", "14", "15", "16", "25", "2b"), (4,)),
    **dict.fromkeys(("02", "03", "04", "06", "17", "2a"), (2,)),
    **{"05": (30,), "11": (1, 5), "12": (6,), "13": (7,), "18": (2, 3), "30": (1,), "31": (1,)},
}
REPLIES = [capture for capture in CAPTURES if "reply" in capture]


def test_there_are_captures_of_every_kind_that_sources_have() -> None:
    assert {capture["kind"] for capture in CAPTURES} >= {
        "general_response",
        "heartbeat",
        "register",
        "authenticate",
        "location",
        "location_batch",
    }
    assert len(REPLIES) > 20
    assert len({capture["id"] for capture in CAPTURES}) == len(CAPTURES)


@each_capture
def test_envelope(capture: Capture) -> None:
    message = only(capture["frame"])
    assert JT808.kind_name(message.kind) == capture["kind"]
    assert (message.sequence, message.identity) == (capture["sequence"], capture["phone"].lstrip("0"))
    assert message.parts == ()


@each_capture
def test_values(capture: Capture) -> None:
    decoded = JT808.decode(only(capture["frame"]))
    assert decoded.error is None
    if "values" in capture:
        (report,) = decoded.reports
        assert report.values.items() >= capture["values"].items()
    locations = capture.get("locations", [])
    if locations:
        assert len(decoded.reports) == len(locations)
    for report, expected in zip(decoded.reports, locations, strict=False):
        assert report.kind == "location"
        assert report.time == datetime.fromisoformat(expected["time"])
        for name in ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg"):
            assert getattr(report, name) == expected[name], name
        assert (report.values["alarm_flags"], report.values["status"]) == (expected["alarm_flags"], expected["status"])
        raw = dict(expected["items"])
        assert all(report.values[name] == int(raw[id], 16) / 10 for id, name in TENTHS.items() if id in raw)
        assert all(report.values[name] == int(raw[id], 16) for id, name in WHOLE.items() if id in raw)
        # Zeros behind the last item are padding, which the source counts as items.
        unknown = [(id, value) for id, value in expected["items"] if len(value) // 2 not in LENGTHS.get(id, ()) and id != "00"]
        assert [(item["id"], item["raw"]) for item in report.values.get("items", [])] == [(f"0x{id}", raw) for id, raw in unknown]


@pytest.mark.parametrize("capture", REPLIES, ids=[capture["id"] for capture in REPLIES])
def test_reply(capture: Capture) -> None:
    codec = JT808.codec()
    (message,) = codec.receive(capture["frame"], 0.0)
    assert isinstance(message, Message)
    for _ in range(capture.get("platform_sequence", 0)):
        codec.ack(only(up(0x0002)), Outcome.STORED, NOON)
    assert codec.ack(message, Outcome.STORED, NOON).hex() == (capture["reply"] or "")


@each_capture
def test_bytes_come_back(capture: Capture) -> None:
    message = only(capture["frame"])
    layout = MESSAGES[message.kind].layout(message.body, is_2019(message.head))
    assert layout.build(layout.parse(message.body)) == message.body
    assert close_frame(message.head, message.body) == capture["frame"] or capture["frame"].endswith(b"\x7d\x7e")
    if capture["kind"] == "location_batch":
        location = LOCATION_2019 if is_2019(message.head) else LOCATION_2013
        assert all(location.build(location.parse(report.body)) == report.body for report in JT808.decode(message).reports)


@each_capture
def test_byte_by_byte(capture: Capture) -> None:
    codec = JT808.codec()
    events = [event for byte in capture["frame"] for event in codec.receive(bytes([byte]), 0.0)]
    assert events == [only(capture["frame"])]


@each_capture
def test_with_garbage_around(capture: Capture) -> None:
    codec = JT808.codec()
    events = codec.receive(b"GET / HTTP/1.1\r\n" + capture["frame"] + b"\x00\x01" + capture["frame"] + b"\xff", 0.0)
    causes = [event.cause if isinstance(event, Malformed) else "message" for event in events]
    assert causes == ["checksum", "message", "header", "message"]
    assert [event.cause for event in codec.end() if isinstance(event, Malformed)] == ["cut"]


@each_capture
def test_any_flipped_bit_is_noticed_and_costs_no_other_frame(capture: Capture) -> None:
    frame = capture["frame"]
    good = only(frame)
    for at in range(8, 8 * (len(frame) - 1)):
        bad = bytearray(frame)
        bad[at // 8] ^= 1 << at % 8
        events = JT808.codec().receive(bytes(bad) + frame, 0.0)
        messages = [event for event in events if isinstance(event, Message)]
        assert messages == [good], f"bit {at}"
