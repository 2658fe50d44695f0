"""The devices of this gateway that somebody watches.

    mailbox ── tap, again every 20 s ──▶ taps ── watch ──▶ link of its session, and new links while it has none
                                          ◀── lines ─────── link tap
                                          └── at most 50 a second ──▶ publisher, with how many were left out

A tap ends 30 s after it was last asked for, or when what it publishes reaches nobody. While there is none, no link has
a tap and no codec is watched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iotgw.linktap import LinkTap
from iotgw.sessions import Sessions
from iotgw.statistics import Statistics
from tasks.contract import FRAMES_A_SECOND, TAP_SECONDS, Tap, TapLine

if TYPE_CHECKING:
    from iotgw.link import Link

log = structlog.get_logger(__name__)

MAX_TAPS = 64
"""As many people seldom look at single devices at once. Each costs up to 50 lines a second."""
TELL_SECONDS = 1.0
"""How soon it is told that lines were left out, when no other line tells it."""


class LinePublisher(Protocol):
    """Where lines go."""

    on_lost: Callable[[Tap, int, int], None]
    on_unheard: Callable[[Tap, int], None]

    def publish(self, entry: TapEntry) -> bool: ...


class TapEntry(NamedTuple):
    """What is to be published of a device."""

    tap: Tap
    asked: int
    """How often the tap was asked for until now."""
    line: TapLine | None
    not_shown: int
    """Lines that were left out before this one."""


@dataclass(slots=True, eq=False)
class DeviceTap:
    """A device that is watched."""

    tap: Tap
    end: IDelayedCall
    asked: int = 1
    """How often it was asked for: what reached nobody before the last time ends nothing."""
    second: int = 0
    lines: int = 0
    """Shown in that second."""
    not_shown: int = 0
    """Left out and not told yet."""
    telling: IDelayedCall | None = None


class Taps:
    """Which devices are watched, and on which links."""

    def __init__(self, sessions: Sessions, clock: IReactorTime, statistics: Statistics) -> None:
        self._sessions = sessions
        self._clock = clock
        self._statistics = statistics
        self._publisher: LinePublisher | None = None
        self._devices: dict[str, dict[str, DeviceTap]] = {}
        """By protocol and identity. Link taps hold the inner ones."""
        self._links: set[Link] = set()

    def __len__(self) -> int:
        return sum(map(len, self._devices.values()))

    def publish_with(self, publisher: LinePublisher) -> None:
        self._publisher = publisher
        publisher.on_lost, publisher.on_unheard = self._lost, self._unheard

    def stop(self) -> None:
        for devices in list(self._devices.values()):
            for device in list(devices.values()):
                self._end(device)

    def renew(self, tap: Tap) -> None:
        """Somebody watches a device from now on, or still does."""
        device = self._find(tap)
        if device is not None:
            device.asked += 1
            device.end.reset(TAP_SECONDS)
            return
        if len(self) >= MAX_TAPS:
            self._statistics.count("taps.refused")
            return
        device = DeviceTap(tap, self._clock.callLater(TAP_SECONDS, self._expire, tap))
        self._devices.setdefault(tap.protocol, {})[tap.identity] = device
        self._statistics.count("taps.begun")
        session = self._sessions.get(tap.protocol, tap.identity)
        if session is not None:
            self._watch(session.link)

    def opened(self, link: Link) -> None:
        """A new link may be that of a device that is waited for."""
        if self._is_awaited(link.protocol.name):
            self._watch(link)

    def attach(self, link: Link, identity: str) -> None:
        """A device is on a link, or claims to be."""
        if link.tap is None and identity in self._devices.get(link.protocol.name, ()):
            self._watch(link)
        if link.tap is not None:
            link.tap.see(identity)
            self._leave_unless_wanted(link)

    def closed(self, link: Link) -> None:
        self._links.discard(link)

    def _watch(self, link: Link) -> None:
        if link.tap is None:
            protocol = link.protocol.name
            link.watch(LinkTap(link, self._devices[protocol], lambda identity, line: self._show(protocol, identity, line)))
            self._links.add(link)

    def _leave_unless_wanted(self, link: Link) -> None:
        if link.tap is None or link.tap.is_wanted or (not link.identities and self._is_awaited(link.protocol.name)):
            return
        link.watch(None)
        self._links.discard(link)

    def _is_awaited(self, protocol: str) -> bool:
        """Whether a device of this protocol is watched that has no session here."""
        return any(self._sessions.get(protocol, identity) is None for identity in self._devices.get(protocol, ()))

    def _expire(self, tap: Tap) -> None:
        device = self._find(tap)
        if device is not None:
            self._end(device)

    def _end(self, device: DeviceTap) -> None:
        for call in (device.end, device.telling):
            if call is not None and call.active():
                call.cancel()
        del self._devices[device.tap.protocol][device.tap.identity]
        for link in [link for link in self._links if link.protocol.name == device.tap.protocol]:
            self._leave_unless_wanted(link)

    def _find(self, tap: Tap) -> DeviceTap | None:
        return self._devices.get(tap.protocol, {}).get(tap.identity)

    def _show(self, protocol: str, identity: str, line: TapLine) -> None:
        device = self._devices[protocol].get(identity)
        if device is None:
            return
        second = int(self._clock.seconds())
        if second != device.second:
            device.second, device.lines = second, 0
        device.lines += 1
        if device.lines > FRAMES_A_SECOND or not self._publish(device, line):
            self._leave_out(device, 1)
        else:
            self._statistics.count("taps.lines")

    def _publish(self, device: DeviceTap, line: TapLine | None) -> bool:
        assert self._publisher is not None
        if not self._publisher.publish(TapEntry(device.tap, device.asked, line, device.not_shown)):
            return False
        device.not_shown = 0
        return True

    def _leave_out(self, device: DeviceTap, lines: int) -> None:
        self._statistics.count("taps.not_shown", lines)
        device.not_shown += lines
        if device.telling is None or not device.telling.active():
            device.telling = self._clock.callLater(TELL_SECONDS, self._tell, device)

    def _tell(self, device: DeviceTap) -> None:
        device.telling = None
        if device.not_shown and not self._publish(device, None):
            device.telling = self._clock.callLater(TELL_SECONDS, self._tell, device)

    def _lost(self, tap: Tap, lines: int, not_shown: int) -> None:
        """What was to be published could not be: so many lines, and a count of others."""
        device = self._find(tap)
        if device is not None:
            device.not_shown += not_shown
            self._leave_out(device, lines)

    def _unheard(self, tap: Tap, asked: int) -> None:
        """What was published reached nobody."""
        device = self._find(tap)
        if device is not None and device.asked == asked:
            self._end(device)
