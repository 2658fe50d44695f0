"""What most protocols do alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from protocols.catalogue import Entry
from protocols.command import AnswersName, CommandKind
from protocols.credential import Credential
from protocols.filling import fill
from protocols.message import Message
from protocols.protocol import MessageRow


class BaseProtocol:
    """The parts of a :class:`protocols.DeviceProtocol` that follow from its name and its table of messages."""

    name: str
    title: str
    port: int
    messages: Mapping[int, MessageRow]
    answers_name = AnswersName.NOTHING
    has_credentials = False
    told_beside_body: frozenset[str] = frozenset()
    """None, unless it says otherwise."""

    @property
    def warnings(self) -> Sequence[str]:
        """None, unless it says otherwise."""
        return ()

    def configure(self, options: Mapping[str, Any]) -> Self:
        """A protocol without options, unless it says otherwise."""
        for option in options:
            raise ValueError(f"{option}: {self.title} has no such option")
        return self

    def kind_name(self, kind: int) -> str:
        row = self.messages.get(kind)
        return f"0x{kind:02X}" if row is None else row.name

    def whole_message(self, kind: str, part: Message) -> Message | None:
        """The message that a report of its whole body came by, found by its name."""
        row = next((row for row in self.messages.values() if row.name == kind), None)
        return None if row is None else part._replace(kind=row.id)

    def ends_session(self, kind: int) -> bool:
        row = self.messages.get(kind)
        return row is not None and row.ends_session

    def with_credentials(self) -> Self:
        """Itself, unless it says otherwise."""
        return self

    def more_entries(self) -> dict[str, Entry]:
        """What values are called that no declaration of a message names. None, unless it says otherwise."""
        return {}

    def edition_of(self, head: bytes) -> str:
        """Which of its messages' layouts the device with this head understands. The first, unless it says otherwise."""
        return ""

    def more_commands(self, head: bytes = b"") -> dict[str, CommandKind]:
        """Commands by name that are no messages of their own. None, unless it says otherwise."""
        return {}

    def fields_of(self, identity: str, head: bytes) -> Mapping[str, Any]:
        """Fields of a command that follow from which device it is for. None, unless it says otherwise."""
        return {}

    def credential(self, message: Message) -> Credential | None:
        """None, unless it says otherwise."""
        return None

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        """The body of a message, by its name or its id.

        Raises: ValueError, with the field, its value and what it may be.
        """
        row = self._row(kind)
        layout = row.layouts.get(edition) if edition else next(iter(row.layouts.values()))
        if layout is None:
            raise ValueError(f"{row.name} has no layout {edition!r}, but {', '.join(row.layouts)}")
        try:
            return fill(layout, fields)
        except ValueError as error:
            raise ValueError(f"{row.name}: {error}") from error

    def _row(self, kind: str | int) -> MessageRow:
        for row in self.messages.values():
            if kind in (row.id, row.name):
                return row
        raise ValueError(f"there is no message {kind!r}")
