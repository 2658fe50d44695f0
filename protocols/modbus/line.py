"""The serial line behind a DTU, which the platform is the master of.

platform                                       units, by way of the DTU
  ── login reads, polls at their intervals ──────▶
  ◀────────────────────────────── the answer ─────   or an exception, which is an answer too
  (a pause, then the next request: there is one at a time, for all units)
  ── a request ──────────────────────────────────▶
  ◀─────────────────────────────────── nothing ───   time-out: the line is left alone for a while, then
  ── the request again, longer by a register ────▶   so that the late answer cannot pass for its answer

RS-485 is half duplex and RTU frames have no numbers. Whoever asks too soon takes an old answer for a new one, with a
right CRC, and all that follows is one answer behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send
from protocols.modbus import kinds
from protocols.modbus.frame import Asked
from protocols.modbus.pdu import Request
from protocols.modbus.planner import PACKING_SECONDS, GroupPlan, wire_seconds
from protocols.modbus.polls import Client, Identification, Note, Poll, Probe, Unit, is_unit_away
from protocols.modbus.registration import BLANKS
from protocols.modbus.site import Dtu
from protocols.modbus.stream import Found, Kind, Stream
from protocols.modbus.writes import Wanted, Write

MAX_COMMANDS = 16
"""What may wait on one line. Each takes a round trip or two."""
MIN_DRAIN_SECONDS = 0.5
MUDDLED_TIMEOUTS = 3
"""So many in a row on a line that brought late bytes, and it has to be silent for a whole time-out before it goes on."""
MAX_SILENCE_SECONDS = 30.0
"""It is not waited for longer: on a line with another master it never comes."""
STRANGE_SECONDS = 60.0
"""Of bytes that nobody asked for one frame is told of in so long: another master may talk all day."""


class Line:
    """One line from the DTU's registration to the end of its link."""

    def __init__(self, dtu: Dtu, identity: str, registration: bytes, now: float = 0.0) -> None:
        self.dtu = dtu
        self.identity = identity
        self.units = {plan.unit: Unit(plan) for plan in dtu.plan.units}
        self.is_admitted = True
        self.is_watched = False
        self.deadline: float | None = None
        self._stream = Stream(dtu.framing, (registration, *dtu.heartbeats) if registration else dtu.heartbeats)
        self._clients: list[Client] = []
        self._now = now
        self._is_wanted = self._is_started = False
        self._client: Client | None = None
        """Whose request is on its way."""
        self._expires_at = self._free_at = self._received_at = 0.0
        self._guarded: Request | None = None
        """What was asked in vain: until :attr:`_guarded_until` its answer may come and fit another request's."""
        self._guarded_until = 0.0
        self._postponed: dict[Client, float] = {}
        self._asked: Asked | None = None
        self._silence_seconds = 0.0
        """How long a line that answers too late has to be silent."""
        self._timeouts = 0
        self._was_late = False
        self._transaction = 0
        self._sequence = 0
        self._strange_at = float("-inf")
        self._strange_sequence = 0

    def admit(self) -> None:
        """The DTU is stored: polling begins when the line is woken, which it wants to be at once."""
        self._is_wanted = True
        self._watch()

    def _start(self) -> None:
        """What is not read at login begins spread over its interval, the same each time, so that a thousand DTUs that
        come back together do not go on together."""
        self._is_started = True
        for unit in self.units.values():
            if unit.plan.model.identification:
                self._clients.append(Identification(unit, self._now))
            for group in unit.plan.groups:
                self._clients.append(Poll(unit, group, self._now + self._spread(unit, group)))
            if unit.plan.shortest is not None:
                self._clients.append(Probe(unit, unit.plan.shortest))

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes of the link."""
        self._now = now
        events = self._take(self._stream.feed(data, now), now)
        self._received_at = now
        self._watch()
        return events

    def wake(self, now: float) -> list[Event]:
        """Do what is due: end a silence, give up a request, send the next."""
        self._now = now
        if self._is_wanted and not self._is_started:
            self._start()
        events = self._take(self._stream.quiet(now), now)
        if self._client is not None and now >= self._expires_at:
            events += self._give_up(now)
        events += self._expire(now)
        if self._client is None and self._is_started and now >= self._line_free_at:
            events += self._ask(now)
        self._watch()
        return events

    def checked(self, wanted: Wanted) -> Wanted:
        """A command that could be done now.

        Raises: ValueError when its unit could not take it, with the reason.
        """
        unit = self.units.get(wanted.request.unit)
        if unit is None:
            raise ValueError(f"unit: {wanted.request.unit} is none of {', '.join(map(str, self.units)) or 'no units'} on this line")
        if not self.is_admitted or not unit.is_admitted:
            raise ValueError(f"unit: {unit.number} may not come in")
        if not self._is_wanted:
            raise ValueError("the DTU is not stored yet")
        if not unit.is_online:
            raise ValueError(f"unit: {unit.number} is offline")
        if sum(isinstance(client, Write) for client in self._clients) >= MAX_COMMANDS:
            raise ValueError(f"unit: {MAX_COMMANDS} commands are waiting on this line")
        return wanted

    def command(self, wanted: Wanted, now: float) -> None:
        """Take in a command that was found good. What happens to its unit meanwhile it waits for, until it expires."""
        self._now = now
        if self.is_admitted and self.units[wanted.request.unit].is_admitted:
            self._clients.append(Write(self.units[wanted.request.unit], wanted, now))
        self._watch()

    def settle(self, message: Message, outcome: Outcome) -> None:
        """A message of this line has its receipt."""
        if outcome is Outcome.REFUSED:
            self._refuse(message.identity)
        if message.sequence == self._strange_sequence:
            self._strange_sequence = 0
        for unit in self.units.values():
            if message.sequence == unit.status_sequence:
                unit.status_sequence = 0
        for client in self._clients:
            client.settled(message.sequence)
        self._watch()

    def end(self) -> list[Event]:
        """The link is gone: what was begun and not ended."""
        pending = self._stream.pending
        self._stream = Stream(self.dtu.framing, ())
        return [Malformed("cut", pending)] if pending.strip(BLANKS) else []

    @property
    def _line_free_at(self) -> float:
        """When the next request may leave."""
        if self._timeouts >= MUDDLED_TIMEOUTS and self._was_late:
            return min(max(self._free_at, self._received_at + self._silence_seconds), self._free_at + MAX_SILENCE_SECONDS)
        return self._free_at

    def _refuse(self, identity: str) -> None:
        dtu, _, unit = identity.rpartition("/")
        if dtu == self.identity and unit.isdecimal() and int(unit) in self.units:
            self.units[int(unit)].is_admitted = False
        else:
            self.is_admitted = False
            self._clients = []

    def _ask(self, now: float) -> list[Event]:
        """Send the request of whoever is due and goes first."""
        self._postponed = {client: until for client, until in self._postponed.items() if until > now}
        due = [client for client in self._clients if client not in self._postponed and client.due is not None and client.due <= now]
        due.sort(key=lambda client: (client.rank, not client.is_under_way, client.unit.served_at, client.due))
        for client in due:
            request = client.request(now)
            if request is None:
                continue
            if self._is_guarded(request, now):
                self._postponed[client] = self._guarded_until
                continue
            return [self._send(client, request, now)]
        return []

    def _is_guarded(self, request: Request, now: float) -> bool:
        """Whether the late answer to another request would fit this one."""
        lost = self._guarded
        if lost is None or now >= self._guarded_until or lost == request or self.dtu.framing.name == "mbap":
            return False
        return lost.unit == request.unit and lost.answer_head == request.answer_head

    def _send(self, client: Client, request: Request, now: float) -> Send:
        self._transaction = self._transaction % 0xFFFF + 1
        asked = Asked(request, self.dtu.framing.wrap(request.unit, request.pdu, self._transaction), self._transaction)
        self._stream.ask(asked)
        self._client, self._asked = client, asked
        self._expires_at = now + self._timeout(client.unit, asked)
        client.unit.served_at = now
        return Send(asked.frame)

    def _timeout(self, unit: Unit, asked: Asked) -> float:
        wire = wire_seconds(len(asked.frame) + asked.request.longest_answer + 3, self.dtu.baud)
        return self.dtu.link_latency_seconds + 2 * PACKING_SECONDS + wire + unit.limits.timeout_seconds

    def _give_up(self, now: float) -> list[Event]:
        """The time of the request on its way is over."""
        client, asked = self._client, self._asked
        assert client is not None
        assert asked is not None
        events = self._take(self._stream.give_up(), now)
        timeout = self._timeout(client.unit, asked)
        drained_at = now + max(MIN_DRAIN_SECONDS, timeout / 2)
        self._client = None
        self._timeouts += 1
        self._silence_seconds = timeout
        self._guarded, self._guarded_until = asked.request, drained_at + timeout
        self._free_at = drained_at
        return events + self._unanswered(client, now)

    def _unanswered(self, client: Client, now: float) -> list[Event]:
        unit = client.unit
        notes = client.unanswered(now)
        if isinstance(client, Poll) and client.is_lost:
            others = [other for other in self.units.values() if other is not unit]
            is_silent = bool(others) and not any(other.answered_at >= unit.failing_since > 0 for other in others)
            unit.poll_failed(now, is_silent)
            if not unit.is_online:
                self._abandon(unit)
        return self._tell(client, notes) + self._tell_status(unit)

    def _abandon(self, unit: Unit) -> None:
        for client in self._clients:
            if isinstance(client, Poll) and client.unit is unit:
                client.abandon()

    def _take(self, found: Iterable[Found], now: float) -> list[Event]:
        events: list[Event] = []
        for kind, data in found:
            if self.is_watched:
                events.append(RawFrame(data))
            if kind is Kind.ANSWER:
                events += self._answered(self.dtu.framing.unframed(data), now)
            elif kind is Kind.LATE:
                self._guarded, self._postponed = None, {}
                self._was_late = True
                events += self._strange(kinds.LATE_ANSWER, data, now)
            elif kind is Kind.STRANGE:
                events += self._strange(kinds.UNASKED_FRAME, data, now)
            elif kind is Kind.NOISE and data.strip(BLANKS):
                self._was_late = self._was_late or self._timeouts > 0
                events.append(Malformed("garbage", data))
        return events

    def _answered(self, adu: bytes, now: float) -> list[Event]:
        client, pdu = self._client, adu[1:]
        assert client is not None
        self._client = None
        unit = client.unit
        self._free_at = now + unit.limits.turnaround_seconds
        if self._asked is not None and self._asked.request == self._guarded and now < self._guarded_until:
            # The same request was sent twice: its other answer may still come, and is not to meet a third.
            self._guarded_until = max(self._guarded_until, now + self._silence_seconds)
            self._free_at = max(self._free_at, now + self.dtu.link_latency_seconds)
        self._timeouts, self._was_late = 0, False
        if is_unit_away(pdu):
            return self._unanswered(client, now)
        unit.answered(now)
        notes = client.answered(pdu, now)
        return self._tell_status(unit) + self._tell(client, notes)

    def _strange(self, kind: int, frame: bytes, now: float) -> list[Event]:
        """A frame that nobody waits for. The next is told of when this one is stored, and a while has passed."""
        if self._strange_sequence or now < self._strange_at + STRANGE_SECONDS:
            return [Malformed("unasked" if kind == kinds.UNASKED_FRAME else "late", frame)]
        self._strange_at = now
        message = self._message(self.identity, Note(kind, b"", self.dtu.framing.unframed(frame)))
        self._strange_sequence = message.sequence
        return [message]

    def _expire(self, now: float) -> list[Event]:
        events: list[Event] = []
        for client in list(self._clients):
            if isinstance(client, Write) and client is not self._client:
                events += self._tell(client, client.expire(now))
        for unit in self.units.values():
            events += self._tell_status(unit)
        return events

    def _tell(self, client: Client, notes: Iterable[Note]) -> list[Event]:
        events: list[Event] = []
        for note in notes:
            message = self._message(f"{self.identity}/{client.unit.number}", note)
            client.told(message.sequence)
            events.append(message)
        if isinstance(client, Write) and client.is_done and client in self._clients:
            self._clients.remove(client)
        return events

    def _tell_status(self, unit: Unit) -> list[Event]:
        note = unit.status()
        if note is None:
            return []
        message = self._message(f"{self.identity}/{unit.number}", note)
        unit.status_sequence = message.sequence
        return [message]

    def _message(self, identity: str, note: Note) -> Message:
        self._sequence += 1
        return Message(identity, note.kind, self._sequence, note.head, note.body)

    def _spread(self, unit: Unit, group: GroupPlan) -> float:
        if group.group.at_login:
            return 0.0
        name = f"{self.identity}/{unit.number}/{group.group.name}".encode()
        return group.interval_seconds * int.from_bytes(blake2b(name, digest_size=4).digest(), "big") / 2**32

    def _watch(self) -> None:
        """Tell when the next thing is due."""
        wanted = [] if self._stream.deadline is None else [self._stream.deadline]
        if self._client is not None:
            wanted.append(self._expires_at)
        elif self._is_started:
            due = [(client.due, self._postponed.get(client, 0.0)) for client in self._clients]
            wanted += [max(at, postponed, self._line_free_at) for at, postponed in due if at is not None]
        elif self._is_wanted:
            wanted.append(self._now)
        # What is on its way does not wait any more.
        writes = [client for client in self._clients if isinstance(client, Write) and client is not self._client]
        wanted += [until for write in writes if (until := write.waits_until) is not None]
        self.deadline = min(wanted, default=None)
