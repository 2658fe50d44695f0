"""How Teltonika's frames divide into fields.

length | IMEI, or preamble | length | codec id | data | CRC, or FF
"""

from __future__ import annotations

from construct import Int8ub, Int32ub, Struct

from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.teltonika.families import Family
from protocols.teltonika.messages import IMEI, MESSAGES
from protocols.teltonika.records import GROUPS, RECORDS
from protocols.teltonika.stream import CRC_BYTES, HEAD_BYTES, MAX_IMEI_DIGITS, MIN_DATA_BYTES, PING, PREAMBLE, crc

HEADER = Struct(
    "preamble" / Int32ub * "Preamble, always 0 前导码",
    "length" / Int32ub * "Bytes from the codec id to the last count 数据长度",
    "codec_id" / Int8ub * "Codec 编码标识",
)
_HEADER_BYTES = HEAD_BYTES + 1
_HEADER = Label("header", "Header 帧头")
_BODY = Label("body", "Data 数据")
_CHECK = Label("check", "CRC-16/ARC of the data from the codec id on 校验码")
_BEHIND = Label("", "Behind the frame 帧后字节")
_LENGTH_BYTES, _MARK_BYTES = 2, 8
_ENDLESS = "the frame does not end"


def explain_frame(data: bytes, family: Family) -> Field:
    """Every byte of the first frame in ``data``, and what is left behind it."""
    if not data:
        return Field("frame", "", 0, b"", error="there is no frame in these bytes")
    if data.startswith(PING):
        parts, error = [Field("ping", "Ping 心跳", 0, PING)], ""
    elif 0 < int.from_bytes(data[:2], "big") <= MAX_IMEI_DIGITS and len(data) > 1:
        parts, error = _login(data)
    elif data[: len(PREAMBLE)].strip(b"\0"):
        parts, error = [unread(data, 0, Label(""), "no frame begins like this")], "there is no frame in these bytes"
    else:
        parts, error = _packet(data, family)
    end = parts[-1].end
    if end < len(data):
        parts.append(unread(data[end:], end, _BEHIND, "bytes behind the frame's end"))
    return branch(Label("frame"), parts, error=error)


def _login(data: bytes) -> tuple[list[Field], str]:
    size = 2 + int.from_bytes(data[:2], "big")
    found = explain(IMEI, data[:size], 0, Label("body", "IMEI IMEI登录"))
    if len(data) < size:
        return [found], _ENDLESS
    return [found], "" if data[2:size].isdigit() else "an IMEI has nothing but digits"


def _packet(data: bytes, family: Family) -> tuple[list[Field], str]:
    header = explain(HEADER, data[:_HEADER_BYTES], 0, _HEADER)
    if len(data) < _HEADER_BYTES:
        return [header], _ENDLESS
    length, codec_id = int.from_bytes(data[len(PREAMBLE) : HEAD_BYTES], "big"), data[HEAD_BYTES]
    header.children[-1].meaning = f"0x{codec_id:02X}"
    if length < MIN_DATA_BYTES:
        header.children[1].error = f"data has {MIN_DATA_BYTES} bytes at least"
        return [header], "the length is too small"
    end = HEAD_BYTES + length
    body, check = data[_HEADER_BYTES:end], data[end : end + CRC_BYTES]
    parts, error = [header], ""
    if body:
        parts.append(_body(codec_id, body, family))
    if check:
        parts.append(_check(data[HEAD_BYTES:end], check, end))
        error = parts[-1].error and "the check does not fit the data"
    return parts, error if len(check) == CRC_BYTES else _ENDLESS


def _body(codec_id: int, body: bytes, family: Family) -> Field:
    row = MESSAGES.get(codec_id)
    if row is None:
        return unread(body, _HEADER_BYTES, _BODY, f"no codec 0x{codec_id:02X}")
    found = explain(row.layout(body), body, _HEADER_BYTES, Label(_BODY.name, f"{row.english} {row.chinese}"))
    if codec_id in RECORDS:
        _name_properties(found, family)
        if body[0] != body[-1] and found.children[-1].name == "count_again":
            found.children[-1].error = f"{body[-1]} is not the {body[0]} of Number of Data 1"
    return found


def _name_properties(found: Field, family: Family) -> None:
    """Say of each property what its id stands for, and what its value is then."""
    for _, group in found.walk():
        if group.name not in GROUPS:
            continue
        known = family.properties[group.name]
        for pair in group.children[1:]:
            entry = known.get(pair.children[0].value) if pair.children else None
            if entry is None or any(part.error for _, part in pair.walk()):
                continue
            pair.name, pair.text, pair.unit = entry.name, entry.declaration.docs, getattr(entry.declaration, "unit", "")
            pair.value = entry.value(_raw(group.name, pair.children[-1].raw))


def _raw(group: str, value: bytes) -> int | bytes:
    """A property's value as records have it: a number, or bytes where there are 8 of them or any, without their length."""
    if GROUPS[group] is None:
        return value[_LENGTH_BYTES:]
    return value if GROUPS[group] == _MARK_BYTES else int.from_bytes(value, "big")


def _check(data: bytes, check: bytes, start: int) -> Field:
    computed = crc(data)
    error = "" if check == computed else f"{check.hex()} found, {computed.hex()} computed"
    meaning = "" if error else f"{computed.hex()} computed"
    return Field(_CHECK.name, _CHECK.text, start, check, check.hex(), meaning=meaning, error=error)
