"""What one link says and is told, as those see it who watch a device on it.

    codec ── frames and what came of them ──▶ link tap ── lines of the devices that are watched ──▶ show
    link ─── acks, each of a message ───────────▶

Many devices may share a link. A frame is shown to who watches the device that its message names. Bytes that name
nobody are shown only while the link is one device's alone. A device's own units, ``<device>/<unit>``, do not make it
another's: the line behind a DTU is the DTU's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from protocols import Event, Malformed, Message, Outcome, RawFrame, Send, Wanted
from protocols.rows import Direction
from tasks.contract import SHOWN_BYTES, TapLine

if TYPE_CHECKING:
    from iotgw.link import Link

log = structlog.get_logger(__name__)

MAX_SEEN = 300
"""Identities that are remembered of a link: more than units behind any DTU. A stranger may invent them."""
ACK = "ack"


class LinkTap:
    """A link that is watched. ``watched`` are the identities that somebody watches now, of the link's protocol."""

    def __init__(self, link: Link, watched: Mapping[str, object], show: Callable[[str, TapLine], None]) -> None:
        self._link = link
        self._watched = watched
        self._show = show
        self._seen = set(link.identities)
        """All who were on the link or claimed to be, since it is watched."""

    @property
    def is_wanted(self) -> bool:
        """Whether anybody who is watched was seen here."""
        return any(identity in self._watched for identity in self._seen)

    def see(self, identity: str) -> None:
        """A device is on the link, or claims to be."""
        if len(self._seen) < MAX_SEEN:
            self._seen.add(identity)

    def heard(self, events: Sequence[Event]) -> list[Event]:
        """What the codec has told, without the frames."""
        self._try(self._show_events, events)
        return [event for event in events if not isinstance(event, RawFrame)]

    def answered(self, settled: Sequence[tuple[Message, Outcome]], acks: Sequence[bytes]) -> None:
        """Messages get these acks, which may be empty."""
        self._try(self._show_acks, settled, acks)

    def _try(self, show: Callable[..., None], *told: object) -> None:
        """Nobody's link ends because somebody looks at it."""
        try:
            show(*told)
        except Exception:
            log.exception("tap failed", protocol=self._link.protocol.name)
            self._link.watch(None)

    def _show_events(self, events: Sequence[Event]) -> None:
        frame: bytes | None = None
        came_of_it: Message | Malformed | None = None
        for event in events:
            if isinstance(event, (RawFrame, Send)):
                self._show_frame(frame, came_of_it)
                frame, came_of_it = None, None
                if isinstance(event, RawFrame):
                    frame = event.raw
                else:
                    self._show_to(self._sole_devices(), Direction.DOWN, "", "", event.data)
            elif frame is None and isinstance(event, Malformed):
                # Of earlier frames, such as sub-packets that never became a message.
                self._show_frame(event.raw, event)
            elif came_of_it is None and not isinstance(event, Wanted):
                came_of_it = event
        self._show_frame(frame, came_of_it)

    def _show_frame(self, frame: bytes | None, came_of_it: Message | Malformed | None) -> None:
        if frame is None:
            return
        if isinstance(came_of_it, Message):
            self.see(came_of_it.identity)
            kind = self._link.protocol.kind_name(came_of_it.kind)
            self._show_to(self._devices_of(came_of_it.identity), Direction.UP, kind, "", frame)
        else:
            self._show_to(self._sole_devices(), Direction.UP, "", came_of_it.cause if came_of_it else "", frame)

    def _show_acks(self, settled: Sequence[tuple[Message, Outcome]], acks: Sequence[bytes]) -> None:
        for (message, outcome), ack in zip(settled, acks, strict=True):
            if ack:
                cause = "" if outcome is Outcome.STORED else outcome.name.lower()
                self._show_to(self._devices_of(message.identity), Direction.DOWN, ACK, cause, ack)

    def _show_to(self, devices: Sequence[str], direction: Direction, kind: str, cause: str, data: bytes) -> None:
        if devices:
            time_ms = time.time_ns() // 1_000_000
            line = TapLine(time_ms, direction.value, kind, cause, data[:SHOWN_BYTES], len(data))
            for device in devices:
                self._show(device, line)

    def _devices_of(self, identity: str) -> list[str]:
        """Who is watched and has sent what names this identity: a device, and the one that it is a unit of."""
        owner = identity.rpartition("/")[0]
        devices = [owner] if owner in self._watched and owner in self._seen else []
        return [*devices, identity] if identity in self._watched else devices

    def _sole_devices(self) -> list[str]:
        """Who is watched and has this link alone."""
        return [device for device in self._watched if device in self._seen and self._is_all_of(device)]

    def _is_all_of(self, device: str) -> bool:
        return all(other == device or other.startswith(f"{device}/") for other in self._seen)
