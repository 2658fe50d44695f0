"""How the frames of a declared protocol divide into fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.declared.frame import Frame
from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.message import Malformed

if TYPE_CHECKING:
    from protocols.declared.protocol import DeclaredProtocol

_FLAG = Label("flag", "Flag 标识位")
_HEADER = Label("header", "Message header 消息头")
_BODY = Label("body", "Message body 消息体")
_STOP = Label("stop", "Stop mark 结束符")
_WORDS = {
    "checksum": "the check does not fit the bytes that it covers",
    "escape": "an escape byte is followed by none of its substitutes",
    "header": "the frame has no header as declared",
    "length": "the length in the header does not fit the frame",
}


def explain_frame(protocol: DeclaredProtocol, data: bytes) -> Field:
    """Explain one frame, whole or not; what stands behind it is one unread leaf.

    Offsets count from the first byte given, with escaping undone inside the frame.
    """
    frame = protocol.frame
    if not (frame.mark and data.startswith(frame.mark)) and protocol.down_frame.mark and data.startswith(protocol.down_frame.mark):
        frame = protocol.down_frame
    parts, error = _delimited(protocol, frame, data) if frame.flag else _counted(protocol, frame, data)
    return branch(Label("frame"), parts, error=error) if parts else Field("frame", "", 0, b"", error="there are no bytes")


def _delimited(protocol: DeclaredProtocol, frame: Frame, data: bytes) -> tuple[list[Field], str]:
    opening = len(data) - len(data.lstrip(frame.flag))
    run, closing, behind = data[opening:].partition(frame.flag)
    parts = [Field(*_FLAG, at, frame.flag) for at in range(opening)]
    opened = frame.open(run)
    error = _WORDS[opened.cause] if isinstance(opened, Malformed) else ""
    inside = frame.escaping.take(run)[0] if frame.escaping else run
    parts += _divided(protocol, frame, inside, opening, len(inside) if closing or not error else None)
    if closing:
        parts.append(Field(*_FLAG, parts[-1].end, frame.flag))
    else:
        error = "the frame does not end"
    return parts + _behind(behind, parts), error


def _counted(protocol: DeclaredProtocol, frame: Frame, data: bytes) -> tuple[list[Field], str]:
    size = frame.told_size(data)
    if size is None or not frame.around <= size <= frame.limit:
        parts = _divided(protocol, frame, data, 0, None)
        return parts, "the frame does not end" if size is None else f"a frame of {size} bytes announced"
    parts = _divided(protocol, frame, data[:size], 0, size)
    if len(data) < size:
        return parts, "the frame does not end"
    opened = frame.open(data[:size])
    error = _WORDS[opened.cause] if isinstance(opened, Malformed) else ""
    if not data.startswith(frame.mark):
        error = f"the frame does not begin with {frame.mark.hex()}"
    elif not data[:size].endswith(frame.stop):
        error = f"the frame does not end with {frame.stop.hex()}"
    return parts + _behind(data[size:], parts), error


def _divided(protocol: DeclaredProtocol, frame: Frame, data: bytes, start: int, size: int | None) -> list[Field]:
    """The fields of a frame's bytes, of which some at the end may be missing; where it ends is not known without a size."""
    ends = len(data) if size is None else max(size - len(frame.stop) - frame.check_size, frame.head_size)
    head, body, rest = data[: frame.head_size], data[frame.head_size : ends], data[ends:]
    parts = [_header(protocol, frame, head, start)] if head else []
    if body:
        parts.append(_body(protocol, parts[0], body, start + frame.head_size))
    check, stop = rest[: frame.check_size], rest[frame.check_size :]
    if check:
        parts.append(_check(frame, data[:ends], check, start))
    if stop:
        error = "" if stop == frame.stop else f"{frame.stop.hex()} expected"
        parts.append(Field(*_STOP, start + len(data) - len(stop), stop, stop.hex(), error=error))
    return parts


def _header(protocol: DeclaredProtocol, frame: Frame, head: bytes, start: int) -> Field:
    found = explain(frame.header, head, start, _HEADER)
    for field in found.children:
        if field.name == "kind" and not field.error:
            field.meaning = protocol.kind_name(field.value)
    return found


def _body(protocol: DeclaredProtocol, header: Field, body: bytes, start: int) -> Field:
    kind = next((field.value for field in header.children if field.name == "kind" and not field.error), None)
    row = protocol.messages.get(kind) if isinstance(kind, int) else None
    if row is None:
        return unread(body, start, _BODY, "no message of this kind" if kind is None else f"no message {protocol.kind_name(kind)}")
    (layout,) = row.layouts.values()
    return explain(layout, body, start, Label("body", f"{row.english} {row.chinese}".strip()))


def _check(frame: Frame, covered: bytes, raw: bytes, start: int) -> Field:
    assert frame.check
    expected = frame.check_of(covered)
    text = getattr(frame.check.field, "docs", "") or "Check 校验码"
    error = "" if raw == expected else f"{raw.hex()} found, {expected.hex()} computed"
    return Field(
        "check", text, start + len(covered), raw, raw.hex(), meaning="" if error else f"{expected.hex()} computed", error=error
    )


def _behind(data: bytes, parts: list[Field]) -> list[Field]:
    if not data:
        return []
    return [unread(data, parts[-1].end, Label("", "Behind the frame 帧后字节"), "bytes behind the frame's end")]
