"""Many commands at a time take few statements, whatever each of them is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from store.bulk import write
from store.commands import answers, leaving, ledger, turns, writing
from store.commands.answers import Heard
from store.commands.asking import Request, ask_in_run, begin_run
from store.models import Command
from tests.records import anybody, incoming, report
from tests.store.commands.made import ALL, ME, TERMS, answer, asked, causes, device, granted, now, seconds, sent, states

pytestmark = pytest.mark.usefixtures("database_url")


def statements(work: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def commands(count: int) -> list[Command]:
    """Each of another device, and due at another moment."""
    return [asked("ask", identity=f"{number}", at=now() - seconds(number)) for number in range(count)]


def done(*sent: Command, is_new: bool = True) -> list[int]:
    with transaction.atomic():
        return answers.settle([Heard(one.device_id, answer(one), now(), "answer", b"done", is_new) for one in sent], now())


def test_moves_of_many_take_as_many_statements_as_those_of_one() -> None:
    # SQLite is written to row by row.
    extra = 0 if connection.vendor == "postgresql" else 3
    one, four = commands(1), commands(4)
    assert statements(lambda: granted(*four)) - statements(lambda: granted(*one)) == extra
    assert statements(lambda: done(*four)) - statements(lambda: done(*one)) == extra
    assert states() == ["acknowledged"] * 5
    assert all(causes(command) == ["asked", "sent", "answered"] for command in one + four)


def test_copies_of_many_answers_take_as_many_statements_as_one_and_change_nothing() -> None:
    one, four = commands(1), commands(4)
    granted(*one, *four)
    done(*one, *four[:3])
    assert statements(lambda: done(*one, is_new=False)) == statements(lambda: done(*four[:3], is_new=False))
    assert done(*one, *four, is_new=False) == [four[3].id], "of which nothing had come"
    assert all(causes(command) == ["asked", "sent", "answered"] for command in one + four)


def test_asking_many_in_a_run_takes_as_many_statements_as_asking_one() -> None:
    ids = [device(f"{number}").id for number in range(5)]
    run = begin_run("lock", "all", 5.0, ME, now())

    def ask(devices: list[int]) -> int:
        return statements(lambda: ask_in_run(run, Request("fake", "", "lock", {}), devices, 0, TERMS, ME, ALL))

    assert ask(ids[:1]) == ask(ids[1:])
    assert Command.objects.count() == 5


def test_in_a_run_each_device_is_asked_in_its_own_edition() -> None:
    ids = [device(f"{number}").id for number in range(3)]
    for number, head in ((0, b"old"), (0, b"head"), (1, b"old")):
        sent = incoming(report(f"{number} {head!r}".encode(), now()), identity=f"{number}", head=head)
        write([sent], is_open=anybody)
    run = begin_run("lock", "all", 5.0, ME, now())
    made, refused = ask_in_run(run, Request("fake", "", "lock", {"new": 1}), ids, 0, TERMS, ME, ALL)
    assert [command.device_id for command in made] == ids[:1]
    assert [str(error).partition("edition ")[2] for _, error in refused] == ["'old'", "''"]


def test_what_is_told_of_many_is_noted_at_once_but_of_what_has_changed_since() -> None:
    one, four = commands(1), commands(4)
    assert statements(lambda: ledger.seen(turns.due(now(), 9, [one[0].id]), now())) == statements(
        lambda: ledger.seen(turns.due(now(), 9, [each.id for each in four]), now())
    )
    assert not turns.due(now(), 9), "all are told of"
    later = now() + ledger.AGAIN
    found = turns.due(later, 9)
    assert len(found) == 5
    assert granted(four[0]) == [True]
    leaving.unsent("gw", {four[0].id: ""}, "", later)
    ledger.seen(found, later)
    assert [command.id for command in turns.due(later, 9)] == [four[0].id]


def test_a_row_that_was_moved_already_is_not_written() -> None:
    queued, gone = asked(), sent()
    for row in (queued, gone):
        row.state, row.reason, row.tries, row.gateway = Command.State.FAILED, "so", 2, "gw-9"
    assert writing.write({"queued": [queued, gone]}) == {queued.id}
    assert states() == ["failed so", "sent"]
    queued.refresh_from_db()
    assert (queued.tries, queued.gateway, queued.sequence, queued.due_at) == (2, "gw-9", None, queued.not_before)
    assert writing.write({}) == set()
