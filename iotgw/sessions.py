"""Which link each device is on: one session a device, the newest link wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotgw.link import Link


@dataclass(frozen=True, slots=True)
class Session:
    """An identified device on a link."""

    protocol: str
    identity: str
    link: Link
    since: float


class Sessions:
    """The sessions of one gateway.

    A device whose radio dropped comes back on a new link while the old one still looks alive; so a link that was
    opened later takes the session over, and one that was opened earlier never takes it back, however late its
    receipts arrive.
    """

    def __init__(self) -> None:
        self._by_device: dict[tuple[str, str], Session] = {}

    def begin(self, session: Session) -> Session | None:
        """Let a device in on a link; what comes back is the session that lost, be it the old one or this one."""
        device = (session.protocol, session.identity)
        held = self._by_device.get(device)
        if held is not None:
            if held.link is session.link:
                return None
            if held.link.number > session.link.number:
                return session
        self._by_device[device] = session
        return held

    def end(self, protocol: str, identity: str, link: Link) -> bool:
        """A device left this link. Nothing happens if its session is on another one by now."""
        held = self._by_device.get((protocol, identity))
        if held is None or held.link is not link:
            return False
        del self._by_device[protocol, identity]
        return True

    def get(self, protocol: str, identity: str) -> Session | None:
        return self._by_device.get((protocol, identity))

    def __len__(self) -> int:
        return len(self._by_device)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_device.values())
