"""A photo in sub-packets over TCP, through gateway, broker, worker and database: once, whole, acked when it is stored.

Each test runs on SQLite and on PostgreSQL, over Redis and over RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.jt808 import JT808
from protocols.jt808.header import Header, frame
from protocols.jt808.terminal import JT808Terminal
from protocols.report import digest
from store.media.bodies import whole_bodies
from store.media.folder import MediaFolder
from store.models import Report
from tests.protocols.jt808.frames import NOON, photo, told
from tests.test_end_to_end import Parts, Terminal

IDENTITY = "13800000001"
LOST = (3, 7)


@pytest.fixture
def parts(start_child, database_url, broker_url, redis_url) -> Parts:
    # Without a spool, or a photo would be confirmed once it is there.
    return Parts(start_child, database_url, broker_url, redis_url, IOTGW_SPOOL_BYTES="0")


@pytest.fixture
def camera(parts: Parts) -> Iterator[Camera]:
    camera = Camera(parts.connect())
    yield camera
    camera.link.close()


class Camera:
    """A simulated terminal on a plain socket."""

    def __init__(self, link: Terminal) -> None:
        self.link = link
        self.terminal: JT808Terminal = JT808.terminal(IDENTITY)
        link.send(self.terminal.connect())
        while not self.terminal.is_online:
            link.send(told(self.terminal.receive(link.answer()))[0])


def bodies(folder: Path, kind: str) -> list[bytes]:
    """Of the reports of a kind, whether the picture is in its file already or not."""
    found = whole_bodies(Report.objects.filter(kind=kind), MediaFolder(folder / "var/media"))
    return [body for _, body in found]


def body_of(data: bytes) -> tuple[int, bytes]:
    """Id and body of a platform's frame with the header of 2013."""
    plain = data[1:-1].replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
    return int.from_bytes(plain[:2], "big"), plain[12:-1]


def test_a_photo_with_two_pieces_lost_is_asked_for_completed_stored_and_acked_once(
    parts: Parts, camera: Camera, tmp_path: Path
) -> None:
    link, terminal = camera.link, camera.terminal
    sequence, kind, body = photo(terminal, lost=LOST)
    link.send(terminal.frame(sequence, body))
    request = link.answer()
    assert body_of(request) == (0x8800, body[:4] + bytes([2, 0, 3, 0, 7]))
    assert not Report.objects.filter(kind=kind).exists()
    pieces, acked = told(terminal.receive(request))
    assert acked == []
    link.send(pieces)
    answer = link.answer()
    row = Report.objects.get(kind=kind)
    assert body_of(answer) == (0x8800, body[:4])
    assert told(terminal.receive(answer)) == (b"", [sequence])
    assert bodies(tmp_path, kind) == [body]
    assert bytes(row.digest) == digest(kind, body)
    assert row.device.identity == IDENTITY
    assert row.time == NOON
    assert body_of(link.ask(frame(Header(0x0002, f"0{IDENTITY}", 999), b"")))[0] == 0x8001, "the photo has no other answer"
    counted = parts.statistics()
    assert counted["sends"] == 1
    assert "malformed.incomplete" not in counted


def test_nothing_of_a_photo_is_confirmed_while_there_is_no_worker(parts: Parts, camera: Camera) -> None:
    link, terminal = camera.link, camera.terminal
    parts.worker.kill()
    sequence, kind, body = photo(terminal)
    link.send(terminal.frame(sequence, body))
    link.socket.settimeout(2)
    with pytest.raises(TimeoutError):
        link.answer()
    link.socket.settimeout(60)
    parts.start_worker()
    assert told(terminal.receive(link.answer())) == (b"", [sequence])
    assert Report.objects.filter(kind=kind).count() == 1


def test_a_photo_that_was_cut_off_is_sent_again_on_the_next_link_and_stored_once(
    parts: Parts, camera: Camera, tmp_path: Path
) -> None:
    link, terminal = camera.link, camera.terminal
    sequence, kind, body = photo(terminal, lost=LOST)
    link.send(terminal.frame(sequence, body))
    link.close()
    second = parts.connect()
    second.send(terminal.connect())
    while not terminal.is_online:
        second.send(told(terminal.receive(second.answer()))[0])
    for _ in range(2):
        second.send(terminal.frame(sequence, body))
    assert told(terminal.receive(second.answer())) == (b"", [sequence])
    second.close()
    parts.statistics()
    assert bodies(tmp_path, kind) == [body]
