"""Codecs that are watched: every frame is told as it came, before what came of it, and nothing else changes."""

from __future__ import annotations

import pytest

from protocols import DeviceProtocol, Event, Message, RawFrame
from protocols.declared import DeclaredProtocol
from protocols.registry import PROTOCOLS
from tests.conversation import Conversation
from tests.protocols.captures import captures
from tests.protocols.declared_frames import each_frame as each_declared
from tests.protocols.jt808.frames import piece, up

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))


def received(protocol: DeviceProtocol, reads: list[bytes], is_watched: bool) -> list[Event]:
    codec = protocol.codec(protocol.simulated_identity(0))
    codec.is_watched = is_watched
    return [event for data in reads for event in codec.receive(data, 0.0)]


def raw(events: list[Event]) -> list[bytes]:
    return [event.raw for event in events if isinstance(event, RawFrame)]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


class Watched(Conversation):
    """A conversation whose platform is watched."""

    def __init__(self, protocol: DeviceProtocol) -> None:
        self.said, self.frames = b"", list[bytes]()
        super().__init__(protocol)

    def talk(self, data: bytes) -> None:
        self.codec.is_watched = True
        while data:
            self.said += data
            data = self._take(self.codec.receive(data, self.now), hear=True)

    def _store(self, event: Event) -> bytes:
        if isinstance(event, RawFrame):
            self.frames.append(event.raw)
            return b""
        return super()._store(event)


@each_protocol
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_the_frames_of_a_stream_are_told_however_it_is_read(protocol: DeviceProtocol, size: int):
    frames = [capture["frame"] for capture in captures(protocol.name)]
    assert len(frames) > 10
    assert raw(received(protocol, cut(b"".join(frames), size), is_watched=True)) == frames


@each_protocol
def test_a_watched_codec_says_what_one_that_is_not_says(protocol: DeviceProtocol):
    reads = cut(b"junk" + b"".join(capture["frame"] for capture in captures(protocol.name)) + b"junk", 50)
    events = received(protocol, reads, is_watched=True)
    unwatched = received(protocol, reads, is_watched=False)
    assert [event for event in events if not isinstance(event, RawFrame)] == unwatched
    assert not raw(unwatched)
    assert isinstance(events[0], RawFrame), "what came of a frame follows it"


@each_protocol
def test_all_that_a_device_says_is_in_its_frames(protocol: DeviceProtocol):
    conversation = Watched(protocol)
    for _ in range(24):
        conversation.send(conversation.report())
        conversation.pass_time(5)
    assert len(conversation.frames) >= len(conversation.messages) > 3
    assert b"".join(conversation.frames) == conversation.said


@each_declared
def test_frames_of_declared_protocols_have_their_marks_and_flags(protocol: DeclaredProtocol, frame: bytes):
    for size in (1, 1000):
        assert raw(received(protocol, cut(frame + frame, size), is_watched=True)) == [frame, frame]


def test_sub_packets_are_frames_though_nothing_comes_of_the_first_ones():
    pieces = [piece(0x0801, 3, number, number, bytes(30)) for number in (1, 2, 3)]
    between = up(0x0002)
    events = received(PROTOCOLS["jt808"], [pieces[0] + between + pieces[1] + pieces[2]], is_watched=True)
    assert [type(event) for event in events] == [RawFrame, RawFrame, Message, RawFrame, RawFrame, Message]
    assert raw(events) == [pieces[0], between, pieces[1], pieces[2]]
