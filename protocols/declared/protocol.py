"""A protocol made of declarations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from construct import Bytes, ConstructError, FormatField

from protocols.base import BaseProtocol
from protocols.body import read
from protocols.compiler.structure import bare
from protocols.credential import Credential
from protocols.declared.checking import EDITION, check_copied, check_layout, check_word, has_time, refuse, table
from protocols.declared.codec import DeclaredCodec, identity_text
from protocols.declared.explain import explain_frame
from protocols.declared.frame import DeclarationError, Frame
from protocols.declared.outcomes import Outcomes
from protocols.declared.reports import RECORDS, decode, telling
from protocols.declared.rows import Answer, Downlink, Uplink
from protocols.declared.terminal import DeclaredTerminal
from protocols.explanation import Field
from protocols.fields import BCD, Declaration, Text
from protocols.message import Message, Outcome
from protocols.report import Decoded, DecodeError
from protocols.rows import Direction

_IDENTITY_DIGITS = 8
"""Of simulated devices, where the field holds text of any length."""
CREDENTIAL = "credential"
"""The field by which a device proves who it is."""
_REHEARSAL = datetime(2026, 1, 1, tzinfo=UTC)


class DeclaredProtocol(BaseProtocol):
    """A :class:`protocols.DeviceProtocol` from a frame, a table of messages and an answer.

    ``answer`` is the platform's to every message that does not say otherwise, unknown ones too. ``login`` is the message
    that tells the identity in a field of this name, for headers that do not; ``heartbeat`` what a simulated device says
    every ``heartbeat_seconds``. ``down_frame`` is for platforms whose frames differ from the devices'.

    Raises: DeclarationError, with the field or message, and what to do.
    """

    def __init__(
        self,
        name: str,
        title: str,
        port: int,
        frame: Frame,
        messages: Sequence[Uplink | Downlink],
        *,
        answer: Answer | None = None,
        login: str = "",
        heartbeat: str = "",
        heartbeat_seconds: float = 60.0,
        down_frame: Frame | None = None,
    ) -> None:
        self.name, self.title, self.port = name, title, port
        self.frame, self.down_frame = frame, down_frame or frame
        self.headers = {"every frame": frame.header}
        if down_frame:
            self.headers = {"from the device": frame.header, "from the platform": down_frame.header}
        self.heartbeat_seconds = heartbeat_seconds
        self._answer = answer
        self._answers = {row.kind: _own(row, answer) for row in messages if isinstance(row, Uplink)}
        try:
            check_word("name", name)
            for header in self.headers.values():
                check_layout("header", header)
            check_copied(self.down_frame.header, frame.header)
            self.messages = table(messages, self._answers, answer, frame)
            self.outcomes = Outcomes(self.messages)
            self.answers_name = self.outcomes.answers_name
            self.login_kind = self._uplink("login", login)
            self.heartbeat_kind = self._uplink("heartbeat", heartbeat)
            self._identity: Any = self._identity_field()
            self.report_kinds = self._report_kinds()
            self._credential_kinds = self._kinds_with(CREDENTIAL)
            self.has_credentials = bool(self._credential_kinds)
            self._rehearse()
        except DeclarationError as error:
            raise DeclarationError(f"protocol {name}: {error}") from error

    def codec(self, identity: str = "") -> DeclaredCodec:
        return DeclaredCodec(self, identity)

    def terminal(self, identity: str) -> DeclaredTerminal:
        try:
            written = self._identity.build(self.identity_value(identity))
            is_one = identity_text(self._identity.parse(written)) == identity != ""
        except (ConstructError, ValueError):
            is_one = False
        if not is_one:
            raise ValueError(f"{identity!r} is no identity of {self.title}: one is {self.simulated_identity(0)}")
        return DeclaredTerminal(self, identity)

    def simulated_identity(self, number: int) -> str:
        if isinstance(self._identity, FormatField):
            return str(number + 1)
        if isinstance(self._identity, Bytes):
            digits, text = 2 * self._identity.sizeof(), f"{number + 1:x}"
        else:
            size = self._identity.size or _IDENTITY_DIGITS
            digits, text = size * (2 if isinstance(self._identity, BCD) else 1), str(number + 1)
        if len(text) > digits:
            raise ValueError(f"{self.title} has no identity for device {number}: there are {digits} digits")
        return text.zfill(digits)

    def whole_message(self, kind: str, part: Message) -> Message | None:
        """None of a record: what its message said of all of them is not among its bytes."""
        whole = super().whole_message(kind, part)
        if whole is None:
            return None
        (layout,) = self.messages[whole.kind].layouts.values()
        if any(field.name == RECORDS for field in layout.subcons):
            return None
        # A header that tells something stands in front of the body in a report's bytes.
        return whole._replace(body=whole.body[len(whole.head) :]) if telling(self.frame.header) else whole

    def decode(self, message: Message) -> Decoded:
        return decode(self, message)

    def explain(self, frame: bytes) -> Field:
        return explain_frame(self, frame)

    def answer_to(self, kind: int) -> Answer | None:
        """How the platform answers a message of this kind, if it does; one in no table like most, or it would come again."""
        return self._answers.get(kind, None if kind in self.messages else self._answer)

    def answered(self, message: Message, outcome: Outcome, time: datetime) -> bytes:
        """The frame that answers a message; empty if none does.

        Raises: ConstructError or ValueError when what it repeats does not fit its fields.
        """
        answer = self.answer_to(message.kind)
        body = answer.build(message, outcome, time) if answer else None
        if answer is None or body is None:
            return b""
        return self.down_frame.close({**self.frame.read(message.head), "kind": answer.kind_for(message)}, body)

    def login_identity(self, body: bytes) -> str:
        """Whom a login's body names; empty if it cannot be read."""
        assert self.login_kind is not None
        try:
            return identity_text(read(self.messages[self.login_kind].layouts[EDITION], body).identity)
        except DecodeError:
            return ""

    def credential(self, message: Message) -> Credential | None:
        """What is in a field of this name, of whichever message has one."""
        if message.kind not in self._credential_kinds:
            return None
        try:
            text = identity_text(read(self.messages[message.kind].layouts[EDITION], message.body)[CREDENTIAL])
        except DecodeError:
            return None
        return Credential(text) if text else None

    def identity_value(self, identity: str) -> Any:
        """An identity as its field is built from it.

        Raises: ValueError
        """
        if isinstance(self._identity, FormatField):
            return int(identity)
        return bytes.fromhex(identity) if isinstance(self._identity, Bytes) else identity

    def _uplink(self, what: str, name: str) -> int | None:
        kinds = {row.name: row.id for row in self.messages.values() if row.direction is Direction.UP}
        if name and name not in kinds:
            refuse(what, f"{name!r} is no message of the device's, which are {', '.join(kinds)}")
        return kinds.get(name)

    def _identity_field(self) -> Declaration:
        """Where a device says who it is: in the header, or else in the login."""
        found: Declaration | None = None
        if "identity" in self.frame.places:
            found = self.frame.places["identity"][1]
        elif self.login_kind is None:
            refuse("header", "no field 'identity': add one, or name the message that has it by login=\"...\"")
        else:
            login = self.messages[self.login_kind]
            found = next((bare(field) for field in login.layouts[EDITION].subcons if field.name == "identity"), None)
            if found is None:
                refuse(f"message {login.name}", "no field 'identity', which a login has to have")
        if not isinstance(found, (FormatField, Bytes, BCD, Text)):
            refuse("identity", "has to be a number, BCD, Text or Bytes")
        return found

    def _kinds_with(self, field: str) -> set[int]:
        """The device's messages that have a field of this name in their bodies."""
        ups = [row for row in self.messages.values() if row.direction is Direction.UP]
        return {row.id for row in ups if any(part.name == field for part in row.layouts[EDITION].subcons)}

    def _report_kinds(self) -> tuple[int, ...]:
        """What a simulated device reports by itself: of messages without a time, none could be told from one sent again."""
        other = {kind for row in self.messages.values() for kind in row.answered_by} | {self.login_kind, self.heartbeat_kind}
        ups = [row for row in self.messages.values() if row.direction is Direction.UP and not row.ends_session]
        dated = [row for row in ups if "time" in self.frame.places or has_time(row.layouts[EDITION])]
        return tuple(row.id for row in dated if row.id not in other)

    def _rehearse(self) -> None:
        """Send, decode and answer each message once, so that no declaration fails only when a device comes."""
        terminal = DeclaredTerminal(self, self.simulated_identity(0))
        for row in self.messages.values():
            if row.direction is Direction.DOWN:
                continue
            step = "cannot be made"
            try:
                message = terminal.pack(row.id).message
                step = "cannot be decoded"
                decoded = self.decode(message)
                if decoded.error or (row.id in self.report_kinds and len(decoded.reports) != 1):
                    refuse(f"message {row.name}", f"{step}: {decoded.error or 'a list of one makes several reports'}")
                step = "cannot be answered"
                for outcome in Outcome:
                    # The highest number there is: an answer's field must not be too small for it.
                    self.answered(message._replace(sequence=max(self.frame.sequences - 1, 0)), outcome, _REHEARSAL)
            except (ConstructError, ValueError, LookupError, TypeError, AttributeError) as error:
                if isinstance(error, DeclarationError):
                    raise
                refuse(f"message {row.name}", f"{step}: {type(error).__name__}: {' '.join(str(error).split())}")


def _own(row: Uplink, usual: Answer | None) -> Answer | None:
    return row.answer if isinstance(row.answer, Answer) else usual if row.answer else None
