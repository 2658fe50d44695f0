"""How GT06's frames divide into fields.

start | length | type | content | serial | check | stop
"""

from __future__ import annotations

from protocols.checksum import crc16_x25
from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.gt06.codec import identity_of
from protocols.gt06.frame import (
    BARE,
    HEADERS,
    LONG,
    MARKS,
    MAX_FRAME_BYTES,
    MIN_BYTES,
    SHAPES,
    SHORT,
    STOP,
    kind_of,
)
from protocols.gt06.messages import MESSAGES
from protocols.gt06.positions import identity_place
from protocols.gt06.stops import bare_size
from protocols.message import Message

_HEADER = Label("header", "Header 包头")
_CONTENT = Label("content", "Information content 信息内容")
_SERIAL = Label("serial", "Serial number 信息序列号")
_CHECK = Label("check", "Check: CRC-ITU from the length to the serial number 错误校验")
_STOP = Label("stop", "Stop bits 停止位")
_TRAILER_BYTES = 6
_BARE_KINDS = frozenset((0x01, 0x08, 0x10, 0x11, 0x13, 0x17, 0x69))


def explain_frame(data: bytes) -> Field:
    """Explain one frame, whole or not; what stands in front of its mark or behind its end is one unread leaf each."""
    places = [place for mark in (MARKS[SHORT], MARKS[LONG]) if (place := data.find(mark)) >= 0]
    if not places:
        error = "there is no frame in these bytes"
        return (
            branch(Label("frame"), [unread(data, 0, Label(""), error)], error=error)
            if data
            else Field("frame", "", 0, b"", error=error)
        )
    at = min(places)
    parts = [unread(data[:at], 0, Label("", "Before the frame 帧前字节"), "bytes before the frame's mark")] if at else []
    found, error = _divide(data[at:], at)
    parts += found
    if parts[-1].end < len(data):
        rest = data[parts[-1].end :]
        parts.append(unread(rest, parts[-1].end, Label("", "Behind the frame 帧后字节"), "bytes behind the frame's end"))
    return branch(Label("frame"), parts, error=error)


def _divide(data: bytes, start: int) -> tuple[list[Field], str]:
    """The fields of a frame that begins here, and what is wrong with it as a whole."""
    form = data[0]
    layout = HEADERS[form]
    head = layout.sizeof()
    if len(data) < head:
        return [explain(layout, data, start, _HEADER)], "the frame does not end"
    shape = SHAPES[form == LONG]
    told = int.from_bytes(data[2 : head - 1], "big") + shape.uncounted
    is_possible = MIN_BYTES[form] <= told <= MAX_FRAME_BYTES
    is_whole = is_possible and data[told - len(STOP) : told] == STOP
    if form == SHORT and not is_whole and (size := _bare_size(data)):
        error = "" if bare_size(data) else "the length is that of no frame: read as one of the dialect without"
        return _divide_bare(data[:size], start), error
    header = explain(layout, data[:head], start, _HEADER)
    named = {field.name: field for field in header.children}
    named["type"].meaning = f"0x{data[head - 1]:02X}"
    if not is_possible:
        named["length"].error = f"no frame has {told} bytes"
        return [header], "the length is that of no frame"
    frame = data[:told]
    parts = [header, *_content(frame[head : told - _TRAILER_BYTES], form, data[head - 1], start + head)]
    parts += _trailer(frame, told, start)
    return parts, "" if is_whole else "the frame does not end" if len(
        data
    ) < told else "the stop bits are not where the length says"


def _trailer(frame: bytes, told: int, start: int) -> list[Field]:
    """Serial number, check and stop bits, as far as they have come."""
    parts = []
    at = told - _TRAILER_BYTES
    for label, size in ((_SERIAL, 2), (_CHECK, 2), (_STOP, len(STOP))):
        raw = frame[at : at + size]
        if raw:
            parts.append(Field(*label, start + at, raw, raw.hex()))
        at += size
    for part in parts:
        if part.name == "serial" and len(part.raw) == 2:
            part.value = int.from_bytes(part.raw, "big")
        if part.name == "check":
            computed = crc16_x25(frame[2 : told - 4])
            is_right = part.raw == computed.to_bytes(2, "big")
            part.meaning, part.error = (f"{computed:04x} computed", "") if is_right else ("", f"{computed:04x} computed")
        if part.name == "stop" and part.raw != STOP:
            part.error = f"{STOP.hex()} expected"
    return parts


def _content(body: bytes, form: int, type: int, start: int, reserved: int = 0) -> list[Field]:
    if not body:
        return []
    kind = _kind(form, type, body)
    row = MESSAGES.get(kind)
    if row is None:
        return [unread(body, start, _CONTENT, f"no message 0x{kind:02X}")]
    at = identity_place(kind, len(body))
    identity = "" if at is None else identity_of(body[at : at + 8])
    layout = row.layout(Message(identity, kind, 0, bytes((form, reserved, 0, 0)), body))
    return [explain(layout, body, start, Label(_CONTENT.name, f"{row.english} {row.chinese}"))]


def _kind(form: int, type: int, body: bytes) -> int:
    """A message's kind, also of those that the platform sends with a number that devices use too."""
    down = kind_of(form, type, is_down=True)
    if form != BARE and down in MESSAGES:
        is_down = {0x808A: len(body) == 6, 0x8017: b"&&" in body, 0x8036: len(body) == 10}.get(down, True)
        return down if is_down else kind_of(form, type)
    return kind_of(form, type)


def _bare_size(data: bytes) -> int:
    """The size of what has the form of the bare dialect; 0 for what has not."""
    if len(data) < 4 or data[3] not in _BARE_KINDS:
        return 0
    told = bare_size(data)
    if told and data[told - len(STOP) : told] == STOP:
        return told
    if told == 0 and data.endswith(STOP) and len(data) >= 6:
        return len(data)
    return 0


def _divide_bare(frame: bytes, start: int) -> list[Field]:
    header = explain(HEADERS[BARE], frame[:4], start, _HEADER)
    stop = Field(*_STOP, start + len(frame) - len(STOP), STOP, STOP.hex())
    return [header, *_content(frame[4 : -len(STOP)], BARE, frame[3], start + 4, frame[2]), stop]
