"""A worker that is killed once, while it lets a command leave: ``celery -A tests.tasks.killed worker``.

``IOTGW_TEST_KILL`` says whether before the commit or after it.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from tasks.celery import app, protocols

# isort: split
from store.commands import leaving
from store.commands.moves import Moves
from tasks.connection import redis
from tests.store.commands.made import PROTOCOLS

__all__ = ["app"]

_commit, _sending = Moves.commit, leaving.sending


def _kill(place: str) -> None:
    if os.environ["IOTGW_TEST_KILL"] == place and redis().set("tests:killed", 1, nx=True):
        os.kill(os.getpid(), signal.SIGKILL)


def commit(moves: Any) -> None:
    _commit(moves)
    _kill("before")


def sending(*args: Any) -> Any:
    told = _sending(*args)
    _kill("after")
    return told


protocols.update(PROTOCOLS)
Moves.commit = commit  # type: ignore[method-assign]
leaving.sending = sending
