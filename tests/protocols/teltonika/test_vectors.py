"""What the captures' sources build and refuse, byte for byte.

Of 47 strict frames of the sources, 36 travel over TCP: 35 are 20 different good ones, all of them in ``test_captures``, and
one is refused. Left out are 11 datagrams, for UDP has an envelope of its own that this protocol does not take. With 11 bad
checks and one that is no frame, the sources refuse 13 more, whose frames are here as well.

One of the sources' frames with a bad check has an extra group of 16 bytes behind N8, which is in no vendor's document: with
its check put right it goes to quarantine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from protocols import Malformed, Message, Outcome
from protocols.compiler import compile
from protocols.teltonika import TELTONIKA
from protocols.teltonika.messages import MESSAGES
from protocols.teltonika.stream import frame
from tests.protocols.captures import Capture, captures
from tests.protocols.teltonika.frames import FMB, IMEI, NOON, only, receive

CAPTURES = captures("teltonika")
REFUSED = captures("teltonika_refused")
BUILT = [capture for capture in CAPTURES if "encode" in capture]
_GENERATION = {"OnChange": "on_change"}
_GROUPS = {1: "io_1", 2: "io_2", 4: "io_4", 8: "io_8"}
_TYPES = {"TypeCommand": "command", "TypeResponse": "response", 11: "message"}


def test_nothing_is_lost_of_what_the_sources_have() -> None:
    also = sum(len(capture.get("also", ())) for capture in CAPTURES)
    assert (len(CAPTURES), also, len(REFUSED), len(BUILT)) == (20, 15, 13, 8)
    assert {capture["kind"] for capture in CAPTURES} == {row.name for row in MESSAGES.values() if row.direction.value == "up"}


def built(capture: Capture) -> bytes:
    """The data that the source's input makes, built by our declarations."""
    told, kind = capture["encode"], only(capture["frame"]).kind
    if "command" in told:
        return bytes([kind]) + TELTONIKA.build("codec_12_command", {"text": told["command"]})
    if not told["Data"]:
        (message,) = told["Messages"]
        content = {"text": message["Text"].encode()}
        if "Imei" in message:
            content["imei"] = message["Imei"]
        if "Timestamp" in message:
            content["time"] = datetime.fromtimestamp(message["Timestamp"], UTC)
        fields = {"quantity": 1, "type": _TYPES[message["Type"]], "content": content, "quantity_again": 1}
        return bytes([kind]) + compile(MESSAGES[kind].layout(only(capture["frame"]).body)).build(fields)
    records = []
    for entry in told["Data"]:
        record = {
            "time": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=entry["TimestampMs"]),
            "priority": entry["Priority"],
            "longitude": entry["Lng"],
            "latitude": entry["Lat"],
            "altitude": entry["Altitude"],
            "course": entry["Angle"],
            "satellites": entry["Satellites"],
            "speed": entry["Speed"],
            "event_id": entry["EventID"],
            "generation_type": _GENERATION.get(entry["GenerationType"]),
            **{group: [] for group in (*_GROUPS.values(), "io_x")},
        }
        for element in entry["Elements"]:
            raw = bytes.fromhex(element["Value"]["$bytes"])
            record[_GROUPS[len(raw)]].append((element["Id"], raw if len(raw) == 8 else int.from_bytes(raw, "big")))
        records.append(record)
    fields = {"count": len(records), "records": records, "count_again": len(records)}
    return bytes([kind]) + compile(MESSAGES[kind].layout(b"")).build(fields)


@pytest.mark.parametrize("capture", BUILT, ids=[capture["id"] for capture in BUILT])
def test_frames_are_made_from_fields(capture: Capture) -> None:
    assert frame(built(capture)) == capture["frame"]


@pytest.mark.parametrize("capture", [one for one in CAPTURES if "told" in one], ids=lambda capture: capture["id"])
def test_fields(capture: Capture) -> None:
    told, message, data = capture["told"], only(capture["frame"]), capture["frame"]
    decoded = FMB.decode(message)
    assert decoded.error is None
    if "text" in told:
        assert decoded.reports[0].values["text"] == told["text"]
    if "getImei" in told:
        assert message.identity == decoded.reports[0].values["imei"] == told["getImei"]
    assert len(decoded.reports) == told.get("count", len(decoded.reports))
    if "getCrc" in told:
        assert int.from_bytes(data[-4:], "big") == told["getCrc"]
        assert message.kind == told["getAvlDataCollection.getCodecId"]


@pytest.mark.parametrize("capture", REFUSED, ids=[capture["id"] for capture in REFUSED])
def test_refused_frames_are_no_message_and_the_next_one_is(capture: Capture) -> None:
    codec = TELTONIKA.codec(IMEI)
    (first,) = codec.receive(capture["frame"], 0.0)
    assert isinstance(first, Malformed)
    assert first.cause == ("garbage" if capture["is_raw"] else "checksum")
    (second,) = codec.receive(CAPTURES[0]["frame"], 1.0)
    assert isinstance(second, Message)


@pytest.mark.parametrize("capture", [one for one in REFUSED if "fixed_hex" in one], ids=lambda capture: capture["id"])
def test_with_a_right_check_what_cannot_be_read_is_told_and_what_can_is_read(capture: Capture) -> None:
    events = receive(bytes.fromhex(capture["fixed_hex"]))
    if isinstance(events[0], Malformed):
        assert events[0].cause == "count"
        return
    (message,) = events
    decoded = FMB.decode(message)
    if message.kind not in (0x08, 0x8E, 0x10):
        assert decoded.error is not None
        assert (decoded.error.cause, decoded.reports) == ("unknown-kind", [])
        assert TELTONIKA.codec().ack(message, Outcome.QUARANTINED, NOON) == b""
    elif decoded.error:
        assert decoded.reports == []
        assert TELTONIKA.codec().ack(message, Outcome.QUARANTINED, NOON) == bytes((0, 0, 0, message.body[0]))
    else:
        assert len(decoded.reports) == message.body[0]
