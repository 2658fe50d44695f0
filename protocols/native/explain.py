"""How a frame divides into fields: header, payload, check."""

from __future__ import annotations

from protocols.checksum import crc16_x25
from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.native.frame import CHECK_BYTES, HEAD_BYTES, HEADER, MARK, MAX_PAYLOAD_BYTES
from protocols.native.messages import EDITION, MESSAGES

_HEADER = Label("header", "Header 帧头")
_BODY = Label("body", "Payload 数据")
_CHECK = Label("check", "Check: CRC-16/X-25 of type to payload 校验码")
_BEHIND = Label("", "Behind the frame 帧后字节")


def explain_frame(data: bytes) -> Field:
    """Explain one frame, whole or not; what stands before its mark and behind its end is one unread leaf each."""
    at = max(data.find(MARK), 0)
    if not data:
        return Field("frame", "", 0, b"", error="there is no frame in these bytes")
    if not data.startswith(MARK, at):
        return branch(Label("frame"), [unread(data, 0, Label(""), "no mark")], error="there is no frame in these bytes")
    parts = [unread(data[:at], 0, Label("", "Before the frame 帧前字节"), "bytes before the mark")] if at else []
    head = data[at : at + HEAD_BYTES]
    header = explain(HEADER, head, at, _HEADER)
    parts.append(header)
    if len(head) < HEAD_BYTES:
        return branch(Label("frame"), parts, error="the frame does not end")
    kind, length = head[2], int.from_bytes(head[3:5], "big")
    row = MESSAGES.get(kind)
    named = {field.name: field for field in header.children}
    named["type"].meaning = f"{row.english} {row.chinese}" if row else ""
    start, end = at + HEAD_BYTES, at + HEAD_BYTES + length
    error = ""
    if length > MAX_PAYLOAD_BYTES:
        error = named["length"].error = f"{length} bytes announced, {MAX_PAYLOAD_BYTES} are the most"
        end = len(data)
    elif end + CHECK_BYTES > len(data):
        error = "the frame does not end"
    if body := data[start:end]:
        parts.append(_body(kind, body, start))
    if check := data[end : end + CHECK_BYTES]:
        parts.append(_check(data[at + len(MARK) : end], check, end))
        error = error or (parts[-1].error and "the check does not fit the bytes before it")
    if behind := data[end + CHECK_BYTES :]:
        parts.append(unread(behind, end + CHECK_BYTES, _BEHIND, "bytes behind the frame's end"))
    return branch(Label("frame"), parts, error=error)


def _body(kind: int, body: bytes, start: int) -> Field:
    row = MESSAGES.get(kind)
    if row is None:
        return unread(body, start, _BODY, f"no message 0x{kind:02X}")
    return explain(row.layouts[EDITION], body, start, Label(_BODY.name, f"{row.english} {row.chinese}"))


def _check(covered: bytes, check: bytes, start: int) -> Field:
    if len(check) < CHECK_BYTES:
        return unread(check, start, _CHECK, f"{CHECK_BYTES} > {len(check)} left")
    found, computed = int.from_bytes(check, "big"), crc16_x25(covered)
    error = "" if found == computed else f"{found:04x} found, {computed:04x} computed"
    return Field(*_CHECK, start, check, f"{found:04x}", meaning="" if error else f"{computed:04x} computed", error=error)
