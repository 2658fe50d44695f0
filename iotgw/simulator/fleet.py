"""Many simulated devices against one gateway, and the ledger of what was acked."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall, deferLater

from iotgw.simulator.churn import Churn
from iotgw.simulator.device import Device, DeviceLink, Kept
from protocols import DeviceProtocol
from protocols.report import digest

RECENT_LATENCIES = 20_000
"""Quantiles are of the last so many acks, so that a long run takes no more memory than a short one."""
REPORT_PROGRESS_SECONDS = 0.25
SETTLE_CHECK_SECONDS = 0.1


@dataclass(frozen=True)
class FleetPlan:
    """What to simulate."""

    protocol: DeviceProtocol
    host: str
    port: int
    devices: int
    interval_seconds: float
    duration_seconds: float
    settle_seconds: float
    """After the last report: how long to wait for acks that are still owed."""
    resend_seconds: float
    first_device: int = 0
    """Number of the first device, from which its protocol makes its identity."""
    photos_every_seconds: float | None = None
    """None for no photos. Only protocols whose terminals are a :class:`protocols.Camera` have them."""
    reconnects_per_second: float = 0.0
    """Links of the whole fleet that are dropped while it reports; their devices come back at once."""

    def identities(self) -> Iterator[str]:
        return (self.protocol.simulated_identity(self.first_device + number) for number in range(self.devices))


class _DeviceFactory(Factory):
    noisy = False

    def __init__(self, device: Device) -> None:
        self._device = device

    def buildProtocol(self, addr: IAddress | None) -> DeviceLink:
        return DeviceLink(self._device)


class Fleet:
    """Runs a plan."""

    def __init__(self, plan: FleetPlan, reactor: Any, ledger: IO[str] | None) -> None:
        self.plan = plan
        self.acked = 0
        self._reactor = reactor
        self._ledger = ledger
        self._starts: list[IDelayedCall] = []
        self._reporting: Deferred[None] | None = None
        self._latencies: deque[float] = deque(maxlen=RECENT_LATENCIES)
        self.devices = [
            Device(plan.protocol.terminal(identity), reactor, plan.resend_seconds, self._record_ack)
            for identity in plan.identities()
        ]
        self._churn = Churn(self.devices, plan.reconnects_per_second, reactor)

    @property
    def made(self) -> int:
        return self.acked + self.kept + self.unanswered

    @property
    def kept(self) -> int:
        return sum(device.kept for device in self.devices)

    @property
    def unanswered(self) -> int:
        return sum(device.unanswered for device in self.devices)

    @property
    def sent(self) -> int:
        return sum(device.sent for device in self.devices)

    @property
    def online(self) -> int:
        return sum(device.is_online for device in self.devices)

    @property
    def dropped(self) -> int:
        """Links that were dropped on purpose."""
        return self._churn.dropped

    def executed(self) -> Iterator[dict[str, Any]]:
        """What devices have carried out, and how often, as JSON values."""
        for device in self.devices:
            for done, times in device.executed.items():
                yield {
                    "protocol": self.plan.protocol.name,
                    "identity": device.identity,
                    "kind": self.plan.protocol.kind_name(done.kind),
                    "number": done.number,
                    "body": done.body.hex(),
                    "times": times,
                }

    def latency_seconds(self, quantile: float) -> float | None:
        """From a report's making to its ack, over the recent ones."""
        ordered = sorted(self._latencies)
        return ordered[min(int(len(ordered) * quantile), len(ordered) - 1)] if ordered else None

    @inlineCallbacks
    def run(self, progress: Callable[[float], None]) -> Any:
        """Connect all devices, let them report for the plan's duration, wait for the acks that are owed."""
        services = [self._connect(device) for device in self.devices]
        start = self._reactor.seconds()
        reporting = [
            self._repeat(self.plan.interval_seconds, device.make_report, self.plan.interval_seconds) for device in self.devices
        ]
        reporting += [self._repeat(device.heartbeat_seconds, device.beat) for device in self.devices]
        if self.plan.photos_every_seconds is not None:
            reporting += [self._repeat(self.plan.photos_every_seconds, device.take_photo) for device in self.devices]
        told = LoopingCall(lambda: progress(self._reactor.seconds() - start))
        told.clock = self._reactor
        told.start(REPORT_PROGRESS_SECONDS)
        self._churn.start()
        self._reporting = deferLater(self._reactor, self.plan.duration_seconds, lambda: None)
        try:
            with suppress(CancelledError):
                yield self._reporting
            self._stop_reporting(reporting)
            yield self._settle()
        finally:
            self._stop_reporting(reporting)
            told.stop()
            for service in services:
                yield service.stopService()
            progress(self._reactor.seconds() - start)

    def finish(self) -> None:
        """Report no more; the run goes on to wait for the acks that are owed."""
        if self._reporting is not None and not self._reporting.called:
            self._reporting.cancel()

    def _connect(self, device: Device) -> ClientService:
        endpoint = HostnameEndpoint(self._reactor, self.plan.host, self.plan.port)
        policy = backoffPolicy(initialDelay=0.2, maxDelay=5.0, factor=1.6, jitter=lambda: random.uniform(0, 0.3))
        service = ClientService(endpoint, _DeviceFactory(device), retryPolicy=policy, clock=self._reactor)
        service.startService()
        return service

    def _repeat(self, interval: float, action: Callable[..., None], *arguments: float) -> LoopingCall:
        loop = LoopingCall(action, *arguments)
        loop.clock = self._reactor
        # Spread over the interval: a fleet does not report in step.
        self._starts.append(self._reactor.callLater(random.uniform(0, interval), loop.start, interval))
        return loop

    def _stop_reporting(self, loops: list[LoopingCall]) -> None:
        self._churn.stop()
        for start in self._starts:
            if start.active():
                start.cancel()
        for loop in loops:
            if loop.running:
                loop.stop()

    @inlineCallbacks
    def _settle(self) -> Any:
        deadline = self._reactor.seconds() + self.plan.settle_seconds
        while self.kept and self._reactor.seconds() < deadline:
            yield deferLater(self._reactor, SETTLE_CHECK_SECONDS, lambda: None)
            for device in self.devices:
                device.resend_overdue()

    def _record_ack(self, device: Device, kept: Kept) -> None:
        self.acked += 1
        self._latencies.append(self._reactor.seconds() - kept.at)
        if self._ledger is not None:
            line = {
                "protocol": self.plan.protocol.name,
                "identity": kept.made.identity or device.identity,
                "kind": kept.made.kind,
                "digest": digest(kept.made.kind, kept.made.body).hex(),
            }
            self._ledger.write(json.dumps(line, separators=(",", ":")) + "\n")


@contextmanager
def open_ledger(path: Path | None) -> Iterator[IO[str] | None]:
    """The ledger as a file to write to: one JSON object per acked report."""
    if path is None:
        yield None
    else:
        with path.open("w", encoding="utf-8") as ledger:
            yield ledger
