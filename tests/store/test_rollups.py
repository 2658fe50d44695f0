"""Channels by five minutes and hours, and series of them, from reports in real databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from store import rollups
from store.bulk import write
from store.days import Span
from store.horizon import settled_id
from store.models import Channel, ChannelFiveMinutes, ChannelHour, ChannelSummary, DaySummary, Device, Report, RollupProgress
from store.rollups import roll_up_next
from store.series import SeriesError, series
from store.slots import LARGEST, SlotSums
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")

DAY = timedelta(days=1)


def stored(*times_and_values: tuple[float, dict[str, Any]], identity: str = "1", speed_kmh: float | None = None) -> None:
    """Reports of so many minutes after NOON."""
    for at, values in times_and_values:
        body = f"{at} {values}".encode()
        made = report(body, NOON + minutes(at), values=values, speed_kmh=speed_kmh)
        assert write([incoming(made, identity=identity, received_at=NOON)], is_open=anybody) == {}


def roll_up(oldest: datetime | None = None) -> tuple[int, int]:
    """Of how many reports, and how many slots were made."""
    settled = settled_id(Report, 1)
    assert settled is not None
    reports = slots = 0
    is_more = True
    while is_more:
        step = roll_up_next(settled, oldest)
        reports, slots, is_more = reports + step.reports, slots + step.slots, step.is_more
    return reports, slots


def rows(model: Any, identity: str = "1") -> dict[str, Any]:
    found = model.objects.filter(device__identity=identity).order_by("begins_at")
    return {f"{row.begins_at.astimezone(UTC):%d %H:%M}": row.channels for row in found}


def test_numbers_and_booleans_are_counted_by_five_minutes_and_hours() -> None:
    stored((0, {"oil": 1.5, "door": True, "word": "x"}), (4.9, {"oil": 0.5, "door": False}), (5, {"oil": 7}), (60, {"oil": 2}))
    stored((1, {"oil": 9}), identity="2", speed_kmh=50.0)
    assert roll_up() == (5, 4)
    assert rows(ChannelFiveMinutes) == {
        "01 12:00": {"oil": [2, 0.5, 1.5, 2, 0.5], "door": [2, 0, 1, 1, 0]},
        "01 12:05": {"oil": [1, 7, 7, 7, 7]},
        "01 13:00": {"oil": [1, 2, 2, 2, 2]},
    }
    assert rows(ChannelHour) == {
        "01 12:00": {"oil": [3, 0.5, 7, 9, 7], "door": [2, 0, 1, 1, 0]},
        "01 13:00": {"oil": [1, 2, 2, 2, 2]},
    }
    assert rows(ChannelHour, "2") == {"01 12:00": {"oil": [1, 9, 9, 9, 9], "speed_kmh": [1, 50, 50, 50, 50]}}


def test_what_comes_late_makes_its_slots_anew_and_nothing_else() -> None:
    stored((0, {"oil": 1}), (2, {"oil": 3}), (30, {"oil": 5}))
    assert roll_up() == (3, 2)
    ChannelFiveMinutes.objects.filter(begins_at=NOON + minutes(30)).update(channels={"oil": [1, 4, 4, 4, 4]})
    stored((1, {"oil": 2}))
    assert roll_up() == (1, 1)
    assert rows(ChannelFiveMinutes) == {"01 12:00": {"oil": [3, 1, 3, 6, 3]}, "01 12:30": {"oil": [1, 4, 4, 4, 4]}}
    assert rows(ChannelHour) == {"01 12:00": {"oil": [4, 1, 4, 10, 4]}}
    assert roll_up() == (0, 0)


def test_what_is_done_twice_changes_nothing_and_what_was_rolled_back_is_done_again() -> None:
    stored((0, {"oil": 1}), (7, {"oil": 3}))
    with transaction.atomic():
        roll_up()
        transaction.set_rollback(True)
    assert not ChannelFiveMinutes.objects.exists()
    assert roll_up() == (2, 2)
    before = rows(ChannelFiveMinutes), rows(ChannelHour)
    RollupProgress.objects.update(read_to=0)
    assert roll_up() == (2, 2)
    assert (rows(ChannelFiveMinutes), rows(ChannelHour)) == before


def test_many_are_done_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "REPORTS_A_STEP", {"postgresql": 10, "sqlite": 10})
    monkeypatch.setattr(rollups, "DEVICES_AT_ONCE", 2)
    for identity in "12345":
        stored(*((at, {"oil": at}) for at in range(0, 130, 10)), identity=identity)
    assert roll_up()[0] == 65
    for identity in "12345":
        assert rows(ChannelHour, identity)["01 12:00"] == {"oil": [6, 0, 50, 150, 50]}
        assert len(rows(ChannelFiveMinutes, identity)) == 13


def test_only_what_is_settled_is_looked_at() -> None:
    stored((0, {"oil": 1}))
    first = Report.objects.get().id
    stored((1, {"oil": 3}))
    roll_up_next(first, None)
    assert RollupProgress.objects.get().read_to == first
    assert roll_up() == (1, 1)


def test_a_clock_that_is_wrong_and_what_is_too_old_are_left_out() -> None:
    stored((0, {"oil": 1}), (3 * 24 * 60, {"oil": 99}), (-60, {"oil": 7}))
    assert roll_up(oldest=NOON - minutes(30)) == (3, 1)
    assert list(rows(ChannelFiveMinutes)) == ["01 12:00"]


def test_numbers_without_bounds_have_a_sum_that_can_be_stored() -> None:
    stored((0, {"oil": LARGEST / 10, "deep": {"a": 1}, "n" * 65: 1}), (1, {"oil": LARGEST / 10, "huge": 10**400}))
    roll_up()
    assert set(rows(ChannelFiveMinutes)["01 12:00"]) == {"oil"}
    sums = SlotSums()
    for _ in range(1_000_000_000 // 5_000_000):
        sums.take({"oil": LARGEST * 0.99})
    assert sums.channels["oil"][3] < float("inf")


def test_a_device_that_is_deleted_takes_its_slots_along() -> None:
    stored((0, {"oil": 1}))
    roll_up()
    Device.objects.all().delete()
    assert not ChannelFiveMinutes.objects.exists()


def test_a_series_has_at_most_so_many_points_and_says_what_was() -> None:
    stored(*((at, {"oil": at}) for at in range(0, 180)))
    roll_up()
    device = Device.objects.get()
    span = Span(NOON, NOON + minutes(180))
    fine = series(device, "oil", span, 500)
    assert (fine.step, len(fine.points)) == (minutes(5), 36)
    assert fine.points[1]._asdict() == {
        "begins_at": NOON + minutes(5), "readings": 5, "minimum": 5, "mean": 7, "maximum": 9, "last": 9,
    }  # fmt: skip
    for points in (1, 2, 3, 7, 20, 35, 36):
        found = series(device, "oil", span, points)
        assert len(found.points) <= points
        assert sum(point.readings for point in found.points) == 180
        assert {later.begins_at - one.begins_at for one, later in pairwise(found.points)} <= {found.step}
    coarse = series(device, "oil", span, 3)
    assert (coarse.step, [point.maximum for point in coarse.points]) == (minutes(60), [59, 119, 179])


def test_a_span_that_begins_within_a_step_has_no_more_points_either() -> None:
    stored(*((at, {"oil": at}) for at in range(0, 180)))
    roll_up()
    for points in range(1, 40):
        found = series(Device.objects.get(), "oil", Span(NOON + minutes(3), NOON + minutes(178)), points)
        assert len(found.points) <= points


def test_a_long_span_is_read_from_hours_or_days() -> None:
    stored((0, {"oil": 1}))
    device = Device.objects.get()
    for number in range(60):
        begin = NOON - minutes(720) + number * DAY
        day = DaySummary.objects.create(device=device, day=begin.date(), begins_at=begin)
        ChannelSummary.objects.create(summary=day, name="oil", readings=2, minimum=1, mean=2, maximum=3, last=number)
    span = Span(NOON - minutes(720), NOON - minutes(720) + 60 * DAY)
    daily = series(device, "oil", span, 60)
    assert (daily.step, len(daily.points), daily.points[-1].last) == (DAY, 60, 59)
    weekly = series(device, "oil", span, 9)
    assert (weekly.step, weekly.points[0].readings, weekly.points[0].mean) == (7 * DAY, 14, 2)


def test_nonsense_is_said() -> None:
    stored((0, {"oil": 1}))
    device = Device.objects.get()
    with pytest.raises(SeriesError, match="it ends before it begins"):
        series(device, "oil", Span(NOON, NOON), 5)
    with pytest.raises(SeriesError, match="points: from 1 to 2016"):
        series(device, "oil", Span(NOON, NOON + DAY), 0)


@pytest.mark.parametrize("name", ["a__b'%s.0", 'a"b', "7", "sums", "channels"])
def test_a_channel_is_found_whatever_it_is_called(name: str) -> None:
    stored((0, {name: 1}), (1, {"other": 5}))
    roll_up()
    assert len(series(Device.objects.get(), name, Span(NOON, NOON + DAY), 500).points) == 1


def run(*words: str) -> str:
    out = StringIO()
    call_command("series", *words, stdout=out)
    return out.getvalue()


def test_the_command_shows_it() -> None:
    stored((0, {"oil": 1}), (9, {"oil": 3}))
    roll_up()
    told = json.loads(run("fake", "1", "oil", "--from", "2026-03-01T12:00+00:00", "--to", "2026-03-02T12:00+00:00", "--json"))
    assert [(one["begins_at"], one["mean"], one["step_seconds"]) for one in told] == [
        ("2026-03-01T12:00:00+00:00", 1, 300),
        ("2026-03-01T12:05:00+00:00", 3, 300),
    ]
    with pytest.raises(CommandError, match="has no channel gas"):
        run("fake", "1", "gas")
    with pytest.raises(CommandError, match="there is no device fake 9"):
        run("fake", "9", "oil")
    with pytest.raises(CommandError, match="points: from 1 to 2016"):
        run("fake", "1", "oil", "--points", "0")
    assert Channel.objects.filter(name="oil").exists()
