"""Targets in the database: whose they are, and what goes before they had it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from settings.load import load
from store import condition, retention, targets
from store.forwarding import Wanted
from store.media.folder import MediaFolder
from store.media.removal import remove_before
from store.models import DeadNotice, Device, Event, EventKind, Media, MediaOutcome, Report, Target, TargetCursor
from store.retention import Retention
from store.targets import Plan, TargetError, claim, moved, release
from tests.records import NOON
from tests.tasks.forward.targets import ANA, add, store

pytestmark = pytest.mark.usefixtures("database_url")
DAY = timedelta(days=1)
MONTH = Retention(reports_days=30, quarantine_days=0, events_days=30)


def cursor(source: str = "reports") -> TargetCursor:
    return TargetCursor.objects.get(source=source)


def names(claimed: list[Target]) -> list[str]:
    return [target.name for target in claimed]


def test_a_target_begins_with_what_comes_from_now_on_or_from_a_time_on() -> None:
    store(3)
    add("now")
    add("then", since=NOON - DAY)
    found = {cursor.target.name: cursor.last_id for cursor in TargetCursor.objects.filter(source="reports")}
    assert found == {"now": 3, "then": 0}


def test_a_target_is_one_owner_s_until_its_claim_is_over() -> None:
    add()
    assert names(claim("a")) == ["hub"]
    assert names(claim("b")) == []
    assert moved(cursor(), "b", 5, 1) is False
    assert moved(cursor(), "a", 5, 1) is True
    Target.objects.update(owned_until=datetime.now(UTC) - timedelta(seconds=1))
    assert names(claim("b")) == ["hub"]
    assert names(claim("a")) == []
    assert moved(cursor(), "a", 9, 1) is False
    assert (cursor().last_id, cursor().sent) == (5, 1)
    release("a", [Target.objects.get().pk])
    assert names(claim("a")) == [], "only its owner can release it"
    release("b", [Target.objects.get().pk])
    assert names(claim("a")) == ["hub"]


def test_a_claim_is_renewed_before_it_is_over() -> None:
    add()
    claim("a")
    first = Target.objects.get().owned_until
    claim("a")
    assert Target.objects.get().owned_until == first, "not each time"
    Target.objects.update(owned_until=datetime.now(UTC) + targets.RENEWED - timedelta(seconds=1))
    claim("a")
    until = Target.objects.get().owned_until
    assert until is not None
    assert until > datetime.now(UTC) + targets.RENEWED


def test_two_processes_share_the_targets() -> None:
    for number in range(7):
        add(f"hub{number}")
    assert [len(claim(owner)) for owner in ("a", "b")] == [4, 3]


def test_a_paused_target_is_nobody_s() -> None:
    add()
    claim("a")
    targets.pause("hub", "away", ANA)
    assert names(claim("a")) == names(claim("b")) == []
    targets.resume("hub", ANA)
    assert names(claim("a")) == ["hub"]


def test_a_change_keeps_the_places_of_sources_that_stay() -> None:
    store(3)
    add(sources=["reports", "events"], since=NOON - DAY)
    before = Target.objects.get().revision
    targets.change("hub", lambda target: Plan("fake", "elsewhere", {}, ["reports", "media"], Wanted(tags=["cold"])), ANA)
    assert cursor().last_id == 0
    assert set(TargetCursor.objects.values_list("source", flat=True)) == {"reports", "media"}
    target = Target.objects.get()
    assert (target.address, target.wanted, target.revision) == ("elsewhere", {"tags": ["cold"]}, before + 1)


def test_there_are_so_many_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "MOST_TARGETS", 2)
    add("a")
    add("b")
    with pytest.raises(TargetError, match="which is the most"):
        add("c")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "京"])
def test_a_name_is_one_word(name: str) -> None:
    with pytest.raises(TargetError, match="is no name"):
        add(name)


def test_rows_that_retention_deletes_before_a_target_had_them_are_counted() -> None:
    """A month as a whole, on PostgreSQL, and rows one by one elsewhere."""
    now = datetime.now(UTC)
    store(6, received_at=now - 90 * DAY)
    Report.objects.update(time=now - 90 * DAY + timedelta(seconds=1))
    device = Device.objects.get()
    for kind in (EventKind.ONLINE, EventKind.OFFLINE, EventKind.ALARM_OPENED):
        Event.objects.create(device=device, time=NOON, kind=kind, received_at=now - 90 * DAY)
    add("new")
    add("old", since=now - 100 * DAY)
    add("some", since=now - 100 * DAY)
    TargetCursor.objects.filter(target__name="some", source="reports").update(last_id=2)
    TargetCursor.objects.filter(target__name="some").exclude(source="reports").update(last_id=1000)
    kept = retention.keep(MONTH, now, lambda: False)
    assert Report.objects.count() == Event.objects.count() == 0
    assert dict(kept.lost) == {"old": 9, "some": 4}
    found = {(cursor.target.name, cursor.source): cursor.lost for cursor in TargetCursor.objects.all() if cursor.lost}
    assert found == {("old", "reports"): 6, ("old", "events"): 2, ("old", "alarms"): 1, ("some", "reports"): 4}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_month_that_is_dropped_counts_too() -> None:
    now = datetime.now(UTC)
    with connection.cursor() as asking:
        begin = (now - 90 * DAY).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        end = (begin + 32 * DAY).replace(day=1)
        asking.execute(f"CREATE TABLE {(table := f'store_report_{begin:%Y_%m}')} (LIKE store_report INCLUDING ALL)")
        asking.execute(f"ALTER TABLE store_report ATTACH PARTITION {table} FOR VALUES FROM ('{begin}') TO ('{end}')")
    add(since=now - 300 * DAY)
    store(5, received_at=now - 90 * DAY)
    Report.objects.update(time=begin + DAY)
    kept = retention.keep(MONTH, now, lambda: False)
    assert len(kept.dropped) == 1
    assert (dict(kept.lost), cursor().lost) == ({"hub": 5}, 5)


def test_files_that_are_removed_before_a_target_was_told_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    add(sources=["media"])
    store(1)
    media = Media.objects.create(device=Device.objects.get(), file="1", kind="image", time=NOON, received_at=NOON, touched_at=NOON)
    for state in (Media.State.WAITING, Media.State.COMPLETE):
        MediaOutcome.objects.create(media=media, state=state)
    folder = MediaFolder(tmp_path)
    assert remove_before(NOON + DAY, folder) == 1
    assert cursor("media").lost == 1
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "old files deleted before a target was told of them"
    ]


def found_by_doctor(monkeypatch: pytest.MonkeyPatch, days: int) -> tuple[str, str]:
    monkeypatch.setenv("IOTGW_RETENTION_DAYS", str(days))
    finding = next(finding for finding in condition.examine(load()) if finding.check == "targets")
    return finding.state, f"{finding.found} {finding.do}"


def test_doctor_warns_before_rows_go_that_a_target_has_not_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_by_doctor(monkeypatch, 0) == ("ok", "none ")
    now = datetime.now(UTC)
    add(since=now - 100 * DAY)
    state, text = found_by_doctor(monkeypatch, 0)
    assert (state, "run iotgw forward" in text) == ("warning", True)
    claim("a")
    assert found_by_doctor(monkeypatch, 30) == ("ok", "1 sending ")
    store(1, received_at=now - 16 * DAY)
    assert found_by_doctor(monkeypatch, 40)[0] == "ok"
    state, text = found_by_doctor(monkeypatch, 30)
    assert state == "warning"
    assert "target hub has not had reports" in text
    assert "deleted after 30 days" in text
    DeadNotice.objects.create(target=Target.objects.get(), source="reports", row_id=1, reason="x", tries=3)
    state, text = found_by_doctor(monkeypatch, 0)
    assert (state, "1 dead notices" in text) == ("warning", True)
