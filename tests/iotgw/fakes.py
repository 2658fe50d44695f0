"""Stand-ins for what surrounds a gateway. Their signatures are held to the real ones by test_fakes.py."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from iotgw.accepting import LinkFactory
from iotgw.admissions import Device, Remembered
from iotgw.batch import Batch
from iotgw.evidence import EvidenceAwayError, Seen
from iotgw.gateway import Gateway
from iotgw.link import Link
from iotgw.marks import Marked
from iotgw.offload import NotPublishedError, TaskTimedOutError
from iotgw.routetable import Answer, Claim
from iotgw.taps import TapEntry
from protocols import Credential, Decoded, Event, Malformed, Message, Outcome, RawFrame, Send
from protocols.command import Prepared
from protocols.credential import seal
from settings import Settings
from tasks.contract import (
    SLICE_BYTES,
    Asking,
    DeliveryNote,
    Facts,
    FactsWanted,
    Known,
    Leaving,
    Ready,
    Receipt,
    Shelved,
    Stranger,
    Tap,
    Unsent,
    route_field,
)


class LineProtocol:
    """One message a line, ``identity kind text``; a line that is not is malformed. Acks are ``identity outcome``."""

    name = "line"
    title = "Line"
    port = 7
    LOGOUT = 9

    def codec(self, identity: str = "") -> LineCodec:
        return LineCodec()

    def terminal(self, identity: str) -> Any:
        raise AssertionError("no test simulates lines")

    def decode(self, message: Message) -> Decoded:
        return Decoded([])

    def kind_name(self, kind: int) -> str:
        return str(kind)

    def ends_session(self, kind: int) -> bool:
        return kind == self.LOGOUT

    has_credentials = True

    def credential(self, message: Message) -> Credential | None:
        """What stands behind ``key``."""
        _, found, key = message.body.decode().partition("key ")
        return Credential(key) if found else None


class LineCodec:
    deadline: float | None = None

    def __init__(self) -> None:
        self.is_watched = False
        self._rest = b""
        self._sequence = self._sent = 0

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[Event] = []
        for line in lines:
            events += [RawFrame(line + b"\n")] if self.is_watched else []
            events.append(self._event(line))
        return events

    def wake(self, now: float) -> Sequence[Event]:
        raise AssertionError("it never asked for it")

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        return f"{message.identity}:{message.sequence} {outcome.name}\n".encode()

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """A line; ``bad`` is more than such a device takes."""
        if body == b"bad":
            raise ValueError("text: 'bad' is no word of lines")
        self._sent += 1
        return Prepared(kind, b"%d %d %s\n" % (self._sent, kind, body), self._sent)

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        return [Send(prepared.data)]

    def end(self) -> Sequence[Event]:
        return [Malformed("cut", self._rest)] if self._rest else []

    def _event(self, line: bytes) -> Event:
        match line.split(b" ", 2):
            case [identity, kind, body] if kind.isdigit():
                self._sequence += 1
                return Message(identity.decode(), int(kind), self._sequence, b"", body)
        return Malformed("line", line)


class AskingProtocol(LineProtocol):
    """Lines, of which ``? hello`` is answered at once, ``? poll N`` has the device polled every N seconds, and
    ``? wake N`` moves what is planned to N seconds from now."""

    def codec(self, identity: str = "") -> AskingCodec:
        return AskingCodec()


class AskingCodec(LineCodec):
    def __init__(self) -> None:
        super().__init__()
        self.interval = 0.0
        self.woken: list[float] = []

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        for line in data.splitlines(keepends=True):
            match line.decode().split():
                case ["?", "hello"]:
                    events.append(Send(b"welcome\n"))
                case ["?", "poll", interval]:
                    self.interval = float(interval)
                    self.deadline = now + self.interval
                case ["?", "wake", seconds]:
                    self.deadline = now + float(seconds)
                case _:
                    events += super().receive(line, now)
        return events

    def wake(self, now: float) -> Sequence[Event]:
        assert self.deadline is not None
        assert self.deadline <= now
        self.woken.append(now)
        self.deadline = self.deadline + self.interval if self.interval else None
        return [Send(f"poll {len(self.woken)}\n".encode())]


class FakePublisher:
    """Remembers batches; each publish succeeds unless told otherwise."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.waiting: list[Deferred[None]] = []
        self.error: Exception | None = None
        self.is_holding = False

    def publish(self, batch: Batch) -> Deferred[None]:
        published: Deferred[None] = Deferred()
        self.batches.append(batch)
        if self.is_holding:
            self.waiting.append(published)
        elif self.error is not None:
            published.errback(self.error)
        else:
            published.callback(None)
        return published


class FakeRouteTable:
    """Remembers changes; whoever tests it answers them."""

    run = "this run"

    def __init__(self) -> None:
        self.changes: list[tuple[Sequence[Claim], Sequence[str], Deferred[list[Answer]]]] = []
        self.on_ready: Callable[[], None] = lambda: None
        self.on_away: Callable[[], None] = lambda: None

    def change(self, claims: Sequence[Claim], releases: Sequence[str]) -> Deferred[list[Answer]]:
        changed: Deferred[list[Answer]] = Deferred()
        self.changes.append((claims, releases, changed))
        return changed


class FakeDirectory:
    """Knows every device, as enabled and with the credential ``right``, unless told otherwise; answers at once."""

    def __init__(self) -> None:
        self.known: dict[Device, Known | None] = {}
        self.memory: dict[Device, Remembered] = {}
        self.error: Exception | None = None
        self.memory_error: Exception | None = None
        self.is_holding = False
        self.waiting: list[tuple[Sequence[Device], Deferred[list[Known | None]]]] = []
        self.asked: list[Sequence[Device]] = []
        """What was looked up, a round each."""

    def remembered(self, devices: Sequence[Device]) -> Deferred[list[Remembered | None]]:
        if self.memory_error is not None:
            return fail(self.memory_error)
        return succeed([self.memory.get(device) for device in devices])

    def looked_up(self, devices: Sequence[Device]) -> Deferred[list[Known | None]]:
        self.asked.append(devices)
        answer: Deferred[list[Known | None]] = Deferred()
        if self.is_holding:
            self.waiting.append((devices, answer))
        elif self.error is not None:
            answer.errback(self.error)
        else:
            answer.callback(self.answer(devices))
        return answer

    def answer(self, devices: Sequence[Device]) -> list[Known | None]:
        usual = Known(True, seal("right", bytes(16)))
        return [self.known.get(device, usual) for device in devices]

    def let_go(self) -> None:
        """Answer what was held, and hold no more."""
        self.is_holding = False
        waiting, self.waiting = self.waiting, []
        for devices, answer in waiting:
            answer.callback(self.answer(devices))


class FakeTapPublisher:
    """Remembers what is published of devices that are watched, unless it has no room."""

    def __init__(self) -> None:
        self.entries: list[TapEntry] = []
        self.has_room = True
        self.on_lost: Callable[[Tap, int, int], None] = lambda tap, lines, not_shown: None
        self.on_unheard: Callable[[Tap, int], None] = lambda tap, asked: None

    def publish(self, entry: TapEntry) -> bool:
        if self.has_room:
            self.entries.append(entry)
        return self.has_room


class FakeEvidenceTable:
    """Remembers what is told, and finds what whoever tests it has put there; fails while it is away."""

    def __init__(self) -> None:
        self.told: dict[str, Facts] = {}
        self.knocked: list[Stranger] = []
        self.writes: list[int] = []
        self.asked: list[tuple[str, FactsWanted]] = []
        self.route = ""
        self.is_away = False
        self.held: list[Deferred[None]] | None = None
        """Writes that have no answer yet; None to answer at once."""

    def write(self, facts: Sequence[tuple[str, Facts]], strangers: Sequence[Stranger]) -> Deferred[None]:
        self.writes.append(len(facts) + len(strangers))
        if not self.is_away:
            self.told.update(facts)
            self.knocked += strangers
        if self.held is not None:
            self.held.append(Deferred())
            return self.held[-1]
        return self._answer(None)

    def find(self, device: FactsWanted) -> Deferred[Seen]:
        return self._answer(Seen(self.told.get(route_field(*device)), self.route, self.knocked))

    def facts(self, device: FactsWanted) -> Deferred[Facts | None]:
        return self._answer(self.told.get(route_field(*device)))

    def strangers(self) -> Deferred[Sequence[Stranger]]:
        return self._answer(self.knocked)

    def ask(self, gateway: str, device: FactsWanted) -> Deferred[None]:
        self.asked.append((gateway, device))
        return self._answer(None)

    def _answer(self, result: Any) -> Deferred[Any]:
        return fail(EvidenceAwayError("away")) if self.is_away else succeed(result)


class FakeMarks:
    """Knows the devices that whoever tests it gives it; answers at once."""

    def __init__(self, files: Container[Device] = (), commands: Container[Device] = ()) -> None:
        self.files, self.commands = files, commands
        self.error: Exception | None = None
        self.asked: list[Sequence[Device]] = []

    def look(self, devices: Sequence[Device]) -> Deferred[list[Marked]]:
        self.asked.append(devices)
        if self.error is not None:
            return fail(self.error)
        return succeed([Marked(device in self.files, device in self.commands) for device in devices])


@dataclass
class Row:
    """A command of a FakeBook's."""

    device: Device
    kind: int
    body: bytes
    state: str = "queued"
    gateway: str = ""
    fault: str = ""
    sequence: int | None = None
    data: bytes = b""
    """As it was granted."""


class FakeBook:
    """Keeps commands as workers do; answers at once, unless whoever tests it has a say in that."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.gateway = "gw"
        self.told: list[tuple[str, Sequence[Any]]] = []
        """What was asked, by the method's name."""
        self.answers: dict[str, Callable[[Callable[[], Any]], Deferred[Any]]] = {}
        """Of a method, what takes what is to be done and gives its answer."""
        self.held: list[tuple[Deferred[Any], Any]] = []
        self.places = 10_000
        """Commands in an answer."""

    def __contains__(self, device: Device) -> bool:
        return bool(self.waiting(device))

    def add(self, command: int, *device: str, kind: int = 5, body: bytes = b"go") -> None:
        self.rows[command] = Row((device[0], device[1]), kind, body)

    def waiting(self, device: Device) -> list[Ready]:
        rows = [(command, row) for command, row in self.rows.items() if row.device == device and row.state == "queued"]
        return [Ready(command, row.kind, row.body) for command, row in rows]

    def asked(self, name: str) -> list[Sequence[Any]]:
        return [rows for method, rows in self.told if method == name]

    def next_commands(self, asking: Sequence[Asking]) -> Deferred[list[list[Ready]]]:
        return self._answer("next_commands", asking, lambda: self._ready(asking))

    def sending(self, leaving: Sequence[Leaving]) -> Deferred[list[bool]]:
        return self._answer("sending", leaving, lambda: [self._grant(one) for one in leaving])

    def unsent(self, unsent: Sequence[Unsent]) -> Deferred[None]:
        return self._answer("unsent", unsent, lambda: [self._take_back(one) for one in unsent] and None)

    def hold(self, do: Callable[[], Any]) -> Deferred[Any]:
        """Do it, and have nobody know yet."""
        self.held.append((Deferred(), do()))
        return self.held[-1][0]

    @staticmethod
    def lose(do: Callable[[], Any]) -> Deferred[Any]:
        """Do it, and have nobody know."""
        do()
        return fail(TaskTimedOutError("no reply"))

    @staticmethod
    def away(do: Callable[[], Any]) -> Deferred[Any]:
        return fail(NotPublishedError("the broker is away"))

    def hand_over(self) -> None:
        """Let the answers that were held go."""
        held, self.held = self.held, []
        for answer, result in held:
            answer.callback(result)

    def _ready(self, asking: Sequence[Asking]) -> list[list[Ready]]:
        places, ready = self.places, []
        for one in asking:
            ready.append(self.waiting((one.protocol, one.identity))[:places])
            places -= len(ready[-1])
        return ready

    def _grant(self, leaving: Leaving) -> bool:
        row = self.rows[leaving.command]
        if row.state != "queued":
            return False
        row.state, row.gateway, row.sequence, row.data = "sent", self.gateway, leaving.sequence, leaving.data
        return True

    def _take_back(self, unsent: Unsent) -> None:
        row = self.rows[unsent.command]
        if row.state == "queued" or (row.state, row.gateway) == ("sent", self.gateway):
            row.state, row.fault = ("failed", unsent.fault) if unsent.fault else ("queued", "")

    def _answer(self, name: str, rows: Sequence[Any], do: Callable[[], Any]) -> Deferred[Any]:
        self.told.append((name, rows))
        return self.answers[name](do) if name in self.answers else succeed(do())


class FakeDepot:
    """Has the files that whoever tests it gives it; answers at once unless told otherwise."""

    def __init__(self) -> None:
        self.next: dict[Device, Shelved] = {}
        self.bytes: dict[str, bytes] = {}
        self.error: Exception | None = None
        self.asked: list[Sequence[Device]] = []
        self.reads: list[tuple[str, int]] = []
        self.notes: list[DeliveryNote] = []
        self.held: list[tuple[Deferred[bytes | None], bytes | None]] | None = None
        """Slices that were read and are not handed over; None to do that at once."""

    def next_offers(self, devices: Sequence[Device]) -> Deferred[list[Shelved | None]]:
        self.asked.append(devices)
        return self._answer([self.next.get(device) for device in devices])

    def read_slice(self, sha256: str, offset: int) -> Deferred[bytes | None]:
        self.reads.append((sha256, offset))
        whole = self.bytes.get(sha256)
        data = None if whole is None else whole[offset : offset + SLICE_BYTES]
        if self.held is None:
            return self._answer(data)
        self.held.append((Deferred(), data))
        return self.held[-1][0]

    def hand_over(self) -> None:
        """Let what was held go, and what that brings about wait again."""
        held, self.held = self.held or [], []
        for waiting, data in held:
            waiting.callback(data)

    def note(self, notes: Sequence[DeliveryNote]) -> Deferred[None]:
        if self.error is None:
            self.notes += notes
        return self._answer(None)

    def _answer(self, result: Any) -> Deferred[Any]:
        return fail(self.error) if self.error is not None else succeed(result)


class House:
    """A gateway on a fake clock with a fake publisher."""

    def __init__(self, protocol: Any = None, **settings: Any) -> None:
        self.clock = Clock()
        self.publisher = FakePublisher()
        self.protocol = protocol or LineProtocol()
        self.directory = FakeDirectory()
        self.marks = FakeMarks()
        self.gateway = Gateway(Settings(**settings), self.clock, self.publisher.publish)
        self.gateway.admissions.ask_of(self.directory)
        self.evidence = FakeEvidenceTable()
        self.gateway.evidence.keep_in(self.evidence)
        self.gateway.start()

    @property
    def statistics(self) -> Any:
        return self.gateway.statistics

    def connect(self, host: str = "192.168.1.1") -> tuple[Link, StringTransport]:
        link = self.accept(host)
        assert link is not None, "there should have been room"
        transport = LinkTransport(peerAddress=IPv4Address("TCP", host, 54321))
        transport.link = link
        link.makeConnection(transport)
        return link, transport

    def accept(self, host: str) -> Link | None:
        """What a plain listener makes of a connection from there; None if it refuses it."""
        return LinkFactory(self.gateway, self.protocol).buildProtocol(IPv4Address("TCP", host, 54321))

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step

    def refuse(self, identity: str, known: Known | None = None) -> None:
        """Let a device in no more when it knocks: it is unknown, or what is given here."""
        self.directory.known["line", identity] = known

    def commit(self, **outcomes: Outcome) -> None:
        """A receipt for every batch in flight; keyword arguments are outcomes by identity."""
        for batch in self.publisher.batches:
            exceptions = {
                index: outcomes[entry.message.identity]
                for index, entry in enumerate(batch.entries)
                if entry.message.identity in outcomes
            }
            self.gateway.batches.receive(Receipt(batch.id, exceptions))
        self.publisher.batches.clear()

    def say(self, link: Link, *lines: str) -> None:
        """A device sends lines, and the reactor's turn ends."""
        link.dataReceived("".join(f"{line}\n" for line in lines).encode())
        self.clock.advance(0)


class LinkTransport(StringTransport):
    """A transport that tells its link when it has closed, as TCP does, and that knows how to be cut."""

    link: Link
    is_aborted = False

    def abortConnection(self) -> None:
        self.is_aborted = True
        self.finish()

    def finish(self) -> None:
        """The connection is gone."""
        from twisted.internet.protocol import connectionDone

        self.link.connectionLost(connectionDone)
