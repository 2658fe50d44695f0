"""Each captured frame: in every cut, its report, its answer, built again, and damaged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from protocols import Malformed, Message, Outcome
from protocols.compiler import compile
from protocols.gt06 import GT06
from protocols.gt06.frame import form_of, frame
from protocols.gt06.messages import MESSAGES
from tests.protocols.captures import captures
from tests.protocols.declarations import differences
from tests.protocols.gt06.frames import NOW, message, report

CAPTURES = captures("gt06")
each_capture = pytest.mark.parametrize("capture", CAPTURES, ids=[capture["id"] for capture in CAPTURES])


def events(capture: dict[str, Any], *reads: bytes) -> list[Any]:
    codec = GT06.codec(capture["identity"])
    return [event for data in reads for event in codec.receive(data, 0.0)]


@each_capture
def test_it_is_the_same_message_in_every_cut_and_with_another_behind(capture: dict[str, Any]) -> None:
    raw = capture["frame"]
    (whole,) = events(capture, raw)
    assert (GT06.kind_name(whole.kind), whole.identity, whole.sequence) == (
        capture["kind"],
        capture["identity"],
        capture["sequence"],
    )
    assert events(capture, *(raw[at : at + 1] for at in range(len(raw)))) == [whole]
    assert all(events(capture, raw[:cut], raw[cut:]) == [whole] for cut in range(1, len(raw)))
    assert events(capture, raw * 3) == [whole] * 3
    assert events(capture, raw + raw[:7]) == [whole]


@each_capture
def test_it_decodes_to_what_its_source_says(capture: dict[str, Any]) -> None:
    found = report(capture["frame"], capture["identity"])
    assert found.kind == capture["kind"]
    assert {name: found.values.get(name) for name in capture["values"]} == capture["values"]
    for place in capture.get("locations", ()):
        assert found.time == datetime.fromisoformat(place["time"])
        for name in place.keys() - {"time"}:
            assert getattr(found, name) == pytest.approx(place[name], abs=1e-6)


@each_capture
def test_it_is_answered_as_its_source_says(capture: dict[str, Any]) -> None:
    codec = GT06.codec(capture["identity"])
    (found,) = codec.receive(capture["frame"], 0.0)
    for outcome in (Outcome.STORED, Outcome.QUARANTINED):
        assert codec.ack(found, outcome, NOW).hex() == (capture["reply"] or "")
    assert codec.ack(found, Outcome.REFUSED, NOW) == b""


@each_capture
def test_parsed_and_built_it_is_the_same_frame(capture: dict[str, Any]) -> None:
    found = message(capture["frame"], capture["identity"])
    layout = MESSAGES[found.kind].layout(found)
    body = compile(layout).build(compile(layout).parse(found.body))
    assert frame(form_of(found.kind), found.kind & 0xFF, body, found.sequence) == capture["frame"]
    assert not list(differences(layout, found.body))


@each_capture
def test_with_any_bit_flipped_no_other_message_gets_through(capture: dict[str, Any]) -> None:
    raw = capture["frame"]
    for at in range(8 * len(raw)):
        bad = bytearray(raw)
        bad[at // 8] ^= 1 << at % 8
        assert not [event for event in events(capture, bytes(bad)) if isinstance(event, Message)], at


@each_capture
def test_a_damaged_or_cut_frame_costs_no_later_one(capture: dict[str, Any]) -> None:
    raw = capture["frame"]
    (whole,) = events(capture, raw)
    bad = raw[:6] + bytes((raw[6] ^ 0x10,)) + raw[7:]
    assert [event for event in events(capture, raw + bad + raw) if isinstance(event, Message)] == [whole] * 2
    for cut in range(1, len(raw)):
        # A frame that is cut takes bytes of those behind it, as many as its length says.
        found = events(capture, raw[:cut] + raw * (260 // len(raw) + 3))
        assert [event for event in found if isinstance(event, Message)][-1] == whole, cut


@each_capture
def test_a_body_cut_anywhere_is_an_error_or_less(capture: dict[str, Any]) -> None:
    found = message(capture["frame"], capture["identity"])
    for size in range(len(found.body)):
        decoded = GT06.decode(found._replace(body=found.body[:size]))
        assert decoded.reports or decoded.error is not None


def test_what_is_cut_at_the_end_is_told() -> None:
    codec = GT06.codec()
    codec.receive(CAPTURES[0]["frame"][:9], 0.0)
    assert codec.end() == [Malformed("cut", CAPTURES[0]["frame"][:9])]
