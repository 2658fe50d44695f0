"""Commands and replies in text, and addresses.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, chapter 6; JM-VL03 v1.1.2, 5.9 to 5.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from construct import (
    Construct,
    Container,
    GreedyBytes,
    Int8ub,
    Int16ub,
    Int32ub,
    Prefixed,
    StringError,
    Struct,
    Switch,
    this,
)

from protocols.fields import Adapted, Choice, Option, Text
from protocols.gt06 import blocks
from protocols.gt06.blocks import located
from protocols.gt06.rows import EXTRA, RAW, Answer, MessageType
from protocols.gt06.rules import TEXT_COMMAND
from protocols.message import Message
from protocols.rows import Direction

if TYPE_CHECKING:
    from construct.core import Context

COMMAND, REPLY, SHORT_REPLY = 0x80, 0x7921, 0x15
ADDRESS, ADDRESS_ENGLISH = 0x8017, 0xF997
MARK_BYTES = slice(1, 5)
"""Where a command has its mark, behind its length."""
NO_MARK = bytes(4)
_LANGUAGE_BYTES = 2
_PHONE_BYTES = 21
_MARK, _END = b"&&", b"##"
_PHONE = "phone" / Text(_PHONE_BYTES, "ascii") * "Phone number 电话号码"
PHONE_TAIL = (_PHONE, "alarm_language" / Int16ub * "Alarm and language 报警语言")
FLAG = "flag" / Int32ub * "Server's mark, which comes back with the reply 服务器标志位"


class WideText(Adapted):
    """UTF-16 up to the end, high bytes first.

    Shape: ``str``; the bytes as they are, where they are no such text.
    """

    def __init__(self) -> None:
        super().__init__(GreedyBytes)

    def _decode(self, obj: bytes, context: Context, path: str) -> str | bytes:
        try:
            return obj.decode("utf-16-be")
        except UnicodeDecodeError:
            return obj

    def _encode(self, obj: str | bytes, context: Context, path: str) -> bytes:
        return obj if isinstance(obj, bytes) else obj.encode("utf-16-be")


class PaddedText(Adapted):
    """Text with zeros behind it, and a language in its last two bytes.

    Shape: ``text`` and ``language``, and how many zeros there are as ``padding``; bytes that are too few, as they are.
    """

    def __init__(self) -> None:
        super().__init__(GreedyBytes)

    def _decode(self, obj: bytes, context: Context, path: str) -> Any:
        if len(obj) < _LANGUAGE_BYTES:
            return obj
        padded, language = obj[:-_LANGUAGE_BYTES], int.from_bytes(obj[-_LANGUAGE_BYTES:], "big")
        text = padded.rstrip(b"\0")
        return Container(text=text.decode("latin-1"), language=language, padding=len(padded) - len(text))

    def _encode(self, obj: Any, context: Context, path: str) -> bytes:
        if isinstance(obj, bytes):
            return obj
        language: int = obj["language"]
        return b"".join((obj["text"].encode("latin-1"), bytes(obj["padding"]), language.to_bytes(_LANGUAGE_BYTES, "big")))


class AddressText(Adapted):
    """What an address stands between: ``ADDRESS&&`` or ``ALARMSMS&&``, then ``&&``, a phone number and ``##``.

    Shape: ``word``, ``address`` and ``phone``; bytes that are not so, as they are.
    """

    def __init__(self, encoding: str) -> None:
        super().__init__(GreedyBytes)
        self.encoding = encoding

    def _decode(self, obj: bytes, context: Context, path: str) -> Any:
        word, mark, rest = obj.partition(_MARK)
        address, phone = rest[: -_PHONE_BYTES - 4], rest[-_PHONE_BYTES - 2 : -2]
        try:
            parts = Container(word=word.decode("ascii"), address=address.decode(self.encoding), phone=phone.decode("ascii"))
        except UnicodeDecodeError:
            return obj
        return parts if mark and self._encode(parts, context, path) == obj else obj

    def _encode(self, obj: Any, context: Context, path: str) -> bytes:
        if isinstance(obj, bytes):
            return obj
        if not isinstance(obj, Mapping) or set(obj) - {"_io"} != {"word", "address", "phone"}:
            raise StringError(f"{obj!r} is no word, address and phone", path)
        phone = obj["phone"].encode("ascii").ljust(_PHONE_BYTES, b"0")
        return b"".join((obj["word"].encode("ascii"), _MARK, obj["address"].encode(self.encoding), _MARK, phone, _END))


_COMMAND = (
    "command"
    / Prefixed(Int8ub, Struct(FLAG, "text" / Text(None, "ascii") * "Command, as the device takes it by SMS 指令内容"))
    * "Command 指令"
)
_SHORT_REPLY = (
    "reply" / Prefixed(Int8ub, Struct(FLAG, "text" / Text(None, "ascii") * "Reply 回复内容")) * "Reply to a command 指令回复"
)
_CODES = {1: Option("ascii", "ASCII ASCII编码"), 2: Option("utf16", "UTF-16 UTF16-BE编码")}


def _address(length: Construct[Any, Any], encoding: str) -> Struct:
    parts = Struct(FLAG, "text" / AddressText(encoding) * "Word, address and phone number 地址内容")
    return Struct("content" / Prefixed(length, parts) * "Address 地址", EXTRA)


def _command(message: Message) -> str:
    body = message.body
    return "language" if len(body) - 1 - (body[0] if body else 0) >= _LANGUAGE_BYTES else "bare"


def _short_reply(message: Message) -> str:
    return "padded" if message.body[:1] == b"\0" else "standard"


ROWS = (
    MessageType(
        COMMAND, "command", "Command", "在线指令",
        {"language": Struct(_COMMAND, blocks.LANGUAGE, EXTRA), "bare": Struct(_COMMAND, EXTRA)},
        Direction.DOWN, answered_by=(REPLY, SHORT_REPLY), command=TEXT_COMMAND, choose=_command,
    ),
    MessageType(
        SHORT_REPLY, "command_reply_short", "Reply to a command, old units", "终端回复指令",
        {
            "standard": Struct(_SHORT_REPLY, blocks.LANGUAGE, EXTRA),
            "padded": Struct(
                "length" / Int8ub * "Length, 0 长度", FLAG, "padded" / PaddedText() * "Text, padding and language 回复内容"
            ),
        },
        choose=_short_reply,
    ),
    MessageType(
        REPLY, "command_reply", "Reply to a command", "终端在线指令回复",
        {
            "standard": Struct(
                FLAG,
                "encoding" / Choice(Int8ub, _CODES) * "Encoding 编码",
                "text"
                / Switch(this.encoding, {"ascii": Text(None, "ascii"), "utf16": WideText()}, default=GreedyBytes)
                * "Reply 回复内容",
            )
        },
    ),
    MessageType(
        0x1A, "address_request_local", "Address of a position wanted, local time", "GPS通过电话号码查询地址信息",
        {"request": located(*PHONE_TAIL)}, answer=Answer.NO_ADDRESS, is_local=True,
    ),
    MessageType(
        0x2A, "address_request", "Address of a position wanted", "GPS地址请求", {"request": located(*PHONE_TAIL)},
        answer=Answer.NO_ADDRESS,
    ),
    MessageType(
        ADDRESS, "address", "Address in Chinese", "中文地址回复", {"standard": _address(Int8ub, "utf-16-be")}, Direction.DOWN
    ),
    MessageType(
        ADDRESS_ENGLISH, "address_english", "Address in English", "英文地址回复",
        {"short length": _address(Int8ub, "ascii"), "long length": _address(Int16ub, "ascii")}, Direction.DOWN,
        choose=lambda message: "short length" if message.body[:1] == bytes((len(message.body) - 1 & 0xFF,)) else "long length",
    ),
    MessageType(0x81, "query", "Query of an old unit", "查询指令", {"raw": RAW}),
    MessageType(0x82, "query_reply", "Reply of an old unit", "查询回复", {"raw": RAW}),
)  # fmt: skip
