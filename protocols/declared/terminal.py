"""A simulated device of a declared protocol, whose messages are made from the declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from construct import ConstructError

from protocols.compiler import compile
from protocols.declared.believable import Scene, believable
from protocols.declared.frame import Opened
from protocols.declared.outcomes import good_answer
from protocols.executions import Executions
from protocols.message import Malformed, Message, Outcome, Send
from protocols.protocol import MessageRow
from protocols.terminal import Acked, Made, Moment, TerminalEvent

if TYPE_CHECKING:
    from protocols.declared.protocol import DeclaredProtocol

WINDOW = 16
"""Reports that may be under way at once, where their sequences tell the answers apart; else one."""
OTHERS_EVERY = 10
"""Moments between reports that are not of the first kind."""
CLOCK_NOT_SET = datetime(2000, 1, 1, tzinfo=UTC)
"""What a device has for the time before its first moment."""


class _Packed(NamedTuple):
    frame: bytes
    message: Message
    """As the platform sees it."""


class DeclaredTerminal:
    """It reports the first message of the table at every moment, and the others in turn now and then."""

    def __init__(self, protocol: DeclaredProtocol, identity: str) -> None:
        self.identity = identity
        self.heartbeat_seconds = protocol.heartbeat_seconds
        self.executed = Executions()
        self._protocol = protocol
        self._kinds = protocol.report_kinds
        self._window = min(WINDOW, protocol.frame.sequences // 2) or 1
        self._scene = Scene(identity, Moment(CLOCK_NOT_SET, 0.0, 0.0), 0)
        self._next = 1
        self._packed: dict[int, _Packed] = {}
        """What was made and is not acked, by the terminal's own number."""
        self._under_way: list[tuple[Message, int]] = []
        """What waits for its answer on this link, oldest first: with its number if it is a report that was made, else 0."""
        self._login: Message | None = None
        self._is_online = False

    @property
    def is_online(self) -> bool:
        return self._is_online

    def connect(self, moment: Moment | None = None) -> bytes:
        self._splitter = self._protocol.down_frame.splitter()
        self._under_way.clear()
        self._login = None
        if self._protocol.login_kind is None:
            self._is_online = True
            return b""
        packed = self.pack(self._protocol.login_kind)
        self._login = packed.message
        self._is_online = self._protocol.answer_to(packed.message.kind) is None
        return packed.frame

    def receive(self, data: bytes) -> Sequence[TerminalEvent]:
        events: list[TerminalEvent] = []
        for raw in self._splitter.feed(data):
            opened = raw if isinstance(raw, Malformed) else self._protocol.down_frame.open(raw)
            if isinstance(opened, Malformed):
                continue
            events += self._settle(opened)
            events += self._obey(opened)
        return events

    def report(self, moment: Moment) -> Sequence[Made]:
        self._scene = Scene(self.identity, moment, self._scene.turn + 1)
        others, at = self._kinds[1:], self._scene.turn // OTHERS_EVERY
        kinds = list(self._kinds[:1])
        if others and self._scene.turn % OTHERS_EVERY == 0:
            kinds.append(others[at % len(others)])
        return [self._make(kind) for kind in kinds]

    def send(self, waiting: Sequence[Made]) -> tuple[bytes, int]:
        frames: list[bytes] = []
        for made in waiting if self._is_online else ():
            packed = self._packed.get(made.sequence)
            if packed is None:
                # Acked meanwhile, or sent for good.
                frames.append(b"")
                continue
            if not made.is_answered:
                del self._packed[made.sequence]
            elif (packed.message, made.sequence) not in self._under_way:
                if not self._has_room(packed.message):
                    break
                self._under_way.append((packed.message, made.sequence))
            frames.append(packed.frame)
        return b"".join(frames), len(frames)

    def heartbeat(self) -> bytes:
        kind = self._protocol.heartbeat_kind
        # Where answers have no numbers, whoever waits for one says nothing meanwhile.
        return b"" if kind is None or (self._window == 1 and self._under_way) else self._say(kind)

    def _has_room(self, message: Message) -> bool:
        """Whether the answer to one more message could not be taken for another's."""
        return len(self._under_way) < self._window and all(sent.sequence != message.sequence for sent, _ in self._under_way)

    def _say(self, kind: int, sequence: int | None = None, told: Mapping[str, Any] | None = None) -> bytes:
        """A message that is not kept, whatever its answer."""
        packed = self.pack(kind, sequence, told)
        if self._protocol.answer_to(kind) is not None:
            self._under_way = [entry for entry in self._under_way if entry[1] or entry[0].kind != kind]
            self._under_way.append((packed.message, 0))
        return packed.frame

    def _settle(self, opened: Opened) -> list[TerminalEvent]:
        """What an answer settles: the login, or the oldest message that it can be for."""
        if self._login and (outcome := self._outcome(self._login, opened)) is not None:
            self._is_online = outcome is not Outcome.REFUSED
            self._login = None
            return []
        for message, number in self._under_way:
            outcome = self._outcome(message, opened)
            if outcome is not None:
                self._under_way.remove((message, number))
                if not number or outcome is Outcome.REFUSED:
                    return []
                del self._packed[number]
                return [Acked(number)]
        return []

    def _outcome(self, message: Message, opened: Opened) -> Outcome | None:
        """What a frame says of a message that was sent; None if it is no answer to it."""
        answer = self._protocol.answer_to(message.kind)
        if answer is None or opened.fields["kind"] != answer.kind_for(message):
            return None
        if opened.fields.get("sequence", message.sequence) != message.sequence:
            return None
        try:
            return answer.outcome(message, opened.body)
        except (ConstructError, ValueError):
            return None

    def _obey(self, opened: Opened) -> list[TerminalEvent]:
        """Answer a command. What is not answered itself has the command's number, else one of its own."""
        row = self._protocol.messages.get(opened.fields["kind"])
        if row is None or row.direction.value == "up" or not self._is_online:
            return []
        events: list[TerminalEvent] = []
        for kind in row.answered_by:
            sequence = opened.fields.get("sequence") if self._protocol.answer_to(kind) is None else None
            (layout,) = self._protocol.messages[kind].layouts.values()
            told = good_answer(layout, row.id, opened.fields.get("sequence", 0))
            events.append(Send(self._say(kind, sequence, told)))
        if row.command is not None:
            # And no ack.
            self.executed.add(row.id, opened.fields.get("sequence", 0), opened.body)
        return events

    def _make(self, kind: int) -> Made:
        number = self._next
        packed = self._packed[number] = self.pack(kind)
        (report,) = self._protocol.decode(packed.message).reports
        return Made(number, report.kind, report.body, self._protocol.answer_to(kind) is not None)

    def pack(self, kind: int, sequence: int | None = None, answer: Mapping[str, Any] | None = None) -> _Packed:
        """A message of this kind, as of now; with what it says as an answer, if it is one."""
        if sequence is None:
            self._next, sequence = self._next + 1, self._next
        sequence %= self._protocol.frame.sequences or 1
        row: MessageRow = self._protocol.messages[kind]
        (layout,) = row.layouts.values()
        known = {"identity": self._protocol.identity_value(self.identity)}
        body = compile(layout).build(believable(layout, self._scene, known if kind == self._protocol.login_kind else answer or {}))
        told: dict[str, Any] = {**known, "kind": kind, "sequence": sequence, "length": 0}
        frame = self._protocol.frame.close(believable(self._protocol.frame.header, self._scene, told), body)
        (raw,) = self._protocol.frame.splitter().feed(frame)
        opened = raw if isinstance(raw, Malformed) else self._protocol.frame.open(raw)
        assert isinstance(opened, Opened)
        return _Packed(frame, Message(self.identity, kind, sequence, opened.head, opened.body))
