"""Check bytes and words over frames."""

from __future__ import annotations


def xor(data: bytes) -> int:
    """All bytes of ``data`` by exclusive or: the check byte of JT/T 808 and GB/T 32960; 0 for no bytes.

    Folding one big integer by halves takes a logarithmic number of steps in C, where a loop over the bytes would
    be the dearest thing that happens to a frame.
    """
    value = int.from_bytes(data, "big")
    bits = 8 << len(data).bit_length()
    while bits > 8:
        bits >>= 1
        value ^= value >> bits
    return value & 0xFF
