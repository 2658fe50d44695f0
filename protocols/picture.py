"""A small picture that any viewer opens, made without a library.

A baseline JPEG of one colour component whose blocks of 8 by 8 points are each of one grey: of every block only its mean
is coded, so that both Huffman tables have a handful of codes and no transform is needed.

Source: ITU-T T.81, annexes B and F.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_QUANTUM = 8
"""A mean is coded as eight times itself; divided by this it is itself again."""
_CATEGORIES = range(9)
"""How many bits a difference may take: none to eight. The table gives each a code of four bits that is its number."""
_CATEGORY_BITS = 4


def jpeg(greys: Sequence[Sequence[int]]) -> bytes:
    """A picture of rows of blocks, each from 0, black, to 255."""
    height, width = 8 * len(greys), 8 * len(greys[0])
    tables = [
        (0xE0, b"JFIF\0" + struct.pack(">BBBHHBB", 1, 1, 0, 1, 1, 0, 0)),
        (0xDB, bytes((0, *[_QUANTUM] * 64))),
        (0xC0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)),
        (0xC4, bytes((0x00, 0, 0, 0, len(_CATEGORIES), *[0] * 12, *_CATEGORIES))),
        (0xC4, bytes((0x10, 1, *[0] * 15, 0x00))),
        (0xDA, bytes((1, 1, 0x00, 0, 63, 0))),
    ]
    segments = [struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in tables]
    return b"\xff\xd8" + b"".join(segments) + _scan([grey for row in greys for grey in row]) + b"\xff\xd9"


def _scan(greys: Sequence[int]) -> bytes:
    """The blocks' differences as bits; behind each, that the rest of the block is nothing."""
    bits = []
    before = 128
    for grey in greys:
        difference = grey - before
        category = abs(difference).bit_length()
        # A negative difference is coded as the one below it, of which the low bits are taken.
        low = difference if difference >= 0 else difference + (1 << category) - 1
        bits.append(f"{category:0{_CATEGORY_BITS}b}" + (f"{low:0{category}b}" if category else "") + "0")
        before = grey
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8, "big")
    return data.replace(b"\xff", b"\xff\0")
