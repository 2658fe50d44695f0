"""What the workers are asked of commands, and what of their answers is taken."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from iotgw.commandbook import ANSWER_SECONDS, LONGEST_TASK_SECONDS, WorkersBook
from tasks.commands import TIME_LIMIT_SECONDS
from tasks.contract import (
    NEXT_COMMANDS_TASK,
    SENDING_TASK,
    UNSENT_TASK,
    Asking,
    BadPayloadError,
    Leaving,
    Ready,
    Unsent,
    read_asking,
    read_leaving,
    read_unsent,
)

ASKING = [Asking("native", "a", b"\x01"), Asking("native", "b", b"")]
LEAVING = [Leaving(7, 1, b"x"), Leaving(8, None, b"y")]
UNSENT = [Unsent(7, ""), Unsent(8, "why")]


class Asked(WorkersBook):
    """A book that answers itself what workers would."""

    def __init__(self, answer: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._answer = answer
        super().__init__("gw", self._call)

    def _call(self, *arguments: Any, timeout_seconds: float) -> Deferred[Any]:
        self.calls.append(arguments)
        assert timeout_seconds == ANSWER_SECONDS
        return succeed(self._answer)


def got(asked: Deferred[Any]) -> Any:
    results: list[Any] = []
    asked.addBoth(results.append)
    return results[0]


def test_workers_are_told_who_asks_and_rows_that_they_take() -> None:
    # As msgpack brings it.
    book = Asked([[[7, 5, b"body"], [8, 5, b""]], []])
    assert got(book.next_commands(ASKING)) == [[Ready(7, 5, b"body"), Ready(8, 5, b"")], []]
    book = Asked([True, False])
    assert got(book.sending(LEAVING)) == [True, False]
    unsent = Asked(None)
    assert got(unsent.unsent(UNSENT)) is None
    (leaving,), (back,) = book.calls, unsent.calls
    assert (leaving[:2], back[:2]) == ((SENDING_TASK, "gw"), (UNSENT_TASK, "gw"))
    assert (read_leaving(leaving[2]), read_unsent(back[2])) == (LEAVING, UNSENT)


def test_a_device_is_asked_for_with_the_head_of_its_messages() -> None:
    book = Asked([[], []])
    book.next_commands(ASKING)
    assert book.calls[0][:2] == (NEXT_COMMANDS_TASK, "gw")
    assert read_asking(book.calls[0][2]) == ASKING


@pytest.mark.parametrize("answer", [None, [], [[]], "no", [[], [[7, 5]]], [[], [["7", 5, b""]]], [[], 5]])
def test_an_answer_about_turns_that_is_none_is_a_failure(answer: Any) -> None:
    assert got(Asked(answer).next_commands(ASKING)).check(BadPayloadError)


def test_a_worker_s_task_about_commands_ends_when_a_gateway_counts_on_it() -> None:
    assert TIME_LIMIT_SECONDS <= LONGEST_TASK_SECONDS


@pytest.mark.parametrize("answer", [None, [], [True], [True, 1], [True, False, True], "no"])
def test_what_is_no_grant_grants_nothing(answer: Any) -> None:
    assert got(Asked(answer).sending(LEAVING)).check(BadPayloadError)
