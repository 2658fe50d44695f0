"""Steps of what workers do in the background: checked, and asked for.

step(row, n) ──▶ a worker: is it the row's next one? ──▶ work, commit ──▶ step(row, n + 1)
"""

from __future__ import annotations

import logging
from typing import Any

from celery.exceptions import Reject
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def check_step(id: Any, step: Any, request: str) -> None:
    """Raises: Reject of a payload that is none of ours."""
    if not (type(id) is int and type(step) is int and 0 < id < 1 << 63 and 0 <= step < 1 << 31):
        log.error("dropped a bad payload: no step of %s", request)
        raise Reject(f"no step of {request}", requeue=False)


def ask(task: Any, id: int, step: int, request: str, **options: Any) -> bool:
    """Have a worker take a step; whether the broker has it. If not, a sweep finds it."""
    try:
        task.apply_async((id, step), retry=False, **options)
    except (OperationalError, OSError) as error:
        log.warning("%s's step not asked for, a sweep will find it", request, extra={"cause": type(error).__name__})
        return False
    return True
