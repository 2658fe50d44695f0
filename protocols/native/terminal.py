"""The device's end of a link, as a board with a few sensors, a camera, a relay and firmware that can be renewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from protocols.body import read
from protocols.compiler import compile
from protocols.executions import Executions
from protocols.framing import MarkedSplitter
from protocols.message import Malformed, Send
from protocols.native.building import typed
from protocols.native.fields import milliseconds
from protocols.native.frame import MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, SHAPE, fault, frame, open_frame
from protocols.native.messages import (
    ACK,
    ACK_BODY,
    CHUNK,
    CHUNK_BODY,
    CHUNK_HEAD_BYTES,
    COMMAND,
    COMMAND_BODY,
    DATA_HEAD_BYTES,
    DESCRIBE,
    FILE_BEGIN,
    FILE_BEGIN_BODY,
    FILE_DATA,
    FILE_DATA_BODY,
    FILE_END,
    FILE_END_BODY,
    GET,
    GET_BODY,
    HELLO,
    HELLO_BODY,
    MAX_IDENTITY_BYTES,
    OFFER,
    OFFER_BODY,
    PING,
    READINGS,
    RESULT,
    RESULT_BODY,
    VERSION,
    WELCOME,
    WELCOME_BODY,
)
from protocols.native.options import Options
from protocols.native.reports import named_values
from protocols.native.sensors import DESCRIPTION, Sensors
from protocols.report import DecodeError
from protocols.terminal import Acked, Made, Moment, TerminalEvent

_TYPES = {"file_begin": FILE_BEGIN, "file_data": FILE_DATA, "file_end": FILE_END, "result": RESULT}
_LENGTH_BYTES = 2
_REMEMBERED_COMMANDS = 16
_FLASH_BYTES = 8 << 20
"""Of a board: flash ends at 16 MiB, and holds two firmwares."""


class NativeTerminal:
    """A board. It keeps its numbers, its firmware and what it has of a newer one from link to link.

    Raises: ValueError when the identity is empty, longer than 64 bytes, or has characters that cannot be seen.
    """

    heartbeat_seconds = float(Options().keep_alive_seconds)

    def __init__(self, identity: str) -> None:
        if not (identity and identity.isprintable() and len(identity.encode()) <= MAX_IDENTITY_BYTES):
            raise ValueError(f"{identity!r} is no identity of 1 to {MAX_IDENTITY_BYTES} bytes that can be seen")
        self.identity = identity
        self.software = "1.0.0"
        self._sensors = Sensors(identity)
        self._is_online = False
        self._splitter = MarkedSplitter((SHAPE,), MAX_FRAME_BYTES, fault)
        self._options = Options()
        self._hello = 0
        self._next = 0
        self._next_report = 0
        self._in_flight: dict[int, tuple[int, ...]] = {}
        """Reports in each frame that waits for its ack, by the frame's sequence."""
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)
        self._last_moment: Moment | None = None
        self._last_file = 0
        self._photos_wanted = 0
        self._results: dict[int, bytes] = {}
        self.executed = Executions()
        self._offer: Any = None
        self._is_asking = self._has_waited = False
        """Whether it has asked for bytes on this link, and for longer than from one heartbeat to the next."""
        self._coming = bytearray()
        """What there is of the file that is offered."""
        self.firmware = b""
        """What it has been given to run; empty for what its maker gave it."""

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._is_online = self._is_asking = False
        self._in_flight.clear()
        self._splitter = MarkedSplitter((SHAPE,), MAX_FRAME_BYTES, fault)
        self._hello = self._next
        hello = {
            "version": VERSION,
            "payload": MAX_PAYLOAD_BYTES,
            "identity": self.identity,
            "token": b"simulated",
            "model": "simulator",
            "software": self.software,
            "extra": b"",
        }
        return self._frame(HELLO, compile(HELLO_BODY).build(hello))

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        events: list[TerminalEvent] = []
        for found in self._splitter.feed(data):
            if isinstance(found, Malformed):
                continue
            kind, sequence, body = open_frame(found)
            try:
                if kind == WELCOME and sequence == self._hello:
                    events += self._welcomed(read(WELCOME_BODY, body))
                elif kind == ACK:
                    events += self._acked(sequence, read(ACK_BODY, body).result)
                elif kind == COMMAND and self._is_online:
                    events += self._commanded(read(COMMAND_BODY, body))
                elif kind == OFFER and self._is_online:
                    events += self._offered(read(OFFER_BODY, body))
                elif kind == CHUNK and self._is_online:
                    events += self._loaded(read(CHUNK_BODY, body))
            except DecodeError:
                continue
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        self._clock, self._last_moment = moment.time, moment
        made = [self._made("reading", self._sensors.moment(moment))]
        while self._photos_wanted:
            self._photos_wanted -= 1
            made += self.photo(moment)
        return made

    def photo(self, moment: Moment) -> Sequence[Made]:
        """Take a photo: its beginning, its bytes and its end are reports of their own, so that each is acked."""
        picture = self._sensors.picture(moment)
        self._last_file = file = max(milliseconds(moment.time), self._last_file + 1)
        begin = {"file": file, "content": "image", "size": len(picture), "name": f"{file}.jpg", "extra": b""}
        made = [self._made("file_begin", compile(FILE_BEGIN_BODY).build(begin))]
        step = self._options.payload_bytes - DATA_HEAD_BYTES
        for at in range(0, len(picture), step):
            data = {"file": file, "offset": at, "data": picture[at : at + step]}
            made.append(self._made("file_data", compile(FILE_DATA_BODY).build(data)))
        end = {"file": file, "size": len(picture), "crc32": crc32(picture), "extra": b""}
        return [*made, self._made("file_end", compile(FILE_END_BODY).build(end))]

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        if not self._is_online:
            return b"", 0
        again = {made.sequence for made in waiting}
        self._in_flight = {sequence: reports for sequence, reports in self._in_flight.items() if again.isdisjoint(reports)}
        frames, count = [], 0
        while count < len(waiting) and len(self._in_flight) < self._options.window:
            kind, payload, reports = self._next_payload(waiting[count:])
            self._in_flight[self._next] = reports
            frames.append(self._frame(kind, payload))
            count += len(reports)
        return b"".join(frames), count

    def heartbeat(self) -> bytes:
        """A ping, and once more the question for bytes that did not come."""
        again = self._ask() if self._is_asking and self._has_waited else b""
        self._has_waited = self._is_asking
        return self._frame(PING, b"") + again

    def _next_payload(self, waiting: Sequence[Made]) -> tuple[int, bytes, tuple[int, ...]]:
        """The payload of the next frame: one report, or as many readings as follow one another and have room."""
        first = waiting[0]
        if first.kind in _TYPES:
            return _TYPES[first.kind], first.body, (first.sequence,)
        payload, reports = b"", []
        for made in waiting:
            entry = len(made.body).to_bytes(_LENGTH_BYTES, "big") + made.body
            if made.kind != first.kind or (payload and len(payload) + len(entry) > self._options.payload_bytes):
                break
            payload += entry
            reports.append(made.sequence)
        return READINGS, payload, tuple(reports)

    def _welcomed(self, welcome: Any) -> list[TerminalEvent]:
        self._is_online = welcome.result == "welcome" and 0 < welcome.version <= VERSION
        if not self._is_online:
            return []
        self._options = Options(max(welcome.payload, 2 * DATA_HEAD_BYTES), max(welcome.window, 1))
        if isinstance(welcome.time, datetime):
            self._clock = max(self._clock, welcome.time)
        return [Send(self._frame(DESCRIBE, DESCRIPTION))]

    def _acked(self, sequence: int, result: str | int) -> list[TerminalEvent]:
        if result not in ("stored", "unread"):
            self._is_online = False
            return []
        return [Acked(report) for report in self._in_flight.pop(sequence, ())]

    def _commanded(self, command: Any) -> list[TerminalEvent]:
        if command.id in self._results:
            # Told again, for its result did not arrive in time: done once is enough.
            return [Send(self._frame(RESULT, self._results[command.id]))]
        status, returned = self._do(str(command.name), named_values(command.arguments))
        if status == "done":
            self.executed.add(COMMAND, command.id, str(command.name).encode())
        return self._result("command", command.id, status, returned)

    def _do(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if name == "relay":
            if not isinstance(arguments.get("on"), bool):
                return "wrong", {}
            self._sensors.is_relay_on = arguments["on"]
            return "done", {"on": self._sensors.is_relay_on}
        if name == "read":
            return ("done", self._sensors.measure(self._last_moment)) if self._last_moment else ("busy", {})
        if name == "photo":
            self._photos_wanted += 1
            return "done", {}
        return "unknown", {}

    def _result(self, answered: str, id: int, status: str, returned: Mapping[str, Any]) -> list[TerminalEvent]:
        """A result leaves at once. It is a report as well: whoever runs the terminal sends it again if need be."""
        head = {"stamp": self._clock, "answered": answered, "id": id, "status": status, "returned": []}
        made = self._made("result", compile(RESULT_BODY).build(head) + typed(returned, "returned"))
        if answered == "command":
            self._results[id] = made.body
            if len(self._results) > _REMEMBERED_COMMANDS:
                del self._results[next(iter(self._results))]
        self._in_flight[self._next] = (made.sequence,)
        return [made, Send(self._frame(RESULT, made.body))]

    def _offered(self, offer: Any) -> list[TerminalEvent]:
        if offer.size > _FLASH_BYTES:
            return self._result("offer", offer.file, "wrong", {})
        is_known = self._offer is not None and (self._offer.file, self._offer.crc32) == (offer.file, offer.crc32)
        if not is_known or len(self._coming) > offer.size:
            self._coming.clear()
        self._offer = offer
        return self._get()

    def _loaded(self, chunk: Any) -> list[TerminalEvent]:
        if self._offer is None or chunk.file != self._offer.file or chunk.offset != len(self._coming) or not chunk.data:
            # Offered no more, or an answer that came twice. What there is of the file stays for the next offer.
            return []
        self._coming += chunk.data
        self._has_waited = False
        return self._get()

    def _get(self) -> list[TerminalEvent]:
        """Ask for the next bytes of the offered file, or say what became of it when all are there."""
        self._is_asking = len(self._coming) < self._offer.size
        if self._is_asking:
            return [Send(self._ask())]
        offer, self._offer = self._offer, None
        found, self._coming = bytes(self._coming), bytearray()
        is_whole = crc32(found) == offer.crc32 and len(found) == offer.size
        if is_whole and offer.name == "firmware":
            self.software, self.firmware = str(offer.version), found
        return self._result("offer", offer.file, "done" if is_whole else "damaged", {})

    def _ask(self) -> bytes:
        wanted = {"file": self._offer.file, "offset": len(self._coming), "length": MAX_PAYLOAD_BYTES - CHUNK_HEAD_BYTES}
        return self._frame(GET, compile(GET_BODY).build(wanted))

    def _made(self, kind: str, body: bytes) -> Made:
        sequence, self._next_report = self._next_report, self._next_report + 1
        return Made(sequence, kind, body)

    def _frame(self, type: int, payload: bytes) -> bytes:
        sequence, self._next = self._next, self._next + 1 & 0xFFFF
        return frame(type, sequence, payload)
