"""Whether new devices should be sent to this gateway."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from iotgw.draining import Draining
from iotgw.gateway import Gateway
from iotgw.mailbox import Mailbox
from iotgw.queues import EVERY_SECONDS, Queues

BROKER_SECONDS = 3 * EVERY_SECONDS
MAILBOX_SECONDS = 5.0
"""While all is well it is read twice a second."""


class Check(NamedTuple):
    """One condition; ``reason`` says what is wrong."""

    name: str
    is_ok: bool
    reason: str = ""


class Readiness:
    """What is known anyway, put together when somebody asks."""

    def __init__(
        self,
        gateway: Gateway,
        draining: Draining,
        mailbox: Mailbox,
        queues: Queues,
        is_listening: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway = gateway
        self._draining = draining
        self._mailbox = mailbox
        self._queues = queues
        self._is_listening = is_listening
        self._now = now

    def checks(self) -> list[Check]:
        return list(self._checks())

    def _checks(self) -> Iterator[Check]:
        if self._draining.state == "no":
            yield Check("draining", True)
            yield Check("listening", True) if self._is_listening() else Check("listening", False, "the ports are not open")
        else:
            yield Check("draining", False, f"draining ({self._draining.state}), {self._gateway.links} links are left")
            yield Check("listening", False, "closed by the drain; restart the gateway to open its ports")
        yield self._reached("broker", self._queues.asked_at, BROKER_SECONDS)
        yield self._reached("mailbox", self._mailbox.read_at, MAILBOX_SECONDS)
        spool = self._gateway.batches.snapshot()["spool"]
        is_ok = spool in ("ready", "off")
        yield Check("spool", is_ok, "" if is_ok else f"the spool is {spool}: what the workers do not take has no place")
        if self._gateway.batches.is_full:
            yield Check("reading", False, "too many batches without a receipt, devices are not read from")
        else:
            yield Check("reading", True)

    def _reached(self, name: str, at: float | None, patience: float) -> Check:
        if at is None:
            return Check(name, False, f"the {name} has not been reached yet")
        ago = self._now() - at
        return Check(name, True) if ago <= patience else Check(name, False, f"the {name} has not answered for {ago:.0f} s")
