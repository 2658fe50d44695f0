"""Up to which id each table can be read, looked at by one thread for all lanes.

database ◀── settled up to? ── News ── grown ──▶ lanes that wait
"""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Model

from store.horizon import settled_id

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How long news may wait to be looked for, with nothing else to say when they come."""
PATIENCE_SECONDS = 5.0
"""Longer than a batch takes, also on a machine that is busy: else nothing would be settled for as long as it is. So long may a
table that somebody holds keep the others waiting.
"""
HELD_SECONDS = 60.0
"""A transaction that keeps readers back for so long is told of."""


class News:
    """What lanes may read. Tables are looked at from when a lane first asks for them."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._settled: dict[type[Model], int] = {}
        self._held_since: dict[type[Model], float] = {}
        self._version = 0
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wake everybody who waits, and look no more."""
        with self._change:
            self._is_stopping = True
            self._change.notify_all()

    def settled(self, model: type[Model]) -> int:
        """The highest id up to which a table is all there; 0 before the first look."""
        with self._change:
            return self._settled.setdefault(model, 0)

    def version(self) -> int:
        """Of what is known; for :meth:`wait`."""
        with self._change:
            return self._version

    def wait(self, version: int, seconds: float) -> None:
        """Until more is known than by this version, at the most so long."""
        with self._change:
            self._change.wait_for(lambda: self._is_stopping or self._version != version, seconds)

    def wake(self) -> None:
        """Have everybody look up."""
        with self._change:
            self._version += 1
            self._change.notify_all()

    def look(self) -> None:
        """Once, at each table that somebody asks for."""
        with self._change:
            known = dict(self._settled)
        for model, before in known.items():
            settled = settled_id(model, PATIENCE_SECONDS)
            self._tell_if_held(model, settled is None)
            if settled is not None and settled > before:
                with self._change:
                    self._settled[model] = settled
                self.wake()

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self.look()
            except (DatabaseError, InterfaceError):
                # Lanes and the forwarder meet the same, and say so.
                connection.close()
            with self._change:
                self._change.wait_for(lambda: self._is_stopping, LOOK_SECONDS)
        connection.close()

    def _tell_if_held(self, model: type[Model], is_held: bool) -> None:
        if not is_held:
            self._held_since.pop(model, None)
            return
        since = self._held_since.setdefault(model, time.monotonic())
        if time.monotonic() - since >= HELD_SECONDS:
            self._held_since[model] = time.monotonic()
            log.warning("nothing newer is forwarded, a transaction is open", extra={"table": model._meta.db_table})
