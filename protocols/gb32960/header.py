"""GB/T 32960.3's frame and its header.

    ## or $$ | command | answer flag | unique id | encryption | length | data unit | check

The start mark tells the edition, frame by frame: both arrive on one port.

Source: GB/T 32960.3-2016 and GB/T 32960.3-2025, section 6.2.
"""

from __future__ import annotations

import struct

from construct import Int8ub, Int16ub, Struct

from protocols.checksum import xor
from protocols.fields import Choice, Option, Text

EDITIONS = {b"##": "2016", b"$$": "2025"}
"""By start mark."""
HEAD_BYTES = 24
FRAME_BYTES = HEAD_BYTES + 1
"""Of a frame without a data unit."""
MAX_DATA_BYTES = 65531

SUCCESS = 0x01
ERROR = 0x02
VIN_UNKNOWN = 0x04
"""Since 2025."""
COMMAND = 0xFE
"""The flag of what is no answer."""
CLEAR = 0x01
"""The encryption of what is not encrypted."""
ANSWER = 0x100
"""Added to a command's id it is the kind of its answer, which has the same id on the wire."""

_FLAGS = {
    SUCCESS: Option("success", "Success 成功"),
    ERROR: Option("error", "Error 错误"),
    0x03: Option("vin_duplicate", "VIN duplicate VIN重复"),
    VIN_UNKNOWN: Option("vin_unknown", "VIN unknown VIN不存在"),
    0x05: Option("signature_error", "Signature error 验签错误"),
    0x06: Option("structure_error", "Structure error 数据结构错误"),
    0x07: Option("decryption_error", "Decryption error 解密错误"),
    COMMAND: Option("command", "Command, to be answered 命令"),
}
ENCRYPTIONS = {
    CLEAR: Option("none", "Not encrypted 数据不加密"),
    0x02: Option("rsa", "RSA RSA算法"),
    0x03: Option("aes", "AES AES算法"),
    0x04: Option("sm2", "SM2 SM2算法"),
    0x05: Option("sm4", "SM4 SM4算法"),
    0xFE: Option("abnormal", "Abnormal 异常"),
    0xFF: Option("invalid", "Invalid 无效"),
}
RESULT = Choice(Int8ub, _FLAGS)

HEADER = Struct(
    "start"
    / Choice(Int16ub, {0x2323: Option("edition_2016", "## 2016年版"), 0x2424: Option("edition_2025", "$$ 2025年版")})
    * "Start mark 起始符",
    "command" / Int8ub * "Command 命令标识",
    "flag" / RESULT * "Answer flag 应答标志",
    "identity" / Text(17, "ascii") * "Unique id, the VIN in vehicles' messages 唯一识别码",
    "encryption" / Choice(Int8ub, ENCRYPTIONS) * "Encryption of the data unit 数据单元加密方式",
    "length" / Int16ub * "Bytes of the data unit 数据单元长度",
)

_HEAD = struct.Struct(">2sBB17sBH")


def identity_of(head: bytes) -> str:
    """The unique id without padding; empty if it is no printable text.

    Test ids, and ids shorter than a VIN, are as good as any.
    """
    raw = head[4:21].strip(b"\0 ")
    return raw.decode("ascii") if raw.isascii() and raw.decode("ascii").isprintable() else ""


def unique_id(identity: str) -> bytes:
    """The header's field for an identity.

    Raises: ValueError when it does not fit.
    """
    raw = identity.encode("ascii", "replace")
    if identity_of(bytes(4) + raw) != identity or not 0 < len(raw) <= 17:
        raise ValueError(f"{identity!r} is no VIN: up to 17 printable ASCII characters")
    return raw.ljust(17, b"\0")


def edition(head: bytes) -> str:
    return EDITIONS[head[:2]]


def is_header(head: bytes) -> bool:
    """Whether these bytes can be a header. What was stored long ago may have had another owner."""
    return len(head) == HEAD_BYTES and head[:2] in EDITIONS


def kind_of(head: bytes) -> int:
    return head[2] if head[3] == COMMAND else head[2] | ANSWER


def frame(start: bytes, command: int, flag: int, id: bytes, data: bytes) -> bytes:
    """The bytes of a message as they go on the wire, in clear.

    Raises: ValueError when the data unit is longer than a frame may hold.
    """
    if len(data) > MAX_DATA_BYTES:
        raise ValueError(f"a data unit of {len(data)} bytes does not fit a frame of {MAX_DATA_BYTES}")
    return close_frame(_HEAD.pack(start, command, flag, id, CLEAR, len(data)), data)


def close_frame(head: bytes, data: bytes) -> bytes:
    """Header and data unit with their check byte."""
    return head + data + bytes((xor(head[2:] + data),))
