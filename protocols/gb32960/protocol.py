"""GB/T 32960 as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from protocols.base import BaseProtocol
from protocols.command import AnswersName
from protocols.credential import Credential
from protocols.explanation import Field
from protocols.gb32960.codec import GB32960Codec
from protocols.gb32960.explain import explain_frame
from protocols.gb32960.header import HEADER, edition, is_header
from protocols.gb32960.messages import MESSAGES
from protocols.gb32960.options import Options, configured
from protocols.gb32960.reports import decode
from protocols.gb32960.session import credential
from protocols.gb32960.terminal import GB32960Terminal
from protocols.message import Message
from protocols.report import Decoded

_VIN_START = "LZZSMEV"
"""Of vehicles that do not exist."""


class GB32960Protocol(BaseProtocol):
    """Electric vehicles and the platforms that forward them, editions 2016 and 2025 (电动汽车远程服务与管理系统技术规范)."""

    name = "gb32960"
    title = "GB/T 32960"
    port = 32960
    messages = MESSAGES
    headers = MappingProxyType({"2016 and 2025": HEADER})
    answers_name = AnswersName.KIND
    has_credentials = True
    told_beside_body = frozenset({"reissued"})

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def configure(self, options: Mapping[str, Any]) -> GB32960Protocol:
        return GB32960Protocol(configured(self.options, options))

    def edition_of(self, head: bytes) -> str:
        return edition(head) if is_header(head) else "2016"

    def codec(self, identity: str = "") -> GB32960Codec:
        return GB32960Codec(self.options, identity)

    def terminal(self, identity: str) -> GB32960Terminal:
        return GB32960Terminal(identity)

    def simulated_identity(self, number: int) -> str:
        return f"{_VIN_START}{number % 10**10:010d}"

    def credential(self, message: Message) -> Credential | None:
        return credential(message)

    def decode(self, message: Message) -> Decoded:
        return decode(message, self.options)

    def explain(self, frame: bytes) -> Field:
        return explain_frame(frame)


GB32960 = GB32960Protocol()
