"""Captured frames of every protocol over TCP, through gateway, broker, worker and database.

Each test runs on SQLite and on PostgreSQL, over Redis and over RabbitMQ.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import NamedTuple

from protocols import DeviceProtocol, Event, Message, Outcome, Send
from protocols.registry import PROTOCOLS
from store.models import Quarantine, Report
from tests.protocols.captures import captures
from tests.servers import wait_until
from tests.test_end_to_end import Parts

TIMES = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 2, 2, 2, 2, 2, tzinfo=UTC)


class Expected(NamedTuple):
    """What a platform should make of some frames on one link."""

    answers: bytes
    rows: set[tuple[str, str, str]]
    quarantined: set[tuple[str, bytes]]


def expected(protocol: DeviceProtocol, frames: list[bytes], time: datetime) -> Expected:
    """By a codec without a gateway around it."""
    codec = protocol.codec()
    found = Expected(b"", set(), set())
    for frame in frames:
        for event in codec.receive(frame, 0.0):
            found = found._replace(answers=found.answers + answer(protocol, codec, event, time, found))
    return found


def answer(protocol: DeviceProtocol, codec: object, event: Event, time: datetime, found: Expected) -> bytes:
    if isinstance(event, Send):
        return event.data
    if not isinstance(event, Message):
        return b""
    decoded = protocol.decode(event)
    found.rows.update((event.identity, report.kind, report.digest.hex()) for report in decoded.reports)
    if decoded.error:
        found.quarantined.add((event.identity, event.body))
    return codec.ack(event, Outcome.QUARANTINED if decoded.error else Outcome.STORED, time)  # type: ignore[attr-defined]


def usable(protocol: DeviceProtocol) -> list[bytes]:
    """A device's hello, then the captures that hold nothing malformed and whose answers tell no time."""
    frames = [protocol.terminal(protocol.simulated_identity(0)).connect()]
    for capture in captures(protocol.name):
        events = protocol.codec(protocol.simulated_identity(0)).receive(capture["frame"], 0.0)
        if not events or not all(isinstance(event, (Message, Send)) for event in events):
            continue
        tried = [*frames, capture["frame"]]
        if expected(protocol, tried, TIMES[0]).answers == expected(protocol, tried, TIMES[1]).answers:
            frames = tried
    return frames


def test_captures_are_answered_byte_for_byte_and_stored(start_child, database_url, broker_url, redis_url):
    parts = Parts(start_child, database_url, broker_url, redis_url)
    quarantined: set[tuple[str, bytes]] = set()
    for name, protocol in PROTOCOLS.items():
        frames = usable(protocol)
        wanted = expected(protocol, frames, TIMES[0])
        assert wanted.rows, name
        assert received(parts.ports[name], frames, len(wanted.answers)).hex() == wanted.answers.hex(), name
        wait_until(lambda rows=wanted.rows: rows <= stored(), f"all reports of {name} are stored")
        quarantined |= wanted.quarantined
    assert {(row.device.identity, bytes(row.body)) for row in Quarantine.objects.select_related("device")} == quarantined


def received(port: int, frames: list[bytes], size: int) -> bytes:
    """Send frames over one link; so many bytes of the answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        for frame in frames:
            link.sendall(frame)
        got = b""
        while len(got) < size and (data := link.recv(65536)):
            got += data
    return got


def stored() -> set[tuple[str, str, str]]:
    rows = Report.objects.select_related("device").only("kind", "digest", "device__identity")
    return {(row.device.identity, row.kind, bytes(row.digest).hex()) for row in rows}
