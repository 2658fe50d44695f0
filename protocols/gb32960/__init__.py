"""GB/T 32960.3: electric vehicles, over TCP; editions 2016 and 2025."""

from protocols.gb32960.protocol import GB32960, GB32960Protocol

__all__ = ["GB32960", "GB32960Protocol"]
