"""Something that is done in another transaction, beside the one of the test, and waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection


class Beside:
    """An action on a thread and a connection of its own."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._fault: Exception | None = None

    def start(self) -> None:
        """Begin, and come back when it waits for the transaction that is open here, or has ended."""
        self._thread.start()
        self._begun.wait()
        while self._thread.is_alive() and not _somebody_waits():
            pass

    def fault(self) -> Exception | None:
        """What it ended with, when it has ended."""
        self._thread.join()
        return self._fault

    def _run(self) -> None:
        self._begun.set()
        try:
            self._action()
        except Exception as fault:
            self._fault = fault
        finally:
            connection.close()


def out_of_order(action: Callable[[], Any]) -> Callable[[], Any]:
    """The same, reading PostgreSQL's tables as they lie on the disk and not by an index, as it may with many rows."""

    def act() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET enable_indexscan = off")
        return action()

    return act


def _somebody_waits() -> bool:
    """Whether another transaction waits for this one, as far as the database tells: on SQLite it waits to begin."""
    if connection.vendor == "sqlite":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])
