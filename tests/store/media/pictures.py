"""Files as devices send them, and the batches that bring them."""

from __future__ import annotations

import zlib
from io import BytesIO

from PIL import Image

from protocols.piece import MediaKind, Piece
from protocols.report import Report
from store.bulk import write
from store.models import Media
from tests.records import NOON, anybody, incoming, minutes, report

HEAD = b"\0head\xff"


def image(format: str = "JPEG", size: tuple[int, int] = (640, 480)) -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, format)
    return file.getvalue()


def whole(data: bytes, kind: MediaKind = MediaKind.PHOTO, name: str = "", tail: bytes = b"") -> Report:
    """A report that is a file by itself."""
    piece = Piece("", kind, name, 1, "timed", len(HEAD), len(data), size=len(data), is_last=True)
    return report(HEAD + data + tail, kind="photo", latitude=1.5, longitude=2.5, piece=piece)


def begin(kind: MediaKind = MediaKind.FILE, name: str = "", size: int | None = None) -> Report:
    return report(b"begin" + name.encode("utf-8", "replace"), kind="begin", piece=Piece("7", kind, name, size=size))


def data(offset: int, part: bytes, attempt: int = 0) -> Report:
    piece = Piece("7", data_at=len(HEAD), data_size=len(part), offset=offset)
    # A moment of its own, so that the same bytes may come in two reports.
    return report(HEAD + part, time=NOON + minutes(offset + attempt / 60), kind="data", piece=piece)


def end(all: bytes, crc32: int | None = None) -> Report:
    said = zlib.crc32(all) if crc32 is None else crc32
    return report(b"end%d" % said, kind="end", piece=Piece("7", size=len(all), crc32=said, is_last=True))


def store(*reports: Report, identity: str = "1", longest: int = 1 << 28) -> list[int]:
    """Each report in a message of its own; which files are due then."""
    due: list[int] = []
    write([incoming(one, identity=identity) for one in reports], is_open=anybody, longest_file_bytes=longest, due_media=due)
    return due


def only() -> Media:
    return Media.objects.get()
