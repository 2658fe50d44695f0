"""How far somebody may read who goes on behind what was read: nothing comes below it any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connection, transaction
from django.db.models import Model

from store import duedays
from store.bulk import write
from store.horizon import settled_id
from store.models import Device, Report
from tests.records import anybody, incoming, report
from tests.store.test_duedays import mark_all
from tests.store.test_summaries import NEXT_DAY


def stored(identity: str) -> None:
    write([incoming(report(), identity=identity)], is_open=anybody)


@contextmanager
def half_written(identity: str) -> Iterator[threading.Event]:
    """A batch in a transaction that ends when the event is set."""
    written, end = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                stored(identity)
                written.set()
                end.wait()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert written.wait(60)
        yield end
    finally:
        end.set()
        thread.join()


def ids(model: type[Model]) -> list[int]:
    return sorted(model._default_manager.values_list("pk", flat=True))


@pytest.mark.usefixtures("database_url")
def test_an_idle_table_is_settled_up_to_its_newest_row() -> None:
    assert settled_id(Report, 0) == 0
    stored("1")
    stored("2")
    assert settled_id(Report, 0) == ids(Report)[-1]


@pytest.mark.usefixtures("database_url")
def test_what_oneself_is_writing_is_not_waited_for() -> None:
    with transaction.atomic():
        stored("1")
        assert settled_id(Report, 0) == ids(Report)[-1]


@pytest.mark.usefixtures("postgresql_url")
@pytest.mark.parametrize("model", [Report, Device])
def test_lower_ids_that_are_still_being_written_are_waited_for(model: type[Model]) -> None:
    with half_written("early") as end:
        stored("late")
        (late,) = ids(model)
        assert settled_id(model, 0) is None
        assert settled_id(model, 60, sleep=lambda seconds: end.set()) == late
    early, last = ids(model)
    assert early < late
    assert last == late


@pytest.mark.usefixtures("postgresql_url")
def test_who_begins_meanwhile_is_not_waited_for() -> None:
    stack = ExitStack()

    def one_ends_and_another_begins(seconds: float) -> None:
        if not end.is_set():
            stack.enter_context(half_written("later"))
            end.set()

    with half_written("early") as end, stack:
        stored("late")
        (late,) = ids(Report)
        assert settled_id(Report, 10, sleep=one_ends_and_another_begins) == late
    assert len(ids(Report)) == 3


@pytest.mark.usefixtures("postgresql_url")
def test_days_are_not_looked_for_where_more_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    mark_all(NEXT_DAY)
    monkeypatch.setattr(duedays, "PATIENCE_SECONDS", 0)
    with half_written("early"):
        stored("late")
        assert mark_all(NEXT_DAY) == set()
    assert mark_all(NEXT_DAY) == {("early", "2026-03-01"), ("late", "2026-03-01")}
