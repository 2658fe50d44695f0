"""Putting a file together from the bodies of its reports, a few of them at a time in memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from django.db import connection

from store.media.sniffing import SNIFFED_BYTES
from store.models import Media, MediaPiece

PIECES_A_READ = 200
SHOWN_GAPS = 5

_BODIES = """
    SELECT p.id, p."offset", p.data_at, p.data_size, r.body
    FROM store_mediapiece p JOIN store_report r ON r.device_id = %s AND r.time = p.time AND r.digest = p.digest
    WHERE p.media_id = %s AND NOT p.is_moved AND (p."offset" > %s OR p."offset" = %s AND p.id > %s)
    ORDER BY p."offset", p.id LIMIT %s
"""


class Coverage(NamedTuple):
    """What there is of a file."""

    received_bytes: int
    gaps: list[tuple[int, int]]
    """From and up to where bytes are missing, before the last that are there and up to the expected end."""


class Assembled(NamedTuple):
    size: int
    sha256: str
    crc32: int
    beginning: bytes
    differing: list[int]
    """Ids of pieces that are not what the file has in their place: of two that overlap, the first counts."""


def coverage(media: Media) -> Coverage:
    """Which of a file's bytes have come."""
    pieces = MediaPiece.objects.filter(media=media).order_by("offset", "id").values_list("offset", "data_size")
    received, end, gaps = 0, 0, []
    for offset, size in pieces.iterator(chunk_size=5_000):
        if offset > end:
            gaps.append((end, offset))
        received += max(0, offset + size - max(offset, end))
        end = max(end, offset + size)
    if media.expected_bytes is not None and end < media.expected_bytes:
        gaps.append((end, media.expected_bytes))
    return Coverage(received, gaps)


def gaps_text(gaps: Iterable[tuple[int, int]]) -> str:
    """What is missing, for people."""
    named = [f"{start}-{end - 1}" for start, end in gaps]
    more = f" and {len(named) - SHOWN_GAPS} more" if len(named) > SHOWN_GAPS else ""
    return f"bytes {', '.join(named[:SHOWN_GAPS])}{more} are missing"


def assemble(media: Media, path: Path) -> Assembled:
    """Write a file from its pieces, up to its expected size.

    Raises: OSError of the disk.
    """
    wanted = media.expected_bytes or 0
    differing: list[int] = []
    with path.open("w+b") as file:
        end = 0
        for piece, offset, data in _pieces(media):
            if offset > end:
                break
            known, new = data[: end - offset], data[end - offset : wanted - offset]
            if (known and _read(file, offset, len(known)) != known) or offset + len(data) > wanted:
                differing.append(piece)
            file.seek(end)
            file.write(new)
            end += len(new)
        return _digested(file, end, differing)


def _pieces(media: Media) -> Iterator[tuple[int, int, bytes]]:
    """Id, offset and bytes of each piece whose bytes are in its report, in the order of the file."""
    offset, last = -1, 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_BODIES, [media.device_id, media.id, offset, offset, last, PIECES_A_READ])
            rows = cursor.fetchall()
        for last, offset, data_at, data_size, body in rows:
            yield last, offset, bytes(body)[data_at : data_at + data_size]
        if len(rows) < PIECES_A_READ:
            return


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _digested(file: BinaryIO, size: int, differing: list[int]) -> Assembled:
    file.seek(0)
    beginning = file.read(SNIFFED_BYTES)
    file.seek(0)
    sha256, crc32 = hashlib.sha256(), 0
    while block := file.read(1 << 20):
        sha256.update(block)
        crc32 = zlib.crc32(block, crc32)
    return Assembled(size, sha256.hexdigest(), crc32, beginning, differing)
