"""The writer's part for files that come in pieces: which file each belongs to, in the transaction that stores its report.

Plain Django: pieces are few beside reports, and both databases take the same statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import QuerySet

from protocols.piece import MediaKind, Piece
from protocols.report import Report
from store.json_text import plain_text
from store.models import CAUSE_LENGTH, FILE_LENGTH, NAME_LENGTH, Media, MediaOutcome, MediaPiece
from store.rows import ReportRow


class FileKey(NamedTuple):
    device: int
    file: str


class PieceRow(NamedTuple):
    """A report that was stored, with what it brings of a file."""

    key: FileKey
    piece: Piece
    report: ReportRow


def file_key(device: int, piece: Piece, digest: bytes) -> FileKey:
    """Of a report that is a whole file its digest is the name, so that one that is sent again is the same file."""
    return FileKey(device, (piece.file or digest.hex())[:FILE_LENGTH])


def declined(reports: Iterable[tuple[int, Report]], longest: int) -> set[FileKey]:
    """Of the files that these reports bring something of, by device: those that are longer than what is kept."""
    refused: set[FileKey] = set()
    keys: set[FileKey] = set()
    for device, report in reports:
        if (piece := report.piece) is not None:
            key = file_key(device, piece, report.digest)
            keys.add(key)
            if max(piece.size or 0, piece.offset + piece.data_size) > longest:
                refused.add(key)
    rows = _of(keys - refused).filter(state=Media.State.REFUSED).values_list("device_id", "file")
    return refused | {FileKey(*row) for row in rows}


def insert_pieces(rows: Sequence[PieceRow], refused: Collection[FileKey]) -> list[int]:
    """Add pieces, and files where they are the first; which files there is now something to do for.

    What is there already is left as it is. Files are inserted, and then locked, in the order of their keys and ids, so that
    workers that have the same ones wait for each other and never in a ring. Who looks whether a file is whole takes the same lock.
    """
    by_file: dict[FileKey, list[PieceRow]] = defaultdict(list)
    for row in rows:
        by_file[row.key].append(row)
    now = datetime.now(UTC)
    Media.objects.bulk_create([_new(key, by_file[key][0], now) for key in sorted(by_file)], ignore_conflicts=True)
    found = _of(by_file).select_for_update().order_by("id")
    media = {key: file for file in found if (key := FileKey(file.device_id, file.file)) in by_file}
    pieces = [_piece(media[row.key], row) for row in rows if row.piece.data_size and row.key not in refused]
    MediaPiece.objects.bulk_create(pieces, ignore_conflicts=True)
    kept = {file.id for file in media.values() if file.state != Media.State.REFUSED}
    for key, file in media.items():
        _take(file, by_file[key], key in refused, now)
    Media.objects.bulk_update(media.values(), _TAKEN)
    declined_now = [file for file in media.values() if file.id in kept and file.state == Media.State.REFUSED]
    MediaOutcome.objects.bulk_create(MediaOutcome(media=file, state=file.state) for file in declined_now)
    return [file.id for file in media.values() if file.due_at == now]


def _of(keys: Collection[FileKey]) -> QuerySet[Media]:
    """Files of these devices under these names; there may be some of one device under another's."""
    return Media.objects.filter(device_id__in={key.device for key in keys}, file__in={key.file for key in keys})


_TAKEN = ("kind", "name", "expected_bytes", "crc32", "has_ended", "state", "reason", "touched_at", "due_at")


def _new(key: FileKey, row: PieceRow, now: datetime) -> Media:
    piece, report = row.piece, row.report
    return Media(
        device_id=key.device,
        file=key.file,
        kind=piece.kind or MediaKind.FILE,
        channel=piece.channel,
        cause=plain_text(piece.cause)[:CAUSE_LENGTH],
        time=report.time,
        received_at=report.received_at,
        latitude=report.latitude,
        longitude=report.longitude,
        touched_at=now,
    )


def _piece(media: Media, row: PieceRow) -> MediaPiece:
    piece, report = row.piece, row.report
    return MediaPiece(
        media=media,
        time=report.time,
        digest=report.digest,
        data_at=piece.data_at,
        data_size=piece.data_size,
        offset=piece.offset,
    )


def _take(file: Media, rows: Iterable[PieceRow], is_refused: bool, now: datetime) -> None:
    """What pieces say of their file, and whether there is something to do for it now."""
    for row in rows:
        if row.piece.name:
            file.name = plain_text(row.piece.name)[:NAME_LENGTH]
    if file.sha256 or file.state == Media.State.REFUSED:
        return
    for row in rows:
        piece = row.piece
        if piece.kind:
            file.kind = piece.kind
        if piece.size is not None:
            file.expected_bytes = piece.size
        if piece.crc32 is not None:
            file.crc32 = piece.crc32
        file.has_ended |= piece.is_last
    file.touched_at = now
    if is_refused:
        file.state, file.reason = Media.State.REFUSED, "too long"
        file.due_at = None
    elif file.has_ended:
        file.due_at = now
    else:
        file.state, file.reason = Media.State.RECEIVING, ""
