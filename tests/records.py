"""Messages and reports as a decoder would give them, made for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from protocols.message import Message
from protocols.report import Decoded, DecodeError, Report
from store.bulk import Incoming

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def anybody(protocol: str) -> bool:
    """For a database into which every device may come."""
    return True


def nobody(protocol: str) -> bool:
    """For one into which only known devices may come."""
    return False


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def report(body: bytes = b"body", time: datetime | None = NOON, kind: str = "location", **fields: Any) -> Report:
    return Report(kind=kind, body=body, time=time, **fields)


def incoming(
    *reports: Report,
    identity: str = "013800138000",
    protocol: str = "fake",
    received_at: datetime = NOON,
    error: DecodeError | None = None,
    **fields: Any,
) -> Incoming:
    """A message that was decoded to these reports; ``fields`` replace those of the message."""
    body = reports[0].body if reports else b"undecodable"
    message = Message(**{"identity": identity, "kind": 0x0200, "sequence": 7, "head": b"head", "body": body, **fields})
    return Incoming(protocol, message, received_at, "location", Decoded(list(reports), error))
