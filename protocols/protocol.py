"""What a device protocol offers: one object per protocol, one codec per link, one terminal per simulated device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from construct import Struct

from protocols.command import AnswersName, CommandRule, Prepared
from protocols.credential import Credential
from protocols.explanation import Field
from protocols.message import Event, Message, Outcome
from protocols.report import Decoded
from protocols.terminal import Terminal


class Codec(Protocol):
    """The platform's end of one link.

    It never raises on a peer's bytes, and holds a bounded number of them. Times called ``now`` are seconds of one
    steady clock, whichever; the codec has no other.
    """

    is_watched: bool
    """Whether somebody looks at the link's frames: each is then an event, before those that come of it. False at first."""

    @property
    def deadline(self) -> float | None:
        """When it wants to be woken, by the clock of ``now``; None for never. Any call may move it.

        A protocol in which the platform never speaks first has a plain ``deadline = None``.
        """

    def wake(self, now: float) -> Sequence[Event]:
        """The deadline has come, perhaps some time ago; what came of it."""

    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        """Take bytes as they came, at ``now``; give what they complete, in order."""

    def ack(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """The bytes that answer a message which came over this link; empty if the protocol has none.

        ``time`` is the platform's at this moment, aware, for answers that tell it.
        """

    def prepare(self, head: bytes, kind: int, body: bytes, number: int, time: datetime) -> Prepared:
        """Number and frame a message of the platform's own, to the device whose messages have a head like this.

        ``number`` is the platform's own of the command: no two of one device have the same, on whichever links. Where
        frames have room for a number of the platform's choice, a body that has 0 there gets it. ``time`` is the
        platform's at this moment, aware, for bodies that leave out theirs. Nothing leaves, and nothing is remembered
        but the link's own count.

        Raises: ValueError when the device could not take it, with the reason.
        """

    def launch(self, prepared: Prepared, now: float) -> Sequence[Event]:
        """Let what was prepared on this link leave: at once, or as soon as the link is free.

        What cannot leave any more does not, and nobody is told: no answer comes.
        """

    def end(self) -> Sequence[Event]:
        """The link is gone: what was left unfinished, as malformed events."""


class MessageRow(Protocol):
    """What every protocol's table says of a message."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def english(self) -> str: ...
    @property
    def chinese(self) -> str: ...
    @property
    def layouts(self) -> Mapping[str, Struct]:
        """The body's declarations by edition."""

    @property
    def direction(self) -> Enum:
        """Its value is ``up`` if the device sends it, ``down`` if the platform does."""

    @property
    def answer(self) -> Enum:
        """How the platform answers it; the value says it in a few words."""

    @property
    def answered_by(self) -> tuple[int, ...]:
        """What the device answers with, by id."""

    @property
    def ends_session(self) -> bool:
        """Whether the device takes its leave with it."""

    @property
    def command(self) -> CommandRule | None:
        """How operators may send it; None if it is the platform's alone, such as an answer."""


class DeviceProtocol(Protocol):
    """A protocol as the rest of the house sees it."""

    name: str
    """Its word in settings, commands and rows: ``jt808``."""
    title: str
    """Its name among people: ``JT/T 808``."""
    port: int
    """The TCP port it listens on by default."""
    answers_name: AnswersName
    """By what its devices' answers tell which command they are to."""

    @property
    def messages(self) -> Mapping[int, MessageRow]:
        """The table of messages, by id."""

    @property
    def headers(self) -> Mapping[str, Struct]:
        """What stands before a body, by what tells the layouts apart."""

    def configure(self, options: Mapping[str, Any]) -> DeviceProtocol:
        """This protocol with the operator's settings for it, the table ``protocols.<name>`` of the configuration.

        Raises: ValueError, with the option's name and what it may be.
        """

    @property
    def warnings(self) -> Sequence[str]:
        """What an operator should know of its options: they work, but perhaps not as they are meant."""

    def codec(self, identity: str = "") -> Codec:
        """The platform's end of a new link; with an identity, of one on which that device has logged in already."""

    def terminal(self, identity: str) -> Terminal:
        """A simulated device.

        Raises: ValueError when no device of this protocol could have this identity.
        """

    def simulated_identity(self, number: int) -> str:
        """What the simulated device of this number, from 0, is called."""

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        """The body of a message by its name or id, in one of its layouts; by default in the first.

        Raises: ValueError, with the field, its value and what it may be.
        """

    def decode(self, message: Message) -> Decoded:
        """Decode a body. Bad bytes never raise: they are the ``error`` of what is returned."""

    def explain(self, frame: bytes) -> Field:
        """What every byte of a frame means, be it good or bad, whole or cut."""

    def kind_name(self, kind: int) -> str:
        """The message's word in reports and pages; its hex where the protocol has no such message."""

    @property
    def told_beside_body(self) -> frozenset[str]:
        """Names of values that a report has from the message it came in, and not from its own bytes."""

    def whole_message(self, kind: str, part: Message) -> Message | None:
        """A message of this kind's report alone, to be decoded again; None if its bytes make none.

        ``part`` has the head of the message that the report came in, and for a body the report's own; its kind says nothing.
        """

    def ends_session(self, kind: int) -> bool:
        """Whether the device takes its leave with this message."""

    @property
    def has_credentials(self) -> bool:
        """Whether devices can prove who they are. Of one in which they cannot, no message has a credential."""

    def with_credentials(self) -> DeviceProtocol:
        """This protocol for a platform whose devices are let in only by their credentials, where its answers differ then."""

    def credential(self, message: Message) -> Credential | None:
        """What a message shows to prove who sends it; None if it shows nothing, or cannot be read."""
