"""Photos: announced, asked for part by part, each when the one before is stored."""

from __future__ import annotations

from protocols import Outcome
from protocols.gt06 import GT06
from protocols.gt06.photos import MAX_PHOTOS, Photos
from tests.protocols.gt06.frames import IMEI, NOW, report, short

PHOTO = "1903070E0600 01 02B44540 05EE0ED0 01 02 00 {size:08X} {number:08X}"


def announced(size: int, number: int = 5) -> bytes:
    return short(0x35, PHOTO.format(size=size, number=number))


def part(offset: int, data: bytes, number: int = 5) -> bytes:
    return short(0x36, f"{number:08X} {offset:08X} {len(data):04X} {data.hex()}")


def test_a_photo_is_asked_for_until_it_is_complete() -> None:
    codec = GT06.codec(IMEI)
    photo = bytes(range(256)) * 3
    (message,) = codec.receive(announced(len(photo)), 0.0)
    wanted = codec.ack(message, Outcome.STORED, NOW)
    assert wanted == short(0x36, "00000005 00000000 0300", 1)
    (message,) = codec.receive(part(0, photo[:200]), 0.0)
    assert codec.ack(message, Outcome.STORED, NOW) == short(0x36, "00000005 000000C8 0238", 2)
    (message,) = codec.receive(part(200, photo[200:400]), 0.0)
    assert codec.ack(message, Outcome.QUARANTINED, NOW) == short(0x36, "00000005 00000190 0170", 3)
    (message,) = codec.receive(part(600, photo[600:]), 0.0)
    assert codec.ack(message, Outcome.STORED, NOW) == b""
    (message,) = codec.receive(part(0, photo[:200]), 0.0)
    assert codec.ack(message, Outcome.STORED, NOW) == b""


def test_no_more_than_a_kibibyte_is_asked_for_at_once() -> None:
    codec = GT06.codec(IMEI)
    (message,) = codec.receive(announced(5000), 0.0)
    assert codec.ack(message, Outcome.STORED, NOW)[4:14] == bytes.fromhex("00000005 00000000 0400")


def test_a_refused_photo_is_not_asked_for() -> None:
    codec = GT06.codec(IMEI)
    (message,) = codec.receive(announced(5000), 0.0)
    assert codec.ack(message, Outcome.REFUSED, NOW) == b""


def test_few_photos_are_under_way_at_a_time() -> None:
    codec = GT06.codec(IMEI)
    messages = [codec.receive(announced(5000, number), 0.0)[0] for number in range(MAX_PHOTOS + 1)]
    assert codec.ack(messages[0], Outcome.STORED, NOW) == b""
    assert all(codec.ack(message, Outcome.STORED, NOW) for message in messages[1:])
    photos = Photos()
    photos.announce(b"short")
    assert photos.wanted(0x35, bytes(26)) == b""


def test_what_is_told_of_photos() -> None:
    found = report(announced(5000))
    assert (found.values["size_bytes"], found.values["picture_id"]) == (5000, 5)
    assert (found.latitude, found.values["latitude"], found.values["longitude"], found.values["fix"]) == (
        None,
        25.2048,
        55.2708,
        True,
    )
    piece = report(part(200, b"abc"))
    assert piece.values == {"picture_id": 5, "offset": 200, "part_bytes": 3}
    assert piece.body.endswith(b"abc")
    assert report(short(0x35, "0102")).values == {"raw": "0102"}
