"""A part killed at each step that counts in a command's life: it is done once, or nobody says that it was.

A trigger has the database wait at the step, with all that is to be done in that transaction done but its commit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from protocols.jt808 import JT808
from protocols.jt808.information import TEXT_MESSAGE
from protocols.jt808.positions import TRACK_LOCATION
from protocols.jt808.terminal import JT808Terminal
from protocols.jt808.terminal_management import QUERY_PARAMETERS
from store import queries
from store.audit import Actor
from store.commands import asking
from store.commands.asking import EFFECTS, Request, Terms
from store.models import Command
from tests.boards import Board
from tests.processes import children, wait_until
from tests.servers import Child
from tests.stacks import RunningStack

IDENTITY = "13800138007"
LOCK = 808
TEXT = ("text_message", {"flags": [], "text": "stop"})
TRACK = ("track_location", {"interval_s": 5, "validity_s": 60})
AFTER = ("query_parameters", {})
"""What is asked for behind another, to see that it comes when that has its end."""
TRIGGER = f"""
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END $$;
CREATE TRIGGER hold BEFORE UPDATE OF state ON store_command FOR EACH ROW WHEN (NEW.state = '%s') EXECUTE FUNCTION hold();
"""


class Held:
    """A database that waits, once, before a command gets into a state."""

    def __init__(self, database: psycopg.Connection[Any], state: str) -> None:
        self._database = database
        database.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        database.execute((TRIGGER % state).encode())

    def is_reached(self) -> bool:
        return self._locks("NOT granted") > 0

    def let_go(self) -> None:
        """Let it happen, unless who does it is dead; return when it has, or has not."""
        self._database.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        wait_until(lambda: not self._locks("true"), "the database has gone on")

    def _locks(self, which: str) -> int:
        row = self._database.execute(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {which}".encode()).fetchone()
        assert row is not None
        return int(row[0])


class Down:
    """A stack on PostgreSQL and a terminal that it knows."""

    def __init__(self, start_child: Callable[..., Child], folder: Path, database_url: str) -> None:
        settings = {"IOTGW_RECEIPT_TIMEOUT_SECONDS": "2", "IOTGW_DATABASE_URL": database_url}
        self.stack = RunningStack(start_child, folder / "var", **settings)
        terminal = JT808.terminal(IDENTITY)
        assert isinstance(terminal, JT808Terminal)
        self.terminal = terminal
        self.board = Board(terminal, self.stack.ports["jt808"])
        queries.create_devices([("jt808", IDENTITY)])

    def ask(self, wanted: tuple[str, dict[str, Any]]) -> int:
        """Gateways are told by the sweep."""
        request = Request("jt808", IDENTITY, *wanted)
        return asking.ask(request, Terms({"jt808": JT808}, 30), Actor("test", ""), frozenset(EFFECTS), datetime.now(UTC)).id

    def is_in(self, command: int, state: str) -> bool:
        return Command.objects.filter(id=command, state=state).exists()

    def told(self, command: int) -> tuple[str, str, int, list[str]]:
        """Its state, its reason, its tries, and why it was moved."""
        row = Command.objects.get(id=command)
        causes = list(row.steps.order_by("id").values_list("cause", flat=True))
        return row.state, row.reason, row.tries, causes

    def times(self, kind: int) -> int:
        return len(self.terminal.executed.of(kind))

    def kill(self, part: str) -> None:
        if part == "worker child":
            (child,) = children(self.stack.pid("worker"))
            os.kill(child, signal.SIGKILL)
            return
        before = self.stack.pid(part)
        self.stack.kill(part)
        self.stack.child.wait_until(lambda: self.stack.pid(part) != before, f"{part} comes back")

    def is_followed(self) -> None:
        """See that the next command is done once, by parts that all live."""
        after = self.ask(AFTER)
        self.board.talk_until(lambda: self.is_in(after, "acknowledged"), "the next one is done")
        assert self.times(QUERY_PARAMETERS) == 1


@pytest.fixture
def down(start_child: Callable[..., Child], tmp_path: Path, postgresql_url: str) -> Iterator[Down]:
    down = Down(start_child, tmp_path, postgresql_url)
    yield down
    assert down.stack.child.stop() == 0


@pytest.fixture
def database(postgresql_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


def test_before_sending_is_committed_a_worker_is_killed(down: Down, database: psycopg.Connection[Any]) -> None:
    held = Held(database, "sent")
    command = down.ask(TEXT)
    down.board.talk_until(held.is_reached, "a worker is about to have it sent")
    down.kill("worker")
    held.let_go()
    assert down.told(command) == ("queued", "", 0, ["asked"])
    # Its gateway would ask again when it has waited for the dead one's answer; a new one does at once.
    down.kill("gateway")
    down.board.talk_until(lambda: down.is_in(command, "acknowledged"), "it is done after all")
    assert down.told(command) == ("acknowledged", "", 1, ["asked", "sent", "answered"])
    assert down.times(TEXT_MESSAGE) == 1


@pytest.mark.parametrize(
    ("wanted", "kind", "told", "times"),
    [
        (TEXT, TEXT_MESSAGE, ("failed", "no_answer", 1, ["asked", "sent", "no answer"]), 0),
        (TRACK, TRACK_LOCATION, ("acknowledged", "", 2, ["asked", "sent", "no answer", "sent", "answered"]), 1),
    ],
)
def test_after_the_grant_a_gateway_is_killed(
    down: Down,
    database: psycopg.Connection[Any],
    wanted: tuple[str, dict[str, Any]],
    kind: int,
    told: tuple[str, str, int, list[str]],
    times: int,
) -> None:
    held = Held(database, "sent")
    command = down.ask(wanted)
    down.board.talk_until(held.is_reached, "a worker is about to have it sent")
    os.kill(down.stack.pid("gateway"), signal.SIGSTOP)
    held.let_go()
    assert down.is_in(command, "sent")
    down.kill("gateway")
    # It would wait for a minute.
    past = datetime.now(UTC) - timedelta(seconds=1)
    Command.objects.filter(id=command).update(answer_by=past, due_at=past)
    down.board.talk_until(lambda: down.is_in(command, told[0]), "it has an end")
    down.is_followed()
    assert down.told(command) == told
    assert down.times(kind) == times


@pytest.mark.parametrize("part", ["worker", "worker child", "gateway", "redis"])
def test_before_the_answer_is_stored_a_part_is_killed(down: Down, database: psycopg.Connection[Any], part: str) -> None:
    command = down.ask(TEXT)
    held = Held(database, "acknowledged")
    down.board.talk_until(held.is_reached, "a worker is about to store the answer")
    assert down.times(TEXT_MESSAGE) == 1
    down.kill(part)
    held.let_go()
    down.board.talk_until(lambda: not down.is_in(command, "sent"), "it has an end")
    down.is_followed()
    assert down.told(command) == ("acknowledged", "", 1, ["asked", "sent", "answered"])
    assert down.times(TEXT_MESSAGE) == 1
