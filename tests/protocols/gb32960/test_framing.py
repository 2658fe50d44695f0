from __future__ import annotations

import pytest

from protocols import Malformed, Message, Send
from protocols.checksum import xor
from protocols.gb32960 import GB32960, framing
from protocols.gb32960.framing import FrameSplitter
from tests.protocols.gb32960.frames import REPORT, TIME, up

FRAME = up(0x02, REPORT)
BEAT = up(0x07)


def cut_or_good(data: bytes) -> list[str]:
    splitter = FrameSplitter(8192)
    found = splitter.feed(data)
    return [one.cause if isinstance(one, Malformed) else "good" for one in found]


def test_marks_inside_a_frame_are_data() -> None:
    for inside in (b"##" * 30, b"$$##", BEAT, BEAT[:-1], FRAME[:40], b"#" * 200):
        data = up(0x02, TIME + b"\x80" + len(inside).to_bytes(2, "big") + inside)
        assert cut_or_good(data + BEAT) == ["good", "good"]
        assert cut_or_good(data + b"\0" + BEAT) == ["good", "garbage", "good"]
        splitter = FrameSplitter(8192)
        found = [one for byte in data for one in splitter.feed(bytes([byte]))]
        # A whole frame inside of one that has not ended yet is more likely the true one.
        assert found == [data] if inside != BEAT else found[1] == BEAT


def test_a_cut_frame_costs_not_the_one_behind_it() -> None:
    for cut in range(1, len(FRAME)):
        assert cut_or_good(FRAME[:cut] + BEAT)[-1] == "good", cut
        assert cut_or_good(FRAME[:cut] + FRAME)[-1] == "good", cut


def test_a_check_that_fits_by_chance_costs_nothing() -> None:
    # Cut so that its beginning and what follows have a check that fits.
    frames = [up(0x02, REPORT + bytes((number,))) for number in range(64)]
    fits = [(frame, cut) for frame in frames for cut in range(25, len(frame)) if not xor((frame[:cut] + frame)[2 : len(frame)])]
    assert fits
    for frame, cut in fits:
        assert cut_or_good(frame[:cut] + frame) == ["cut", "good"]


def test_what_is_no_header_is_not_waited_for() -> None:
    for head in (b"##" + b"A" * 22, FRAME[:3] + b"A" + FRAME[4:24], FRAME[:21] + b"A" + FRAME[22:24], b"##\x02\xfe" + bytes(20)):
        assert cut_or_good(head)[0] == "header"


def test_three_marks_in_a_row_hide_no_frame() -> None:
    assert cut_or_good(b"#" + FRAME) == ["header", "good"]
    assert cut_or_good(b"#" * 12 + FRAME)[-1] == "good"


def test_link_full_of_marks_byte_by_byte_costs_little() -> None:
    looked = 0

    class Counting(FrameSplitter):
        def _has_header(self, at: int) -> bool:
            nonlocal looked
            looked += 1
            return super()._has_header(at)

    head = FRAME[:22] + b"\x1f\x00"
    for filling in (b"#", b"##\x02\xfe" + b"A" * 17 + b"\x01\x00\x08"):
        splitter = Counting(8192)
        for byte in (head + filling * 8000)[:3000]:
            splitter.feed(bytes([byte]))
    assert looked <= 2 * 3000 * 20


def test_what_was_looked_into_is_not_checked_again_for_each_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = 0

    def counting(frame: bytes) -> str:
        nonlocal checked
        checked += 1
        return real(frame)

    real = framing._fault_of
    monkeypatch.setattr(framing, "_fault_of", counting)
    inside = b"".join(FRAME[:22] + (2000 + number**2).to_bytes(2, "big") for number in range(7))
    splitter = FrameSplitter(8192)
    for byte in FRAME[:22] + b"\x1f\x00" + inside + bytes(range(250)) * 24:
        assert splitter.feed(bytes([byte])) == []
    assert checked == 7, "each once, when it was whole"
    good = up(0x02, TIME + bytes(50))
    found = splitter.feed(good[:40]) + splitter.feed(good[40:])
    assert found[-1] == good, "and what came meanwhile is seen"


def test_what_came_before_does_not_hide_a_frame() -> None:
    splitter = FrameSplitter(8192)
    long = up(0x02, TIME + bytes(1000))
    assert splitter.feed(long) == [long]
    found = splitter.feed(FRAME[:22] + b"\x04\x00" + BEAT)
    assert found[-1] == BEAT, "at once, and not when the frame that was cut would have ended"


def test_no_answer_is_sent_for_what_was_only_cut() -> None:
    codec = GB32960.codec("LZZTEST0000000001")
    events = codec.receive(FRAME[:60] + BEAT, 0.0)
    assert [type(event) for event in events] == [Malformed, Message]
    assert not any(isinstance(event, Send) for event in events)
