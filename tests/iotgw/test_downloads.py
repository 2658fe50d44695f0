"""Files on their way down: who is offered what, who gets which bytes, and what is written down of it."""

from __future__ import annotations

from random import Random
from typing import Any
from zlib import crc32

import pytest

from iotgw.downloads import MOST_WANTED, NOTE_SECONDS, OFFER_SECONDS, RETRY_SECONDS, SILENT_SECONDS
from iotgw.slices import MOST_READS
from protocols import Offer
from protocols.jt808 import JT808
from protocols.native import NATIVE
from protocols.native.codec import MAX_CHUNKS_A_READ
from protocols.native.frame import open_frame
from protocols.native.messages import CHUNK, OFFER
from tasks.contract import SLICE_BYTES, FilesWaiting, Shelved
from tests.iotgw.fakes import FakeDepot, House
from tests.protocols.jt808.frames import up as jt808_up
from tests.protocols.native.frames import body, hello, up

FIRMWARE = Random(1).randbytes(2 * SLICE_BYTES + 1000)
STEP = 500


def shelved(delivery: int = 3, file: int = 5, data: bytes = FIRMWARE, sha256: str = "ab", sent: int = 0) -> Shelved:
    return Shelved(Offer(delivery, file, len(data), crc32(data), "firmware", "2.0", "", sent), sha256)


class Board:
    """A device on a link that it has just opened."""

    def __init__(self, house: House, identity: str = "board") -> None:
        self.house, self.identity = house, identity
        self.link, self.transport = house.connect()
        self.link.dataReceived(hello(identity=identity))
        house.clock.advance(0)
        self.heard()

    def heard(self) -> list[tuple[int, bytes]]:
        """Kind and payload of what the platform has said since."""
        data, found = self.transport.value(), []
        self.transport.clear()
        while data:
            size = 9 + int.from_bytes(data[3:5], "big")
            kind, _, payload = open_frame(data[:size])
            found.append((kind, payload))
            data = data[size:]
        return found

    def ask(self, offset: int, length: int = STEP, file: int = 5, times: int = 1) -> list[bytes]:
        """The bytes of the chunks that it has at once."""
        self.link.dataReceived(up("get", body("get", file=file, offset=offset, length=length)) * times)
        return [payload[8:] for kind, payload in self.heard() if kind == CHUNK]

    def fetch(self) -> bytes:
        found = b""
        while (chunk := self.ask(len(found))[0]) != b"":
            found += chunk
        return found


@pytest.fixture
def depot() -> FakeDepot:
    depot = FakeDepot()
    depot.bytes["ab"] = FIRMWARE
    return depot


def house_of(depot: FakeDepot, protocol: Any = NATIVE, **settings: Any) -> House:
    house = House(protocol, **settings)
    house.marks.files = depot.next
    house.gateway.wondering.ask_of(house.marks)
    house.gateway.downloads.fetch_from(depot)
    return house


def told(depot: FakeDepot) -> list[tuple[int, str]]:
    """What was noted of the one delivery."""
    assert {note.delivery for note in depot.notes} <= {3}
    return [(note.sent, note.fault) for note in depot.notes]


@pytest.fixture
def house(depot: FakeDepot) -> House:
    return house_of(depot)


@pytest.fixture
def board(house: House, depot: FakeDepot) -> Board:
    """One to which the firmware is offered."""
    depot.next["native", "board"] = shelved()
    board = Board(house)
    house.pass_time(1)
    assert [kind for kind, _ in board.heard()] == [OFFER]
    return board


def test_devices_for_which_nothing_waits_share_one_question(house: House, depot: FakeDepot) -> None:
    boards = [Board(house, f"board-{number}") for number in range(20)]
    house.pass_time(60)
    assert [len(devices) for devices in house.marks.asked] == [20]
    assert depot.asked == []
    assert depot.notes == []
    assert boards[0].heard() == []


def test_what_waits_is_offered_soon_after_a_device_comes_and_fetched(house: House, depot: FakeDepot, board: Board) -> None:
    assert board.fetch() == FIRMWARE
    assert depot.asked == [[("native", "board")]]
    assert house.statistics["downloads.bytes"] == len(FIRMWARE)
    assert len(house.gateway.downloads) == 1
    board.link.close("peer")
    board.transport.finish()
    assert len(house.gateway.downloads) == 0


def test_devices_that_fetch_the_same_have_it_read_once(house: House, depot: FakeDepot, board: Board) -> None:
    depot.next["native", "other"] = shelved(delivery=4)
    other = Board(house, "other")
    house.pass_time(1)
    assert board.fetch() == other.fetch() == FIRMWARE
    assert depot.reads == [("ab", 0), ("ab", SLICE_BYTES), ("ab", 2 * SLICE_BYTES)]


def test_what_is_kept_is_bounded(depot: FakeDepot) -> None:
    depot.bytes["ab"] = bytes(12 * SLICE_BYTES)
    house = house_of(depot, files_cache_bytes=1 << 20)
    depot.next["native", "board"] = shelved(data=depot.bytes["ab"])
    board = Board(house)
    house.pass_time(1)
    for _ in range(2):
        for offset in range(0, 12 * SLICE_BYTES, SLICE_BYTES):
            assert board.ask(offset) == [bytes(STEP)]
        assert house.gateway.downloads.held_bytes == 1 << 20
    assert len(depot.reads) == 24


def test_a_device_gets_what_was_offered_to_it_and_nothing_else(house: House, depot: FakeDepot, board: Board) -> None:
    other = Board(house, "other")
    house.pass_time(1)
    assert other.ask(0) == [b""], "somebody else's"
    assert board.ask(0, file=6) == [b""], "an unknown number"
    assert board.ask(len(FIRMWARE)) == [b""]
    assert board.ask(0xFFFFFFFF) == [b""]
    assert board.ask(len(FIRMWARE) - 10) == [FIRMWARE[-10:]]
    counts = house.statistics
    assert (counts["downloads.refused.not_offered"], counts["downloads.refused.range"]) == (2, 2)
    assert depot.reads == [("ab", 2 * SLICE_BYTES)]


def test_a_device_that_is_not_let_in_gets_nothing(house: House, depot: FakeDepot) -> None:
    depot.next["native", "board"] = shelved()
    house.directory.is_holding = True
    board = Board(house)
    house.pass_time(2)
    assert board.ask(0) == [b""]
    assert house.marks.asked == []


def test_an_offer_is_over_when_nothing_is_asked_for(house: House, board: Board) -> None:
    house.pass_time(OFFER_SECONDS - 10, step=5)
    board.link.dataReceived(up("ping", b""))
    assert board.ask(0)[-1] == FIRMWARE[:STEP]
    for _ in range(3):
        house.pass_time(OFFER_SECONDS / 2.9, step=5)
        board.link.dataReceived(up("ping", b""))
    board.heard()
    assert board.ask(0) == [b""]
    assert house.statistics["downloads.refused.too_late"] == 1


def test_a_file_that_is_gone_ends_its_delivery(house: House, depot: FakeDepot, board: Board) -> None:
    assert board.ask(0) == [FIRMWARE[:STEP]]
    del depot.bytes["ab"]
    assert board.ask(SLICE_BYTES) == [b""]
    house.pass_time(1)
    assert depot.notes[-1].fault == "its bytes are not in the media folder any more"
    assert board.ask(0) == [b""], "though it is still here"
    assert house.statistics["downloads.refused.gone"] == 1


def test_a_storm_of_requests_is_bounded(house: House, depot: FakeDepot, board: Board) -> None:
    depot.held = []
    for _ in range(20):
        assert board.ask(0, times=MAX_CHUNKS_A_READ + 20) == []
    assert len(depot.reads) == 1
    assert house.statistics["downloads.refused.crowded"] == 20 * MAX_CHUNKS_A_READ - MOST_WANTED
    depot.hand_over()
    assert len(board.heard()) == MOST_WANTED
    assert board.ask(0) == [FIRMWARE[:STEP]], "and goes on"


def test_a_fleet_that_asks_at_once_is_read_for_a_few_slices_at_a_time(house: House, depot: FakeDepot) -> None:
    depot.held = []
    boards = []
    for number in range(30):
        depot.next["native", f"board-{number}"] = shelved(delivery=number, sha256=f"{number}")
        depot.bytes[f"{number}"] = FIRMWARE
        boards.append(Board(house, f"board-{number}"))
    house.pass_time(1)
    for board in boards:
        board.ask(0)
        board.heard()
    assert len(depot.reads) == MOST_READS
    for _ in range(4):
        depot.hand_over()
    assert len(depot.reads) == 30
    assert all(board.heard() == [(CHUNK, b"\0\0\0\5\0\0\0\0" + FIRMWARE[:STEP])] for board in boards)


def test_word_of_a_device_is_heard_while_it_is_here(house: House, depot: FakeDepot, board: Board) -> None:
    downloads, word = house.gateway.downloads, FilesWaiting("native", "board")
    board.ask(0)
    downloads.look_again(word)
    house.pass_time(1)
    assert board.heard() == [], "it is at it"
    house.pass_time(SILENT_SECONDS)
    downloads.look_again(word)
    house.pass_time(1)
    assert [kind for kind, _ in board.heard()] == [OFFER], "it was busy, perhaps"
    depot.next["native", "board"] = shelved(delivery=9, file=8)
    downloads.look_again(word)
    house.pass_time(1)
    assert board.heard()[0][1][:4] == b"\0\0\0\x08"
    assert board.ask(0) == [b""]
    assert board.ask(0, file=8) == [FIRMWARE[:STEP]]
    del depot.next["native", "board"]
    downloads.look_again(word)
    house.pass_time(1)
    assert board.ask(0, file=8) == [b""], "it was cancelled"
    asked = len(depot.asked)
    downloads.look_again(FilesWaiting("native", "elsewhere"))
    house.pass_time(1)
    assert len(depot.asked) == asked


def test_over_the_next_link_it_is_offered_again_and_the_old_link_has_nothing(house: House, board: Board) -> None:
    board.ask(0)
    again = Board(house)
    house.pass_time(1)
    assert [kind for kind, _ in again.heard()] == [OFFER]
    assert again.ask(STEP) == [FIRMWARE[STEP : 2 * STEP]]
    assert not board.link.is_open


def test_while_nobody_answers_it_is_asked_again(house: House, depot: FakeDepot) -> None:
    depot.next["native", "board"] = shelved()
    depot.error = OSError("away")
    board = Board(house)
    house.pass_time(1)
    depot.error = None
    house.pass_time(RETRY_SECONDS)
    assert [kind for kind, _ in board.heard()] == [OFFER]
    depot.error = OSError("away")
    house.gateway.downloads.look_again(FilesWaiting("native", "board"))
    house.pass_time(1)
    assert board.ask(0) == []
    assert house.statistics["downloads.not_read"] == 1
    depot.error = None
    asked = len(depot.asked)
    house.pass_time(RETRY_SECONDS)
    assert len(depot.asked) == asked + 1
    assert board.ask(0) == [FIRMWARE[:STEP]]
    assert house.statistics["downloads.not_answered"] == 2


def test_progress_is_written_seldom_and_its_end_soon(house: House, depot: FakeDepot, board: Board) -> None:
    board.ask(0)
    board.ask(STEP)
    house.pass_time(0.5)
    assert told(depot) == [(STEP, "")]
    for offset in range(2 * STEP, 100 * STEP, STEP):
        board.ask(offset)
        house.pass_time(NOTE_SECONDS / 50, step=NOTE_SECONDS / 50)
    assert len(depot.notes) <= 3
    noted = len(depot.notes)
    board.ask(len(FIRMWARE) - STEP)
    house.pass_time(0.5)
    assert told(depot)[noted:] == [(len(FIRMWARE), "")]
    board.ask(0)
    house.pass_time(2 * NOTE_SECONDS)
    assert told(depot)[-1] == (len(FIRMWARE), ""), "it does not go back"


def test_progress_that_could_not_be_written_is_written_later(house: House, depot: FakeDepot, board: Board) -> None:
    depot.bytes.clear()
    depot.error = OSError("away")
    board.ask(STEP)
    depot.error = None
    board.ask(STEP)
    depot.error = OSError("away")
    house.pass_time(1)
    assert depot.notes == []
    depot.error = None
    house.pass_time(NOTE_SECONDS)
    assert told(depot) == [(STEP, "its bytes are not in the media folder any more")]


def test_an_offer_that_a_device_cannot_take_fails(depot: FakeDepot) -> None:
    house = house_of(depot, JT808)
    depot.next["jt808", "1"] = Shelved(shelved().offer._replace(name="music"), "ab")
    link, transport = house.connect()
    link.dataReceived(jt808_up(0x0002, phone="1"))
    house.pass_time(2)
    assert "nothing that JT/T 808 renews" in depot.notes[0].fault
    assert (len(house.gateway.downloads), link.is_open, transport.value()) == (0, True, b"")


def test_files_are_not_asked_for_where_none_are_carried(depot: FakeDepot) -> None:
    house = house_of(depot, None)
    depot.next["line", "dev"] = shelved()
    link, _ = house.connect()
    house.say(link, "dev 1 hello")
    house.pass_time(1)
    assert (len(house.marks.asked), depot.asked) == (1, [])
    house.gateway.downloads.look_again(FilesWaiting("line", "dev"))
    house.pass_time(1)
    assert told(depot) == [(0, "Line devices take no files")]


def test_a_codec_that_fails_at_an_offer_costs_its_own_link_only(house: House, depot: FakeDepot) -> None:
    depot.next["native", "board"] = depot.next["native", "other"] = shelved()
    other = Board(house, "other")
    board = Board(house)
    board.link._codec.offer = lambda *_: 1 / 0  # type: ignore[attr-defined]
    house.pass_time(1)
    assert board.link.cause == "fault"
    assert [kind for kind, _ in other.heard()] == [OFFER]


def test_a_codec_that_fails_at_a_chunk_costs_its_own_link_only(house: House, board: Board) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError

    board.link._codec.hand_out = fail  # type: ignore[attr-defined]
    assert board.ask(0) == []
    assert board.link.cause == "fault"


def test_pieces_of_a_terminal_s_file_leave_as_it_confirms_them(depot: FakeDepot) -> None:
    house = house_of(depot, JT808)
    depot.next["jt808", "13800138000"] = shelved()
    terminal = JT808.terminal("13800138000")
    link, transport = house.connect()
    link.dataReceived(jt808_up(0x0002, phone="013800138000"))
    house.pass_time(0.9, step=0.1)
    while data := transport.value():
        transport.clear()
        for event in terminal.receive(data):
            if hasattr(event, "data"):
                link.dataReceived(event.data)
    assert terminal.firmware == FIRMWARE
    house.pass_time(0.3, step=0.1)
    assert told(depot)[-1] == (len(FIRMWARE), "")


def asked_again(number: int) -> bytes:
    """What a terminal says that lacks a piece of delivery 3."""
    first = 3 * 0x9E37 % 65536
    return jt808_up(0x0005, first.to_bytes(2, "big") + b"\x01" + number.to_bytes(2, "big"), phone="013800138000")


def test_what_a_terminal_lacks_it_gets_while_its_word_is_awaited(depot: FakeDepot) -> None:
    house = house_of(depot, JT808)
    depot.next["jt808", "13800138000"] = shelved()
    link, transport = house.connect()
    link.dataReceived(jt808_up(0x0002, phone="013800138000"))
    house.pass_time(60, step=0.5)
    assert told(depot)[-1] == (len(FIRMWARE), "")
    transport.clear()
    depot.next["jt808", "13800138000"] = shelved(sent=len(FIRMWARE))
    upgrades: dict[str, Any] = link._codec._upgrades  # type: ignore[attr-defined]
    before = dict(upgrades)
    for wait in (1, SILENT_SECONDS + 1):
        house.pass_time(wait)
        house.gateway.downloads.look_again(FilesWaiting("jt808", "13800138000"))
        house.pass_time(1)
        assert transport.value() == b"", "it is not begun anew"
        assert upgrades == before, "nor is what may be sent again counted anew"
        link.dataReceived(asked_again(7))
        assert FIRMWARE[6000:6900] in transport.value().replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
        transport.clear()
    again, transport = house.connect()
    again.dataReceived(jt808_up(0x0002, phone="013800138000"))
    house.pass_time(3)
    assert transport.value() == b"", "none of its pieces"
    again.dataReceived(asked_again(9))
    assert len(transport.value()) > 1000
    assert house.statistics["downloads.offered"] == 1


def test_a_board_whose_word_is_awaited_is_offered_nothing_and_gets_what_it_asks_for(house: House, depot: FakeDepot) -> None:
    depot.next["native", "board"] = shelved(sent=len(FIRMWARE))
    board = Board(house)
    house.pass_time(1)
    assert board.heard() == []
    assert board.ask(STEP) == [FIRMWARE[STEP : 2 * STEP]]
    depot.next["native", "board"] = shelved()
    house.pass_time(SILENT_SECONDS + 1)
    house.gateway.downloads.look_again(FilesWaiting("native", "board"))
    house.pass_time(1)
    assert [kind for kind, _ in board.heard()] == [OFFER], "in vain: it is begun anew"


def test_a_stopping_gateway_asks_nobody(house: House, depot: FakeDepot, board: Board) -> None:
    board.ask(0)
    board.ask(STEP)
    house.gateway.downloads.stop()
    house.pass_time(60)
    assert depot.notes == []
    assert len(depot.asked) == 1
