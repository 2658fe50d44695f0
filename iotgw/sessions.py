"""Which link each device is on: one session a device, the newest link wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotgw.link import Link

AGAIN_SECONDS = 60.0
"""A device that goes on sending on a link it has lost to another one may have left that one by now."""


@dataclass(slots=True, eq=False)
class Session:
    """An identified device on a link."""

    protocol: str
    identity: str
    link: Link
    since: float
    opened_at: float = 0.0
    """When its link was opened, by the monotonic clock."""
    epoch: int = 0
    """Of its route; 0 until Redis has answered its claim. A later session of the device, wherever it is, has a higher one."""
    opened_us: int = 0
    """When its link was opened by Redis' clock; 0 until it is known."""
    kicked_by: int = 0
    """The epoch of a kick that came while its claim was under way."""
    head: bytes = b""
    """Of the message with which it came in: what the platform says to the device is made for one like this."""
    begun_ms: int = 0
    """When it began, in milliseconds since 1970 UTC."""
    told_epoch: int = 0
    """Under which epoch the device was last told to be here: its own, or that of the session it took over on this gateway."""


class Sessions:
    """The sessions of one gateway.

    A device whose radio dropped comes back on a new link while the old one still looks alive; so a link that was
    opened later takes the session over, and one that was opened earlier never takes it back, however late its
    receipts arrive.
    """

    def __init__(self) -> None:
        self._by_device: dict[tuple[str, str], Session] = {}
        self._lost: dict[Link, dict[str, float]] = {}
        """Devices that lost their session on a link which stays open for others, and when they may try again."""

    def begin(self, session: Session) -> Session | None:
        """Let a device in on a link; what comes back is the session that lost, be it the old one or this one."""
        device = (session.protocol, session.identity)
        held = self._by_device.get(device)
        if held is not None:
            if held.link is session.link:
                return None
            if held.link.number > session.link.number:
                return session
            session.told_epoch = held.told_epoch
        self._by_device[device] = session
        return held

    def end(self, protocol: str, identity: str, link: Link) -> Session | None:
        """A device left this link; its session, unless that is on another one by now."""
        held = self._by_device.get((protocol, identity))
        if held is None or held.link is not link:
            return None
        return self._by_device.pop((protocol, identity))

    def keep_out(self, session: Session, now: float) -> int:
        """Have no session of a device on a link that it has lost, for a while; how many devices that link has lost."""
        lost = self._lost.setdefault(session.link, {})
        lost[session.identity] = now + AGAIN_SECONDS
        return len(lost)

    def is_kept_out(self, identity: str, link: Link, now: float) -> bool:
        lost = self._lost.get(link)
        return lost is not None and lost.get(identity, now) > now

    def forget(self, link: Link) -> None:
        """A link has closed."""
        self._lost.pop(link, None)

    def get(self, protocol: str, identity: str) -> Session | None:
        return self._by_device.get((protocol, identity))

    def __len__(self) -> int:
        return len(self._by_device)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_device.values())
