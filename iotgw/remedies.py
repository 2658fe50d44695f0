"""What is said of a device that is not here, and what to do about it: two tables and a sentence."""

from __future__ import annotations

NO_WORKER = (
    "is a worker running that takes the queues ingest, media and default, is it busy, can it reach the database? "
    "celery -A tasks worker takes all queues"
)

CLOSED = {
    "peer": ("the device or its network closed the link", "wait for it; if it does not come back: its power, its SIM, its signal"),
    "idle": (
        "it was silent for longer than its idle time-out",
        "its power, its SIM, its signal; if it is silent by design, raise idle_timeouts",
    ),
    "unidentified": (
        "it did not say who it is in time",
        "is it set to this protocol? Its first bytes: GET /v1/strangers; iotgw decode says what they are",
    ),
    "malformed": (
        "it sent nothing but bad frames",
        "is it set to this protocol? Its first bytes: GET /v1/strangers; iotgw decode says what they are",
    ),
    "stranger": (
        "it spoke something else, such as HTTP or TLS",
        "set the device to plain TCP, or give the protocol a tls: endpoint",
    ),
    "banned": ("it is banned on this gateway", "GET /v1/bans says until when; DELETE lifts it"),
    "kicked": ("somebody closed its link", "nothing: it may come back at once"),
    "devices": ("more devices were on the link than may be", "raise devices_per_link if it is a platform"),
    "crowded": (
        "too much waited to be let in, on all links together",
        "do workers answer? The log says so: no answer who may come in; else somebody floods this gateway",
    ),
    "replaced": ("it has come back on a newer link", "if it goes on so: two terminals have its name"),
    "refused": ("it may not come in any more", "is it disabled, or removed? iotgw devices list"),
    "logout": ("it took its leave", "nothing: it comes back when it wants to"),
    "drained": ("the gateway was drained", "nothing: it comes back by itself to another gateway"),
    "shutdown": ("the gateway was stopped", "nothing: it comes back by itself to a gateway that runs"),
    "tls": ("TLS failed", "tls.refused.<cause> in docs/operate.md"),
    "fault": ("a fault in the protocol's code closed it", "report it, with the traceback in the gateway's log"),
}
"""By the cause that a link or session ended for."""

REFUSED = {
    "refused": (
        "a worker refused it: it is not known, or disabled",
        "add it, iotgw devices add {0} {1}, or enable it, iotgw devices enable {0} {1}",
    ),
    "unknown": ("refused: it is not known", "add it: iotgw devices add {0} {1}"),
    "disabled": ("refused: it is disabled", "let it in again: iotgw devices enable {0} {1}"),
    "credential": (
        "refused: it shows no credential, or not the one that it should have",
        "give it a new one, iotgw devices credential {0} {1}, and set it there; if it is not yours, somebody uses its name",
    ),
    "banned": ("it is banned on this gateway", "GET /v1/bans says until when; DELETE /v1/bans/devices/{0}/{1} lifts it"),
}
"""By the cause of a refusal."""
