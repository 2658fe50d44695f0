"""How GB/T 32960.3's frames divide into fields.

start, command, flag, unique id, encryption, length | data unit | check
"""

from __future__ import annotations

from protocols.checksum import xor
from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.gb32960.header import CLEAR, EDITIONS, HEAD_BYTES, HEADER, edition, kind_of
from protocols.gb32960.messages import layout_of

_BODY = Label("body", "Data unit 数据单元")


def explain_frame(data: bytes) -> Field:
    """Explain one frame, whole or not; what stands behind it is one unread leaf."""
    if not data:
        return Field("frame", "", 0, b"", error="there is no frame in these bytes")
    head, error = data[:HEAD_BYTES], ""
    parts = [explain(HEADER, head, 0, Label("header", "Header 报文头"))]
    if not data[:2] or data[:2] not in EDITIONS:
        error = "no start mark"
    if len(head) < HEAD_BYTES:
        return branch(Label("frame"), parts, error=error or "the frame does not end")
    parts[0].children[1].meaning = f"0x{head[2]:02X}"
    end = HEAD_BYTES + int.from_bytes(head[22:24], "big")
    body, check, behind = data[HEAD_BYTES:end], data[end : end + 1], data[end + 1 :]
    if body:
        parts.append(_body(head, body, error, end - HEAD_BYTES))
    if check:
        parts.append(_check(data[: end + 1]))
    else:
        error = error or "the frame does not end"
    if behind:
        parts.append(unread(behind, end + 1, Label("", "Behind the frame 帧后字节"), "bytes behind the frame's end"))
    return branch(Label("frame"), parts, error=error)


def _body(head: bytes, body: bytes, error: str, told: int) -> Field:
    if error:
        return unread(body, HEAD_BYTES, _BODY, error)
    row, layout = layout_of(head, body)
    label = Label(_BODY.name, f"{row.english} {row.chinese}") if row else _BODY
    if head[21] != CLEAR:
        return unread(body, HEAD_BYTES, label, "the data unit is encrypted")
    if layout is None:
        return unread(body, HEAD_BYTES, label, f"edition {edition(head)} has no message 0x{kind_of(head):02X}")
    found = explain(layout, body, HEAD_BYTES, label)
    if len(body) < told:
        found.error = f"a data unit of {told} bytes announced, {len(body)} there"
    return found


def _check(frame: bytes) -> Field:
    found, computed = frame[-1], xor(frame[2:-1])
    is_good = found == computed
    return Field(
        "check",
        "Check byte: all bytes from the command on by exclusive or 校验码",
        len(frame) - 1,
        frame[-1:],
        f"{found:02x}",
        meaning=f"{computed:02x} computed" if is_good else "",
        error="" if is_good else f"{found:02x} found, {computed:02x} computed",
    )
