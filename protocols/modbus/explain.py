"""How Modbus's frames divide into fields.

unit | function | data | CRC, low byte first
transaction | protocol | length | unit | function | data
"""

from __future__ import annotations

from construct import Int8ub, Int16ub, Struct

from protocols.checksum import crc16_modbus
from protocols.explain import explain
from protocols.explanation import Field, Label, branch, unread
from protocols.modbus.frame import FRAMINGS, is_mbap
from protocols.modbus.messages import FUNCTION_NAMES
from protocols.modbus.pdu import EXCEPTION_BIT, layout
from protocols.modbus.registration import BLANKS
from protocols.modbus.site import Maps

_UNIT = "unit" / Int8ub * "Unit on the line; 0 for all, who do not answer 从站地址"
_FUNCTION = "function" / Int8ub * "Function code; with bit 7 set an exception 功能码"
RTU_HEADER = Struct(_UNIT, _FUNCTION)
MBAP_HEADER = Struct(
    "transaction" / Int16ub * "Number of the request, repeated in its answer 事务标识符",
    "protocol" / Int16ub * "0 for Modbus 协议标识符",
    "length" / Int16ub * "Bytes from the unit on 长度",
    _UNIT,
    _FUNCTION,
)
_HEADER = Label("header", "Header 帧头")
_CRC_BYTES = 2


def explain_frame(data: bytes, maps: Maps) -> Field:
    """Explain one frame, or what a DTU says by itself; what stands behind it is one unread leaf."""
    if not data:
        return Field("frame", "", 0, b"", error="there is no frame in these bytes")
    if not FRAMINGS["rtu"].is_frame(data):
        text = _text(data, maps)
        if text is not None:
            return text
    return _mbap(data) if is_mbap(data) else _rtu(data)


def _text(data: bytes, maps: Maps) -> Field | None:
    """A registration or a heartbeat."""
    bare = data.strip(BLANKS)
    dtu, match = maps.registered(bare, 0)
    if dtu is not None and match.end == len(bare):
        return branch(
            Label("frame"), [Field("packet", f"Registration of {dtu.label.en} 注册包", 0, data, bare.decode("ascii", "replace"))]
        )
    if maps.is_heartbeat(bare):
        return branch(Label("frame"), [Field("heartbeat", "Heartbeat 心跳包", 0, data, bare.decode("ascii", "replace"))])
    return None


def _rtu(data: bytes) -> Field:
    size = _whole(data)
    frame, behind = data[:size], data[size:]
    if len(frame) < 2 + _CRC_BYTES:
        parts = [explain(RTU_HEADER, frame[:2], 0, _HEADER)]
        parts += [unread(frame[2:], 2, Label("data"), "")] if frame[2:] else []
        return branch(Label("frame"), parts, error="too short for a frame")
    parts = [explain(RTU_HEADER, frame[:2], 0, _HEADER), *_data(frame[1:-_CRC_BYTES], 2), _check(frame)]
    _name_function(parts[0], frame[1])
    error = "the CRC does not fit the bytes before it" if parts[-1].error else ""
    if behind:
        parts.append(unread(behind, len(frame), Label("", "Behind the frame 帧后字节"), "bytes behind the frame's end"))
    return branch(Label("frame"), parts, error=error)


def _whole(data: bytes) -> int:
    """The size of the good frame that the bytes begin with; all of them if there is none."""
    if FRAMINGS["rtu"].is_frame(data):
        return len(data)
    size = FRAMINGS["rtu"].frame_at(bytearray(data), 0)
    return size if size > 0 else len(data)


def _mbap(data: bytes) -> Field:
    header = explain(MBAP_HEADER, data[:8], 0, _HEADER)
    _name_function(header, data[7])
    return branch(Label("frame"), [header, *_data(data[7:], 8)])


def _name_function(header: Field, function: int) -> None:
    field = next(part for part in header.children if part.name == "function")
    name = FUNCTION_NAMES.get(function & ~EXCEPTION_BIT, "")
    field.meaning = f"{name}: exception 异常响应" if name and function & EXCEPTION_BIT else name


def _data(pdu: bytes, start: int) -> list[Field]:
    """What follows the function code."""
    if len(pdu) < 2:
        return []
    declared = layout(pdu)
    if declared is None:
        return [unread(pdu[1:], start, Label("data"), f"no function 0x{pdu[0]:02X}")]
    words = {"request": "Request 请求", "answer": "Answer 应答", "exception": "Exception 异常响应"}
    return [explain(declared[0], pdu[1:], start, Label("data", words[declared[1]]))]


def _check(frame: bytes) -> Field:
    computed = crc16_modbus(frame[:-_CRC_BYTES]).to_bytes(_CRC_BYTES, "little").hex()
    raw = frame[-_CRC_BYTES:]
    is_good = raw.hex() == computed
    return Field(
        "check",
        "CRC-16/MODBUS of all bytes before it, low byte first 校验码",
        len(frame) - _CRC_BYTES,
        raw,
        raw.hex(),
        meaning=f"{computed} computed" if is_good else "",
        error="" if is_good else f"{raw.hex()} found, {computed} computed",
    )
