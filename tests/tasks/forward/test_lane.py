"""Lanes, on every database: what reaches a target, in which order, and what happens when it is not taken."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from store import targets
from store.forwarding import Wanted
from store.models import AuditEntry, DeadNotice, Device, Event, EventKind, ForwardSource, Media, MediaOutcome, Report, Target
from tasks.forward import lane as lanes
from tasks.forward import news as newses
from tasks.forward import registry
from tasks.forward.lane import Lane, wait_seconds
from tasks.forward.news import News
from tasks.forward.target import GoneError, Notice, RefusedError, TryAgainError
from tests.processes import wait_until
from tests.records import NOON
from tests.tasks.forward.targets import FakeTarget, add, store

pytestmark = pytest.mark.usefixtures("database_url")
OWNER = "tests"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(lanes, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(newses, "LOOK_SECONDS", 0.02)


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lane]]:
    """Send to a target, of which ``fake`` is what it does."""
    news, begun = News(), list[Lane]()
    news.start()

    def begin(row: Target, fake: FakeTarget) -> Lane:
        monkeypatch.setitem(registry.KINDS, row.kind, fake.kind(row.kind))
        Target.objects.filter(pk=row.pk).update(owner=OWNER)
        begun.append(Lane(row, OWNER, news))
        begun[-1].start()
        return begun[-1]

    yield begin
    for lane in begun:
        lane.stop()
        lane.join(10)
        assert not lane.is_running
    news.stop()
    news._thread.join(10)


def ids(count: int, source: str = "reports") -> list[str]:
    return [f"{source}-{number}" for number in range(1, count + 1)]


def cursor(row: Target, source: str = "reports") -> targets.TargetCursor:
    return row.cursors.get(source=source)


def test_all_that_is_stored_comes_once_in_its_order(begin: Callable[..., Lane]) -> None:
    row, fake = add(sources=["reports"]), FakeTarget(notices=64)
    begin(row, fake)
    for first in range(0, 1_000, 250):
        store(250, first)
    wait_until(lambda: cursor(row).last_id == 1_000, "the cursor is at the end")
    assert fake.ids() == ids(1_000)
    assert max(map(len, fake.tried)) == 64
    assert (cursor(row).sent, cursor(row).failures, fake.opened) == (1_000, 0, 1)


def test_what_is_told_of_each_source(begin: Callable[..., Lane]) -> None:
    row, fake = add(), FakeTarget()
    store(1, latitude=30.5, longitude=104.25, alarms=["sos"], values={"speed_kmh": 60, "odometer_km": 1 << 70})
    device = Device.objects.get()
    Device.objects.update(name="Pump")
    Event.objects.create(device=device, time=NOON, kind=EventKind.ONLINE, detail={"gateway": "a"}, received_at=NOON)
    media = Media.objects.create(
        device=device,
        file="1",
        kind="image",
        name="a.jpg",
        time=NOON,
        received_at=NOON,
        touched_at=NOON,
        received_bytes=9,
        sha256="ab",
    )
    for state in (Media.State.WAITING, Media.State.COMPLETE):
        MediaOutcome.objects.create(media=media, state=state)
    begin(row, fake)
    wait_until(lambda: len(fake.taken) == 4, "one of each source has come")
    told = {notice.source: json.loads(notice.body) for notice in fake.taken}
    head = {"protocol": "fake", "identity": "7", "name": "Pump"}
    noon = "2026-03-01T12:00:00+00:00"
    assert told["reports"] == {
        **head, "id": "reports-1", "source": "reports", "kind": "location", "time": noon, "received_at": noon, "sequence": 7,
        "latitude": 30.5, "longitude": 104.25, "altitude_m": None, "speed_kmh": None, "course_deg": None,
        "values": {"speed_kmh": 60, "odometer_km": 1 << 70}, "alarms": ["sos"],
    }  # fmt: skip
    alarm, online = Event.objects.get(kind="alarm_opened").pk, Event.objects.get(kind="online").pk
    assert told["alarms"] | {"received_at": noon} == {
        **head, "id": f"alarms-{alarm}", "source": "alarms", "kind": "alarm_opened", "subject": "sos", "detail": {}, "time": noon,
        "received_at": noon,
    }  # fmt: skip
    assert told["events"] == {
        **head, "id": f"events-{online}", "source": "events", "kind": "online", "subject": "", "detail": {"gateway": "a"},
        "time": noon, "received_at": noon,
    }  # fmt: skip
    assert told["media"] == {
        **head, "id": "media-2", "source": "media", "file": media.pk, "kind": "image", "state": "complete", "bytes": 9,
        "reason": "",
        "time": noon, "received_at": noon, "channel": None, "cause": "", "latitude": None, "longitude": None, "content_type": "",
        "sha256": "ab", "width": None, "height": None, "name": "a.jpg",
    }  # fmt: skip


def test_what_is_not_taken_comes_again_and_nothing_is_passed_over(begin: Callable[..., Lane]) -> None:
    tries = []

    def away(notices: Sequence[Notice]) -> None:
        tries.append(cursor(row).failures)
        if len(tries) < 5:
            raise TryAgainError("answered 503")

    row, fake = add(sources=["reports"]), FakeTarget(away)
    begin(row, fake)
    store(10)
    wait_until(lambda: cursor(row).last_id == 10, "it has come at last")
    assert tries == [0, 1, 2, 3, 4]
    assert fake.ids() == ids(10)
    assert fake.opened == 5, "each try after one that failed has a connection of its own"
    assert (cursor(row).failures, cursor(row).last_error, cursor(row).next_try_at) == (0, "", None)


def test_why_and_when_again_is_written_down(begin: Callable[..., Lane], caplog: pytest.LogCaptureFixture) -> None:
    def away(notices: Sequence[Notice]) -> None:
        raise TryAgainError("answered 429", after_seconds=7_200)

    row = add(sources=["reports"])
    begin(row, FakeTarget(away))
    store(1)
    wait_until(lambda: cursor(row).failures == 1, "it has failed")
    found = cursor(row)
    assert (found.last_id, found.last_error) == (0, "answered 429")
    assert found.next_try_at is not None
    assert timedelta(minutes=59) < found.next_try_at - datetime.now(UTC) < timedelta(minutes=61), "no longer than an hour"
    assert [(record.message, record.cause) for record in caplog.records if record.levelno == logging.WARNING] == [
        ("target does not take notices, will try again", "answered 429")
    ]


def test_a_wait_outlives_the_process(begin: Callable[..., Lane]) -> None:
    row, fake = add(sources=["reports"]), FakeTarget()
    store(1)
    row.cursors.update(failures=3, next_try_at=datetime.now(UTC) + timedelta(hours=1))
    other, seen = add("other", "other", ["reports"], since=NOON), FakeTarget()
    begin(row, fake)
    begin(other, seen)
    wait_until(lambda: seen.taken, "the other has it")
    assert not fake.tried
    targets.resume("hub", targets.Actor("ana"))
    assert cursor(row).next_try_at is None


def test_the_one_that_is_refused_is_found_and_the_others_come(begin: Callable[..., Lane]) -> None:
    def choosy(notices: Sequence[Notice]) -> None:
        if "reports-37" in (refused := [notice.id for notice in notices]):
            raise RefusedError(refused, "answered 422: no such device")

    row, fake = add(sources=["reports"]), FakeTarget(choosy)
    begin(row, fake)
    store(100)
    wait_until(lambda: cursor(row).last_id == 100, "it goes on")
    assert fake.ids() == [id for id in ids(100) if id != "reports-37"]
    dead = DeadNotice.objects.get()
    assert (dead.source, dead.row_id, dead.reason, dead.tries) == ("reports", 37, "answered 422: no such device", 3)
    assert fake.tried.count(["reports-37"]) == 3
    assert len(fake.tried) < 30


def test_of_several_those_that_are_named_are_dead_and_the_others_taken(begin: Callable[..., Lane]) -> None:
    def choosy(notices: Sequence[Notice]) -> None:
        if refused := [notice.id for notice in notices if notice.id in ("reports-3", "reports-5")]:
            raise RefusedError(refused, "too long")

    row, fake = add(sources=["reports"]), FakeTarget(choosy)
    store(10)
    Target.objects.update(owner=OWNER)
    row.cursors.update(last_id=0)
    begin(row, fake)
    wait_until(lambda: cursor(row).last_id == 10, "it goes on")
    assert fake.tried == [ids(10)]
    assert sorted(DeadNotice.objects.values_list("row_id", flat=True)) == [3, 5]
    assert cursor(row).sent == 8


def test_with_too_many_dead_it_waits_and_passes_nothing_over(begin: Callable[..., Lane], monkeypatch: pytest.MonkeyPatch) -> None:
    def never(notices: Sequence[Notice]) -> None:
        raise RefusedError([notice.id for notice in notices], "answered 400")

    monkeypatch.setattr(targets, "MOST_DEAD", 2)
    row, fake = add(sources=["reports"]), FakeTarget(never)
    begin(row, fake)
    store(5)
    wait_until(lambda: "replay or discard" in cursor(row).last_error, "it says so")
    assert cursor(row).last_id == DeadNotice.objects.count() == 2
    fake.behave = None
    wait_until(lambda: cursor(row).last_id == 5, "it goes on")
    assert fake.ids() == ids(5)[2:]


def test_one_that_is_gone_is_paused_where_it_is(begin: Callable[..., Lane]) -> None:
    def gone(notices: Sequence[Notice]) -> None:
        raise GoneError("answered 410")

    row, fake = add(sources=["reports"]), FakeTarget(gone)
    lane = begin(row, fake)
    store(5)
    wait_until(lambda: not lane.is_running, "the lane has ended")
    row.refresh_from_db()
    assert (row.is_paused, row.pause_reason) == (True, "paused since it says that it is gone: answered 410")
    assert (len(fake.tried), cursor(row).last_id) == (5, 0)
    assert AuditEntry.objects.get(action="target.pause").actor == "iotgw forward"


def test_a_fault_in_a_target_s_code_is_logged_and_tried_again(begin: Callable[..., Lane], caplog: pytest.LogCaptureFixture) -> None:
    def faulty(notices: Sequence[Notice]) -> None:
        if len(fake.tried) < 2:
            raise KeyError("x")

    row, fake = add(sources=["reports"]), FakeTarget(faulty)
    begin(row, fake)
    store(1)
    wait_until(lambda: cursor(row).last_id == 1, "it has come")
    assert "a target's code failed" in caplog.messages


def test_a_kind_that_is_not_installed_is_said_and_keeps_its_place(
    begin: Callable[..., Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = add(sources=["reports"])
    begin(row, FakeTarget())
    monkeypatch.delitem(registry.KINDS, "fake")
    store(1)
    wait_until(lambda: "there is no kind of target 'fake'" in cursor(row).last_error, "it is said")
    assert cursor(row).last_id == 0


def test_one_that_hangs_does_not_slow_another(begin: Callable[..., Lane]) -> None:
    over = threading.Event()
    slow, quick = FakeTarget(lambda notices: over.wait() and None), FakeTarget()
    begin(add("slow", "slow", ["reports"]), slow)
    begin(add("quick", "quick", ["reports"]), quick)
    store(500)
    try:
        wait_until(lambda: slow.tried and len(quick.taken) == 500, "the quick one has all")
        assert not slow.taken
    finally:
        over.set()


def test_a_source_that_fails_does_not_hold_another(begin: Callable[..., Lane]) -> None:
    def no_reports(notices: Sequence[Notice]) -> None:
        if notices[0].source == "reports":
            raise TryAgainError("answered 500")

    row, fake = add(), FakeTarget(no_reports)
    begin(row, fake)
    store(3, alarms=["sos"])
    wait_until(lambda: fake.ids() == ["alarms-1"], "the alarm has come")
    assert cursor(row).last_id == 0


def test_a_batch_has_so_many_bytes_and_a_longer_one_comes_by_itself(begin: Callable[..., Lane]) -> None:
    row, fake = add(sources=["reports"]), FakeTarget(size=2_000)
    begin(row, fake)
    with transaction.atomic():
        store(8)
        store(1, 8, values={"text": "x" * 5_000})
        store(8, 9)
    wait_until(lambda: cursor(row).last_id == 17, "all have come")
    assert fake.ids() == ids(17)
    assert ["reports-9"] in fake.tried
    sizes = {notice.id: len(notice.body) for notice in fake.taken}
    assert all(sum(sizes[id] for id in batch) <= 2_000 for batch in fake.tried if "reports-9" not in batch)


def test_what_nobody_wants_is_passed_over(begin: Callable[..., Lane], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "SKIPPED_SECONDS", 0.0)
    monkeypatch.setattr("store.forwarding.IDS_AT_ONCE", 50)
    row, fake = add(sources=["reports"], wanted=Wanted(protocols=["other"])), FakeTarget()
    begin(row, fake)
    store(400)
    store(1, protocol="other")
    store(200, 400)
    wait_until(lambda: cursor(row).last_id == 601, "the cursor is at the end")
    assert fake.ids() == ["reports-401"]
    assert cursor(row).sent == 1


def test_another_owner_s_target_is_left(begin: Callable[..., Lane]) -> None:
    row, fake = add(sources=["reports"]), FakeTarget()

    def taken_over(notices: Sequence[Notice]) -> None:
        Target.objects.update(owner="another")

    fake.behave = taken_over
    lane = begin(row, fake)
    store(1)
    wait_until(lambda: not lane.is_running, "the lane has ended")
    assert (cursor(row).last_id, cursor(row).sent) == (0, 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_is_read_past_a_transaction_that_is_open(begin: Callable[..., Lane]) -> None:
    """It has drawn a lower id than the row that is committed before it; the cursor must not pass it."""
    store(1)
    row, fake = add(sources=["reports"]), FakeTarget()
    begin(row, fake)
    drawn, end = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            store(1, 1)
            drawn.set()
            end.wait(30)
        connection.close()

    writer = threading.Thread(target=late)
    writer.start()
    try:
        assert drawn.wait(30)
        store(1, 2, identity="8")
        assert Report.objects.order_by("-pk").values_list("pk", flat=True)[0] == 3
        other, seen = add("events", "other", [ForwardSource.EVENTS]), FakeTarget()
        begin(other, seen)
        Event.objects.create(device=Device.objects.first(), time=NOON, kind=EventKind.ONLINE, received_at=NOON)
        wait_until(lambda: seen.taken, "other tables are read")
        assert not fake.taken
    finally:
        end.set()
        writer.join()
    wait_until(lambda: cursor(row).last_id == 3, "the cursor is at the end")
    assert fake.ids() == ["reports-2", "reports-3"]


def test_waits_grow_up_to_some_minutes_and_differ() -> None:
    waits = [[wait_seconds(failures) for _ in range(50)] for failures in (1, 2, 3, 10, 10_000)]
    for found, longest in zip(waits, (0.01, 0.02, 0.04, 5.12, 300), strict=True):
        assert longest / 2 <= min(found) < max(found) <= longest
