"""Frames of terminals, made for tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from protocols.jt808 import JT808
from protocols.jt808.header import Header, frame
from protocols.jt808.terminal import JT808Terminal
from protocols.message import Event, Message, Send
from protocols.terminal import Acked, Moment, TerminalEvent

PHONE = "013800000001"
IDENTITY = "13800000001"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HERE = Moment(NOON, 31.2, 121.5, speed_kmh=36.0, course_deg=90.0)
# Ignition and fix, 31.2 N, 121.5 E, 12 m, 36.0 km/h, 90 degrees, 2026-03-01 20:00:00 GMT+8.
LOCATION_BODY = bytes.fromhex("0000000000000003 01dc1300 073df660 000c 0168 005a 260301200000")


def up(id: int, body: bytes = b"", sequence: int = 7, phone: str = PHONE, **header: int) -> bytes:
    return frame(Header(id, phone, sequence, **header), body)


def piece(id: int, total: int, number: int, sequence: int, body: bytes, phone: str = PHONE) -> bytes:
    return frame(Header(id, phone, sequence, is_part=True, total=total, number=number), body)


def receive(data: bytes) -> list[Event]:
    """What a new link makes of these bytes."""
    return list(JT808.codec().receive(data, 0.0))


def only(data: bytes) -> Message:
    (message,) = receive(data)
    assert isinstance(message, Message)
    return message


def told(events: Iterable[TerminalEvent]) -> tuple[bytes, list[int]]:
    """What a terminal sends at once, and the sequences of its reports that are acked."""
    events = list(events)
    sent = b"".join(event.data for event in events if isinstance(event, Send))
    return sent, [event.sequence for event in events if isinstance(event, Acked)]


def photo(terminal: JT808Terminal, **options: object) -> tuple[int, str, bytes]:
    """Sequence, kind and body of a photo taken here."""
    (made,) = terminal.photo(HERE, **options)  # type: ignore[arg-type]
    return made.sequence, made.kind, made.body


def location(terminal: JT808Terminal, moment: Moment = HERE) -> tuple[int, str, bytes]:
    """Sequence, kind and body of a report."""
    (made,) = terminal.report(moment)
    return made.sequence, made.kind, made.body
