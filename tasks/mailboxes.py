"""Putting receipts and replies into the gateways' mailboxes."""

from __future__ import annotations

from tasks.connection import redis
from tasks.contract import MAILBOX_EXPIRY_SECONDS, MAILBOX_LENGTH, RECEIPT_FIELD, Receipt, mailbox, pack_receipt


def deliver(gateway: str, receipt: Receipt) -> None:
    """Put a receipt into a gateway's mailbox. After a lost answer it may be in there twice, which says nothing new.

    Raises: redis.RedisError when Redis stays away.
    """
    post(gateway, RECEIPT_FIELD, pack_receipt(receipt))


def post(gateway: str, field: bytes, data: bytes) -> None:
    """Raises: redis.RedisError when Redis stays away."""
    key = mailbox(gateway)
    pipeline = redis().pipeline(transaction=False)
    pipeline.xadd(key, {field: data}, maxlen=MAILBOX_LENGTH, approximate=True)
    pipeline.expire(key, MAILBOX_EXPIRY_SECONDS)
    pipeline.execute()
