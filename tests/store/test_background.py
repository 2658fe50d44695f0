"""PostgreSQL at work while this process goes on: what it says, when it does not answer, and when it is gone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from store.bulk import write, writer
from store.bulk.background import Background
from store.models import Report
from tasks.database import database
from tests.records import anybody, incoming, report
from tests.store.beside import Beside

pytestmark = [pytest.mark.usefixtures("database_url"), pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]


@pytest.fixture
def own(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the test's database with a table of numbers that are below 10."""
    with psycopg.connect(database_url, autocommit=True) as own:
        own.execute("CREATE TEMPORARY TABLE few (number integer CHECK (number < 10))")
        yield own


def numbers(own: psycopg.Connection[Any]) -> list[int]:
    return [number for (number,) in own.execute("SELECT number FROM few ORDER BY number")]


COPY = b"COPY few FROM STDIN"


def test_a_copy_and_what_comes_after_it_are_one_query(own: psycopg.Connection[Any]) -> None:
    background = Background(own)
    background.copy(COPY + b"; UPDATE few SET number = number + 1; DELETE FROM few WHERE number = 3", b"1\n2\n3\n")
    background.wait()
    background.wait()
    assert numbers(own) == [2, 4]


def test_much_is_sent_though_nobody_listens_at_once(own: psycopg.Connection[Any], database_url: str) -> None:
    """More than sockets hold, while the server waits for a lock."""
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7)")
        own.execute("CREATE FUNCTION pg_temp.locked() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN PERFORM pg_advisory_lock_shared(7); RETURN NEW; END $$")  # fmt: skip
        own.execute("CREATE TRIGGER locked BEFORE INSERT ON few FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.locked()")
        background = Background(own)
        done = Beside(lambda: background.copy(COPY, b"1\n".zfill(1_000) * 20_000))
        done.start()
        other.rollback()
    assert done.fault() is None
    background.wait()
    assert own.execute("SELECT count(*) FROM few").fetchone() == (20_000,)


@pytest.mark.parametrize(
    ("query", "rows", "fault"),
    [
        (COPY, b"many\n", psycopg.DataError),
        (COPY, b"10\n", psycopg.IntegrityError),
        (COPY + b"; SELECT 1 / 0", b"1\n", psycopg.DataError),
        (b"COPY nowhere FROM STDIN", b"1\n", psycopg.errors.UndefinedTable),
    ],
)
def test_what_the_server_refuses_is_raised_as_psycopg_does(
    own: psycopg.Connection[Any], query: bytes, rows: bytes, fault: type[psycopg.Error]
) -> None:
    background = Background(own)

    def run() -> None:
        background.copy(query, rows)
        background.wait()

    with pytest.raises(fault):
        run()
    background.copy(COPY, b"1\n")
    background.wait()
    assert numbers(own) == [1]


def test_a_connection_that_ends_meanwhile_is_told_of(own: psycopg.Connection[Any]) -> None:
    background = Background(own)
    background.copy(COPY + b"; SELECT pg_sleep(600)", b"1\n")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [own.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        background.wait()


class _AlarmError(Exception):
    pass


def test_a_time_limit_is_heard_of_while_the_server_does_not_answer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for another that has inserted the same reports, and does not commit."""

    def ring(*_: object) -> None:
        raise _AlarmError

    batch = [incoming(report(), identity=f"{number}") for number in range(4)]
    write(batch, is_open=anybody)
    Report.objects.all().delete()
    monkeypatch.setattr(writer, "SMALLEST_PART", 1)
    before = signal.signal(signal.SIGALRM, ring)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE store_report IN EXCLUSIVE MODE")
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(_AlarmError), database():
                write(batch, is_open=anybody)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert write(batch, is_open=anybody) == {}
    assert Report.objects.count() == 4


def test_a_server_that_ends_it_is_a_fault_of_the_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(part: Any) -> Any:
        if parts:
            with psycopg.connect(database_url) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.connection.info.backend_pid])
        parts.append(part)
        return part

    parts: list[Any] = []
    monkeypatch.setattr(writer, "SMALLEST_PART", 1)
    batch = [incoming(report(), identity=f"{number}") for number in range(4)]
    with pytest.raises(DatabaseError), database():
        write(batch, decode, is_open=anybody)
    assert len(parts) == 2
    assert write(batch, is_open=anybody) == {}
    with transaction.atomic():
        assert Report.objects.count() == 4
