"""Check bytes and words over frames."""

from __future__ import annotations

from fastcrc import crc16 as _crc16


def xor(data: bytes) -> int:
    """All bytes of ``data`` by exclusive or: the check byte of JT/T 808 and GB/T 32960; 0 for no bytes.

    Folding one big integer by halves takes a logarithmic number of steps in C, where a loop over the bytes would
    be the dearest thing that happens to a frame.
    """
    value = int.from_bytes(data, "big")
    if len(data) > 64:
        bits = 8 << len(data).bit_length()
        while bits > 512:
            bits >>= 1
            value ^= value >> bits
    # Most frames begin here, and steps that are written out take half the time.
    value ^= value >> 256
    value ^= value >> 128
    value ^= value >> 64
    value ^= value >> 32
    value ^= value >> 16
    return (value ^ value >> 8) & 0xFF


def crc16_x25(data: bytes) -> int:
    """CRC-16/IBM-SDLC, also X-25 and "CRC-ITU": the check of GT06."""
    return _crc16.ibm_sdlc(data)


def crc16_arc(data: bytes) -> int:
    """CRC-16/ARC, also "CRC-16/IBM": the check of Teltonika's AVL packets."""
    return _crc16.arc(data)


def crc16_modbus(data: bytes) -> int:
    """CRC-16/MODBUS, which goes on the wire low byte first."""
    return _crc16.modbus(data)
