"""What a file is, by its first bytes: neither its name nor what the device says of it is believed."""

from __future__ import annotations

from typing import NamedTuple

from protocols.piece import MediaKind

SNIFFED_BYTES = 16


class Content(NamedTuple):
    type: str
    """The MIME type."""
    extension: str
    """Of ours."""
    kind: MediaKind


UNKNOWN = Content("application/octet-stream", "bin", MediaKind.FILE)

_JPEG = Content("image/jpeg", "jpg", MediaKind.PHOTO)
_TIFF = Content("image/tiff", "tif", MediaKind.PHOTO)
_MP3 = Content("audio/mpeg", "mp3", MediaKind.AUDIO)
_BEGINNINGS = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", Content("image/png", "png", MediaKind.PHOTO)),
    (b"GIF87a", Content("image/gif", "gif", MediaKind.PHOTO)),
    (b"GIF89a", Content("image/gif", "gif", MediaKind.PHOTO)),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"ID3", _MP3),
    (b"#!AMR", Content("audio/amr", "amr", MediaKind.AUDIO)),
    (b"OggS", Content("audio/ogg", "ogg", MediaKind.AUDIO)),
    (bytes.fromhex("3026b2758e66cf11"), Content("video/x-ms-wmv", "wmv", MediaKind.VIDEO)),
    (b"FLV\1", Content("video/x-flv", "flv", MediaKind.VIDEO)),
)
_RIFF = {
    b"WAVE": Content("audio/wav", "wav", MediaKind.AUDIO),
    b"AVI ": Content("video/x-msvideo", "avi", MediaKind.VIDEO),
    b"WEBP": Content("image/webp", "webp", MediaKind.PHOTO),
}
_MP4 = Content("video/mp4", "mp4", MediaKind.VIDEO)
_M4A = Content("audio/mp4", "m4a", MediaKind.AUDIO)


def sniff(beginning: bytes) -> Content:
    """The content of a file that begins like this.

    Source: the formats' own specifications; JT/T 808-2013 8.52 names JPEG, TIF, MP3, WAV and WMV.
    """
    for start, content in _BEGINNINGS:
        if beginning.startswith(start):
            return content
    if beginning[:4] == b"RIFF":
        return _RIFF.get(beginning[8:12], UNKNOWN)
    if beginning[4:8] == b"ftyp":
        return _M4A if beginning[8:11] == b"M4A" else _MP4
    if beginning[:1] == b"\xff" and len(beginning) > 2 and beginning[1] & 0xE6 == 0xE2 and beginning[2] & 0xF0 != 0xF0:
        # Frame sync, layer III, a bit rate that exists.
        return _MP3
    return UNKNOWN
