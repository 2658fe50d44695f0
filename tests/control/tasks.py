"""Tasks that only the tests' workers have: ``celery -A tests.control.tasks worker``."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from tasks.celery import app

__all__ = ["app"]


@app.task(name="tests.wait")
def wait(seconds: float) -> str:
    time.sleep(seconds)
    return f"waited {seconds:g} s"


@app.task(name="tests.echo")
def echo(*args: Any, **kwargs: Any) -> Any:
    return [args, kwargs]


@app.task(name="tests.fail")
def fail(text: str) -> None:
    raise ValueError(text)


@app.task(name="tests.large")
def large(size: int) -> bytes:
    return bytes(size)


@app.task(name="tests.odd")
def odd() -> Any:
    return object()


@app.task(name="tests.die")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
