"""How the spool's records are written, and how they are told from what is none.

    segment  header, record, record, record...
    header   "iotgw spool 1\\n"   salt    digest of both
    record   "\\xa5rec"           length  digest of length and offset   digest of payload   payload

Digests are keyed with the segment's salt, so that a device cannot send what passes for a record.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

TITLE = b"iotgw spool 1\n"
SALT_BYTES = DIGEST_BYTES = 8
MARK = b"\xa5rec"
_LENGTH = Struct(">I")
SEGMENT_HEADER_BYTES = len(TITLE) + SALT_BYTES + DIGEST_BYTES
RECORD_HEADER_BYTES = len(MARK) + _LENGTH.size + 2 * DIGEST_BYTES


def record(payload: bytes, salt: bytes, offset: int) -> bytes:
    length = _LENGTH.pack(len(payload))
    return b"".join((MARK, length, _digest(length + offset.to_bytes(8), salt), _digest(payload, salt), payload))


def segment_header(salt: bytes) -> bytes:
    return TITLE + salt + _digest(TITLE, salt)


def salt_of(data: bytes) -> bytes | None:
    salt = data[len(TITLE) : len(TITLE) + SALT_BYTES]
    return salt if len(data) >= SEGMENT_HEADER_BYTES and data.startswith(segment_header(salt)) else None


def _digest(data: bytes, salt: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES, key=salt).digest()


def length_at(head: bytes, salt: bytes, offset: int) -> int | None:
    """The payload's length, by a record's header that is whole."""
    if len(head) < RECORD_HEADER_BYTES or not head.startswith(MARK):
        return None
    length = head[len(MARK) : len(MARK) + _LENGTH.size]
    if head[len(MARK) + _LENGTH.size : -DIGEST_BYTES] != _digest(length + offset.to_bytes(8), salt):
        return None
    value: int = _LENGTH.unpack(length)[0]
    return value


def is_record(head: bytes, payload: bytes, salt: bytes, offset: int) -> bool:
    return length_at(head, salt, offset) == len(payload) and head[-DIGEST_BYTES:] == _digest(payload, salt)


def end_of_record(data: bytes, salt: bytes, offset: int) -> int | None:
    """Where the record that begins here ends; None when it is not whole."""
    start = offset + RECORD_HEADER_BYTES
    head = data[offset:start]
    end = start + (length_at(head, salt, offset) or 0)
    return end if is_record(head, data[start:end], salt, offset) else None


def next_record(data: bytes, salt: bytes, offset: int) -> int:
    """Where the next record behind a damaged one begins; the data's end when none does."""
    while (offset := data.find(MARK, offset + 1)) >= 0:
        if length_at(data[offset : offset + RECORD_HEADER_BYTES], salt, offset) is not None:
            return offset
    return len(data)


def is_torn(data: bytes, salt: bytes, offset: int) -> bool:
    """Whether what is here is a record's beginning, or the room for one: never acked, so nobody misses it."""
    length = length_at(data[offset : offset + RECORD_HEADER_BYTES], salt, offset)
    if length is not None:
        return offset + RECORD_HEADER_BYTES + length > len(data)
    rest = data[offset:]
    return len(rest) < RECORD_HEADER_BYTES or not any(rest)
