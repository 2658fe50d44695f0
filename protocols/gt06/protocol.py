"""GT06 as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from protocols.base import BaseProtocol
from protocols.command import AnswersName
from protocols.explanation import Field
from protocols.gt06.codec import GT06Codec
from protocols.gt06.explain import explain_frame
from protocols.gt06.frame import BARE, HEADERS, LONG, SHORT
from protocols.gt06.messages import MESSAGES
from protocols.gt06.options import Options, read_options
from protocols.gt06.reports import decode
from protocols.gt06.terminal import GT06Terminal, simulated_identity
from protocols.gt06.texts import COMMAND
from protocols.message import Message
from protocols.report import Decoded

ENGLISH = 2
"""The language of a reply."""


class GT06Protocol(BaseProtocol):
    """Trackers of Concox and Jimi, and the many that speak as they do (康凯斯GT06系列定位器协议)."""

    name = "gt06"
    title = "GT06"
    port = 5023
    answers_name = AnswersName.SEQUENCE
    messages = MESSAGES
    headers = MappingProxyType({"short": HEADERS[SHORT], "long": HEADERS[LONG], "bare dialect": HEADERS[BARE]})

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()

    def configure(self, options: Mapping[str, Any]) -> GT06Protocol:
        """This protocol with ``ack``, ``check`` and ``zone``, as :class:`Options` says.

        Raises: ValueError, with the option's name and what it may be.
        """
        return GT06Protocol(read_options(options))

    def codec(self, identity: str = "") -> GT06Codec:
        return GT06Codec(self._options, identity)

    def terminal(self, identity: str) -> GT06Terminal:
        return GT06Terminal(identity)

    def simulated_identity(self, number: int) -> str:
        return simulated_identity(number)

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        """The body of a message. For a command ``text`` will do, and the ``language`` of the reply, English if it is left out.

        Raises: ValueError, with the field, its value and what it may be.
        """
        row = self._row(kind)
        if row.id == COMMAND and "text" in fields:
            inside = {name: value for name, value in fields.items() if name != "language"}
            language = {} if edition == "bare" else {"language": fields.get("language", ENGLISH)}
            fields = {"command": {"flag": 0, **inside}, **language}
        return super().build(row.id, fields, edition)

    def decode(self, message: Message) -> Decoded:
        return decode(message)

    def explain(self, frame: bytes) -> Field:
        return explain_frame(frame)
