"""Tasks that workers ask for now and then: those that take their queue, and as long as the broker is there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous.timer import Timer
from kombu.exceptions import OperationalError

from tasks import files, media
from tasks.celery import app
from tasks.contract import INGEST_QUEUE, MEDIA_QUEUE
from tasks.turns import Turn

SWEEPS = [media.MediaTurn, files.FilesTurn]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, float]]:
    """The tasks that were asked for, and for how many seconds."""
    asked: list[tuple[Any, float]] = []
    for turn in SWEEPS:
        task = turn.task

        def ask(expires: float, retry: bool, task: Any = task) -> None:
            asked.append((task, expires))

        monkeypatch.setattr(task, "apply_async", ask)
    return asked


def consumer(*queues: str) -> Any:
    """A worker's, that takes some queues."""
    taken = SimpleNamespace(consume_from=dict.fromkeys(queues))
    return SimpleNamespace(timer=Timer(), app=SimpleNamespace(amqp=SimpleNamespace(queues=taken)))


@pytest.mark.parametrize("turn", SWEEPS)
def test_a_worker_that_takes_the_queue_asks_for_a_sweep_now_and_then(turn: type[Turn], asked: list[tuple[Any, float]]) -> None:
    taking = consumer(INGEST_QUEUE, MEDIA_QUEUE)
    turn(taking).start(taking)
    (scheduled,) = taking.timer.queue
    scheduled.entry()
    assert asked == [(turn.task, turn.seconds)] * 2
    assert turn in app.steps["consumer"]


@pytest.mark.parametrize("turn", SWEEPS)
def test_one_that_does_not_take_it_asks_for_none(turn: type[Turn], asked: list[tuple[Any, float]]) -> None:
    other = consumer(INGEST_QUEUE)
    turn(other).start(other)
    assert (asked, other.timer.queue) == ([], [])


@pytest.mark.parametrize("turn", SWEEPS)
@pytest.mark.parametrize("error", [OperationalError("refused"), OSError("refused")])
def test_a_broker_that_is_away_costs_a_line(
    turn: type[Turn], error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(**_: Any) -> None:
        raise error

    monkeypatch.setattr(turn.task, "apply_async", away)
    taking = consumer(MEDIA_QUEUE)
    turn(taking).start(taking)
    assert [record.message for record in caplog.records] == [f"{turn.matter} not asked for, the broker is away"]
    assert taking.timer.queue
