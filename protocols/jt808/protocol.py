"""JT/T 808 as the rest of the house sees it."""

from __future__ import annotations

from protocols.jt808.codec import JT808Codec
from protocols.jt808.messages import MESSAGES
from protocols.jt808.reports import decode
from protocols.jt808.terminal import JT808Terminal
from protocols.message import Message
from protocols.report import Decoded


class JT808Protocol:
    """Road-transport vehicles' terminals, editions 2011, 2013 and 2019 (道路运输车辆卫星定位系统终端通信协议)."""

    name = "jt808"
    title = "JT/T 808"
    port = 6808
    messages = MESSAGES

    def codec(self) -> JT808Codec:
        return JT808Codec()

    def terminal(self, identity: str) -> JT808Terminal:
        return JT808Terminal(identity)

    def decode(self, message: Message) -> Decoded:
        return decode(message)

    def kind_name(self, kind: int) -> str:
        row = MESSAGES.get(kind)
        return f"0x{kind:04X}" if row is None else row.name

    def ends_session(self, kind: int) -> bool:
        row = MESSAGES.get(kind)
        return row is not None and row.ends_session
