"""Decoding again what is stored, as a worker does it, after the definition has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.exceptions import Reject
from django.db import connection
from kombu.exceptions import OperationalError
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from protocols.message import Message
from store import background, redecoding
from store.audit import Actor
from store.bulk import Incoming, write
from store.horizon import settled_id
from store.models import (
    Alarm,
    AuditEntry,
    Channel,
    ChannelFiveMinutes,
    Quarantine,
    Redecoding,
    RedecodingSource,
    Report,
    RollupMark,
    State,
)
from store.redecoding import OpenError, Scope
from store.rollups import roll_up_next
from tasks.channels import known_channels
from tasks.compute import redecode, suspects
from tasks.compute.suspects import MOST_ENDED, Suspects
from tasks.contract import COMPUTE_QUEUE
from tests.records import NOON, anybody, minutes
from tests.servers import Child
from tests.tasks.compute.beating import start_beat
from tests.tasks.compute.editions import LATER, Changing

ME = Actor("me")
in_database = pytest.mark.usefixtures("database_url")
REPORTS, QUARANTINE = RedecodingSource.REPORTS, RedecodingSource.QUARANTINE


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch, worker_redis: Redis) -> list[tuple[int, int]]:
    """Steps that were asked for, instead of a broker."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setitem(redecode.protocols, "fake", Changing())
    monkeypatch.setattr(redecode.decode_some, "apply_async", lambda words, **options: sent.append(words))
    known_channels.forget()
    return sent


def store(*bodies: str, identity: str = "1", protocol: str = "fake") -> None:
    """As they were decoded by the first edition; received a minute one after the other."""
    batch = []
    for at, body in enumerate(bodies):
        message = Message(identity, 0x0200, at, b"head", body.encode())
        decoded = Changing(1).decode(message)
        batch.append(Incoming(protocol, message, NOON + minutes(at) + LATER, "location", decoded, "1"))
    write(batch, is_open=anybody)


def start(**scope: Any) -> Redecoding:
    return redecoding.start(Scope("fake", **scope), ME)


def finish(row: Redecoding) -> Redecoding:
    """Step by step, as workers do."""
    while row.is_open:
        redecode.decode_some(row.id, row.steps)
        row.refresh_from_db()
    return row


def counts(row: Redecoding) -> dict[str, int]:
    names = ("done", "changed", "added", "merged", "failing", "kept", "mended")
    return {name: count for name in names if (count := getattr(row, name))}


def said() -> list[tuple[str, str, dict[str, Any], list[str]]]:
    rows = Report.objects.order_by("body", "time")
    return [(bytes(row.body).decode(), row.kind, row.values, row.alarms) for row in rows]


@in_database
def test_they_say_what_the_definition_of_today_says() -> None:
    store("1", "2 same", "3 alarm", "4 gone", "5 part")
    before = dict(Report.objects.values_list("id", "received_at"))
    row = finish(start())
    assert (row.state, row.percent, row.ended_at is not None) == ("done", 100.0, True)
    assert counts(row) == {"done": 5, "changed": 2, "failing": 1, "kept": 1}
    assert said() == [
        ("1", "location", {"level_m": 0.1}, []),
        ("2 same", "location", {"raw": 2}, []),
        ("3 alarm", "location", {"level_m": 0.3}, ["new"]),
        ("4 gone", "location", {"raw": 4}, []),
        ("5 part", "location", {"raw": 5}, []),
    ]
    assert dict(Report.objects.values_list("id", "received_at")) == before
    assert list(Report.objects.order_by("body").values_list("latitude", flat=True)) == [11.0, 10.0, 11.0, 10.0, 10.0]
    assert counts(finish(start())) == {"done": 5, "failing": 1, "kept": 1}


@in_database
def test_what_channels_came_to_follows() -> None:
    store("1", "2 same", "400 later", "700 part", "1000 mended")

    def rolled_up() -> dict[str, dict[str, Any]]:
        settled = settled_id(Report, 1)
        assert settled is not None
        roll_up_next(settled, None)
        rows = ChannelFiveMinutes.objects.order_by("begins_at")
        return {f"{row.begins_at.astimezone(UTC):%H:%M}": row.channels for row in rows}

    assert rolled_up() == {
        "12:00": {"raw": [2, 1, 2, 3, 2]},
        "12:05": {"raw": [1, 400, 400, 400, 400]},
        "12:10": {"raw": [1, 700, 700, 700, 700]},
    }
    finish(start(is_dry_run=True))
    assert not RollupMark.objects.exists()
    finish(start())
    assert rolled_up() == {
        "12:00": {"raw": [1, 2, 2, 2, 2], "level_m": [1, 0.1, 0.1, 0.1, 0.1]},
        "12:10": {"raw": [1, 700, 700, 700, 700]},
        "12:15": {"level_m": [1, 100, 100, 100, 100]},
        "20:05": {"level_m": [1, 40, 40, 40, 40]},
    }


@in_database
def test_another_time_moves_a_report_and_what_is_sent_again_is_still_one() -> None:
    store("1 later", "2")
    finish(start())
    message = Message("1", 0x0200, 9, b"head", b"1 later")
    write([Incoming("fake", message, NOON + 2 * LATER, "location", Changing().decode(message))], is_open=anybody)
    times = {bytes(row.body): row.time for row in Report.objects.all()}
    assert len(times) == Report.objects.count() == 2
    assert times[b"1 later"] == NOON + minutes(1 / 60) + LATER


@in_database
def test_a_time_of_another_month_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1 later")
    monkeypatch.setattr("tests.tasks.compute.editions.LATER", minutes(60 * 24 * 365 * 30))
    assert counts(finish(start())) == {"done": 1, "changed": 1}
    assert Report.objects.get().time.year == 2056


@in_database
def test_a_body_that_gives_more_reports_gives_them_once() -> None:
    store("1 split", "2 renamed")
    assert counts(finish(start())) == {"done": 2, "changed": 2, "added": 1}
    assert [(body, kind) for body, kind, *_ in said()] == [
        ("1 split", "location"),
        ("1 split other", "part"),
        ("2 renamed", "place"),
    ]
    assert counts(finish(start())) == {"done": 3}
    assert Report.objects.count() == 3


@in_database
def test_one_that_becomes_another_that_is_there_goes() -> None:
    store("1 later")
    message = Message("1", 0x0200, 9, b"head", b"1 later")
    write([Incoming("fake", message, NOON + LATER, "location", Changing().decode(message))], is_open=anybody)
    assert Report.objects.count() == 2
    row = finish(start())
    assert (row.merged, row.changed) == (1, 1)
    assert [(row.time, row.values) for row in Report.objects.all()] == [(NOON + minutes(1 / 60) + LATER, {"level_m": 0.1})]


@in_database
def test_channels_and_the_state_follow_and_alarms_stay() -> None:
    store("1", "2 alarm")
    finish(start())
    state = State.objects.get()
    assert (state.values, state.alarms, state.latitude, state.time) == ({"level_m": 0.2}, ["new"], 11.0, NOON + minutes(2 / 60))
    assert set(Channel.objects.values_list("name", flat=True)) == {"raw", "level_m"}
    assert [(alarm.kind, alarm.times) for alarm in Alarm.objects.all()] == [("old", 1)]


@in_database
def test_an_older_report_does_not_become_the_state() -> None:
    store("1 alarm", "9 same")
    finish(start())
    state = State.objects.get()
    assert (state.values, state.alarms, state.latitude, state.time) == ({"raw": 9}, [], 10.0, NOON + minutes(9 / 60))


@in_database
def test_only_what_is_asked_for() -> None:
    store("1", "2", "3")
    store("4", identity="2")
    store("5", identity="1", protocol="other")
    device = Report.objects.filter(body=b"1").get().device
    finish(start(device=device, since=NOON + LATER + minutes(1), until=NOON + LATER + minutes(2), source=REPORTS))
    assert [bytes(row.body) for row in Report.objects.all() if "level_m" in row.values] == [b"2"]


@in_database
def test_a_dry_run_counts_and_changes_nothing() -> None:
    store("1", "2 later", "3 split", "4 gone", "5 mended")
    before = said()
    assert counts(finish(start(is_dry_run=True))) == {"done": 5, "changed": 3, "added": 1, "failing": 1, "mended": 1}
    assert said() == before
    assert Quarantine.objects.count() == 1


@in_database
def test_what_is_read_now_leaves_it_and_is_as_if_it_came_now() -> None:
    store("1 mended", "2 never")
    row = finish(start(source=QUARANTINE))
    assert counts(row) == {"done": 2, "mended": 1, "failing": 1}
    assert said() == [("1 mended", "location", {"level_m": 0.1}, ["new"])]
    assert Report.objects.get().received_at == NOON + LATER
    assert State.objects.get().alarms == ["new"]
    assert Alarm.objects.get().kind == "new"
    left = Quarantine.objects.get()
    assert (bytes(left.body), left.error_path, left.version) == (b"2 never", "new", redecode._versions.get("fake", ""))
    assert left.group is not None
    assert left.group.path == "new"


@in_database
def test_of_a_disabled_device_it_stays() -> None:
    store("1 mended")
    Quarantine.objects.get().device.__class__.objects.update(is_enabled=False)
    assert counts(finish(start())) == {"done": 1, "failing": 1}
    assert (Quarantine.objects.count(), Report.objects.count()) == (1, 0)


@in_database
def test_thousands_are_taken_step_by_step_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store(*(f"{n} {'mended' if n % 10 == 0 else ''}" for n in range(3000)))
    monkeypatch.setattr(redecoding, "IDS_A_STEP", 700)
    row = finish(start())
    assert counts(row) == {"done": 3000, "changed": 2700, "mended": 300}
    assert row.steps == 5
    assert Counter(value["level_m"] for _, _, value, _ in said()) == Counter(n / 10 for n in range(3000))


@in_database
def test_large_bodies_make_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1", "2", "3")
    monkeypatch.setattr(redecoding, "BYTES_A_STEP", 2)
    assert finish(start(source=REPORTS)).steps == 2


@in_database
def test_a_step_that_comes_twice_does_nothing_twice(sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    store("1 split", "2", "3")
    monkeypatch.setattr(redecoding, "IDS_A_STEP", 1)
    row = start(source=REPORTS)
    redecode.decode_some(row.id, 0)
    redecode.decode_some(row.id, 0)
    row.refresh_from_db()
    assert (row.steps, row.done, sent) == (1, 1, [(row.id, 1)])


@in_database
def test_a_step_that_fails_in_the_middle_changes_nothing_and_is_done_whole_later(
    monkeypatch: pytest.MonkeyPatch, sent: list[tuple[int, int]]
) -> None:
    store("1", "2 later", "3 mended")
    row, before = start(), said()
    with monkeypatch.context() as patch:
        patch.setattr(redecode.redecoded, "add_channels", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            redecode.decode_some(row.id, 0)
    row.refresh_from_db()
    assert (said(), row.steps, row.done) == (before, 0, 0)
    monkeypatch.setattr(redecode, "SILENCE", minutes(0))
    redecode.resume()
    assert sent == [(row.id, 0)]
    assert counts(finish(row)) == {"done": 3, "changed": 2, "mended": 1}


@in_database
def test_one_at_a_time_of_a_protocol_and_it_can_be_cancelled(sent: list[tuple[int, int]]) -> None:
    store("1")
    row = start()
    with pytest.raises(OpenError):
        start()
    assert background.cancel(Redecoding, row.id, datetime.now(UTC), ME, "redecode.cancel")
    assert not background.cancel(Redecoding, row.id, datetime.now(UTC), ME, "redecode.cancel")
    redecode.decode_some(row.id, 0)
    assert (said(), sent) == ([("1", "location", {"raw": 1}, [])], [])
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["redecode.start", "redecode.cancel"]
    start()


@in_database
def test_a_decoder_without_end_costs_its_message_only(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store("1", "2 loop", "3")
    monkeypatch.setattr(redecode, "STEP_SECONDS", 0.05)
    monkeypatch.setattr(redecode, "MESSAGE_SECONDS", 0.05)
    assert counts(finish(start(source=REPORTS))) == {"done": 3, "changed": 2, "failing": 1}
    told = "a step of a redecoding takes too long to decode, its messages are tried one by one"
    assert [record.message for record in caplog.records] == [told]


@in_database
def test_what_there_is_no_time_for_is_the_next_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1", "2 loop", "3")
    for limit in ("STEP_SECONDS", "MESSAGE_SECONDS"):
        monkeypatch.setattr(redecode, limit, 0.05)
    monkeypatch.setattr(redecode, "SEARCH_SECONDS", 0.0)
    row = finish(start(source=REPORTS))
    assert (counts(row), row.steps) == ({"done": 3, "changed": 2, "failing": 1}, 3)


@in_database
def test_a_decoder_that_fails_is_told_once_a_step(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store("1", "2", "3 mended")
    monkeypatch.setattr(Changing, "decode", lambda self, message: 1 / 0)
    assert counts(finish(start())) == {"done": 3, "failing": 3}
    assert [record.message for record in caplog.records] == ["decoder failed", "decoder failed"]
    assert Quarantine.objects.get().error_text == "ZeroDivisionError: division by zero"


@in_database
def test_what_ends_workers_again_and_again_fails(caplog: pytest.LogCaptureFixture) -> None:
    store("1")
    row = start()
    for _ in range(MOST_ENDED + 1):
        Suspects(row.id, 0).begin()  # and its worker ends
    finish(row)
    assert (row.state, row.error) == ("failed", "decoding ended workers again and again")
    assert caplog.records[-1].message == "redecoding failed: decoding ended workers again and again"
    assert said() == [("1", "location", {"raw": 1}, [])]


@in_database
def test_a_redis_that_is_away_does_not_keep_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away() -> None:
        raise RedisConnectionError

    store("1")
    monkeypatch.setattr(suspects, "redis", away)
    assert counts(finish(start(source=REPORTS))) == {"done": 1, "changed": 1}
    assert [record.message for record in caplog.records] == ["nothing noted of a redecoding"]


@in_database
def test_a_worker_without_the_protocol_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store("1")
    monkeypatch.delitem(redecode.protocols, "fake")
    row = finish(start())
    assert (row.state, row.error) == ("failed", "this worker has no protocol fake")


@pytest.mark.parametrize("words", [("1", 0), (1, None), (0, 0), (1, -1), (1 << 63, 0), (True, 0)])
def test_what_is_no_step_is_a_dead_letter(words: tuple[Any, Any]) -> None:
    with pytest.raises(Reject):
        redecode.decode_some(*words)


def test_a_database_that_does_not_answer_is_a_line_in_the_log(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_redecoding")
    redecode.decode_some(1, 0)
    redecode.resume()
    assert [record.message for record in caplog.records] == [
        "redecoding put off, the database does not answer as it should",
        "redecodings not looked after, will try again",
    ]


def test_a_broker_that_is_away_costs_a_pause(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(redecode.decode_some, "apply_async", away)
    assert not redecode.send(1, 0)
    assert [record.message for record in caplog.records] == ["a redecoding's step not asked for, a sweep will find it"]


@pytest.fixture
def start_worker(start_child: Callable[..., Child], database_url: str, redis_url: str, broker_url: str) -> Callable[[], Child]:
    words = ("-m", "celery", "-A", "tests.tasks.compute.changing", "worker", "-Q", COMPUTE_QUEUE)
    options = ("--concurrency", "1", "--without-mingle", "--without-gossip")
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": broker_url}
    start_beat(start_child, "redecodings", urls)
    return lambda: start_child(*words, *options, name="worker", **urls)


def test_what_a_worker_is_killed_at_is_done_once_by_the_next(start_worker: Callable[[], Child], redis_url: str) -> None:
    store(*(f"{n} {'loop' if n == 1200 else 'split'}" for n in range(1500)), "1500 mended")
    row, running = start(), start_worker()
    with Redis.from_url(redis_url, decode_responses=True) as client:
        running.wait_until(lambda: client.hget(f"iotgw:redecoding:{row.id}", "step") == "1", "the second step is under way")
    running.kill()
    row.refresh_from_db()
    assert (row.steps, row.state) == (1, "running")
    assert Report.objects.count() == 2500
    running = start_worker()
    running.wait_until(lambda: row.refresh_from_db() or not row.is_open, "the redecoding ends")
    assert (row.state, counts(row)) == (
        "done", {"done": 1501, "changed": 1499, "added": 1499, "failing": 1, "mended": 1},
    )  # fmt: skip
    assert (Report.objects.count(), Quarantine.objects.count()) == (3000, 0)
    assert "workers ended with this step of a redecoding" in running.output()
    assert running.stop() == 0


def test_a_message_that_ends_its_worker_stays_as_it_was_and_the_others_are_decoded(start_worker: Callable[[], Child]) -> None:
    store("1", "2 kill", "3", "4 kill", "5")
    row, running = start(), start_worker()
    running.wait_until(lambda: row.refresh_from_db() or not row.is_open, "the redecoding ends")
    assert (row.state, counts(row)) == ("done", {"done": 5, "changed": 3, "failing": 2})
    assert running.stop() == 0
