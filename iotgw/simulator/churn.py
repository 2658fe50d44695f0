"""Links that end for no reason of the gateway's: a tunnel, a dead spot, a reboot."""

from __future__ import annotations

import random
from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from iotgw.simulator.device import Device

TICK_SECONDS = 0.05
TRIES = 8
"""How often to look for a device that is online. Where nearly none is, fewer links are dropped than were asked for."""


class Churn:
    """Drops the links of devices taken at random, so many a second. The devices come back by themselves."""

    def __init__(self, devices: Sequence[Device], per_second: float, clock: IReactorTime) -> None:
        self.dropped = 0
        self._devices = devices
        self._per_second = per_second
        self._owed = 0.0
        self._loop = LoopingCall.withCount(self._drop_some)
        self._loop.clock = clock

    def start(self) -> None:
        if self._per_second:
            self._loop.start(TICK_SECONDS, now=False)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _drop_some(self, ticks: int) -> None:
        self._owed += ticks * TICK_SECONDS * self._per_second
        while self._owed >= 1:
            self._owed -= 1
            self._drop_one()

    def _drop_one(self) -> None:
        for _ in range(TRIES):
            device = random.choice(self._devices)
            if device.is_online:
                device.drop_link()
                self.dropped += 1
                return
