"""Files on their way down in sub-packets, between the codec and a simulated terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from random import Random
from zlib import crc32

import pytest

from protocols import FileResult, FileStatus, Message, Offer, Outcome, Send, Wanted
from protocols.jt808 import JT808
from protocols.jt808.codec import JT808Codec
from protocols.jt808.downlink import PIECE_BYTES
from protocols.jt808.header import open_frame, read_header
from protocols.jt808.terminal import JT808Terminal
from protocols.jt808.upgrade import CONFIRM_SECONDS, FETCH_SECONDS, MOST_AGAIN, MOST_ASKED, MOST_PIECES, STRIDE
from tests.protocols.jt808.frames import only, up

IDENTITY = "13800138000"
HEAD = only(up(0x0002, phone="013800138000")).head
FIRMWARE = Random(808).randbytes(100_500)
TOTAL = -(-(len(FIRMWARE) + 16) // PIECE_BYTES)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def offer(data: bytes = FIRMWARE, sent: int = 0, **changes: object) -> Offer:
    return Offer(7, 5, len(data), crc32(data), "firmware", "2.0.1", "IOTGW", sent)._replace(**changes)


class Road:
    """Both ends of a link; a piece is lost as often as ``lost`` has its number, and the link breaks at a piece."""

    def __init__(self, terminal: JT808Terminal, lost: Collection[int] = (), breaks_at: int = 0, confirms: bool = True) -> None:
        self.terminal, self.codec = terminal, JT808.codec()
        self.now = 0.0
        self.wanted: list[Wanted] = []
        self.pieces: list[int] = []
        self.results: list[FileResult] = []
        self.made = 0
        self.is_broken = False
        self._lost, self._breaks_at, self._confirms = Counter(lost), breaks_at, confirms
        self.up(terminal.connect())

    def run(self, file: Offer, data: bytes = FIRMWARE) -> None:
        """Let it go down as far as it does, with time for what is waited for."""
        self._data = data
        self.down(self.codec.offer(HEAD, file, self.now))
        while (deadline := self.codec.deadline) is not None and not self.is_broken:
            self.now = max(self.now, deadline)
            self.down(self.codec.wake(self.now))

    def down(self, events: object) -> None:
        for event in list(events):  # type: ignore[call-overload]
            if isinstance(event, Wanted):
                self.wanted.append(event)
                self.down(self.codec.hand_out(event, self._data[event.offset : event.offset + event.length], self.now))
            elif isinstance(event, Send):
                self._arrive(event.data)
            elif isinstance(event, Message):
                self.results += [report.file_result for report in JT808.decode(event).reports if report.file_result]
                self._arrive(self.codec.ack(event, Outcome.STORED, NOON))

    def up(self, data: bytes) -> None:
        if data:
            self.down(self.codec.receive(data, self.now))

    def _arrive(self, data: bytes) -> None:
        for run in filter(None, data.split(b"\x7e")):
            opened = open_frame(run)
            assert isinstance(opened, tuple)
            header = read_header(opened[0])
            if header.id == 0x8108:
                self.is_broken = self.is_broken or header.number == self._breaks_at
                if self.is_broken or self._lost[header.number]:
                    self._lost[header.number] -= 1
                    continue
                self.pieces.append(header.number)
            for event in self.terminal.receive(b"\x7e" + run + b"\x7e"):
                if isinstance(event, Send):
                    if self._confirms or not event.data.startswith(b"\x7e\x00\x01"):
                        self.up(event.data)
                else:
                    self.made += type(event).__name__ == "Made"


@pytest.fixture
def terminal() -> JT808Terminal:
    return JT808.terminal(IDENTITY)


def test_a_file_goes_down_as_fast_as_it_is_confirmed(terminal: JT808Terminal) -> None:
    road = Road(terminal)
    road.run(offer())
    assert terminal.firmware == FIRMWARE
    assert road.pieces == list(range(1, TOTAL + 1))
    assert max(wanted.length for wanted in road.wanted) <= STRIDE * PIECE_BYTES
    assert road.now < CONFIRM_SECONDS + 0.1, "only the last confirmation is waited for"
    assert road.results == [FileResult(None, FileStatus.DONE)]
    assert road.made == 1


def test_a_terminal_that_confirms_nothing_gets_it_at_a_slow_pace(terminal: JT808Terminal) -> None:
    road = Road(terminal, confirms=False)
    road.run(offer())
    assert terminal.firmware == FIRMWARE
    assert road.now == pytest.approx(CONFIRM_SECONDS * -(-TOTAL // STRIDE))


def test_lost_pieces_are_asked_for_again(terminal: JT808Terminal) -> None:
    lost = {1, 2, 9, 40, 41, 42, TOTAL - 1}
    road = Road(terminal, lost)
    road.run(offer())
    assert terminal.firmware == FIRMWARE
    assert sorted(road.pieces) == list(range(1, TOTAL + 1))
    assert set(road.pieces[-len(lost) :]) == lost


def test_without_its_last_piece_it_asks_when_it_has_it(terminal: JT808Terminal) -> None:
    road = Road(terminal, {TOTAL, 3})
    road.run(offer())
    assert terminal.firmware == b""
    assert terminal.heartbeat().count(b"\x7e") == 2, "it cannot know what is missing"
    again = Road(terminal)
    again.run(offer(sent=len(FIRMWARE) - 10))
    assert terminal.firmware == FIRMWARE
    assert again.pieces == [TOTAL, 3]


def test_over_the_next_link_it_goes_on_where_it_was(terminal: JT808Terminal) -> None:
    first = Road(terminal, breaks_at=70)
    first.run(offer())
    assert first.pieces == list(range(1, 70))
    # What is known of how far it got lags behind, or is ahead of what has arrived.
    for sent in (first.wanted[-1].offset, len(FIRMWARE) * 9 // 10):
        second = Road(terminal)
        second.run(offer(sent=sent))
        assert terminal.firmware == FIRMWARE
        assert not set(second.pieces) & set(range(1, 64))
    assert second.results == [FileResult(None, FileStatus.DONE)], "it says once more what it has said"


def test_a_terminal_that_has_forgotten_all_asks_for_all() -> None:
    fresh = JT808.terminal(IDENTITY)
    road = Road(fresh)
    road.run(offer(sent=90_000))
    assert fresh.firmware == FIRMWARE
    assert len(road.pieces) == TOTAL


def test_it_asks_once_more_with_its_heartbeat_for_what_did_not_come(terminal: JT808Terminal) -> None:
    road = Road(terminal, [5, 5])
    road.run(offer())
    assert terminal.firmware == b""
    road.up(terminal.heartbeat())
    assert terminal.firmware == FIRMWARE


def test_bytes_that_do_not_come_are_wanted_once_more() -> None:
    codec = JT808.codec()
    (first,) = codec.offer(HEAD, offer(), 0.0)
    assert codec.deadline == FETCH_SECONDS
    assert codec.wake(FETCH_SECONDS) == [first]


def test_pieces_are_the_same_over_every_link_and_those_of_two_deliveries_are_not() -> None:
    def sent(delivery: int) -> bytes:
        codec = JT808.codec()
        (wanted,) = codec.offer(HEAD, offer(delivery=delivery), 0.0)
        assert isinstance(wanted, Wanted)
        (event,) = codec.hand_out(wanted, FIRMWARE[: wanted.length], 0.0)
        assert isinstance(event, Send)
        return event.data

    assert sent(7) == sent(7)
    firsts = {int.from_bytes(sent(delivery)[11:13], "big") for delivery in range(50)}
    assert len(firsts) == 50


def ask(codec: JT808Codec, first: int, *numbers: int) -> list[Wanted]:
    body = b"".join(number.to_bytes(2, "big") for number in (first, len(numbers), *numbers))
    body = body[:2] + bytes((len(numbers),)) + body[4:]
    return [event for event in codec.receive(up(0x0005, body, phone="013800138000"), 0.0) if isinstance(event, Wanted)]


def test_what_is_asked_for_again_is_bounded() -> None:
    codec = JT808.codec()
    codec.offer(HEAD, offer(), 0.0)
    first = 7 * 0x9E37 % 65536
    assert ask(codec, first, 0, TOTAL + 1, 65535) == []
    assert ask(codec, (first - 1) % 65536, 1) == [], "another message of the platform's"
    runs = ask(codec, first, 3, 4, 5, 9)
    assert [(wanted.tag, wanted.offset, wanted.length) for wanted in runs] == [(3, 1984, 3000), (9, 7984, 1000)]
    many = ask(codec, first, *range(1, TOTAL + 1))
    assert sum(wanted.length for wanted in many) == MOST_ASKED * PIECE_BYTES - 16
    pieces = [sum(-(-wanted.length // PIECE_BYTES) for wanted in ask(codec, first, *range(1, TOTAL + 1))) for _ in range(9)]
    assert 4 + MOST_ASKED + sum(pieces) == MOST_AGAIN * TOTAL
    assert pieces[-1] == 0


def test_what_has_no_place_in_the_message_is_refused_with_its_reason() -> None:
    codec = JT808.codec()
    for wrong, fault in (
        (offer(name="music"), "name: 'music' is nothing that JT/T 808 renews, but firmware, terminal, ic_card_reader, gnss_module"),
        (offer(size=MOST_PIECES * PIECE_BYTES), "where 65535 pieces of 1000 are the most"),
        (offer(maker="MORE THAN FIVE"), "manufacturer_id"),
    ):
        with pytest.raises(ValueError, match=fault):
            codec.offer(HEAD, wrong, 0.0)
    assert codec.deadline is None


def test_of_a_file_that_has_gone_down_only_what_is_asked_for_leaves() -> None:
    for size in (len(FIRMWARE), 5000 - 16):
        codec = JT808.codec()
        assert codec.offer(HEAD, offer(FIRMWARE[:size], sent=size), 0.0) == []
        assert codec.deadline is None
        (wanted,) = ask(codec, 7 * 0x9E37 % 65536, 4)
        assert codec.hand_out(wanted, FIRMWARE[wanted.offset :][: wanted.length], 0.0)
        assert codec.deadline is None, "and nothing after it"


def test_a_file_that_is_withdrawn_or_gone_is_sent_no_more() -> None:
    codec = JT808.codec()
    (wanted,) = codec.offer(HEAD, offer(), 0.0)
    assert isinstance(wanted, Wanted)
    assert codec.hand_out(wanted, b"", 0.0) == []
    assert codec.deadline is None
    (wanted,) = codec.offer(HEAD, offer(), 0.0)
    assert isinstance(wanted, Wanted)
    codec.withdraw(IDENTITY)
    assert codec.deadline is None
    assert codec.hand_out(wanted, FIRMWARE[: wanted.length], 0.0) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [("0000", FileResult(None, FileStatus.DONE)), ("0001", FileResult(None, FileStatus.FAILED, "failure")),
     ("0002", FileResult(None, FileStatus.FAILED, "cancelled")), ("0009", FileResult(None, FileStatus.FAILED, "9"))],
)  # fmt: skip
def test_a_result_says_what_became_of_a_file(body: str, expected: FileResult) -> None:
    (report,) = JT808.decode(only(up(0x0108, bytes.fromhex(body)))).reports
    assert report.file_result == expected
