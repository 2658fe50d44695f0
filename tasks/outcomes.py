"""What has become of tasks that keep their outcome, by id, in Redis.

worker ── PROGRESS, then SUCCESS or FAILURE ──▶ celery-task-meta-<id>, for some days ◀── AsyncResult(id)

Only tasks with ``ignore_result=False`` do. It is for whoever asks; what must not be lost is in the database. So a Redis that is
away costs a line in the log, and no task.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from urllib.parse import urlsplit

from celery.backends.redis import RedisBackend
from redis import RedisError

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5
KEPT_SECONDS = 7 * 86_400
PAUSE_SECONDS = 10.0
"""So long nothing is told to a Redis that did not answer: to find that out may take as long again."""


class Outcomes(RedisBackend):
    _away_until = 0.0

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < self._away_until:
            return result
        try:
            return super().store_result(task_id, result, state, *args, **kwargs)
        except RedisError as error:
            self._away_until = time.monotonic() + PAUSE_SECONDS
            log.warning("an outcome is not kept, Redis is away", extra={"task": task_id, "cause": type(error).__name__})
            return result

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nobody waits for one where it is sent: no connection is made, and none grows with each task."""


def outcome_configuration(redis_url: str) -> dict[str, Any]:
    """What the workers' app has beside what every app of the house has."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        number = dict(pair.partition("=")[::2] for pair in parts.query.split("&")).get("db") or "0"
        redis_url = f"socket://{parts.path}?virtual_host={number}"
    return {
        "result_backend": f"{Outcomes.__module__}:{Outcomes.__qualname__}+{redis_url}",
        "result_serializer": "msgpack",
        "result_accept_content": ["msgpack"],
        "result_expires": KEPT_SECONDS,
        "redis_socket_timeout": ANSWER_SECONDS,
        "redis_socket_connect_timeout": ANSWER_SECONDS,
        "redis_backend_health_check_interval": 15,
        # Once: the next word comes soon.
        "result_backend_transport_options": {"retry_policy": {"max_retries": 0}},
    }
