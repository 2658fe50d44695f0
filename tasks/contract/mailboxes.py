"""Gateways' mailboxes: Redis streams whose entries each have one field, which says what it is about."""

from __future__ import annotations

MAILBOX_LENGTH = 10_000
"""Entries a mailbox keeps: more than any gateway has batches without a receipt."""
MAILBOX_EXPIRY_SECONDS = 3600
"""A mailbox nobody writes to for so long belongs to a gateway that is gone."""
LATEST_MS = 253_370_764_800_000
"""Of times in payloads, the year 9999: what no column takes is later."""


class BadPayloadError(ValueError):
    """A payload or an entry of a mailbox that is none of ours."""


def mailbox(gateway: str) -> str:
    """The Redis stream through which a gateway is told things."""
    return f"iotgw:mailbox:{gateway}"
