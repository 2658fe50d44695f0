"""How JT/T 808's frames divide into fields.

7E | header | body | check | 7E
"""

from __future__ import annotations

from protocols.checksum import xor
from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.jt808.header import ESCAPING, FLAG, header_layout, header_size, is_2019, open_frame, read_header, told_length
from protocols.jt808.messages import MESSAGES
from protocols.message import Malformed

_FLAG = Label("flag", "Flag 标识位")
_HEADER = Label("header", "Message header 消息头")
_BODY = Label("body", "Message body 消息体")
_ATTRIBUTES_END = 4
"""A shorter frame does not even tell its layout."""
_WORDS = {
    "header": "too short for a header",
    "checksum": "the check byte does not fit the bytes before it",
    "escape": "an escape byte is followed by none of its substitutes, or an escape was damaged",
    "length": "the length in the header fits no layout of the frame",
}


def explain_frame(data: bytes) -> Field:
    """Explain one frame, whole or not; what stands behind its closing flag is one unread leaf.

    Offsets count from the first byte given, with escaping undone inside the frame.
    """
    opening = len(data) - len(data.lstrip(FLAG))
    run, closing, behind = data[opening:].partition(FLAG)
    parts = [Field(*_FLAG, at, FLAG) for at in range(opening)]
    error = "" if run else "there is no frame in these bytes"
    if run:
        opened = open_frame(run)
        if isinstance(opened, Malformed):
            error = _WORDS[opened.cause]
        parts += _divide(ESCAPING.take(run)[0], opening, bool(closing) or not error)
    if closing:
        parts.append(Field(*_FLAG, parts[-1].end, FLAG))
    elif run:
        error = "the frame does not end"
    if behind:
        parts.append(unread(behind, parts[-1].end, Label("", "Behind the frame 帧后字节"), "bytes behind the frame's end"))
    return branch(Label("frame"), parts, error=error) if parts else Field("frame", "", 0, b"", error=error)


def _divide(data: bytes, start: int, has_check: bool) -> list[Field]:
    """The fields of what stood between two flags, with escaping undone."""
    size = header_size(data) if len(data) >= _ATTRIBUTES_END else None
    if size is None:
        return [explain(header_layout(data[:_ATTRIBUTES_END]), data, start, _HEADER)]
    end = len(data) - has_check
    head, body = data[:size], data[size:end]
    header = explain(header_layout(head), head, start, _HEADER)
    named = {field.name: field for field in header.children}
    named["id"].meaning = f"0x{named['id'].value:04X}"
    told = told_length(data)
    if told != len(body):
        named["attributes"].error = f"a body of {told} bytes announced, {len(body)} there"
    parts = [header]
    if body:
        parts.append(_body(head, body, start + size))
    if has_check:
        parts.append(_check(data, start + end))
    return parts


def _body(head: bytes, body: bytes, start: int) -> Field:
    header = read_header(head)
    row = MESSAGES.get(header.id)
    title = f"{row.english} {row.chinese}" if row else ""
    if header.is_part:
        text = f"Part {header.number} of {header.total}, to be read together with the others 分包"
        return Field(_BODY.name, f"{title}: {text}" if title else text, start, body, body.hex())
    if header.encryption:
        return unread(body, start, Label(_BODY.name, title or _BODY.text), "the body is encrypted")
    if row is None:
        return unread(body, start, _BODY, f"no message 0x{header.id:04X}")
    return explain(row.layout(body, is_2019(head)), body, start, Label(_BODY.name, title))


def _check(data: bytes, start: int) -> Field:
    found, computed = data[-1], xor(data[:-1])
    error = "" if found == computed else f"{found:02x} found, {computed:02x} computed"
    meaning = f"{computed:02x} computed" if not error else ""
    return Field(
        "check",
        "Check byte: all bytes of header and body by exclusive or 校验码",
        start,
        data[-1:],
        f"{found:02x}",
        meaning=meaning,
        error=error,
    )
