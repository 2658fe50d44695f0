"""Frames that both clients have sent, as they are in ``tests/captures``.

Left out there, and held here and in ``test_codec``: TIME and BYE, whose frames have fewer than 19 bytes. One of those behind a
frame that was cut within its header is found with the next 25 bytes only, which walks of single frames do not send.
"""

from __future__ import annotations

from typing import Any

import pytest

from protocols import Malformed
from protocols.native import NATIVE
from protocols.native.frame import frame
from tests.protocols.captures import Capture, captures
from tests.protocols.native.frames import only, receive, up

CAPTURES = captures("native")
each = pytest.mark.parametrize("capture", CAPTURES, ids=[capture["id"] for capture in CAPTURES])


def test_both_clients_have_sent_the_same_kinds() -> None:
    by_client = {
        name: sorted(capture["kind"] for capture in CAPTURES if capture["id"].startswith(name)) for name in ("c/", "python/")
    }
    assert by_client["c/"] == by_client["python/"]
    assert set(by_client["c/"]) == {"hello", "describe", "readings", "file_begin", "file_data", "file_end", "result"}


@each
def test_strict(capture: Capture) -> None:
    message = only(capture["frame"])
    assert (message.identity, NATIVE.kind_name(message.kind), message.sequence) == (
        capture["identity"] if capture["kind"] == "hello" else message.identity,
        capture["kind"],
        capture["sequence"],
    )
    decoded = NATIVE.decode(message)
    assert decoded.error is None
    assert decoded.reports
    assert frame(message.kind, message.sequence, message.body) == capture["frame"]
    layout = next(iter(NATIVE.messages[message.kind].layouts.values()))
    assert layout.build(layout.parse(message.body)) == message.body


@each
def test_every_flipped_bit_is_seen_in_a_frame_and_costs_only_it(capture: Capture) -> None:
    good: Any = capture["frame"]
    for at in range(0, 8 * len(good), 1 + len(good) // 60):
        bad = bytearray(good)
        bad[at // 8] ^= 1 << at % 8
        events = receive(bytes(bad) + good + bytes(4100))
        messages = [event for event in events if not isinstance(event, Malformed)]
        assert messages == [only(good)], at


@pytest.mark.parametrize("kind", ["time", "bye"])
def test_short_frames_are_found_behind_a_cut_one(kind: str) -> None:
    good = up(kind, bytes(8) if kind == "time" else b"", 5)
    for cut in range(1, len(good)):
        messages = [event for event in receive(good[:cut] + good + bytes(25)) if not isinstance(event, Malformed)]
        assert messages == [only(good)], cut
