"""What is kept, and for how long, on every database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from protocols.report import DecodeError
from settings import Settings
from store import partitions, retention
from store.bulk import write
from store.models import (
    ChannelFiveMinutes,
    ChannelHour,
    ChannelSummary,
    Command,
    CommandRun,
    CommandStep,
    DaySummary,
    Device,
    Event,
    Quarantine,
    Report,
    State,
)
from store.partitions import Month
from store.retention import Retention, keep, look
from tests.records import NOON, anybody, incoming, report

pytestmark = pytest.mark.usefixtures("database_url")

DAY = timedelta(days=1)
FOR_EVER = Retention(0, 0)
MONTH = Retention(reports_days=30, quarantine_days=10, events_days=20)
FAR = datetime(2099, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def never() -> bool:
    return False


def received(age: timedelta, time: datetime | None = None, identity: str = "1") -> None:
    """A report, and a message that nobody can read, which came so long before NOON."""
    at = NOON - age
    body = f"{age} {time}".encode()
    bad = incoming(identity=identity, received_at=at, body=body, error=DecodeError("truncated", "", ""))
    assert write([incoming(report(body, time or at), identity=identity, received_at=at)], is_open=anybody) == {}
    write([bad], is_open=anybody)


def ages() -> list[int]:
    """How many days before NOON the reports that are left arrived."""
    return sorted((NOON - at).days for at in Report.objects.values_list("received_at", flat=True))


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def test_by_default_everything_is_kept_for_ever() -> None:
    received(36_000 * DAY)
    kept = keep(FOR_EVER, NOON, never)
    assert (kept.dropped, kept.reports, kept.quarantine, kept.is_finished) == ([], 0, 0, True)
    assert Report.objects.count() == Quarantine.objects.count() == 1


def test_what_is_too_old_goes_and_devices_and_states_stay() -> None:
    for days in (0, 9, 11, 29, 31, 400):
        received(days * DAY, identity=f"{days}")
    planned = look(MONTH, NOON)
    assert (planned.reports, planned.quarantine) == (2, 4)
    assert len(ages()) == 6
    kept = keep(MONTH, NOON, never)
    assert (kept.reports, kept.quarantine, kept.is_finished) == (2, 4, True)
    assert ages() == [0, 9, 11, 29]
    assert Quarantine.objects.count() == 2
    assert Device.objects.count() == State.objects.count() == 6
    again = keep(MONTH, NOON, never)
    assert (again.made, again.dropped, again.reports, again.quarantine, again.is_finished) == ([], [], 0, 0, True)


def test_events_go_by_when_they_were_noted() -> None:
    device = Device.objects.create(protocol="fake", identity="1")
    for days in (19, 21, 400):
        Event.objects.create(device=device, time=FAR - days * DAY, kind="online", received_at=NOON - days * DAY)
    assert look(MONTH, NOON).events == 2
    assert keep(FOR_EVER, NOON, never).events == 0
    kept = keep(MONTH, NOON, never)
    assert (kept.events, kept.is_finished) == (2, True)
    assert Event.objects.get().received_at == NOON - 19 * DAY


def test_what_a_wrong_clock_dates_goes_by_its_arrival() -> None:
    received(1 * DAY, EPOCH)
    received(31 * DAY, FAR)
    keep(MONTH, NOON, never)
    assert Report.objects.get().time == EPOCH


def test_what_came_late_or_by_a_gateway_with_a_wrong_clock_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for days in (-40_000, -40_001, -40_002, -40_003, 31, 5, 32, 33, 4, 3, 2):
        received(days * DAY)
    keep(MONTH, NOON, never)
    assert ages() == [-40_003, -40_002, -40_001, -40_000, 2, 3, 4, 5]


def test_it_ends_where_nothing_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for days in (31, 32, 4, 5, 3, 33):
        received(days * DAY, EPOCH)
    keep(MONTH, NOON, never)
    assert ages() == [3, 4, 5, 33], "the last one goes when those before it are old"
    keep(MONTH, NOON + 26 * DAY, never)
    assert ages() == [3, 4]


def test_when_time_is_up_the_rest_is_left_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for days in range(40, 50):
        received(days * DAY)
    times = iter([False, False, True, True, True])
    kept = keep(MONTH, NOON, lambda: next(times))
    assert (kept.reports, kept.is_finished) == (4, False)
    assert len(ages()) == 6
    assert keep(MONTH, NOON, never).is_finished
    assert ages() == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_month_goes_as_a_whole_when_its_end_is_too_old() -> None:
    for month in (Month(2025, 12), Month(2026, 1), Month(2026, 2)):
        partitions.make(month)
    for days in (0, 29, 31, 58, 70):
        received(days * DAY)
    assert look(MONTH, NOON).dropped == [Month(2025, 12)]
    kept = keep(MONTH, NOON, never)
    assert (kept.dropped, kept.reports) == ([Month(2025, 12)], 0)
    assert ages() == [0, 29, 31, 58]
    assert keep(MONTH, NOON + DAY, never).dropped == []
    assert keep(MONTH, NOON + 2 * DAY, never).dropped == [Month(2026, 1)]
    assert ages() == [0]


def run(*words: str) -> str:
    out = StringIO()
    call_command("retention", *words, stdout=out)
    return out.getvalue()


def test_the_command_says_what_it_would_do_and_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    received(NOON - now + 100 * DAY)
    received(NOON - now + 1 * DAY)
    assert run().splitlines() == [
        "reports are kept for ever",
        "messages in quarantine are kept for ever",
        "events are kept for ever",
        "deleted: 0 channels by five minutes",
        "deleted: 0 channels by hours",
        "channels of days are kept for ever",
        "commands that have ended are kept for ever",
    ]
    monkeypatch.setenv("IOTGW_RETENTION_DAYS", "30")
    old = Month.of(now - 100 * DAY)
    if is_postgresql():
        partitions.make(old)
    would = run("--dry-run")
    assert ("would be dropped: " + str(old) if is_postgresql() else "would be deleted: 1 reports") in would
    assert "messages in quarantine are kept for ever" in would
    assert Report.objects.count() == 2
    done = json.loads(run("--json"))
    dropped = [str(old)] * is_postgresql()
    others = dict.fromkeys(("quarantine", "events", "five_minutes", "hours", "channels", "commands"), 0)
    assert done == {"made": [], "dropped": dropped, "reports": 1 - is_postgresql(), **others, "lost": {}}
    assert Report.objects.count() == 1
    assert Quarantine.objects.count() == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_command_makes_the_months_that_are_missing() -> None:
    partitions.drop(next_month := Month.of(datetime.now(UTC)).plus(1))
    assert f"would be made: {next_month}\n" in run("--dry-run")
    assert next_month not in partitions.months()
    assert f"made: {next_month}\n" in run()
    assert next_month in partitions.months()


def test_what_channels_came_to_goes_by_its_time_and_days_stay() -> None:
    device = Device.objects.create(protocol="fake", identity="1")
    # Those of a device that came late are behind in the order of ids.
    for days in (400, 91, 89, 0, 95):
        begin = NOON - days * DAY
        ChannelFiveMinutes.objects.create(device=device, begins_at=begin)
        ChannelHour.objects.create(device=device, begins_at=begin)
        day = DaySummary.objects.create(device=device, day=begin.date(), begins_at=begin)
        ChannelSummary.objects.create(summary=day, name="oil", readings=1, minimum=1, mean=1, maximum=1, last=1)
    policy = Retention(0, 0, five_minutes_days=90, hours_days=395, channel_days=94)
    planned = look(policy, NOON)
    assert (planned.five_minutes, planned.hours, planned.channels) == (3, 1, 2)
    kept = keep(policy, NOON, never)
    assert (kept.five_minutes, kept.hours, kept.channels, kept.is_finished) == (3, 1, 2, True)
    assert (ChannelFiveMinutes.objects.count(), ChannelHour.objects.count(), ChannelSummary.objects.count()) == (2, 4, 3)
    assert DaySummary.objects.count() == 5
    assert Retention.of(Settings()) == Retention(0, 0, 0, 90, 730, 0)


def test_commands_go_by_when_they_ended_with_their_steps() -> None:
    device = Device.objects.create(protocol="fake", identity="1")
    old, kept_run = (CommandRun.objects.create(name="x", pace=1, created_at=NOON - 90 * DAY) for _ in range(2))
    for days, run in ((40, old), (31, None), (29, kept_run), (None, None)):
        at = None if days is None else NOON - days * DAY
        times = {"created_at": NOON - 90 * DAY, "not_before": NOON, "expires_at": NOON, "ended_at": at}
        fields = {"name": "x", "kind": 1, "is_repeatable": False, "answer_seconds": 1, "waits_grow": False, "run": run, **times}
        command = Command.objects.create(device=device, **fields)
        for state in ("queued", "failed"):
            CommandStep.objects.create(command=command, at=NOON, state=state, cause="x")
    policy = Retention(0, 0, commands_days=30)
    assert look(policy, NOON).commands == 2
    assert keep(FOR_EVER, NOON, never).commands == 0
    assert keep(policy, NOON, never).commands == 2
    assert set(Command.objects.values_list("ended_at", flat=True)) == {None, NOON - 29 * DAY}
    assert CommandStep.objects.count() == 4
    assert CommandRun.objects.get() == kept_run
    assert Retention.of(Settings(command_retention_days=7)).commands_days == 7
