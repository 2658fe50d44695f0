"""Bodies of reports whose bytes are in a file: taken out when the file is there, put in again for who wants them whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from django.db import connection

from protocols.report import digest
from store.media.folder import MediaFolder
from store.models import Media, MediaPiece, Report

REPORTS_A_READ = 500

_CUT = """
    UPDATE store_report
    SET body = substr(store_report.body, 1, p.data_at) || substr(store_report.body, p.data_at + p.data_size + 1)
    FROM store_mediapiece p
    WHERE p.media_id = %s AND NOT p.is_moved
      AND store_report.device_id = %s AND store_report.time = p.time AND store_report.digest = p.digest
"""
_CUT_SQLITE = _CUT.replace("body = substr", "body = CAST(substr").replace("p.data_size + 1)", "p.data_size + 1) AS BLOB)")


def cut_bodies(media: Media, differing: Sequence[int]) -> None:
    """Take a file's bytes out of its reports, but for pieces that are not what is in the file."""
    MediaPiece.objects.filter(id__in=differing).update(is_moved=True)
    with connection.cursor() as cursor:
        cursor.execute(_CUT if connection.vendor == "postgresql" else _CUT_SQLITE, [media.id, media.device_id])
    MediaPiece.objects.filter(media=media).exclude(id__in=differing).update(is_moved=True)
    MediaPiece.objects.filter(id__in=differing).update(is_moved=False)


def whole_bodies(reports: Iterable[Report], folder: MediaFolder) -> Iterator[tuple[Report, bytes]]:
    """Reports with their bodies as they came, to be decoded again. Of a file that has been removed, what is left."""
    waiting = iter(reports)
    while some := list(islice(waiting, REPORTS_A_READ)):
        moved = MediaPiece.objects.select_related("media").filter(digest__in=[report.digest for report in some], is_moved=True)
        pieces = {(piece.media.device_id, piece.time, bytes(piece.digest)): piece for piece in moved}
        for report in some:
            piece, body = pieces.get((report.device_id, report.time, bytes(report.digest))), bytes(report.body)
            # One that was read just before its bytes were moved has them still.
            is_cut = piece is not None and digest(report.kind, body) != bytes(report.digest)
            yield report, _with_data(body, piece, folder) if piece and is_cut else body


def _with_data(body: bytes, piece: MediaPiece, folder: MediaFolder) -> bytes:
    with suppress(FileNotFoundError), folder.path(piece.media.sha256, piece.media.extension).open("rb") as file:
        file.seek(piece.offset)
        return body[: piece.data_at] + file.read(piece.data_size) + body[piece.data_at :]
    return body
