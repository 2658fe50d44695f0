"""Walks every capture of every protocol: whole, in pieces, cut, damaged, and in floods."""

from __future__ import annotations

from itertools import chain
from random import Random
from typing import Any

import pytest

from protocols import DecodeError, Malformed, Message
from protocols.body import read, values
from protocols.explain import explain
from protocols.explanation import UNREAD, Label
from protocols.registry import PROTOCOLS
from tests.held import held_bytes
from tests.protocols.captures import captures
from tests.protocols.test_explain import check_cover

LINK_LIMIT = 4 << 20
"""Bytes a link may hold, of all kinds."""
QUIET_LIMIT = 16 << 10
"""Bytes a link may hold that has no message of several frames under way."""
FRAMES_TO_RECOVER = {"jt808": 1}
"""Whole frames behind a cut one after which a message must have come. Where a flag begins each, the first already."""
CASES = [
    pytest.param(protocol, capture["frame"], id=capture["id"])
    for protocol in PROTOCOLS.values()
    for capture in captures(protocol.name)
]
each_capture = pytest.mark.parametrize(("protocol", "frame"), CASES)
each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))


def link(protocol: Any) -> Any:
    """The platform's end of a link on which a device has logged in, for frames that do not tell who sends them."""
    return protocol.codec(protocol.simulated_identity(0))


def messages(protocol: Any, *chunks: bytes) -> list[Message]:
    codec = link(protocol)
    return [event for chunk in chunks for event in codec.receive(chunk, 0.0) if isinstance(event, Message)]


@each_capture
def test_bytes_come_to_the_same_however_reads_end(protocol: Any, frame: bytes) -> None:
    whole = messages(protocol, frame)
    assert len(whole) == 1
    assert messages(protocol, *(frame[at : at + 1] for at in range(len(frame)))) == whole
    for cut in range(1, len(frame)):
        assert messages(protocol, frame[:cut], frame[cut:]) == whole


@each_capture
def test_a_frame_cut_anywhere_is_no_message_and_the_link_finds_its_feet_again(protocol: Any, frame: bytes) -> None:
    good = messages(protocol, frame)
    for cut in range(1, len(frame) - 1):
        codec = link(protocol)
        assert codec.receive(frame[:cut], 0.0) == []
        assert cut == 1 or [event.cause for event in codec.end() if isinstance(event, Malformed)] == ["cut"]
        codec = link(protocol)
        codec.receive(frame[:cut], 0.0)
        # What follows may be taken for the rest: as many bytes as the frame has, or as a wrongly placed length tells.
        for _ in range(FRAMES_TO_RECOVER.get(protocol.name, 30)):
            found = [event for event in codec.receive(frame, 0.0) if isinstance(event, Message)]
            if found:
                break
        assert found[-1:] == good, cut


@each_capture
def test_explanation_covers_a_good_frame_without_a_complaint(protocol: Any, frame: bytes) -> None:
    tree = protocol.explain(frame)
    check_cover(tree, tree.raw)
    assert len(tree.raw) <= len(frame)
    (message,) = messages(protocol, frame)
    assert message.body in tree.raw
    assert not tree.error
    complaints = [(leaf.name, leaf.error) for leaf in tree.leaves() if leaf.error and leaf.name != UNREAD]
    assert complaints == []
    assert all(leaf.value is None for leaf in tree.leaves() if leaf.is_secret)


@each_capture
def test_explanation_covers_what_is_cut_or_damaged(protocol: Any, frame: bytes) -> None:
    random = Random(len(frame))
    for at in range(0, len(frame), 1 + len(frame) // 40):
        cut = protocol.explain(frame[:at])
        check_cover(cut, cut.raw)
        assert cut.error
        bad = bytearray(frame)
        bad[at] ^= 1 << random.randrange(8)
        damaged = protocol.explain(bytes(bad))
        check_cover(damaged, damaged.raw)
        errors = [damaged.error, *(leaf.error for leaf in damaged.leaves())]
        assert any(errors) or messages(protocol, bytes(bad)), at


@each_protocol
def test_a_link_holds_little_of_what_never_becomes_a_message(protocol: Any) -> None:
    random, codec = Random(1), link(protocol)
    for _ in range(300):
        codec.receive(random.randbytes(4096), 0.0)
        assert held_bytes(codec) <= QUIET_LIMIT
    codec = link(protocol)
    for _ in range(300):
        codec.receive(b"\0" * 4096, 0.0)
        assert held_bytes(codec) <= QUIET_LIMIT


@each_protocol
def test_a_link_holds_no_more_after_many_messages_than_after_a_few(protocol: Any) -> None:
    frames = [capture["frame"] for capture in captures(protocol.name)]
    codec, held = link(protocol), []
    for _ in range(30):
        for frame in frames:
            codec.receive(frame, 0.0)
        held.append(held_bytes(codec))
    assert held[-1] <= held[0] + QUIET_LIMIT


@each_protocol
def test_work_grows_with_the_bytes_and_not_with_how_they_are_cut(protocol: Any) -> None:
    """A link that is fed byte by byte must not look at each byte again and again: what it holds stays below a frame."""
    stream = b"".join(chain.from_iterable([capture["frame"]] * 3 for capture in captures(protocol.name)))
    codec, longest = link(protocol), max(len(capture["frame"]) for capture in captures(protocol.name))
    empty = held_bytes(codec)
    for at in range(0, len(stream), 1):
        codec.receive(stream[at : at + 1], 0.0)
        if at % 97 == 0:
            assert held_bytes(codec) <= empty + longest


LAYOUTS = [
    pytest.param(layout, id=f"{protocol.name} {row.name} {edition}")
    for protocol in PROTOCOLS.values()
    for row in protocol.messages.values()
    for edition, layout in row.layouts.items()
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_explanation_says_what_parsing_any_bytes_says(layout: Any) -> None:
    random = Random(808)
    for size in (*range(40), 80, 200):
        data = bytes(random.choice((0, 0, 1, 2, 3, random.randrange(256))) for _ in range(size))
        tree = explain(layout, data, 0, Label("body"))
        check_cover(tree, data)
        errors = [leaf.error for leaf in tree.leaves() if leaf.error]
        try:
            parsed = read(layout, data)
        except DecodeError as error:
            told = error.text
        else:
            told = ""
        if told:
            assert told in errors
            continue
        assert layout.build(parsed) == data[: len(layout.build(parsed))]
        shown = values(layout, parsed)
        for field in tree.children:
            if field.name in shown and not field.children:
                assert field.value == shown[field.name]
