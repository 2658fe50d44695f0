"""Putting receipts and replies into the gateways' mailboxes."""

from __future__ import annotations

from functools import cache

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tasks.celery import settings
from tasks.contract import MAILBOX_EXPIRY_SECONDS, MAILBOX_LENGTH, RECEIPT_FIELD, Receipt, mailbox, pack_receipt

TRIES = 4
LONGEST_PAUSE_SECONDS = 0.5
ANSWER_SECONDS = 5
"""Together they bound what a Redis that is away costs a task. Longer would not help: the gateway sends a batch
without a receipt again, and the worker that gets it, finding everything stored, has a receipt to send."""


@cache
def _redis() -> Redis:
    """This process's connection to the mailboxes, made after the fork and held; a dead one is noticed and made anew."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=LONGEST_PAUSE_SECONDS, base=0.05), TRIES - 1),
    )


def deliver(gateway: str, receipt: Receipt) -> None:
    """Put a receipt into a gateway's mailbox. After a lost answer it may be in there twice, which says nothing new.

    Raises: redis.RedisError when Redis stays away.
    """
    post(gateway, RECEIPT_FIELD, pack_receipt(receipt))


def post(gateway: str, field: bytes, data: bytes) -> None:
    """Raises: redis.RedisError when Redis stays away."""
    key = mailbox(gateway)
    pipeline = _redis().pipeline(transaction=False)
    pipeline.xadd(key, {field: data}, maxlen=MAILBOX_LENGTH, approximate=True)
    pipeline.expire(key, MAILBOX_EXPIRY_SECONDS)
    pipeline.execute()
