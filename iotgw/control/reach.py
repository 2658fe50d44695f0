"""What the control API reaches of a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from iotgw.callers import Callers
from iotgw.draining import Draining
from iotgw.gateway import Gateway
from iotgw.lag import Lag
from iotgw.offload import Offload
from iotgw.queues import Queues
from iotgw.readiness import Readiness
from settings import Settings


@dataclass(frozen=True)
class Reach:
    """Made by the service, where the gateway's objects meet."""

    settings: Settings
    gateway: Gateway
    offload: Offload
    queues: Queues
    lag: Lag
    draining: Draining
    readiness: Readiness
    callers: Callers
    catalogues: Mapping[str, bytes]
    """By protocol, its commands as JSON."""
