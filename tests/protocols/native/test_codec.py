from __future__ import annotations

from datetime import timedelta
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import FileResult, FileStatus, Malformed, Message, Outcome, Send, Wanted
from protocols.native import NATIVE
from protocols.native.codec import LEAST_PAYLOAD_BYTES, MAX_CHUNKS_A_READ
from protocols.native.frame import MAX_PAYLOAD_BYTES, frame, open_frame
from protocols.native.messages import CHUNK, COMMAND, EDITION, MESSAGES, OFFER, PONG
from tests.protocols.commands import sent_down
from tests.protocols.native.frames import (
    HELLO_FIELDS,
    IDENTITY,
    NOON,
    NOON_MS,
    TOKEN,
    body,
    hello,
    moment,
    offer,
    online,
    only,
    reading,
    readings,
    receive,
    up,
)

FIRMWARE = bytes(range(256)) * 40
OFFERED = offer(5, FIRMWARE, "2.0")
HEAD = bytes.fromhex("010200")


def answer(data: bytes) -> tuple[int, int, Any]:
    kind, sequence, payload = open_frame(data)
    return kind, sequence, MESSAGES[kind].layouts[EDITION].parse(payload)


def get(offset: int, length: int = 100, file: int = 5, sequence: int = 9) -> bytes:
    return up("get", body("get", file=file, offset=offset, length=length), sequence)


def chunk(event: Any) -> tuple[int, bytes]:
    assert isinstance(event, Send)
    kind, _, payload = open_frame(event.data)
    assert kind == CHUNK
    return int.from_bytes(payload[4:8], "big"), payload[8:]


def test_a_login_is_a_message_and_says_who_sends_what_follows() -> None:
    codec = NATIVE.codec()
    first, second = codec.receive(hello(3) + up("bye", b"", 4), 0.0)
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert (first.identity, first.kind, first.sequence, first.head) == (IDENTITY, 1, 3, HEAD)
    assert (second.identity, second.kind, second.sequence, second.head, second.body) == (IDENTITY, 11, 4, HEAD, b"")
    assert NATIVE.ends_session(second.kind)


def test_welcome_tells_the_terms() -> None:
    codec = NATIVE.configure({"payload_bytes": 2000, "window": 3, "keep_alive_seconds": 30}).codec()
    (message,) = codec.receive(hello(7), 0.0)
    kind, sequence, welcome = answer(codec.ack(message, Outcome.STORED, NOON))
    assert (kind, sequence, welcome.result, welcome.version, welcome.time) == (0x81, 7, "welcome", 1, NOON)
    assert (welcome.payload, welcome.window, welcome.keep_alive, welcome.reason) == (2000, 3, 30, "")


def test_refused_is_said_with_a_reason() -> None:
    codec = online()
    (message,) = codec.receive(hello(7), 0.0)
    _, _, welcome = answer(codec.ack(message, Outcome.REFUSED, NOON))
    assert (welcome.result, welcome.reason) == ("refused", "this device is not let in")


@pytest.mark.parametrize(("theirs", "spoken"), [(1, 1), (2, 1), (255, 1)])
def test_of_two_versions_the_lower_is_spoken(theirs: int, spoken: int) -> None:
    codec = NATIVE.codec()
    (message,) = codec.receive(hello(version=theirs, extra=b"later"), 0.0)
    assert message.head[0] == spoken
    assert answer(codec.ack(message, Outcome.STORED, NOON))[2].version == spoken


@pytest.mark.parametrize(
    "changes",
    [{"identity": ""}, {"identity": "x" * 65}, {"identity": "a\nb"}, {"identity": "a\0b"}, {"identity": "a\0"}, {"version": 0}],
    ids=str,
)
def test_a_hello_that_says_nothing_usable_is_no_message_and_shows_no_token(changes: dict[str, Any]) -> None:
    codec = NATIVE.codec()
    (event,) = codec.receive(hello(**changes), 0.0)
    assert isinstance(event, Malformed)
    assert event.cause == "header"
    assert TOKEN not in event.raw


def test_a_hello_cut_at_any_field_shows_no_token() -> None:
    whole = body("hello", **HELLO_FIELDS)
    least = len(whole) - len(b"")
    for size in range(least):
        (event,) = NATIVE.codec().receive(up("hello", whole[:size]), 0.0)
        assert isinstance(event, Malformed)
        assert (event.cause, TOKEN in event.raw) == ("header", False)


def test_before_a_login_there_are_no_messages() -> None:
    codec = NATIVE.codec()
    for kind in ("readings", "ping", "get", "time", "bye", "ack"):
        (event,) = codec.receive(up(kind, b""), 0.0)
        assert isinstance(event, Malformed)
        assert event.cause == "unidentified"


def test_what_the_platform_sends_is_no_message_when_it_comes_back() -> None:
    for kind in (0x80, 0x81, COMMAND, OFFER, 0xFF):
        (event,) = receive(frame(kind, 1, b"\0"))
        assert isinstance(event, Malformed)
        assert event.cause == "direction"


def test_what_a_later_version_sends_is_kept_and_acked() -> None:
    codec = online()
    (message,) = codec.receive(frame(0x30, 5, b"news"), 0.0)
    assert (message.kind, message.body) == (0x30, b"news")
    decoded = NATIVE.decode(message)
    assert decoded.error is not None
    assert decoded.error.cause == "unknown-kind"
    assert NATIVE.kind_name(0x30) == "0x30"
    assert answer(codec.ack(message, Outcome.QUARANTINED, NOON))[2].result == "unread"


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome.STORED, "stored"),
        (Outcome.REFUSED, "refused"),
        (Outcome.QUARANTINED, "unread"),
        (Outcome.DECLINED, "unread"),
    ],
)
@pytest.mark.parametrize("kind", ["describe", "readings", "file_begin", "file_data", "file_end", "result", "bye"])
def test_acks_have_the_sequence_of_their_message(kind: str, outcome: Outcome, result: str) -> None:
    codec = online()
    (message,) = codec.receive(up(kind, b"", 0xABCD), 0.0)
    ack = codec.ack(message, outcome, NOON)
    assert answer(ack)[:2] == (0x80, 0xABCD)
    assert answer(ack)[2].result == result
    assert len(ack) == 10


def test_time_is_told_with_the_clock_that_asked() -> None:
    codec = online()
    (message,) = codec.receive(up("time", body("time", clock=12345), 6), 0.0)
    kind, sequence, told = answer(codec.ack(message, Outcome.STORED, NOON))
    assert (kind, sequence, told.clock, told.time) == (0x89, 6, 12345, NOON)
    assert answer(codec.ack(message, Outcome.REFUSED, NOON))[0] == 0x80
    (cut,) = codec.receive(up("time", b"\1", 6), 0.0)
    assert answer(codec.ack(cut, Outcome.QUARANTINED, NOON))[2].clock == 1


def test_ping_is_answered_at_once() -> None:
    assert receive(up("ping", b"", 77)) == [Send(frame(PONG, 77, b""))]


def test_names_of_channels_travel_with_readings_and_nothing_else() -> None:
    codec = online()
    names = body("describe", channels=[{"channel": 128, "name": "lid_angle_deg", "unit": "°"}])
    one = readings(moment(NOON, reading(128, "i8", 3)))
    _, first, other = codec.receive(up("describe", names) + one + up("bye", b""), 0.0)
    assert first.head == HEAD + names
    assert other.head == HEAD
    (message,) = codec.receive(hello(), 0.0)
    (bare,) = codec.receive(one, 0.0)
    assert message.head == bare.head == HEAD


def test_too_many_names_are_kept_out_of_heads() -> None:
    codec = online()
    names = body("describe", channels=[{"channel": 128 + n, "name": f"channel_number_{n}", "unit": ""} for n in range(40)])
    message, first = codec.receive(up("describe", names) + readings(moment(NOON)), 0.0)
    assert first.head == HEAD
    decoded = NATIVE.decode(message)
    assert decoded.error is not None
    assert decoded.error.cause == "oversized"


def test_an_offered_file_is_handed_out_piece_by_piece() -> None:
    codec = online(payload=MAX_PAYLOAD_BYTES)
    (event,) = codec.offer(bytes.fromhex("010ff0"), OFFERED, 0.0)
    assert isinstance(event, Send)
    kind, _, told = answer(event.data)
    assert (kind, told.file, told.size, told.crc32) == (OFFER, 5, len(FIRMWARE), crc32(FIRMWARE))
    assert (told.name, told.version, told.extra) == ("firmware", "2.0", b"")
    found = b""
    while len(found) < len(FIRMWARE):
        (wanted,) = codec.receive(get(len(found), 3000), 0.0)
        assert isinstance(wanted, Wanted)
        assert (wanted.identity, wanted.file, wanted.offset, wanted.length) == (IDENTITY, 5, len(found), 3000)
        (event,) = codec.hand_out(wanted, FIRMWARE[wanted.offset : wanted.offset + wanted.length], 0.0)
        assert chunk(event)[0] == len(found)
        found += chunk(event)[1]
    assert found == FIRMWARE
    (wanted,) = codec.receive(get(0, file=6), 0.0)
    assert isinstance(wanted, Wanted)
    (event,) = codec.hand_out(wanted, b"", 0.0)
    assert chunk(event) == (0, b"")


def test_a_chunk_is_no_longer_than_the_device_takes_and_answers_its_request() -> None:
    codec = online(payload=200)
    (wanted,) = codec.receive(get(0, 4000, sequence=77), 0.0)
    assert isinstance(wanted, Wanted)
    assert wanted.length == 200 - 8
    (event,) = codec.hand_out(wanted, FIRMWARE[:192], 0.0)
    assert isinstance(event, Send)
    assert open_frame(event.data)[1] == 77


def test_an_offer_that_the_device_could_not_read_is_not_made() -> None:
    codec = online(payload=64)
    with pytest.raises(ValueError, match="where the device takes 64"):
        codec.offer(bytes.fromhex("010040"), OFFERED._replace(version="2" * 60), 0.0)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("done", FileResult(5, FileStatus.DONE)),
        ("damaged", FileResult(5, FileStatus.FAILED, "damaged")),
        ("busy", FileResult(5, FileStatus.LATER, "busy")),
        (77, FileResult(5, FileStatus.FAILED, "77")),
    ],
)
def test_a_result_says_what_became_of_a_file(status: str | int, expected: FileResult) -> None:
    codec = online()
    for answered, found in (("offer", expected), ("command", None)):
        sent = up("result", body("result", stamp=NOON, answered=answered, id=5, status=status, returned=[]))
        (message,) = codec.receive(sent, 0.0)
        assert isinstance(message, Message)
        assert [report.file_result for report in NATIVE.decode(message).reports] == [found]


def test_of_a_flood_of_requests_a_few_are_answered() -> None:
    codec = online()
    assert len(codec.receive(get(0) * (MAX_CHUNKS_A_READ + 5), 0.0)) == MAX_CHUNKS_A_READ
    (event,) = codec.receive(up("get", b"\0"), 0.0)
    assert isinstance(event, Malformed)


def test_commands_are_numbered_and_no_longer_than_the_device_takes() -> None:
    codec = online()
    command = NATIVE.build("command", {"id": 7, "name": "relay", "arguments": {"on": True}})
    for number in range(3):
        assert open_frame(sent_down(codec, HEAD, COMMAND, command)) == (COMMAND, number, command)
    codec._next = 0xFFFF
    assert [open_frame(sent_down(codec, HEAD, COMMAND, command))[1] for _ in range(2)] == [0xFFFF, 0]
    with pytest.raises(ValueError, match="513 bytes, where the device takes 512"):
        sent_down(codec, HEAD, COMMAND, bytes(513))
    assert sent_down(codec, HEAD, COMMAND, bytes(512))
    with pytest.raises(ValueError, match="takes 4080"):
        sent_down(codec, b"\x01\xff\xff", COMMAND, bytes(4081))


def test_a_device_that_says_it_takes_nothing_is_taken_to_take_a_little() -> None:
    (message,) = NATIVE.codec().receive(hello(payload=0), 0.0)
    assert int.from_bytes(message.head[1:3], "big") == LEAST_PAYLOAD_BYTES


def test_a_codec_with_an_identity_is_logged_in() -> None:
    message = only(readings(moment(NOON, reading(2, "f32", 21.5))))
    assert message.identity == IDENTITY
    assert NATIVE.decode(message).reports[0].values == {"temperature_c": 21.5}


def test_every_flipped_bit_is_seen() -> None:
    good = readings(moment(NOON, reading(2, "f32", 21.5)), sequence=300)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert not [event for event in receive(bytes(bad) + bytes(5000)) if isinstance(event, Message)], bit


def test_lost_bytes_within_a_header_cost_no_other_frame() -> None:
    """What is then taken for the length is above the limit, or 16: no receiver waits for long."""
    good = readings(moment(NOON, reading(2, "f32", 21.5)), sequence=300)
    for cut in range(1, len(good)):
        messages = [event for event in receive(good[:cut] + good) if isinstance(event, Message)]
        assert messages == [only(good)], cut


@given(
    st.lists(st.sampled_from([hello(), readings(moment(NOON_MS, reading(3, "i8", 1))), up("ping", b""), get(0), b"\x10", b"junk"])),
    st.data(),
)
def test_reads_may_end_anywhere(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    edges = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole, cut = NATIVE.codec(IDENTITY), NATIVE.codec(IDENTITY)
    expected = [event for event in whole.receive(stream, 0.0) if not isinstance(event, Malformed)]
    found = []
    for start, end in zip([0, *edges], [*edges, len(stream)], strict=True):
        found += [event for event in cut.receive(stream[start:end], 0.0) if not isinstance(event, Malformed)]
    assert found == expected


@given(st.binary(max_size=300), st.integers(0, 255))
def test_any_payload_of_any_kind_is_taken(payload: bytes, kind: int) -> None:
    codec = online()
    for event in codec.receive(frame(kind, 1, payload), 0.0):
        if isinstance(event, Message):
            decoded = NATIVE.decode(event)
            assert all(report.kind for report in decoded.reports)
            assert codec.ack(event, Outcome.STORED, NOON + timedelta(days=1))


def test_oversized_and_cut() -> None:
    codec = online()
    (event,) = codec.receive(bytes.fromhex("10a7 03 0ff1 0001"), 0.0)
    assert (event.cause, codec.end()) == ("oversized", [])
    longest = up("readings", bytes(MAX_PAYLOAD_BYTES))
    assert isinstance(codec.receive(longest, 0.0)[0], Message)
    assert codec.receive(longest[:-1], 0.0) == []
    (event,) = codec.end()
    assert event.cause == "cut"
    with pytest.raises(ValueError, match="does not fit"):
        frame(1, 1, bytes(MAX_PAYLOAD_BYTES + 1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"speed": 1}, "speed: there is no such option"),
        ({"window": 0}, "window: 0 is no whole number from 1 to 64"),
        ({"window": True}, "window: True"),
        ({"payload_bytes": 4081}, "payload_bytes: 4081 is no whole number from 128 to 4080"),
        ({"keep_alive_seconds": "60"}, "keep_alive_seconds: '60'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NATIVE.configure(options)
