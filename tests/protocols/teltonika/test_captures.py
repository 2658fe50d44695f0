"""Every captured frame: what it says, what answers it, and that its bytes come back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from protocols import Message, Outcome
from protocols.compiler import compile
from protocols.teltonika import TELTONIKA
from protocols.teltonika.messages import MESSAGES
from protocols.teltonika.stream import frame
from tests.protocols.captures import Capture, captures
from tests.protocols.declarations import differences
from tests.protocols.teltonika.frames import ALL, FMB, NOON, only

CAPTURES = captures("teltonika")
FRAMES = [*ALL, *(capture["frame"] for capture in CAPTURES)]
each_capture = pytest.mark.parametrize("capture", CAPTURES, ids=[capture["id"] for capture in CAPTURES])
GROUPS = {"io_1": 1, "io_2": 2, "io_4": 4}


def open_alone(capture: Capture) -> Message:
    (event,) = TELTONIKA.codec(capture["identity"]).receive(capture["frame"], 0.0)
    assert isinstance(event, Message)
    return event


def raw_properties(parsed: Any) -> dict[str, str]:
    found = {str(id): f"{value:0{2 * size}x}" for group, size in GROUPS.items() for id, value in parsed[group]}
    return found | {str(id): value.hex() for group in ("io_8", "io_x") for id, value in parsed.get(group, ())}


@each_capture
def test_envelope_and_answer(capture: Capture) -> None:
    message = open_alone(capture)
    assert TELTONIKA.kind_name(message.kind) == capture["kind"]
    assert (message.identity, message.sequence, message.parts) == (capture["identity"], 0, ())
    ack = TELTONIKA.codec().ack(message, Outcome.STORED, NOON)
    assert ack == bytes.fromhex(capture["reply"] or "")


@each_capture
def test_records_are_what_the_source_says(capture: Capture) -> None:
    if "records" not in capture:
        return
    message = open_alone(capture)
    parsed = compile(next(iter(MESSAGES[message.kind].layouts.values()))).parse(message.body)
    decoded = FMB.decode(message)
    assert decoded.error is None
    assert len(decoded.reports) == len(parsed.records) == len(capture["records"])
    for told, entry, report in zip(capture["records"], parsed.records, decoded.reports, strict=True):
        assert report.time == entry.time == datetime.fromisoformat(told["time"])
        assert (entry.latitude, entry.longitude, entry.altitude) == (told["lat"], told["lon"], told["altitude"])
        assert (report.latitude, report.longitude) == ((told["lat"], told["lon"]) if told["lat"] else (None, None))
        assert (report.speed_kmh, report.course_deg) == (told["speed_kmh"], told["course"])
        assert report.values["satellites"] == told["satellites"]
        assert report.values["priority"] == ("low", "high", "panic")[told["priority"]]
        assert (entry.event_id, entry.total) == (told["event"], told["io_total"])
        assert ("event" in report.values) == bool(told["event"])
        assert raw_properties(entry) == told["io"]
        assert report.values.get("generation_type") == ({5: "on_change"}[told["generation"]] if "generation" in told else None)
        assert "announced_properties" not in report.values


@each_capture
def test_answers_are_what_the_source_says(capture: Capture) -> None:
    if "answer" not in capture:
        return
    (report,) = TELTONIKA.decode(open_alone(capture)).reports
    told = capture["answer"]
    assert report.values["type"] == {5: "command", 6: "response", 11: "message"}[told["type"]]
    assert report.values["text"].encode() == bytes.fromhex(told["payload"])
    assert report.values.get("imei") == told.get("imei")
    assert report.time == (datetime.fromisoformat(told["time"]) if "time" in told else None)


@pytest.mark.parametrize("data", FRAMES, ids=range(len(FRAMES)))
def test_nothing_is_lost(data: bytes) -> None:
    message = only(data)
    layout = MESSAGES[message.kind].layout(message.body)
    assert not list(differences(layout, message.body))
    assert compile(layout).build(compile(layout).parse(message.body)) == message.body
    assert frame(bytes([message.kind]) + message.body) == data or message.body == data


@pytest.mark.parametrize("data", FRAMES, ids=range(len(FRAMES)))
def test_a_report_is_decoded_from_its_own_body_as_from_its_packet(data: bytes) -> None:
    message = only(data)
    decoded = FMB.decode(message)
    assert decoded.error is None
    for report in decoded.reports:
        alone = FMB.decode(message._replace(body=report.body))
        assert alone.error is None
        assert alone.reports == [report]
    assert len({report.digest for report in decoded.reports}) == len(decoded.reports)
