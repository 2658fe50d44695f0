"""Tasks that workers ask for now and then, without anybody else.

worker ── the task ─▶ broker ─▶ one worker          when a worker starts, comes back to the broker, and again and again

Each worker asks, or each that takes the task's queue: the task itself has to see that one more finds nothing to do.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from celery import bootsteps
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


class Turn(bootsteps.StartStopStep):
    """Asks for a task when a worker has its broker, and every so many seconds from then on."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    task: ClassVar[Any]
    seconds: ClassVar[float]
    matter: ClassVar[str]
    """What the log calls it."""
    queue: ClassVar[str] = ""
    """Of workers only that take this one; empty: of all."""
    _entry: Any = None

    def start(self, consumer: Any) -> None:
        """Begin, or begin again: what the timer had before the broker went away, it may have forgotten."""
        self.stop(consumer)
        if self.queue and self.queue not in consumer.app.amqp.queues.consume_from:
            return
        self._ask()
        self._entry = consumer.timer.call_repeatedly(self.seconds, self._ask)

    def stop(self, consumer: Any) -> None:
        if self._entry is not None:
            self._entry.cancel()

    def _ask(self) -> None:
        try:
            self.task.apply_async(expires=self.seconds, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("%s not asked for, the broker is away", self.matter, extra={"cause": str(error)})
