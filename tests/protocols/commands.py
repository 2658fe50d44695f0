"""Commands on their way down, as whoever runs a link sends them."""

from __future__ import annotations

from datetime import UTC, datetime

from protocols import Codec, Send

ASKED_AT = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)


def sent_down(codec: Codec, head: bytes, kind: int, body: bytes, number: int = 0, now: float = 0.0) -> bytes:
    """What leaves at once of a message of the platform's."""
    events = codec.launch(codec.prepare(head, kind, body, number, ASKED_AT), now)
    return b"".join(event.data for event in events if isinstance(event, Send))
