"""The scheduler of ``celery -A tasks beat``: rows of the database, each due time asked for once however many beats there are.

beat a ── due: UPDATE ... WHERE last_run_at = what it saw ──▶ row: 1 changed ──▶ sends the task
beat b ── due: the same ────────────────────────────────────▶ row: 0 changed ──▶ reads it anew

There is no leader, and nothing to be handed over when a beat ends: whoever is there claims what is due. One that ends between
claim and task leaves out one time of one row; all tasks here find the next time what was left. A broker that does not take the
task gives the claim back.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from amqp.exceptions import AMQPError
from celery.beat import Scheduler
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F, Q
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from redis import RedisError

from tasks.celery import settings
from tasks.schedule import defaults
from tasks.schedule.entry import Entry, ScheduleError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5
"""How often is looked whether somebody has changed a row, and how soon is tried again what was away."""
READ_SECONDS = 300.0
"""So often all rows are read, in case somebody has changed one without saying so, as by psql."""

LOST_SECONDS = 0.5
"""Until the next look after another beat was quicker."""

_AWAY = (OperationalError, OSError, AMQPError, RedisError)


class Beat(Scheduler):
    """Asks for what is due, row by row."""

    max_interval = LOOK_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        self._entries: dict[str, Entry] = {}
        self._refused: dict[str, str] = {}
        """Rows that cannot be used, and why: each is told once."""
        self._changed_at: datetime | None = None
        self._read_at: float | None = None
        self._fault = ""
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        super().__init__(*args, **options)

    @property
    def schedule(self) -> dict[str, Entry]:  # type: ignore[override]
        """The rows that are enabled and can be used."""
        return self._entries

    def setup_schedule(self) -> None:
        """The rows are read with the first tick."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Ask for what is due; in how many seconds to do so again."""
        try:
            self._read()
            waits = [self._take(entry) for entry in list(self._entries.values())]
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            self._tell("the schedule cannot be read, the database does not answer", error)
            return LOOK_SECONDS
        except _AWAY as error:
            self._disconnect()
            self._tell("what is due is not asked for, the broker does not take it", error)
            return LOOK_SECONDS
        if self._fault:
            log.info("the schedule goes on")
            self._fault = ""
        return max(0.0, min(LOOK_SECONDS, *waits))

    def close(self) -> None:
        super().close()
        self._disconnect()

    def _read(self) -> None:
        """Have the rows as they are, if one was changed or it is long ago."""
        changed_at, now = PeriodicTasks.last_change(), time.monotonic()
        if self._read_at is not None and changed_at == self._changed_at and now < self._read_at + READ_SECONDS:
            return
        if made := defaults.install(ZoneInfo(settings.day_timezone)):
            log.info("rows of the schedule made", extra={"names": " ".join(made)})
        entries: dict[str, Entry] = {}
        refused: dict[str, str] = {}
        # One by one: a row that refers to nonsense must not keep the others from being read.
        for row in PeriodicTask._base_manager.filter(enabled=True).order_by("id"):
            try:
                entries[row.name] = Entry(row, app=self.app)
            except ScheduleError as error:
                refused[row.name] = str(error)
        for name, cause in refused.items():
            if self._refused.get(name) != cause:
                _tell_left_out(name, cause)
        # Of before the rows were read: what changed meanwhile is read the next time.
        self._entries, self._refused, self._changed_at, self._read_at = entries, refused, changed_at, now

    def _take(self, entry: Entry) -> float:
        """Ask for it if it is due and nobody else has; in how many seconds it is due again."""
        try:
            is_due, wait = entry.is_due()
        except (ValueError, TypeError, ArithmeticError) as error:
            # Times that no calendar has, written by hand.
            del self._entries[entry.name]
            _tell_left_out(entry.name, f"{type(error).__name__}: {error}")
            return LOOK_SECONDS
        if not is_due:
            return float(wait)
        now = datetime.now(UTC)
        rows = PeriodicTask._base_manager.filter(pk=entry.model.pk)
        seen = Q(last_run_at=entry.seen_run) if entry.seen_run else Q(last_run_at=None)
        is_claimed = rows.filter(seen, enabled=True).update(last_run_at=now, total_run_count=F("total_run_count") + 1)
        if is_claimed:
            try:
                self._send(entry, float(wait))
            except _AWAY:
                rows.filter(last_run_at=now).update(last_run_at=entry.seen_run, total_run_count=F("total_run_count") - 1)
                raise
        self._read_again(entry)
        return float(wait) if is_claimed else LOST_SECONDS

    def _read_again(self, entry: Entry) -> None:
        row = PeriodicTask._base_manager.filter(pk=entry.model.pk, enabled=True).first()
        del self._entries[entry.name]
        if row is not None:
            try:
                self._entries[row.name] = Entry(row, app=self.app)
            except ScheduleError:
                # Changed this moment: the next look tells.
                self._read_at = None

    def _send(self, entry: Entry, seconds: float) -> None:
        """Raises: what says that the broker is away."""
        try:
            self._connection = self._connection or self.app.connection_for_write()
            self._producer = self._producer or self.app.amqp.Producer(self._connection)
            options = entry.sent_options(seconds)
            self.app.send_task(entry.task, entry.args, entry.kwargs, producer=self._producer, retry=False, **options)
        except _AWAY:
            raise
        except Exception as error:
            # A queue that is not there, arguments that do not travel: that row's fault, and not the others'.
            cause = f"{type(error).__name__}: {error}"
            log.error("not asked for, its row does not make a task", extra={"entry": entry.name, "cause": cause})

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                log.debug("broker connection did not close cleanly", extra={"cause": str(error)})

    def _tell(self, fault: str, error: Exception) -> None:
        """Once, until it is over or another one."""
        if fault != self._fault:
            log.warning("%s", fault, extra={"cause": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})
        self._fault = fault


def _tell_left_out(name: str, cause: str) -> None:
    log.error("left out of the schedule until it is mended", extra={"entry": name, "cause": cause})
