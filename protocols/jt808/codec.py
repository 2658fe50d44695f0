"""The platform's end of a JT/T 808 link.

    terminal                                    platform
      ── 0x0100 register ───────────────────────▶
      ◀─────────────── 0x8100 (result, code) ────
      ── 0x0102 authenticate (code) ────────────▶
      ◀─────────────────── 0x8001 (result) ──────
      ── 0x0200 location, 0x0704, 0x0002 ... ───▶
      ◀─────────────────── 0x8001 (result) ──────
      ── 0x0801 photo in pieces, some lost ─────▶
      ◀────────────── 0x8800 (id, [missing]) ────  5 s after the last, without waiting for a receipt
      ── the missing pieces ────────────────────▶
      ◀─────────────────────── 0x8800 (id) ──────  once, when the photo is stored
      ── 0x0005 (sequence, [missing]) ──────────▶
      ◀── those pieces of a longer downlink ─────  at once; files go down in pieces as :mod:`protocols.jt808.upgrade` says

Source: JT/T 808-2013 and JT/T 808-2019, chapters 4 to 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protocols.command import Prepared
from protocols.download import Offer
from protocols.framing import SAMPLE_BYTES, DelimitedSplitter
from protocols.jt808.answers import Reply, confirmation, repeated, replies, request, wanted_pieces
from protocols.jt808.completed import Piece
from protocols.jt808.downlink import Downlink
from protocols.jt808.header import FLAG, is_header, open_frame, read_header
from protocols.jt808.messages import answer_of
from protocols.jt808.parts import Missing, Reassembly, Repeated
from protocols.jt808.rows import PLATFORM_GENERAL_RESPONSE, TERMINAL_GENERAL_RESPONSE, Answer
from protocols.jt808.terminal_management import SUB_PACKET_REQUEST, UPGRADE_PACKAGE
from protocols.jt808.upgrade import Upgrade
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send, Wanted

MAX_RUN_BYTES = 4096
"""Between two flags. The longest frame has 1,045 bytes, each of which may have been escaped to two."""


class JT808Codec:
    """One link. The platform numbers its own messages on it from 0 on.

    With ``is_proven``, nothing is acked on it that comes from a terminal which has not shown its credential.
    """

    __slots__ = ("_address", "_downlink", "_identity", "_is_proven", "_reassembly", "_splitter", "_upgrades", "is_watched")

    def __init__(self, *, is_proven: bool = False) -> None:
        self.is_watched = False
        self._is_proven = is_proven
        self._splitter = DelimitedSplitter(FLAG, MAX_RUN_BYTES)
        self._reassembly = Reassembly()
        self._downlink = Downlink()
        self._upgrades: dict[str, Upgrade] = {}
        """Files that go down, by the terminal's identity."""
        self._address, self._identity = b"", ""
        """The last header's bytes that tell who sent it, and who that is: a link's messages nearly all have the same."""

    @property
    def deadline(self) -> float | None:
        wanted = self._reassembly.deadline
        if not self._upgrades:
            return wanted
        deadlines = [upgrade.deadline for upgrade in self._upgrades.values()] + [wanted]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        events: list[Event] = []
        for run in self._splitter.feed(data):
            if self.is_watched:
                # Between flags of its own, though it may share them with its neighbours.
                events.append(RawFrame(run.raw if isinstance(run, Malformed) else FLAG + run + FLAG))
            if isinstance(run, Malformed):
                events.append(run)
                continue
            opened = open_frame(run)
            if isinstance(opened, Malformed):
                events.append(opened)
                continue
            head, body = opened
            # A header with sub-packet words has another length, so that it never passes for one without.
            if head[4:-2] != self._address:
                header = read_header(head)
                if header.is_part:
                    events += self._put_together(Piece(head, header, body), now)
                    continue
                self._address, self._identity = head[4:-2], header.identity
            message = Message(self._identity, head[0] << 8 | head[1], head[-2] << 8 | head[-1], head, body)
            events.append(message)
            if message.kind == SUB_PACKET_REQUEST:
                events += self._send_again(message)
            elif message.kind == TERMINAL_GENERAL_RESPONSE and self._upgrades:
                events += self._confirmed(message, now)
        return events

    def wake(self, now: float) -> Sequence[Event]:
        """Ask for what is missing, give up what was asked for in vain, and go on with files that nobody confirms."""
        events: list[Event] = []
        for upgrade in self._upgrades.values():
            if upgrade.deadline is not None and upgrade.deadline <= now:
                events += upgrade.go_on(now)
        for event in self._reassembly.wake(now):
            if isinstance(event, Missing):
                id, body = request(event)
                events.append(Send(self._downlink.send(event.head, id, body)))
            else:
                events.append(event)
        return events

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """An answer per frame that the message came in, or the one of its kind, in the header version it came with."""
        if message.parts:
            self._reassembly.settle(message, outcome)
        elif outcome is not Outcome.REFUSED and answer_of(message.kind) is Answer.GENERAL:
            return self._downlink.send(message.head, PLATFORM_GENERAL_RESPONSE, confirmation(message))
        return self._reply(message.head, replies(message, outcome, time, is_proven=self._is_proven))

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """The frames of a message of the platform's own, cut into sub-packets where it is too long for one.

        Raises: ValueError when no terminal has sent a header like ``head``, or the body is longer than any would take.
        """
        if not is_header(head):
            raise ValueError(f"no header has {len(head)} bytes")
        return self._downlink.prepare(head, kind, body)

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        """It leaves; its sub-packets are kept for a while in case the terminal asks for some of them again."""
        self._downlink.keep(prepared)
        return [Send(prepared.data)]

    def offer(self, head: bytes, offer: Offer, now: float) -> Sequence[Event]:
        """There is no message that offers: the file's first pieces leave, of one that is awaited those that are asked for.

        Raises: ValueError when 0x8108 has no place for it.
        """
        upgrade = self._upgrades[read_header(head).identity] = Upgrade(head, offer)
        return upgrade.go_on(now)

    def hand_out(self, wanted: Wanted, data: bytes, now: float) -> Sequence[Event]:
        upgrade = self._upgrades.get(wanted.identity)
        if upgrade is None:
            return []
        if not data:
            del self._upgrades[wanted.identity]
            return []
        return [Send(upgrade.frames(wanted, data, now))]

    def withdraw(self, identity: str) -> None:
        self._upgrades.pop(identity, None)

    def end(self) -> Sequence[Event]:
        events: list[Event] = []
        events += self._reassembly.end()
        if self._splitter.pending:
            events.append(Malformed("cut", self._splitter.pending[:SAMPLE_BYTES]))
        return events

    def _put_together(self, piece: Piece, now: float) -> list[Event]:
        events: list[Event] = []
        for event in self._reassembly.add(piece, now):
            if not isinstance(event, Repeated):
                events.append(event)
            elif frames := self._reply(event.message.head, repeated(event.message)):
                events.append(Send(frames))
        return events

    def _send_again(self, message: Message) -> Sequence[Event]:
        """The pieces that a terminal asks for. Nothing where they are kept no more: there is no answer that says so."""
        sequence, numbers = wanted_pieces(message)
        upgrade = self._upgrades.get(message.identity)
        if upgrade is not None and upgrade.has(sequence):
            return upgrade.again(numbers)
        frames = self._downlink.again(read_header(message.head).phone, sequence, numbers)
        return [Send(frames)] if frames else []

    def _confirmed(self, message: Message, now: float) -> Sequence[Event]:
        """A terminal answers one of our messages, perhaps a piece of a file."""
        upgrade = self._upgrades.get(message.identity)
        if upgrade is None or int.from_bytes(message.body[2:4], "big") != UPGRADE_PACKAGE:
            return []
        return upgrade.confirmed(int.from_bytes(message.body[:2], "big"), now)

    def _reply(self, head: bytes, replies: Sequence[Reply]) -> bytes:
        return b"".join([self._downlink.send(head, id, body) for id, body in replies])
