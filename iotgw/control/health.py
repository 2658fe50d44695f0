"""Is it alive, is it ready, how is it."""

from __future__ import annotations

from pydantic import Field

from iotgw.control.metrics import CONTENT_TYPE, text
from iotgw.control.route import Asked, Route, Told


class Health(Told):
    status: str = Field(description="Always ok: whoever gets an answer knows that the event loop turns.")


class CheckTold(Told):
    name: str
    is_ok: bool
    reason: str = Field(description="What is wrong; empty when nothing is.")


class ReadinessTold(Told):
    is_ready: bool
    checks: list[CheckTold]


def healthz(_: Asked) -> Health:
    return Health(status="ok")


def readyz(asked: Asked) -> ReadinessTold:
    checks = [CheckTold(**check._asdict()) for check in asked.reach.readiness.checks()]
    return ReadinessTold(is_ready=all(check.is_ok for check in checks), checks=checks)


def status(told: ReadinessTold) -> int:
    return 200 if told.is_ready else 503


ROUTES = (
    Route("GET", "/healthz", "The event loop turns", healthz, Health, is_open=True),
    Route(
        "GET",
        "/readyz",
        "New devices may be sent here",
        readyz,
        ReadinessTold,
        errors={503: "They should not: at least one check is not ok."},
        tells=frozenset({503}),
        status_of=status,
    ),
    Route("GET", "/metrics", "Counters and gauges for Prometheus", lambda asked: text(asked.reach), CONTENT_TYPE),
)
