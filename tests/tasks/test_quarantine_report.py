"""The daily report of quarantine, as a worker makes it and as an operator reads it."""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from protocols.report import DecodeError
from store import quarantinereports
from store.bulk import write
from store.models import Quarantine, QuarantineReport
from tasks import quarantine
from tests.records import anybody, incoming

pytestmark = pytest.mark.usefixtures("database_url")


def failed(*bodies: str, cause: str = "truncated", identity: str = "1") -> None:
    for body in bodies:
        write([incoming(identity=identity, body=body.encode(), error=DecodeError(cause, "items[1]", ""))], is_open=anybody)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.message) for record in caplog.records if record.name == "tasks.quarantine"]


def run(*words: str) -> Any:
    out = StringIO()
    call_command("quarantine", *words, stdout=out)
    return out.getvalue()


def make(day: int) -> QuarantineReport | None:
    settled = Quarantine.objects.order_by("-id").values_list("id", flat=True).first() or 0
    return quarantinereports.make(date(2026, 3, day), settled, datetime(2026, 3, day, 6, tzinfo=UTC))


def test_each_day_says_what_came_since_the_one_before() -> None:
    failed("a", "b")
    failed("c", identity="2")
    failed("d", cause="checksum")
    first = make(1)
    assert first is not None
    assert (first.messages, first.devices) == (4, 2)
    assert [(group["messages"], group["devices"], group["is_new"]) for group in first.groups] == [(3, 2, True), (1, 1, True)]
    failed("e")
    failed("f", cause="length")
    assert make(1) is None, "of a day there is one"
    second = make(2)
    assert second is not None
    assert {group["name"].rpartition(" ")[2]: (group["messages"], group["is_new"]) for group in second.groups} == {
        "truncated": (1, False), "length": (1, True),
    }  # fmt: skip
    third = make(3)
    assert third is not None
    assert (third.messages, third.groups) == (0, [])


def test_what_was_not_settled_then_is_in_the_next_one() -> None:
    failed("a")
    settled = Quarantine.objects.get().id
    failed("b")
    first = quarantinereports.make(date(2026, 3, 1), settled, datetime(2026, 3, 1, tzinfo=UTC))
    second = make(2)
    assert first is not None
    assert second is not None
    assert (first.messages, second.messages) == (1, 1)


def test_a_year_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantinereports, "REPORTS_KEPT", 3)
    for day in range(1, 8):
        make(day)
    assert [report.day.day for report in quarantinereports.newest(10)] == [7, 6, 5]


def test_new_groups_are_a_warning_and_more_of_old_ones_is_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = iter(date(2026, 3, day) for day in (1, 1, 2, 3))
    monkeypatch.setattr(quarantine, "day_of", lambda now, zone: next(days))
    failed("a")
    with caplog.at_level(logging.INFO):
        quarantine.report()
        quarantine.report()
        failed("b")
        quarantine.report()
        quarantine.report()
    assert told(caplog) == [(logging.WARNING, "quarantine has new groups"), (logging.INFO, "more came into quarantine")]
    assert QuarantineReport.objects.count() == 3


def test_the_command_shows_them() -> None:
    assert run("report") == "There is no report yet: beat has one made every day, see schedule.\n"
    failed("a", "b")
    make(1)
    (shown,) = json.loads(run("report", "--json"))
    assert (shown["day"], shown["messages"], shown["new"], shown["groups"][0]["messages"]) == ("2026-03-01", 2, 1, 2)


def test_a_database_that_does_not_answer_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE store_quarantinereport")
    quarantine.report()
    assert told(caplog) == [(logging.ERROR, "quarantine not reported, the database does not answer")]
