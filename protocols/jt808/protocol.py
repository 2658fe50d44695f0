"""JT/T 808 as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from protocols.base import BaseProtocol
from protocols.command import AnswersName
from protocols.credential import Credential
from protocols.explanation import Field
from protocols.jt808.answers import shown_code
from protocols.jt808.building import build
from protocols.jt808.codec import JT808Codec
from protocols.jt808.explain import explain_frame
from protocols.jt808.header import HEADERS, is_2019, is_header
from protocols.jt808.messages import MESSAGES
from protocols.jt808.reports import decode
from protocols.jt808.terminal import JT808Terminal
from protocols.message import Message
from protocols.report import Decoded

_FIRST_PHONE = 13_800_000_000


class JT808Protocol(BaseProtocol):
    """Road-transport vehicles' terminals, editions 2011, 2013 and 2019 (道路运输车辆卫星定位系统终端通信协议)."""

    name = "jt808"
    title = "JT/T 808"
    port = 6808
    answers_name = AnswersName.SEQUENCE
    has_credentials = True
    told_beside_body = frozenset({"answered_sequence"})
    """It stands before the location in an answer, which is the report that it would be had it come by itself."""
    messages = MESSAGES
    headers = MappingProxyType(
        {
            "2011 and 2013": HEADERS[False, False],
            "2011 and 2013, sub-packet": HEADERS[False, True],
            "2019": HEADERS[True, False],
            "2019, sub-packet": HEADERS[True, True],
        }
    )

    def __init__(self, *, is_proven: bool = False) -> None:
        self._is_proven = is_proven

    def with_credentials(self) -> JT808Protocol:
        return JT808Protocol(is_proven=True)

    def codec(self, identity: str = "") -> JT808Codec:
        return JT808Codec(is_proven=self._is_proven)

    def terminal(self, identity: str) -> JT808Terminal:
        return JT808Terminal(identity)

    def simulated_identity(self, number: int) -> str:
        return str(_FIRST_PHONE + number)

    def credential(self, message: Message) -> Credential | None:
        """The authentication code, or at registration the terminal's id, which becomes its code.

        Source: JT/T 808-2019, 8.5 and 8.8.
        """
        code = shown_code(message)
        return Credential(code) if code else None

    def decode(self, message: Message) -> Decoded:
        return decode(message)

    def explain(self, frame: bytes) -> Field:
        return explain_frame(frame)

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        """The body of a message for the platform to send, in the edition of 2013 if none is given.

        Raises: ValueError, with the field, its value and what it may be.
        """
        return build(kind, fields, edition or "2013")

    def edition_of(self, head: bytes) -> str:
        """By the header, which 2011 and 2013 share."""
        return "2019" if is_header(head) and is_2019(head) else "2013"

    def kind_name(self, kind: int) -> str:
        row = MESSAGES.get(kind)
        return f"0x{kind:04X}" if row is None else row.name
