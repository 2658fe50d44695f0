"""A beat that asks for one sweep every second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from store.audit import Actor
from tasks.schedule import defaults
from tasks.schedule.changes import set_when
from tests.servers import Child

UTC_ZONE = ZoneInfo("UTC")


def start_beat(start_child: Callable[..., Child], sweep: str, urls: Mapping[str, str]) -> Child:
    """``sweep`` is its name in the schedule."""
    defaults.install(UTC_ZONE)
    set_when(sweep, 1, UTC_ZONE, Actor("somebody"))
    return start_child("-m", "celery", "-A", "tasks", "beat", name="beat", **urls)
