"""The commands that show days, trips and stops."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from store.models import DaySummary
from tests.store.test_summaries import FIRST, NEXT_DAY, ONE, drive, mark, settle, store, stored, sums

pytestmark = pytest.mark.usefixtures("database_url")


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def two_devices() -> None:
    first, second = stored([*drive(8), *drive(32, 30)], "1"), stored(drive(9), "2")
    for device_id, day in ((first, FIRST), (second, FIRST), (first, FIRST + ONE)):
        store(device_id, day, NEXT_DAY + ONE, sums(device_id, day, NEXT_DAY + ONE))
    mark([(second, FIRST + ONE)], NEXT_DAY)


def test_days_are_listed_the_newest_first_as_far_as_they_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert "iotgw summaries compute" in run("days")
    two_devices()

    def listed(*words: str) -> list[tuple[str, str]]:
        return [(row["day"], row["identity"]) for row in run_json("days", *words)]

    assert listed() == [("2026-03-02", "1"), ("2026-03-01", "1"), ("2026-03-01", "2")]
    assert listed("--device", "2") == [("2026-03-01", "2")]
    assert listed("--day", "2026-03-02") == listed("--from", "2026-03-02") == listed("--limit", "1") == [("2026-03-02", "1")]
    assert len(listed("--to", "2026-03-01")) == 2
    row = run_json("days", "--device", "2")[0]
    assert (row["report_count"], row["km"], row["driving_h"], row["begins_at"]) == (161, 60.0, "1.00", "2026-03-01T00:00:00+00:00")
    table = run("days", capsys=capsys)
    for word in ("2026-03-02", "60.0", "0.50", "161"):
        assert word in table


def test_channels_of_days_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    two_devices()
    (row,) = run_json("days", "--device", "2", "--channels")
    assert (row["channel"], row["readings"], row["minimum"], row["maximum"], row["last"]) == ("speed_kmh", 161, 0.0, 60.0, 0.0)
    assert "speed_kmh" in run("days", "--channels", capsys=capsys)


def test_trips_and_stops_are_listed_the_newest_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "iotgw summaries compute" in run("trips")
    two_devices()

    def began(*words: str) -> list[str]:
        return [row["begins_at"][:16] for row in run_json("trips", *words)]

    assert began() == ["2026-03-02T08:10", "2026-03-01T09:10", "2026-03-01T08:10"]
    assert began("--device", "1", "--day", "2026-03-01") == ["2026-03-01T08:10"]
    assert began("--from", "2026-03-02") == began("--limit", "1") == ["2026-03-02T08:10"]
    assert began("--device", "2", "--stops") == ["2026-03-01T10:10", "2026-03-01T09:00"]
    row = run_json("trips", "--device", "2")[0]
    assert (row["km"], row["max_kmh"], row["begin"]) == (60.0, 60.0, "30.00000, 100.00000")
    assert "60.0" in run("trips", capsys=capsys)
    assert "30.53" in run("trips", "--device", "2", "--stops", capsys=capsys)
    monkeypatch.setenv("IOTGW_DAY_TIMEZONE", "America/Los_Angeles")
    assert began("--day", "2026-03-02") == ["2026-03-02T08:10"]
    monkeypatch.setenv("IOTGW_DAY_TIMEZONE", "Asia/Shanghai")
    assert began("--day", "2026-03-01") == ["2026-03-01T09:10", "2026-03-01T08:10"]
    assert run_json("trips", "--from", "2000-01-01", "--to", "9998-12-31") == run_json("trips")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["days", "--device", "nobody"], "no device nobody"),
        (["trips", "--device", "nobody"], "no device nobody"),
        (["trips", "--stops"], "of which device"),
        (["days", "--day", "2026-13-01"], "day such as"),
        (["trips", "--from", "2026-03-02", "--to", "2026-03-01"], "is behind"),
    ],
)
def test_what_they_cannot_do_they_say(words: list[str], fault: str) -> None:
    with pytest.raises(CommandError, match=fault):
        run(*words)


def test_a_day_that_is_due_again_is_shown_as_it_was() -> None:
    two_devices()
    before = run_json("days", "--device", "2")
    mark([(DaySummary.objects.filter(device__identity="2").first().device_id, FIRST)], NEXT_DAY + 2 * ONE)
    assert run_json("days", "--device", "2") == before
    settle(NEXT_DAY + 3 * ONE)
    assert run_json("days", "--device", "2", "--day", "2026-03-01")[0]["as_of"] != before[-1]["as_of"]
