"""A worker's connection to Redis."""

from __future__ import annotations

from functools import cache

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tasks.celery import settings

TRIES = 4
LONGEST_PAUSE_SECONDS = 0.5
ANSWER_SECONDS = 5
"""Together they bound what a Redis that is away costs a task. Longer would not help: the gateway sends a batch
without a receipt again, and the worker that gets it, finding everything stored, has a receipt to send."""


@cache
def redis() -> Redis:
    """This process's connection, made after the fork and held; a dead one is noticed and made anew."""
    return Redis.from_url(
        settings.redis_url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=LONGEST_PAUSE_SECONDS, base=0.05), TRIES - 1),
    )
