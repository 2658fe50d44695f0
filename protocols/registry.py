"""The protocols there are."""

from __future__ import annotations

from protocols.jt808 import JT808
from protocols.protocol import DeviceProtocol

PROTOCOLS: dict[str, DeviceProtocol] = {protocol.name: protocol for protocol in (JT808,)}
