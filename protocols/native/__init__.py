"""iotgw native: a small protocol of our own for hardware that has none yet. ``docs/native.md`` is its whole text."""

from protocols.native.protocol import NativeProtocol

NATIVE = NativeProtocol()

__all__ = ["NATIVE"]
