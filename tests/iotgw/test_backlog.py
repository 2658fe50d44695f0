"""Batches with a spool: what is in it counts as stored, it drains in order, and memory stays bounded."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from iotgw.batch import Batch
from iotgw.batches import MOST_HELD, Batches
from iotgw.segments import Segments
from iotgw.spool import Spool
from iotgw.statistics import Statistics
from protocols import Message, Outcome
from settings import AckRule, Settings
from tasks.contract import IngestMessage, Receipt
from tests.iotgw.fakes import FakePublisher, House


class DirectReactor:
    """Calls at once, or when it is told to, as a busy reactor does."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.is_busy = False

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.calls.append((function, arguments))
        self.turn()

    def turn(self) -> None:
        while self.calls and not self.is_busy:
            function, arguments = self.calls.pop(0)
            function(*arguments)


@dataclass(eq=False)
class FakeOrigin:
    identities: set[str] = field(default_factory=set)
    ack_rule = AckRule.COMMIT
    settled: list[tuple[str, Outcome]] = field(default_factory=list)

    def settle(self, settled: list[tuple[Message, Outcome]]) -> None:
        self.settled += [(message.identity, outcome) for message, outcome in settled]

    @property
    def acked(self) -> str:
        return "".join(identity for identity, _ in self.settled)


class Bench:
    """Batches of one message with a spool whose disk works when it is told to."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        settings = {"batch_messages": 1, "batches_in_flight": 4, "spool_bytes": 1 << 20, **settings}
        self.clock = Clock()
        self.publisher = FakePublisher()
        self.names: dict[str, str] = {}
        self.full: list[bool] = []
        self.statistics = Statistics()
        given = Settings(**settings)
        self.batches = Batches(given, self.clock, self.statistics, self._publish, self.full.append)
        self.reactor = DirectReactor()
        self.spool = Spool(folder, given.spool_bytes, self.reactor, self.statistics, self.clock.seconds)
        self.batches.overflow_into(self.spool)
        self.spool.open()
        self.batches.start()
        self.origin = FakeOrigin(set("abcdefghijklmnopqrstuvwxyz"))
        self.disk()

    def add(self, identities: str, origin: FakeOrigin | None = None, body: bytes = b"") -> None:
        for identity in identities:
            message = Message(identity, 1, 0, b"", body)
            payload = IngestMessage("line", identity, 1, 0, b"", body, 0)
            self.batches.add(origin or self.origin, message, payload)

    def disk(self) -> None:
        """The disk does what it was asked."""
        self.spool.work([])
        while jobs := self.spool.pending_jobs(0):
            self.spool.work(jobs)

    @property
    def left(self) -> str:
        """What was published, each batch once, in the order it first left."""
        return "".join(dict.fromkeys(self.names[batch.id] for batch in self.publisher.batches))

    def receipt(self, identity: str, outcomes: dict[int, Outcome] | None = None) -> None:
        batch = next(batch for batch in reversed(self.publisher.batches) if self.names[batch.id].startswith(identity))
        self.batches.receive(Receipt(batch.id, outcomes or {}))
        self.disk()

    def _publish(self, batch: Batch) -> Deferred[None]:
        self.names[batch.id] = "".join(entry.message.identity for entry in batch.entries)
        return self.publisher.publish(batch)

    def gauge(self, name: str) -> Any:
        return self.batches.snapshot()[name]

    def kill(self) -> None:
        """The process is gone; what it had on the disk stays."""
        self.batches.stop()
        self.spool._segments.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def test_while_all_is_well_nothing_touches_the_disk(folder: Path):
    bench = Bench(folder)
    bench.add("abcd")
    for identity in "abcd":
        bench.receipt(identity)
    assert bench.origin.acked == "abcd"
    assert files(folder) == []
    assert bench.statistics["spool.written"] == 0


def test_what_is_too_much_in_flight_is_acked_when_it_is_on_the_disk_and_not_before(folder: Path):
    bench = Bench(folder)
    bench.add("abcdef")
    assert (bench.left, bench.origin.acked, bench.full) == ("abcd", "", [])
    bench.disk()
    assert bench.left == "abcd"
    assert bench.origin.settled == [(identity, Outcome.STORED) for identity in "abcdef"]
    assert (bench.gauge("spool_batches"), bench.gauge("batches_in_flight")) == (2, 4)
    assert (bench.statistics["messages.spooled"], bench.statistics["messages.settled"]) == (6, 6)


def test_it_drains_in_order_and_no_message_is_acked_twice(folder: Path):
    bench = Bench(folder, batches_in_flight=2)
    for identity in "abcdefghij":
        bench.add(identity)
        bench.disk()
    for identity in "abcdefghij":
        assert bench.batches.in_flight <= 2
        bench.receipt(identity)
    assert bench.left == bench.origin.acked == "abcdefghij"
    assert (files(folder), bench.gauge("spool_batches"), bench.gauge("spool_bytes")) == ([], 0, 0)
    bench.add("k")
    bench.clock.advance(0)
    bench.receipt("k")
    assert bench.statistics["spool.written"] == 10, "the spool is empty: batches go directly again"


def test_new_batches_go_behind_those_in_the_spool(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    bench.add("abc")
    bench.disk()
    bench.batches.receive(Receipt(bench.publisher.batches[0].id, {}))
    bench.add("d")
    assert bench.left == "a", "b is being read, d waits behind it"
    bench.disk()
    for identity in "bcd":
        bench.receipt(identity)
    assert bench.left == "abcd"


def test_what_is_still_in_memory_does_not_overtake_what_is_on_the_disk(folder: Path):
    bench = Bench(folder, batches_in_flight=2)
    bench.add("abc")
    bench.disk()
    bench.add("d")
    for batch in list(bench.publisher.batches):
        bench.batches.receive(Receipt(batch.id, {}))
    assert bench.left == "ab"
    bench.disk()
    assert bench.left == "abcd"


def test_what_was_collected_while_memory_was_full_leaves_when_the_disk_has_the_rest(folder: Path):
    bench = Bench(folder)
    bench.add("abcdefghij")
    assert (bench.full, bench.batches.collected) == ([True], 2)
    bench.disk()
    assert (bench.full, bench.batches.collected, bench.origin.acked) == ([True, False], 0, "abcdefghij")


def test_a_receipt_that_is_quicker_than_the_disk_saves_the_write(folder: Path):
    bench = Bench(folder)
    bench.publisher.error = ConnectionError("broker away")
    bench.add("abc")
    bench.batches.receive(Receipt(bench.publisher.batches[0].id, {}))
    bench.disk()
    assert (bench.origin.acked, bench.statistics["spool.written"]) == ("abc", 2)


def test_a_receipt_between_the_write_and_the_word_of_it_leaves_nothing_behind(folder: Path):
    bench = Bench(folder)
    bench.publisher.error = ConnectionError("broker away")
    bench.add("a")
    bench.reactor.is_busy = True
    bench.disk()
    assert (len(files(folder)), bench.origin.acked) == (1, "")
    bench.batches.receive(Receipt(bench.publisher.batches[0].id, {}))
    bench.reactor.is_busy = False
    bench.reactor.turn()
    bench.disk()
    assert (files(folder), bench.origin.acked) == ([], "a")


def test_a_broker_that_is_away_is_answered_for_by_the_spool(folder: Path):
    bench = Bench(folder)
    bench.publisher.error = ConnectionError("broker away")
    bench.add("ab")
    bench.disk()
    assert bench.origin.acked == "ab"
    bench.add("c")
    bench.disk()
    assert (bench.left, bench.origin.acked) == ("a", "abc"), "with the way blocked all go to the spool"
    bench.publisher.error = None
    bench.clock.advance(1)
    assert bench.left == "a"
    for identity in "abc":
        bench.receipt(identity)
    assert (bench.left, bench.origin.acked, files(folder)) == ("abc", "abc", [])


def test_no_receipt_in_time_blocks_the_way_until_one_comes(folder: Path):
    bench = Bench(folder, receipt_timeout_seconds=10)
    bench.add("ab")
    bench.clock.pump([1] * 9)
    bench.disk()
    assert bench.origin.acked == ""
    bench.clock.advance(1)
    bench.disk()
    assert bench.origin.acked == "ab", "what is in flight is in the spool too"
    bench.add("c")
    bench.disk()
    assert (bench.left, bench.origin.acked) == ("ab", "abc")
    bench.receipt("b")
    assert bench.left == "abc"


def test_a_broker_that_hangs_blocks_the_way_too(folder: Path):
    bench = Bench(folder, receipt_timeout_seconds=10)
    bench.publisher.is_holding = True
    bench.add("ab")
    bench.clock.pump([1] * 9)
    bench.disk()
    assert bench.origin.acked == ""
    bench.clock.advance(1)
    bench.add("c")
    bench.disk()
    assert (bench.left, bench.origin.acked) == ("ab", "abc")


def test_a_device_that_no_receipt_has_let_in_waits_for_its_own(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    stranger = FakeOrigin()
    bench.add("a")
    bench.add("b", stranger)
    bench.disk()
    assert (bench.origin.acked, stranger.acked) == ("a", "")
    assert bench.gauge("messages_waiting") == 1
    bench.receipt("a")
    bench.receipt("b", {0: Outcome.REFUSED})
    assert stranger.settled == [("b", Outcome.REFUSED)]
    assert bench.gauge("messages_waiting") == 0
    assert bench.statistics["messages.refused"] == 1


def test_a_stranger_in_flight_is_answered_by_its_receipt_too(folder: Path):
    bench = Bench(folder)
    stranger = FakeOrigin()
    bench.publisher.error = ConnectionError("broker away")
    bench.add("s", stranger)
    bench.disk()
    assert stranger.acked == ""
    bench.receipt("s")
    assert stranger.acked == "s"


def test_strangers_in_the_spool_take_bounded_memory(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    stranger = FakeOrigin()
    bench.add("a")
    for _ in range(3 * MOST_HELD):
        bench.add("s", stranger)
        bench.disk()
    assert bench.gauge("messages_waiting") == MOST_HELD
    assert bench.statistics["messages.unanswered"] == 2 * MOST_HELD
    assert bench.full[-1:] != [True]


def test_large_messages_of_strangers_are_bounded_by_their_bytes(folder: Path):
    bench = Bench(folder, batches_in_flight=1, batch_messages=100, batch_bytes=1024)
    bench.add("a", body=bytes(1024))
    for _ in range(3 * MOST_HELD):
        bench.add("s", FakeOrigin(), bytes(1024))
        bench.disk()
    assert bench.gauge("messages_waiting") == MOST_HELD


def test_a_full_spool_stops_reading_until_there_is_room(folder: Path):
    bench = Bench(folder, spool_bytes=4000)
    sent = 0
    while bench.full != [True]:
        bench.add("a", body=bytes(200))
        sent += 1
        bench.disk()
        assert sent < 100
    assert bench.gauge("spool") == "full"
    assert bench.gauge("spool_bytes") <= 4000
    assert bench.gauge("batches_held") == 4
    acked = len(bench.origin.settled)
    assert acked == sent - 4
    while bench.batches.in_flight:
        bench.receipt("a")
        bench.publisher.batches = [batch for batch in bench.publisher.batches if batch.id in bench.batches._in_flight]
    assert bench.full == [True, False]
    assert (len(bench.origin.settled), bench.gauge("spool"), files(folder)) == (sent, "ready", [])
    assert bench.statistics["messages.settled"] == sent


def test_with_a_stopped_worker_at_full_load_memory_is_flat(folder: Path):
    """Ten minutes of full load: what is in memory does not grow while the spool fills, nor when it is full."""
    bench = Bench(folder, spool_bytes=200_000, batches_in_flight=8)
    for second in range(600):
        for _ in range(4):
            if not bench.batches.is_full:
                bench.add("a", body=bytes(300))
        bench.clock.advance(1)
        bench.disk()
        held = bench.batches.collected + bench.gauge("batches_held") + bench.batches.in_flight
        assert held <= 8 + 8 + 1, second
        assert bench.spool.size <= 200_000
        bench.publisher.batches.clear()
    assert bench.full == [True], "paused once, for good"
    assert len(bench.spool._segments._skipped) <= 8
    assert bench.origin.settled[-1] == ("a", Outcome.STORED)


def test_after_a_kill_what_is_found_leaves_first_with_its_old_ids(folder: Path):
    bench = Bench(folder, batches_in_flight=2)
    for identity in "abcdef":
        bench.add(identity)
        bench.disk()
    bench.receipt("a")
    ids = {batch.entries[0].message.identity: batch.id for batch in bench.publisher.batches}
    bench.kill()
    again = Bench(folder, batches_in_flight=2)
    again.add("g")
    again.disk()
    for identity in "abcdefg":
        again.receipt(identity)
    assert again.left == "abcdefg"
    assert {batch.entries[0].message.identity: batch.id for batch in again.publisher.batches}.items() >= ids.items()
    assert again.origin.acked == "g", "the others have their acks"
    assert files(folder) == []


def test_with_many_found_at_most_batches_in_flight_are(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    for identity in "abcdefghijkl":
        bench.add(identity)
        bench.disk()
    bench.kill()
    again = Bench(folder, batches_in_flight=3)
    assert again.left == "abc"
    again.receipt("b")
    assert again.left == "abcd"


@pytest.mark.parametrize("failing", ["open", "pwrite", "fsync"])
def test_a_disk_that_fails_is_a_state(folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str):
    bench = Bench(folder)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.add("abcd")
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        bench.add("efgh")
        bench.disk()
        assert (bench.gauge("spool"), bench.full, bench.origin.acked) == ("unavailable", [True], "")
        for _ in range(20):
            bench.clock.advance(1)
            bench.disk()
        assert bench.statistics["spool.unavailable"] == 1
        bench.receipt("a")
        assert bench.left == "abcde", "what is in memory goes on without the disk"
    bench.clock.advance(60)
    bench.disk()
    assert bench.gauge("spool") == "ready"
    assert bench.origin.acked == "abcdefgh"
    for identity in "bcdefgh":
        bench.receipt(identity)
    assert (bench.left, bench.origin.acked, files(folder)) == ("abcdefgh", "abcdefgh", [])
    assert bench.full == [True, False]


def test_a_disk_is_tried_again_ever_more_rarely(folder: Path, monkeypatch: pytest.MonkeyPatch):
    bench = Bench(folder, batches_in_flight=1)
    tried = []

    def fail(*_: Any) -> Any:
        tried.append(bench.clock.seconds())
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "pwrite", fail)
    bench.add("ab")
    for _ in range(1200):
        bench.clock.advance(0.1)
        bench.disk()
    assert 5 <= len(tried) <= 12


def test_a_disk_that_fails_while_it_reads_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    bench = Bench(folder, batches_in_flight=3)
    bench.add("abc")
    for identity in "defghi":
        bench.add(identity)
        bench.disk()
    with monkeypatch.context() as patch:
        real, reads = bench.spool._segments.read, []

        def sometimes() -> Any:
            reads.append(1)
            if len(reads) % 2 == 0:
                raise OSError(errno.EIO, "Input/output error")
            return real()

        patch.setattr(bench.spool._segments, "read", sometimes)
        for identity in "abcdefghi":
            bench.receipt(identity)
            for _ in range(4):
                bench.clock.advance(2)
                bench.disk()
    assert bench.left == "abcdefghi"
    assert files(folder) == []


def test_a_disk_that_gives_nothing_back_holds_up_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Workers store what comes now; what is on the disk follows when it is to be had."""
    bench = Bench(folder, batches_in_flight=2)
    for identity in "abcd":
        bench.add(identity)
        bench.disk()
    with monkeypatch.context() as patch:

        def fails() -> Any:
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(bench.spool._segments, "read", fails)
        bench.receipt("a")
        bench.receipt("b")
        assert bench.gauge("spool") == "unavailable"
        for identity in "efghijklm":
            bench.add(identity)
            bench.clock.advance(1)
            bench.disk()
            bench.receipt(identity)
        assert bench.left == "abefghijklm"
        assert bench.origin.acked == "abcdefghijklm"
    bench.clock.advance(60)
    bench.disk()
    bench.receipt("c")
    bench.receipt("d")
    assert (sorted(bench.left), files(folder)) == (sorted("abcdefghijklm"), [])


def test_what_waited_behind_a_disk_leaves_when_it_breaks(folder: Path, monkeypatch: pytest.MonkeyPatch):
    bench = Bench(folder, batches_in_flight=1)
    for identity in "abc":
        bench.add(identity)
        bench.disk()
    with monkeypatch.context() as patch:

        def fails(*_: Any) -> Any:
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(bench.spool._segments, "read", fails)
        patch.setattr(bench.spool._segments, "append", fails)
        bench.batches.receive(Receipt(bench.publisher.batches[0].id, {}))
        bench.add("d")
        assert bench.left == "a", "it waits for b and c, which are asked of the disk"
        bench.disk()
        bench.clock.advance(1)
        assert bench.left == "ad"


def test_a_folder_that_cannot_be_had_is_one_too_and_batches_go_directly(tmp_path: Path):
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file" / "spool")
    assert bench.gauge("spool") == "unavailable"
    bench.add("ab")
    bench.receipt("a")
    bench.receipt("b")
    assert bench.origin.acked == "ab"


def test_a_folder_that_another_gateway_has_is_taken_over_when_it_leaves(folder: Path):
    first = Bench(folder, batches_in_flight=1)
    for identity in "ab":
        first.add(identity)
        first.disk()
    second = Bench(folder)
    assert (second.gauge("spool"), second.left) == ("unavailable", "")
    first.kill()
    second.clock.advance(1)
    second.disk()
    assert (second.gauge("spool"), second.left) == ("ready", "ab")


def test_damage_in_the_spool_does_not_stop_what_is_behind_it(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    for identity in "abcd":
        bench.add(identity)
        bench.disk()
    (path,) = files(folder)
    data = path.read_bytes()
    bench.kill()
    at = data.index(b"line", data.index(b"line", data.index(b"line") + 1))
    path.write_bytes(data[:at] + b"LINE" + data[at + 4 :])
    again = Bench(folder, batches_in_flight=1)
    for identity in "acd":
        again.receipt(identity)
    again.add("e")
    again.disk()
    again.receipt("e")
    assert again.left == "acde"
    assert again.statistics["spool.damaged"] == 1
    assert files(folder) == []


def test_a_batch_rotten_meanwhile_does_not_stop_the_drain(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    for identity in "abc":
        bench.add(identity)
        bench.disk()
    (path,) = files(folder)
    data = path.read_bytes()
    at = data.index(b"line", data.index(b"line") + 1)
    path.write_bytes(data[:at] + b"LINE" + data[at + 4 :])
    bench.receipt("a")
    bench.receipt("c")
    bench.add("d")
    bench.clock.advance(0)
    bench.receipt("d")
    assert (bench.left, bench.gauge("spool_batches")) == ("acd", 0)


def test_when_all_of_it_has_rotten_batches_go_directly_again(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    for identity in "abcd":
        bench.add(identity)
        bench.disk()
    (path,) = files(folder)
    path.write_bytes(path.read_bytes().replace(b"line", b"LINE"))
    bench.receipt("a")
    assert (bench.left, bench.gauge("spool_batches"), files(folder)) == ("a", 0, [])
    bench.add("e")
    bench.clock.advance(0)
    assert bench.left == "ae"


def test_whoever_waited_for_what_has_rotten_is_not_remembered_for_ever(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    stranger = FakeOrigin()
    bench.add("a")
    bench.add("bcd", stranger)
    bench.disk()
    assert bench.gauge("messages_waiting") == 3
    (path,) = files(folder)
    path.write_bytes(path.read_bytes().replace(b"line", b"LINE"))
    bench.receipt("a")
    assert (bench.gauge("spool_batches"), bench.gauge("messages_waiting")) == (0, 0)
    bench.add("ef")
    bench.add("g", stranger)
    bench.disk()
    assert bench.gauge("messages_waiting") == 1, "and there is room for others"


def test_a_record_that_is_no_batch_is_passed_over(folder: Path):
    segments = Segments(folder, 1 << 20)
    segments.open()
    segments.append([b"\xc1", b"\x92\x01\x90", b"\x92\xa1x\x91\x01"])
    segments.close()
    bench = Bench(folder)
    assert (bench.left, bench.gauge("spool_batches"), files(folder)) == ("", 0, [])


def test_without_a_spool_the_gauges_say_so():
    assert House().gateway.snapshot()["spool"] == "off"


def test_a_stopping_gateway_need_not_wait_for_what_the_spool_has(folder: Path):
    bench = Bench(folder, batches_in_flight=1)
    drained: list[None] = []
    bench.add("ab")
    bench.batches.drain().addCallback(drained.append)
    assert drained == []
    bench.disk()
    assert drained == [None]


def test_the_thread_writes_and_ends(folder: Path):
    statistics = Statistics()
    spool = Spool(folder, 1 << 20, DirectReactor(), statistics)
    bench = Bench(folder.parent / "other")
    bench.publisher.is_holding = True
    bench.add("a")
    bench.clock.advance(0)
    (batch,) = bench.publisher.batches
    places: list[Any] = []
    spool.write(batch).addCallback(places.append)
    spool.start()
    spool.stop()
    spool._thread.join(30)
    assert not spool._thread.is_alive()
    assert len(places) == len(files(folder)) == 1
