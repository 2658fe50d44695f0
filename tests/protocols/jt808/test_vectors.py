"""What the captures' source says of each field, and the platform's frames made from it byte for byte.

Left out of what the source has:

- TestReply/15: answers the answer 0x1003, with a general response that has no body;
- TestReply/39: asks for pieces of an uploaded file, of which nothing has come over this link;
- the text of TestParse/42, longer than its frame: the source cuts what does not fit;
- the fields of T/JSATL 12's items 0x64 to 0x70 in four locations: vendors use these ids for other things, they stay raw;
- of the damaged parameter lists, that a count which is too high is an error: the length is trusted (TestParamDetails/7);
- frames with a wrong check byte or length, coordinates out of range and the like, where they are not in ``test_captures``.
"""

from __future__ import annotations

from typing import Any

import pytest

from protocols import Malformed, Message
from protocols.jt808 import JT808
from protocols.jt808.header import close_frame, is_2019, read_header
from protocols.jt808.parameters import PARAMETERS, TABLE
from protocols.rows import Direction
from tests.protocols.captures import Capture, captures
from tests.protocols.jt808.frames import only, receive
from tests.protocols.jt808.source_fields import parameters, translated, wire

TOLD = [capture for capture in captures("jt808") if "fields" in capture]
DOWN = [capture for capture in TOLD if capture["direction"] == "down"]
LISTED = [capture for capture in captures("jt808") if "parameters" in capture]
STREAMS = captures("jt808_streams")
GARBAGE = {"checksum", "header", "oversized", "cut"}


def named(chosen: list[Capture]) -> Any:
    return pytest.mark.parametrize("capture", chosen, ids=[capture["id"] for capture in chosen])


def of(kind: str) -> list[Capture]:
    return [capture for capture in STREAMS if capture["kind"] == kind]


def contains(whole: Any, part: Any, path: str = "") -> None:
    if isinstance(part, dict):
        for name, value in part.items():
            contains(whole[name], value, f"{path}.{name}")
    elif isinstance(part, list):
        assert len(whole) == len(part), path
        for index, value in enumerate(part):
            contains(whole[index], value, f"{path}[{index}]")
    else:
        assert whole == part, path


def test_nothing_is_lost_of_what_the_source_has() -> None:
    counts = {kind: len(of(kind)) for kind in ("stream", "error", "ok", "subpackage_encode")}
    assert (len(captures("jt808")), len(TOLD), len(DOWN), len(LISTED)) == (130, 49, 28, 1)
    assert counts == {"stream": 14, "error": 11, "ok": 1, "subpackage_encode": 1}


@named(TOLD)
def test_fields(capture: Capture) -> None:
    message = only(capture["frame"])
    layout = JT808.messages[message.kind].layout(message.body, is_2019(message.head))
    contains(wire(layout, layout.parse(message.body)), translated(capture["fields"], layout))


@named([capture for capture in TOLD if parameters(capture["fields"])])
def test_parameters(capture: Capture) -> None:
    message = only(capture["frame"])
    parsed = JT808.messages[message.kind].layouts["2011"].parse(message.body)
    raw = {item.id: PARAMETERS.raw(item) for item in parsed.parameters}
    told = parameters(capture["fields"])
    assert len(told) >= 40
    # The source takes four bytes of text for a number of four bytes, and the other way round.
    assert {id: int.from_bytes(value, "big") for id, value in told.items()}.items() <= {
        id: int.from_bytes(value, "big") for id, value in raw.items()
    }.items()


@named(LISTED)
def test_parameters_are_told_apart_by_the_source_as_by_us(capture: Capture) -> None:
    message = only(capture["frame"])
    parsed = JT808.messages[message.kind].layouts["2011"].parse(message.body)
    raw = {item.id: PARAMETERS.raw(item) for item in parsed.parameters}
    for entry in capture["parameters"]:
        told, ours = bytes.fromhex(entry["hex"]), raw[int(entry["id"], 16)]
        # The source gives numbers in lengths of its own, and text in UTF-8.
        assert int.from_bytes(told, "big") == int.from_bytes(ours, "big") or told.decode() == ours.decode("gbk"), entry
    assert len(parsed.parameters) == parsed.count


@named(DOWN)
def test_platform_frames_are_made_from_fields(capture: Capture) -> None:
    message = only(capture["frame"])
    row = JT808.messages[message.kind]
    assert row.direction is Direction.DOWN
    fields = translated(capture["fields"], row.layout(message.body, is_2019(message.head)))
    if told := parameters(capture["fields"]):
        # In any length: the source's numbers and texts are as they came, ours have to fit.
        fields["parameters"] = {TABLE[id][0].name: TABLE[id][0].parse(raw) for id, raw in told.items()}
    edition = "2019" if read_header(message.head).version is not None else "2013"
    body = JT808.build(row.name, fields, edition)
    assert body == JT808.build(row.id, fields, edition) == message.body
    assert close_frame(message.head, body) == capture["frame"]


@named(of("stream"))
def test_streams(capture: Capture) -> None:
    codec = JT808.codec()
    events = [*codec.receive(capture["frame"], 0.0), *codec.end()]
    messages = [event for event in events if isinstance(event, Message)]
    if "frames" in capture:
        assert messages == [only(bytes.fromhex(frame)) for frame in capture["frames"]]
    assert len(messages) == capture.get("frames_count", len(messages))
    assert {event.cause for event in events if isinstance(event, Malformed)} <= GARBAGE


@named(of("error"))
def test_errors(capture: Capture) -> None:
    messages = [event for event in receive(capture["frame"]) if isinstance(event, Message)]
    if "TestTerminalParamDetails" not in capture["id"]:
        assert messages == []
        return
    decoded = JT808.decode(messages[0])
    assert len(decoded.reports) == 1
    if capture["id"].endswith("/7"):
        assert decoded.error is None
        assert decoded.reports[0].values["count"] == 2
    else:
        assert decoded.error is not None
        assert decoded.error.cause == "truncated"


@named(of("ok"))
def test_piece_alone_is_no_message_yet(capture: Capture) -> None:
    assert receive(capture["frame"]) == []


@named(of("subpackage_encode"))
def test_pieces_are_put_together(capture: Capture) -> None:
    message = only(capture["frame"])
    assert message.body.hex() == capture["body"]
    assert message.parts[0] == capture["first_serial"]
    decoded = JT808.decode(message)
    assert decoded.error is None
    assert decoded.reports[0].values["count"] == len(decoded.reports[0].values["resources"])
