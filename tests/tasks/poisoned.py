"""A worker with a protocol whose bodies may end it: ``celery -A tests.tasks.poisoned worker``."""

from __future__ import annotations

import os
import signal

from protocols.message import Message
from protocols.report import Decoded
from tasks.celery import app, protocols

# isort: split
from tasks import poison
from tests.tasks.fakes import HEAVY, KILL, LOOP, FakeProtocol

__all__ = ["app"]


class Poisonous(FakeProtocol):
    def decode(self, message: Message) -> Decoded:
        if message.body.startswith(KILL):
            os.kill(os.getpid(), signal.SIGKILL)
        while message.body.startswith(LOOP):
            pass
        if message.body.startswith(HEAVY):
            raise MemoryError
        return super().decode(message)


protocols["fake"] = Poisonous()
poison.BATCH_SECONDS = 0.5
poison.MESSAGE_SECONDS = 0.2
