"""Making reports of what the platform has stored of a line.

A reading is read with the map of its model as it is now, whatever it was then: each block says what was asked, so that
a mended map mends old readings too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from construct import Container

from protocols.body import read, values
from protocols.command import Answer, AnswerStatus
from protocols.message import Message
from protocols.modbus import kinds
from protocols.modbus.messages import EDITION, MESSAGES
from protocols.modbus.model import Group, Model, Point
from protocols.modbus.pdu import BIT_READS, REQUESTS, Request, exception_name, layout
from protocols.modbus.planner import Block
from protocols.modbus.reading import ANSWERED, COMMAND_RESULT, HEAD, READING, REFUSED
from protocols.modbus.values import as_json, bit_at, decimal
from protocols.modbus.writes import written_data
from protocols.modbus.writing import COMMANDS
from protocols.report import Decoded, DecodeError, Report
from protocols.rows import Direction

NOT_READ = "not_read"
"""Why a point has no value: none of the blocks holds it."""


def decode(message: Message, models: Mapping[str, Model]) -> Decoded:
    """The report of a message, and the error that took some of it away."""
    row = MESSAGES.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no message 0x{message.kind:02X}")
        if message.kind == kinds.READING:
            return _reading(message, models)
        layout = row.layouts[EDITION]
        parsed = read(layout, message.body)
        report = Report(row.name, message.body, values=values(layout, parsed))
        if row.direction is Direction.DOWN or message.kind == kinds.COMMAND_RESULT:
            return _command(message, report, parsed, models)
        if message.kind == kinds.IDENTIFICATION:
            report.values = _objects(parsed.objects)
            return Decoded([report], _rest("objects", parsed.objects))
        if message.kind == kinds.REGISTRATION and message.body.isascii() and message.body.decode("ascii").isprintable():
            report.values["text"] = message.body.decode("ascii")
        if message.kind in (kinds.LATE_ANSWER, kinds.UNASKED_FRAME):
            return _frame(report, message.body)
        return Decoded([report])
    except DecodeError as error:
        return Decoded([], error)


def _reading(message: Message, models: Mapping[str, Model]) -> Decoded:
    head = read(HEAD, message.head)
    model = models.get(head.model)
    if model is None:
        raise DecodeError("unknown-model", "model", f"there is no map of {head.model or 'no name'} in the folder of maps")
    group = model.groups.get(head.group)
    if group is None:
        raise DecodeError("unknown-group", "group", f"the map of {head.model} has no group {head.group}")
    blocks = read(READING, message.body).blocks
    report = Report("reading", message.body, values=_values(group, blocks))
    report.values = {"model": model.name, "group": group.name, **report.values}
    if head.version != group.version:
        report.values["map_changed"] = True
    return Decoded([report], _rest("blocks", blocks))


def _values(group: Group, blocks: list[Container[Any]]) -> dict[str, Any]:
    """Every point's value; of those without one, why, by name in ``missing``."""
    found: dict[str, Any] = {}
    missing = {point.key: NOT_READ for point in group.points}
    for block in blocks:
        place = Block(block.function, block.address, block.quantity)
        is_whole = block.outcome == ANSWERED and len(block.data) == _data_bytes(place)
        for point, offset in _inside(group, place):
            if not is_whole:
                missing[point.key] = _why(block)
                continue
            value, why = point.value(_registers(point, block.data, offset))
            if why:
                missing[point.key] = why
                continue
            found[point.key] = value
            missing.pop(point.key, None)
    ordered = {point.key: found[point.key] for point in group.points if point.key in found}
    return {**ordered, "missing": missing} if missing else ordered


def _inside(group: Group, block: Block) -> tuple[tuple[Point, int], ...]:
    """The points in a block, and where."""
    return tuple((point, point.address - block.address) for point in group.points if block.holds(point))


def _data_bytes(block: Block) -> int:
    return (block.quantity + 7) // 8 if block.function in BIT_READS else 2 * block.quantity


def _registers(point: Point, data: bytes, offset: int) -> bytes:
    """A point's own part of a block's data."""
    if point.function in BIT_READS:
        return bit_at(data, offset)
    return data[2 * offset : 2 * (offset + point.format.size)]


def _why(block: Container[Any]) -> str:
    if block.outcome == REFUSED:
        return block.exception if isinstance(block.exception, str) else exception_name(block.exception)
    return "length" if block.outcome == ANSWERED else str(block.outcome)


def _command(message: Message, report: Report, parsed: Container[Any], models: Mapping[str, Model]) -> Decoded:
    """A command, or what became of one, with its value in the map's words where there is a map."""
    function, given = message.kind, parsed
    if message.kind == kinds.COMMAND_RESULT:
        function = parsed.function
        declared = COMMANDS.get(function)
        if declared is None:
            raise DecodeError("unknown-function", "function", f"no function 0x{function:02X}")
        given = read(declared, parsed.request)
        report.values = {**values(declared, given), **values(COMMAND_RESULT, parsed)}
        del report.values["request"]
        report.values.pop("answer", None)
        report.answer = _answer(function, parsed)
        if report.values["exception"] == "none":
            del report.values["exception"]
    model = models.get(read(HEAD, message.head).model) if message.head else None
    command = model.commands.get(given.command) if model is not None else None
    if model is None or command is None:
        return Decoded([report])
    raw = command.format.read(
        written_data(Request(given.unit, function, REQUESTS[function].build(given)))[: 2 * command.format.size]
    )
    report.values["written"] = _shown(raw, command.scale, command.offset)
    point = model.point(f"{command.readback}_{given.n}" if command.alike > 1 else command.readback)
    if message.kind == kinds.COMMAND_RESULT and point is not None and parsed.state in ("confirmed", "different"):
        report.values["read_back"] = point.value(parsed.answer[2:])[0]
    return Decoded([report])


def _answer(function: int, parsed: Container[Any]) -> Answer:
    """What became of a command is told once, at its end."""
    if parsed.state in ("accepted", "confirmed", "answered"):
        return Answer((function,), AnswerStatus.DONE)
    reason = parsed.state if isinstance(parsed.state, str) else f"state_{parsed.state}"
    if parsed.state == "refused":
        reason = parsed.exception if isinstance(parsed.exception, str) else exception_name(parsed.exception)
    return Answer((function,), AnswerStatus.FAILED, None, reason)


def _objects(objects: list[Container[Any]]) -> dict[str, Any]:
    return {entry.object if isinstance(entry.object, str) else f"object_{entry.object}": str(entry.value) for entry in objects}


def _frame(report: Report, body: bytes) -> Decoded:
    """A frame that nobody waited for, as far as it explains itself."""
    found = layout(body[1:])
    if found is None:
        return Decoded([report], DecodeError("unknown-function", "function", f"no function 0x{body[1]:02X}"))
    declared, word = found
    try:
        details = values(declared, read(declared, body[2:]))
    except DecodeError as error:
        return Decoded([report], error)
    if "registers" in details:
        raw = bytes.fromhex(details["registers"])
        details["registers"] = [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
    report.values.update({"is": word, **details})
    return Decoded([report])


def _rest(name: str, entries: Any) -> DecodeError | None:
    """What is wrong with a list: an entry that is cut."""
    if not entries.trailing:
        return None
    return DecodeError("truncated", f"{name}[{len(entries)}]", f"{len(entries.trailing)} bytes left are no whole entry")


def _shown(raw: Any, scale: Any, offset: Any) -> Any:
    if raw is None or isinstance(raw, str):
        return raw
    number = decimal(raw, scale, offset)
    return as_json(number, number == number.to_integral_value(), None)
