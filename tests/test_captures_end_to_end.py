"""Captured frames of every protocol over TCP, through gateway, broker, worker and database.

Each test runs on SQLite and on PostgreSQL, over Redis and over RabbitMQ.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime

from protocols import DeviceProtocol, Event, Message, Outcome, Send
from protocols.registry import PROTOCOLS
from store.models import Quarantine, Report
from tests.protocols.captures import captures
from tests.servers import wait_until
from tests.test_end_to_end import Parts

TIMES = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 2, 2, 2, 2, 2, tzinfo=UTC)


class Expected:
    """What a platform should make of some frames on one link, by a codec without a gateway around it."""

    def __init__(self, protocol: DeviceProtocol, frames: list[bytes], time: datetime) -> None:
        self.answers = b""
        self.rows: set[tuple[str, str, str]] = set()
        self.quarantined: set[tuple[str, bytes]] = set()
        self.has_malformed = False
        self.steps: list[tuple[bytes, int]] = []
        """Frames that are sent together, and how many bytes of answers there are then: who comes onto the link for the first
        time waits to be let in, and those that are there do not wait for it."""
        self._protocol = protocol
        self._codec = protocol.codec()
        known: set[str] = set()
        is_alone = True
        for frame in frames:
            events = self._codec.receive(frame, 0.0)
            for event in events:
                self._take(event, time)
            new = {event.identity for event in events if isinstance(event, Message)} - known
            known |= new
            before = b"" if new or is_alone else self.steps.pop()[0]
            self.steps.append((before + frame, len(self.answers)))
            is_alone = bool(new)

    def _take(self, event: Event, time: datetime) -> None:
        if isinstance(event, Send):
            self.answers += event.data
        elif isinstance(event, Message):
            decoded = self._protocol.decode(event)
            self.rows.update((event.identity, report.kind, report.digest.hex()) for report in decoded.reports)
            if decoded.error:
                self.quarantined.add((event.identity, event.body))
            self.answers += self._codec.ack(event, Outcome.QUARANTINED if decoded.error else Outcome.STORED, time)
        else:
            self.has_malformed = True


def usable(protocol: DeviceProtocol) -> list[bytes]:
    """A device's hello, then the captures that hold nothing malformed and whose answers tell no time."""
    frames = [protocol.terminal(protocol.simulated_identity(0)).connect()]
    hello = hello_answer_bytes(protocol, frames)
    for capture in captures(protocol.name):
        tried = [*frames, capture["frame"]]
        first, second = (Expected(protocol, tried, time) for time in TIMES)
        if first.answers[hello:] == second.answers[hello:] and not first.has_malformed:
            frames = tried
    return frames


def hello_answer_bytes(protocol: DeviceProtocol, frames: list[bytes]) -> int:
    """How many bytes answer the hello, which may tell the time."""
    return len(Expected(protocol, frames[:1], TIMES[0]).answers)


def test_captures_are_answered_byte_for_byte_and_stored(start_child, database_url, broker_url, redis_url):
    parts = Parts(start_child, database_url, broker_url, redis_url)
    quarantined: set[tuple[str, bytes]] = set()
    for name, protocol in PROTOCOLS.items():
        frames = usable(protocol)
        wanted = Expected(protocol, frames, TIMES[0])
        assert wanted.rows, name
        got, hello = received(parts.ports[name], wanted.steps), hello_answer_bytes(protocol, frames)
        assert got[hello:].hex() == wanted.answers[hello:].hex(), name
        wait_until(lambda rows=wanted.rows: rows <= stored(), f"all reports of {name} are stored")
        quarantined |= wanted.quarantined
    assert {(row.device.identity, bytes(row.body)) for row in Quarantine.objects.select_related("device")} == quarantined


def received(port: int, steps: list[tuple[bytes, int]]) -> bytes:
    """Send frames over one link, and wait for so many bytes of answers after each step; all of them."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        got = b""
        for frames, size in steps:
            link.sendall(frames)
            while len(got) < size and (data := link.recv(65536)):
                got += data
    return got


def stored() -> set[tuple[str, str, str]]:
    rows = Report.objects.select_related("device").only("kind", "digest", "device__identity")
    return {(row.device.identity, row.kind, bytes(row.digest).hex()) for row in rows}
