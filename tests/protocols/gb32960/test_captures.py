"""Every captured frame: what it is, what answers it, and that its bytes come back."""

from __future__ import annotations

import pytest

from protocols import Malformed, Message, Outcome, Send
from protocols.compiler import compile
from protocols.gb32960 import GB32960
from protocols.gb32960.header import close_frame
from protocols.gb32960.messages import layout_of
from tests.protocols.captures import Capture, captures
from tests.protocols.gb32960.frames import NOON, only, up

CAPTURES = captures("gb32960")
each_capture = pytest.mark.parametrize("capture", CAPTURES, ids=[capture["id"] for capture in CAPTURES])
REPLIES = [capture for capture in CAPTURES if "reply" in capture]
CUSTOM_WITHOUT_LENGTH = {"terryhart-32960/reissueReport/1", "terryhart-32960/reissueReport/2"}
"""Their bodies 0x81 and 0x82 have no length word."""


@each_capture
def test_envelope(capture: Capture) -> None:
    message = only(capture["frame"])
    assert GB32960.kind_name(message.kind) == capture["kind"]
    assert (message.identity, message.sequence, message.parts) == (capture["identity"], 0, ())
    assert close_frame(message.head, message.body) == capture["frame"]


@each_capture
def test_bytes_come_back(capture: Capture) -> None:
    message = only(capture["frame"])
    _, layout = layout_of(message.head, message.body)
    assert layout is not None
    assert layout.build(layout.parse(message.body)) == message.body
    assert compile(layout).build(compile(layout).parse(message.body)) == message.body


@each_capture
def test_decodes(capture: Capture) -> None:
    found = GB32960.decode(only(capture["frame"]))
    assert len(found.reports) == 1
    assert (found.error is not None) == (capture["id"] in CUSTOM_WITHOUT_LENGTH)
    assert found.reports[0].body == only(capture["frame"]).body


@pytest.mark.parametrize("capture", REPLIES, ids=[capture["id"] for capture in REPLIES])
def test_reply(capture: Capture) -> None:
    ack = GB32960.codec().ack(only(capture["frame"]), Outcome.STORED, NOON).hex()
    if capture["kind"] == "time_sync":
        # The source's clock is its own.
        assert ack.startswith(capture["reply"].rstrip(".*"))
        assert ack[48:60] == "1a03010c0000"
    else:
        assert ack == capture["reply"]


@each_capture
def test_byte_by_byte(capture: Capture) -> None:
    codec = GB32960.codec()
    events = [event for byte in capture["frame"] for event in codec.receive(bytes([byte]), 0.0)]
    assert events == [only(capture["frame"])]


@each_capture
def test_with_garbage_around(capture: Capture) -> None:
    codec, frame = GB32960.codec(), capture["frame"]
    events = codec.receive(b"GET / HTTP/1.1\r\n" + frame + b"\x00\x01" + frame + frame + b"#", 0.0)
    causes = [event.cause if isinstance(event, Malformed) else "message" for event in events]
    assert causes == ["garbage", "message", "garbage", "message", "message"]
    assert [event.cause for event in codec.end() if isinstance(event, Malformed)] == ["cut"]


@each_capture
def test_any_flipped_bit_is_noticed_and_costs_no_other_frame(capture: Capture) -> None:
    frame = capture["frame"]
    good, other = only(frame), only(up(0x07))
    for at in range(8 * len(frame)):
        bad = bytearray(frame)
        bad[at // 8] ^= 1 << at % 8
        codec = GB32960.codec()
        events = codec.receive(bytes(bad) + up(0x07) * 2, 0.0)
        messages = [event for event in events if isinstance(event, Message)]
        if 22 <= at // 8 < 24:
            # A longer frame that is announced swallows what comes until its check fails.
            events = [*events, *codec.receive(frame * (1 + 0x10000 // len(frame)), 0.0)]
            messages = [event for event in events if isinstance(event, Message)]
            assert set(messages) <= {good, other}, f"bit {at}"
            assert messages, f"bit {at}"
            continue
        assert messages == [other, other], f"bit {at}"
        assert any(isinstance(event, Malformed) for event in events)
        assert not any(isinstance(event, Send) for event in events)
