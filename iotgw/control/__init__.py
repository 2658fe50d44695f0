"""Control over HTTP: how the gateway is, who is on it, and what people may do to it.

    caller ── GET /v1/sessions, bearer token ──▶ request ── route ──▶ what the gateway knows
           ◀── JSON ────────────────────────────────┘                  └── or a Deferred: a task's result

Nothing here waits: what takes time is a Deferred, and goes on for nobody when its caller hangs up.
"""

from iotgw.control.control import Control

__all__ = ["Control"]
