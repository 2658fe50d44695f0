"""The life of a delivery, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from protocols import FileResult, FileStatus
from store import deliveries
from store.audit import Actor
from store.bulk import write
from store.deliveries import EARLY, LATER, MOST_TRIES, GoneError, Noted, Said
from store.models import Delivery, Device, File, Report
from tests.records import NOON, anybody, incoming, minutes, report
from tests.store.beside import Beside, out_of_order

ME = Actor("me")

pytestmark = pytest.mark.usefixtures("database_url")

DONE = FileResult(None, FileStatus.DONE)
SECOND = timedelta(seconds=1)


def now() -> datetime:
    return datetime.now(UTC)


def file(version: str = "1", **fields: Any) -> File:
    return File.objects.create(name="firmware", version=version, size=1000, sha256="a" * 64, crc32=1, **fields)


def device(identity: str = "1") -> Device:
    return Device.objects.get_or_create(protocol="fake", identity=identity)[0]


def handed(given: File, identity: str = "1") -> Delivery:
    """A delivery that was handed to a gateway."""
    (delivery,) = deliveries.offer(given, [device(identity)], "me", now(), ME)
    deliveries.take_next("fake", [identity], now())
    return delivery


def fetched(given: File, identity: str = "1") -> Delivery:
    """One of which all has gone down."""
    delivery = handed(given, identity)
    deliveries.note([Noted(delivery.id, given.size, now())], now())
    return delivery


def say(*results: FileResult, identity: str = "1", at: float = 0, received_at: datetime | None = None) -> None:
    """A device's reports that say what became of files."""
    reports = [report(b"result", NOON + minutes(at + place), kind="result") for place in range(len(results))]
    for one, result in zip(reports, results, strict=True):
        one.file_result = result
    write([incoming(*reports, identity=identity, received_at=received_at or now())], is_open=anybody)


def states() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("id").values_list("state", "reason"))


def test_a_device_s_word_ends_its_delivery_with_the_report() -> None:
    given = file()
    handed(given)
    handed(given, "2")
    say(FileResult(given.id, FileStatus.DONE))
    say(FileResult(given.id, FileStatus.FAILED, "damaged"), identity="2")
    assert states() == [("done", ""), ("failed", "damaged")]
    delivery = Delivery.objects.earliest("id")
    assert delivery.sent_bytes == 1000
    assert delivery.ended_at is not None
    assert delivery.due_at is not None, "gateways are told"
    assert Report.objects.count() == 2


def test_what_is_not_stored_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    handed(file())

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("store.bulk.writer._bring_alarms_forward", fail)
    with pytest.raises(RuntimeError):
        say(DONE)
    assert states() == [("offered", "")]


def test_a_result_without_a_number_is_of_the_one_that_was_handed_out() -> None:
    fetched(file("1"))
    deliveries.offer(file("2"), [device()], "me", now(), ME)
    say(DONE, DONE)
    assert states() == [("done", ""), ("offered", "")]


@pytest.mark.parametrize("numbered", [True, False])
def test_a_second_copy_of_a_result_says_nothing_of_the_next_delivery(numbered: bool) -> None:
    given = file("1")
    status = FileStatus.FAILED if numbered else FileStatus.DONE
    result = FileResult(given.id if numbered else None, status)
    # With an alarm beside it, of a report that is told of either way.
    other = report(b"place", NOON, alarms=["sos"])
    fetched(given)
    say(result)
    following = given if numbered else file("2")
    fetched(following)
    write([incoming(other, identity="1")], is_open=anybody)
    say(result)
    assert [state for state, _ in states()] == [status, "fetching"]
    say(result, at=1)
    assert [state for state, _ in states()] == [status, status], "said anew"


def test_a_result_without_a_number_ends_nothing_that_has_not_gone_down() -> None:
    fetched(file("1"))
    say(DONE)
    following = handed(file("2"))
    say(DONE, at=1)
    assert states() == [("done", ""), ("offered", EARLY)], "said once more of the one before"
    deliveries.note([Noted(following.id, 500, now())], now())
    deliveries.note([Noted(following.id, 1000, now())], now())
    assert states()[1] == ("fetching", "")
    say(DONE, at=2)
    assert states()[1] == ("done", "")


@pytest.mark.parametrize(("sent_at", "end"), [(NOON - SECOND, ("done", "")), (NOON + SECOND, ("fetching", ""))])
def test_a_result_may_overtake_the_notes_of_what_has_gone_down(sent_at: datetime, end: tuple[str, str]) -> None:
    delivery = handed(file())
    say(DONE, received_at=NOON)
    deliveries.note([Noted(delivery.id, 900, NOON - 2 * SECOND)], now())
    assert states() == [("fetching", EARLY)]
    deliveries.note([Noted(delivery.id, 1000, sent_at)], now())
    assert states() == [end]
    assert Delivery.objects.get().sent_bytes == 1000


def test_many_results_of_a_batch_are_one_question_and_the_last_of_a_file_counts() -> None:
    one, two = file("1"), file("2")
    handed(one)
    handed(two)
    unknown = [FileResult(1000 + number, FileStatus.DONE) for number in range(200)]
    with CaptureQueriesContext(connection) as queries:
        say(FileResult(one.id, FileStatus.LATER, "busy"), *unknown, FileResult(one.id, FileStatus.DONE))
    asked = [query["sql"] for query in queries if "store_delivery" in query["sql"]]
    assert len(asked) == 2, "which are meant, and the end of one"
    assert states() == [("done", ""), ("offered", "")]


def test_what_is_said_of_a_file_that_is_not_under_way_changes_nothing() -> None:
    given, other = file(), file("2")
    handed(given)
    handed(given, "2")
    for place, result in enumerate((FileResult(other.id, FileStatus.DONE), FileResult(1 << 32, FileStatus.DONE))):
        say(result, at=-1 - place)
    say(FileResult(given.id, FileStatus.DONE), identity="3")
    assert states() == [("offered", "")] * 2
    say(FileResult(given.id, FileStatus.DONE))
    say(FileResult(given.id, FileStatus.FAILED, "damaged"), at=1)
    assert states() == [("done", ""), ("offered", "")], "an end is an end"
    deliveries.offer(given, [device()], "me", now(), ME)
    say(FileResult(given.id, FileStatus.DONE), at=2)
    assert states()[-1] == ("offered", ""), "nobody has had it yet"


def test_a_device_that_is_busy_is_asked_again_later() -> None:
    delivery = handed(file())
    before = now()
    say(FileResult(None, FileStatus.LATER, "busy"))
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("offered", "busy")
    assert delivery.due_at is not None
    assert before + LATER <= delivery.due_at <= now() + LATER
    deliveries.note([Noted(delivery.id, 10, now())], now())
    assert states() == [("fetching", "")]


def test_however_often_a_device_is_busy_it_is_asked_again() -> None:
    delivery = handed(file())
    for minute in range(2 * MOST_TRIES):
        say(FileResult(None, FileStatus.LATER, "busy"), at=minute)
        assert deliveries.take_next("fake", ["1"], now()) == {"1": delivery}
    assert states() == [("offered", "busy")]


def test_a_reason_is_text_that_a_column_takes() -> None:
    handed(file())
    say(FileResult(None, FileStatus.FAILED, "\0" + "x" * 1000))
    assert len(states()[0][1]) == 255


def test_a_device_has_a_file_once_at_a_time() -> None:
    given = file()
    first = deliveries.offer(given, [device("1"), device("2")], "me", now(), ME)
    again = deliveries.offer(given, [device("2"), device("3")], "me", now(), ME)
    assert (len(first), len(again), Delivery.objects.count()) == (2, 2, 3)
    assert first[1] == again[0]
    assert deliveries.cancel(first[0].id, now(), ME)
    assert not deliveries.cancel(first[0].id, now(), ME)
    (anew,) = deliveries.offer(given, [device("1")], "me", now(), ME)
    assert anew.id != first[0].id


def test_a_file_that_was_removed_is_offered_to_nobody() -> None:
    with pytest.raises(GoneError):
        deliveries.offer(file(removed_at=NOON), [device()], "me", now(), ME)


def test_a_file_that_is_removed_meanwhile_is_offered_to_nobody() -> None:
    given = file()
    File.objects.update(removed_at=NOON)
    with pytest.raises(GoneError):
        deliveries.offer(given, [device()], "me", now(), ME)
    assert not Delivery.objects.exists()


def test_devices_get_a_file_in_one_order_whatever_they_are_told_in() -> None:
    """So that two who offer the same wait for each other, and never in a ring."""
    devices = [device(identity) for identity in "abc"]
    deliveries.offer(file(), devices[::-1], "me", now(), ME)
    assert list(Delivery.objects.order_by("id").values_list("device_id", flat=True)) == [each.id for each in devices]


def test_with_its_device_a_delivery_goes() -> None:
    handed(file())
    device().delete()
    assert not Delivery.objects.exists()


def result_of(delivery: Delivery) -> list[Said]:
    return [Said(delivery.device_id, FileResult(delivery.file_id, FileStatus.LATER, "busy"), now())]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("who", ["sweep", "question", "cancelling"])
def test_who_writes_many_waits_for_a_batch_and_never_in_a_ring(who: str) -> None:
    given = file()
    first, second = handed(given, "1"), handed(given, "2")
    # In the table, though not by its id, the first one is behind the second now.
    for delivery in (second, first):
        Delivery.objects.filter(id=delivery.id).update(due_at=NOON)
    others: dict[str, Callable[[], object]] = {
        "sweep": lambda: deliveries.seen(deliveries.due(datetime(2100, 1, 1, tzinfo=UTC), 100), now()),
        "question": lambda: deliveries.take_next("fake", ["1", "2"], now()),
        "cancelling": lambda: deliveries.cancel_all(given, "", now()),
    }
    other = Beside(out_of_order(others[who]))
    with transaction.atomic():
        deliveries.settle(result_of(first), now())
        other.start()
        deliveries.settle(result_of(second), now())
    assert other.fault() is None
    assert {reason for _, reason in states()} == {"" if who == "cancelling" else "busy"}
