"""Whether anything waits for devices that have come.

    session begins ──▶ half a second's devices together ──▶ Redis: who has files, who has commands?
                                                             └─ those of whom it does ──▶ downloads, commanding

A device for which nothing waits costs its share of one question a session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import structlog
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iotgw.marks import Device, Marked, Marks
from iotgw.seldom import Seldom
from iotgw.sessions import Session, Sessions
from iotgw.statistics import Statistics

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""How long a device that comes waits for others to share its question. It has more urgent things to say first."""
RETRY_SECONDS = 5.0
MOST_WONDERING = 500
"""Devices in one question."""

Tell = Callable[[Sequence[Device]], None]
"""Takes devices that are here and may have something waiting."""


class Wondering:
    """Asks once for each session, and tells those who bring files and commands down."""

    def __init__(self, sessions: Sessions, clock: IReactorTime, statistics: Statistics, files: Tell, commands: Tell) -> None:
        self._sessions = sessions
        self._clock = clock
        self._statistics = statistics
        self._tell_files = files
        self._tell_commands = commands
        self._marks: Marks | None = None
        self._wondering: dict[Device, None] = {}
        self._timer: IDelayedCall | None = None
        self._seldom = Seldom(clock.seconds)

    def ask_of(self, marks: Marks) -> None:
        """Have somebody who knows."""
        self._marks = marks

    def begun(self, session: Session) -> None:
        """A device has come: whether something waits for it is asked soon."""
        if self._marks is not None:
            self._wondering[session.protocol, session.identity] = None
            self._hasten(LOOK_SECONDS)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._marks = None

    def _hasten(self, seconds: float) -> None:
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        devices = take_some(self._wondering, MOST_WONDERING)
        if self._marks is None or not devices:
            return
        self._marks.look(devices).addCallback(self._looked, devices).addErrback(self._not_answered, devices)
        if self._wondering:
            self._hasten(0)

    def _looked(self, marked: Sequence[Marked], devices: Sequence[Device]) -> None:
        here = [(device, mark) for device, mark in zip(devices, marked, strict=True) if self._sessions.get(*device) is not None]
        self._tell_files([device for device, mark in here if mark.files])
        self._tell_commands([device for device, mark in here if mark.commands])

    def _not_answered(self, failure: Failure, devices: Sequence[Device]) -> None:
        """Ask again for those that are still here."""
        self._statistics.count("wondering.not_answered")
        cause = failure.type.__name__ if failure.type else ""
        error = failure.getErrorMessage()
        self._seldom.say(log.warning, "no answer whether anything waits for devices, will ask again", cause, error=error)
        if self._marks is not None:
            self._wondering.update(dict.fromkeys(device for device in devices if self._sessions.get(*device) is not None))
            self._hasten(RETRY_SECONDS)


def take_some(devices: dict[Device, None], most: int) -> list[Device]:
    """Take so many devices out, the first of them."""
    return [device for device in list(islice(devices, most)) if devices.pop(device, ()) is None]
