"""A worker with the second edition of a protocol: ``celery -A tests.tasks.compute.changing worker``."""

from __future__ import annotations

from datetime import timedelta

from tasks.celery import app, protocols

# isort: split
from tasks.compute import redecode
from tests.tasks.compute.editions import Changing

__all__ = ["app"]

protocols["fake"] = Changing()
redecode.MESSAGE_SECONDS = 0.2
redecode.SILENCE = timedelta(seconds=1)
