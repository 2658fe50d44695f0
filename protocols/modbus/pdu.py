"""Modbus requests and answers, without the frame around them: function codes, their fields, their lengths.

Source: MODBUS Application Protocol Specification V1.1b3, chapters 6 and 7.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from construct import GreedyBytes, Int8ub, Int16ub, Prefixed, Struct

from protocols.fields import Choice, Declaration, Option, Text
from protocols.items import UntilEnd

MAX_READ_REGISTERS = 125
MAX_READ_BITS = 2000
MAX_WRITE_REGISTERS = 123
MAX_WRITE_BITS = 1968
MAX_PDU_BYTES = 253
EXCEPTION_BIT = 0x80
IDENTIFICATION = 0x0E
"""The one transport of function 2B that concerns us (MEI type)."""
MORE = -1
"""As a size: it cannot be told before more bytes have come."""


class Function(IntEnum):
    """The functions that are spoken here."""

    READ_COILS = 0x01
    READ_DISCRETE_INPUTS = 0x02
    READ_HOLDING_REGISTERS = 0x03
    READ_INPUT_REGISTERS = 0x04
    WRITE_COIL = 0x05
    WRITE_REGISTER = 0x06
    WRITE_COILS = 0x0F
    WRITE_REGISTERS = 0x10
    MASK_WRITE_REGISTER = 0x16
    READ_WRITE_REGISTERS = 0x17
    READ_IDENTIFICATION = 0x2B


READS = frozenset(
    {
        Function.READ_COILS,
        Function.READ_DISCRETE_INPUTS,
        Function.READ_HOLDING_REGISTERS,
        Function.READ_INPUT_REGISTERS,
    }
)
BIT_READS = frozenset({Function.READ_COILS, Function.READ_DISCRETE_INPUTS})
ECHOED = frozenset({Function.WRITE_COIL, Function.WRITE_REGISTER, Function.MASK_WRITE_REGISTER})
"""Their answer is the request, byte for byte."""
FUNCTIONS = frozenset(int(function) for function in Function)


class ExceptionCode(IntEnum):
    """Why a unit did not do what it was asked to."""

    ILLEGAL_FUNCTION = 0x01
    ILLEGAL_DATA_ADDRESS = 0x02
    ILLEGAL_DATA_VALUE = 0x03
    DEVICE_FAILURE = 0x04
    ACKNOWLEDGE = 0x05
    BUSY = 0x06
    MEMORY_PARITY = 0x08
    GATEWAY_PATH = 0x0A
    GATEWAY_TARGET = 0x0B


EXCEPTIONS = {
    0x00: Option("none", "None 无"),
    0x01: Option("illegal_function", "Illegal function 非法功能"),
    0x02: Option("illegal_data_address", "Illegal data address 非法数据地址"),
    0x03: Option("illegal_data_value", "Illegal data value 非法数据值"),
    0x04: Option("device_failure", "Device failure 从站设备故障"),
    0x05: Option("acknowledge", "Accepted, takes long 确认"),
    0x06: Option("device_busy", "Device busy 从站设备忙"),
    0x08: Option("memory_parity_error", "Memory parity error 存储奇偶性差错"),
    0x0A: Option("gateway_path_unavailable", "Gateway path unavailable 网关路径不可用"),
    0x0B: Option("gateway_target_failed", "Gateway target does not answer 网关目标设备响应失败"),
}


def exception_name(code: int) -> str:
    """The word for an exception code; its number where the specification has none."""
    option = EXCEPTIONS.get(code)
    return f"exception_{code}" if option is None else option.name


ADDRESS = "address" / Int16ub * "First address, counted from 0 起始地址"
QUANTITY = "quantity" / Int16ub * "How many 数量"
VALUE = "value" / Int16ub * "Value 值"
BITS = "bits" / Prefixed(Int8ub, GreedyBytes) * "Bits, the lowest address in the lowest bit of the first byte 位值"
REGISTERS = "registers" / Prefixed(Int8ub, GreedyBytes) * "Registers, high byte first 寄存器值"
COIL = (
    "value"
    / Choice(Int16ub, {0xFF00: Option("on", "On 接通"), 0x0000: Option("off", "Off 断开")})
    * "On or off; vendors have other values, such as toggle 输出值"
)
MEI = "transport" / Int8ub * "Encapsulated transport, 14 for identification MEI类型"
READ_CODE = (
    "read_code"
    / Choice(
        Int8ub,
        {
            1: Option("basic", "Basic objects 基本"),
            2: Option("regular", "Regular objects 常规"),
            3: Option("extended", "Extended objects 扩展"),
            4: Option("one", "One object 单个对象"),
        },
    )
    * "Which objects 读设备标识码"
)
OBJECTS = {
    0x00: Option("vendor", "Vendor 厂商名称"),
    0x01: Option("product_code", "Product code 产品代码"),
    0x02: Option("revision", "Revision 版本号"),
    0x03: Option("vendor_url", "Vendor's URL 厂商网址"),
    0x04: Option("product_name", "Product name 产品名称"),
    0x05: Option("model_name", "Model name 型号名称"),
    0x06: Option("application_name", "Application 用户应用名称"),
}
OBJECT_ID = "object" / Choice(Int8ub, OBJECTS) * "Object 对象"
OBJECT = Struct(OBJECT_ID, "value" / Prefixed(Int8ub, Text()) * "Its text 对象值")

_READ = (ADDRESS, QUANTITY)
_WRITTEN = (ADDRESS, QUANTITY)
_MASK = (ADDRESS, "and_mask" / Int16ub * "Bits that stay 与掩码", "or_mask" / Int16ub * "Bits that are set 或掩码")

REQUEST_FIELDS: dict[int, tuple[Declaration, ...]] = {
    Function.READ_COILS: _READ,
    Function.READ_DISCRETE_INPUTS: _READ,
    Function.READ_HOLDING_REGISTERS: _READ,
    Function.READ_INPUT_REGISTERS: _READ,
    Function.WRITE_COIL: (ADDRESS, COIL),
    Function.WRITE_REGISTER: (ADDRESS, VALUE),
    Function.WRITE_COILS: (ADDRESS, QUANTITY, BITS),
    Function.WRITE_REGISTERS: (ADDRESS, QUANTITY, REGISTERS),
    Function.MASK_WRITE_REGISTER: _MASK,
    Function.READ_WRITE_REGISTERS: (
        ADDRESS,
        QUANTITY,
        "write_address" / Int16ub * "First address that is written 写起始地址",
        "write_quantity" / Int16ub * "How many are written 写数量",
        REGISTERS,
    ),
    Function.READ_IDENTIFICATION: (MEI, READ_CODE, OBJECT_ID),
}
"""What follows the function code in a request."""

_ANSWER_FIELDS: dict[int, tuple[Declaration, ...]] = {
    Function.READ_COILS: (BITS,),
    Function.READ_DISCRETE_INPUTS: (BITS,),
    Function.READ_HOLDING_REGISTERS: (REGISTERS,),
    Function.READ_INPUT_REGISTERS: (REGISTERS,),
    Function.WRITE_COIL: (ADDRESS, COIL),
    Function.WRITE_REGISTER: (ADDRESS, VALUE),
    Function.WRITE_COILS: _WRITTEN,
    Function.WRITE_REGISTERS: _WRITTEN,
    Function.MASK_WRITE_REGISTER: _MASK,
    Function.READ_WRITE_REGISTERS: (REGISTERS,),
    Function.READ_IDENTIFICATION: (
        MEI,
        READ_CODE,
        "conformity" / Int8ub * "What can be read of it 一致性等级",
        "more" / Int8ub * "255 if more objects follow, else 0 后续标志",
        "next" / Int8ub * "The object to go on with 下一对象",
        "count" / Int8ub * "Number of objects 对象数量",
        "objects" / UntilEnd(OBJECT) * "Objects 对象列表",
    ),
}

REQUESTS = {function: Struct(*fields) for function, fields in REQUEST_FIELDS.items()}
ANSWERS = {function: Struct(*fields) for function, fields in _ANSWER_FIELDS.items()}
EXCEPTION = Struct("exception" / Choice(Int8ub, EXCEPTIONS) * "Why not 异常码")


class Request(NamedTuple):
    """What is asked of a unit."""

    unit: int
    function: int
    data: bytes
    """What follows the function code."""

    @property
    def pdu(self) -> bytes:
        return bytes((self.function,)) + self.data

    def answer_size(self, pdu: bytes) -> int:
        """The size of the answer to this request that ``pdu`` begins with; :data:`MORE`, or 0 if it begins with none.

        It comes from the request, so that a wrong byte count is no answer and nothing is waited for that it announces.
        """
        if not pdu:
            return MORE
        if pdu[0] == self.function | EXCEPTION_BIT:
            return 2
        head = self.answer_head
        if not pdu.startswith(head[: len(pdu)]):
            return 0
        if self.function == Function.READ_IDENTIFICATION:
            return identification_size(pdu)
        return len(head) + head[1] if self.function in _COUNTED else len(head)

    @property
    def answer_head(self) -> bytes:
        """What is known of a good answer beforehand; all but its values."""
        if self.function in ECHOED:
            return self.pdu
        if self.function in BIT_READS:
            return bytes((self.function, (self._quantity + 7) // 8 & 0xFF))
        if self.function in _COUNTED:
            return bytes((self.function, 2 * self._quantity & 0xFF))
        return self.pdu[:3] if self.function == Function.READ_IDENTIFICATION else self.pdu[:5]

    @property
    def longest_answer(self) -> int:
        """How many bytes the answer has at most."""
        head = self.answer_head
        if self.function == Function.READ_IDENTIFICATION:
            return MAX_PDU_BYTES
        return len(head) + head[1] if self.function in _COUNTED else len(head)

    @property
    def _quantity(self) -> int:
        return int.from_bytes(self.data[2:4], "big")


_COUNTED = READS | {Function.READ_WRITE_REGISTERS}


def read_request(unit: int, function: int, address: int, quantity: int) -> Request:
    """A request to read."""
    return Request(unit, function, address.to_bytes(2, "big") + quantity.to_bytes(2, "big"))


def identification_request(unit: int, read_code: int, object_id: int = 0) -> Request:
    """A request for what a unit says of itself."""
    return Request(unit, Function.READ_IDENTIFICATION, bytes((IDENTIFICATION, read_code, object_id)))


def identification_size(pdu: bytes) -> int:
    """The size of an identification answer, which only walking its objects tells; :data:`MORE`, or 0 if it is too long."""
    at = 7
    if len(pdu) < at:
        return MORE
    for _ in range(pdu[6]):
        if at + 2 > len(pdu):
            return MORE if at + 2 <= MAX_PDU_BYTES else 0
        at += 2 + pdu[at + 1]
    return at if at <= MAX_PDU_BYTES else 0


def request_size(pdu: bytes) -> int:
    """The size of the request that ``pdu`` begins with; :data:`MORE`, or 0 if it begins with none."""
    if not pdu:
        return MORE
    function = pdu[0]
    counted_at = (
        {Function.WRITE_COILS: 5, Function.WRITE_REGISTERS: 5, Function.READ_WRITE_REGISTERS: 9}.get(Function(function), 0)
        if (function in FUNCTIONS)
        else 0
    )
    if counted_at:
        return MORE if len(pdu) <= counted_at else pdu[counted_at] + counted_at + 1
    if function == Function.READ_IDENTIFICATION:
        return 4
    return (7 if function == Function.MASK_WRITE_REGISTER else 5) if function in FUNCTIONS else 0


def sizes(pdu: bytes) -> tuple[int, ...]:
    """The sizes that a request or an answer beginning like this may have, shortest first; :data:`MORE` among them."""
    if not pdu:
        return (MORE,)
    function = pdu[0]
    if function & EXCEPTION_BIT:
        return (2,) if function & ~EXCEPTION_BIT in FUNCTIONS else ()
    if function in READS:
        return _told(5, pdu, 1, 2)
    if function in (Function.WRITE_COILS, Function.WRITE_REGISTERS):
        return _told(5, pdu, 5, 6)
    if function == Function.READ_WRITE_REGISTERS:
        answer = pdu[1] + 2 if len(pdu) > 1 else MORE
        request = pdu[9] + 10 if len(pdu) > 9 else MORE
        return tuple(sorted(size for size in (answer, request) if size <= MAX_PDU_BYTES))
    if function == Function.READ_IDENTIFICATION:
        return tuple(sorted({4, identification_size(pdu)} - {0}))
    return (7,) if function == Function.MASK_WRITE_REGISTER else (5,) if function in FUNCTIONS else ()


def _told(fixed: int, pdu: bytes, at: int, uncounted: int) -> tuple[int, ...]:
    """A fixed size, and the one that a byte count tells."""
    if len(pdu) <= at:
        return (MORE, fixed)
    counted = pdu[at] + uncounted
    return tuple(sorted({fixed, counted})) if counted <= MAX_PDU_BYTES else (fixed,)


def layout(pdu: bytes) -> tuple[Struct, str] | None:
    """What declares the bytes behind a function code, and which of ``request``, ``answer``, ``exception`` they are.

    Some are both: then they are an answer. None for a function that is not spoken here.
    """
    function = pdu[0] if pdu else 0
    if function & EXCEPTION_BIT:
        return (EXCEPTION, "exception") if function & ~EXCEPTION_BIT in FUNCTIONS else None
    if function not in FUNCTIONS:
        return None
    if function in _COUNTED and len(pdu) > 1:
        is_answer = pdu[1] == len(pdu) - 2
    elif function == Function.READ_IDENTIFICATION:
        is_answer = len(pdu) > 4
    else:
        is_answer = function in ECHOED or len(pdu) <= 5
    return (ANSWERS[function], "answer") if is_answer else (REQUESTS[function], "request")
