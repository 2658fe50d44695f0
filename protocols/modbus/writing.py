"""Commands between an operator's words and a request: checked against the map of the unit's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from construct import ConstructError, Struct

from protocols.modbus.model import Command, Model
from protocols.modbus.pdu import READS, REQUEST_FIELDS, REQUESTS, Function, Request
from protocols.modbus.reading import COMMAND_FIELDS
from protocols.modbus.values import packed_bits
from protocols.modbus.writes import Wanted

COMMANDS = {function: Struct(*COMMAND_FIELDS, *fields) for function, fields in REQUEST_FIELDS.items()}
"""The bodies of commands: whom they are for, and the request behind its function code."""
_MOST = {
    Function.READ_COILS: 2000,
    Function.READ_DISCRETE_INPUTS: 2000,
    Function.READ_HOLDING_REGISTERS: 125,
    Function.READ_INPUT_REGISTERS: 125,
    Function.WRITE_COILS: 1968,
    Function.WRITE_REGISTERS: 123,
    Function.READ_WRITE_REGISTERS: 125,
}


def command_fields(kind: int, fields: Mapping[str, Any], models: Mapping[str, Model]) -> dict[str, Any]:
    """The fields of a command's body from ``unit``, ``command``, ``value`` and, of several alike, ``n``.

    ``model`` is needed only where several models have such a command.

    Raises: ValueError, with the field, its value and what it may be.
    """
    for name in fields:
        if name not in ("unit", "command", "value", "n", "model"):
            raise ValueError(f"{name}: there is no such field, but unit, command, n, value, model")
    for name in ("unit", "command", "value"):
        if name not in fields:
            raise ValueError(f"{name}: missing")
    for name in ("command", "model"):
        if not isinstance(fields.get(name, ""), str):
            raise ValueError(f"{name}: {fields[name]!r} is no name")
    command = _command(fields["command"], fields.get("model"), kind, models)
    n = fields.get("n", 1)
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= command.alike or ("n" not in fields and command.alike > 1):
        raise ValueError(f"n: {n if 'n' in fields else 'missing'}, there are 1 to {command.alike}")
    try:
        data = _data(command, fields["value"])
    except ValueError as error:
        raise ValueError(f"value: {error}") from error
    size = command.quantity * command.format.size
    head = {
        "unit": fields["unit"],
        "command": command.key,
        "n": n if command.alike > 1 else 0,
        "address": command.address + (n - 1) * size,
    }
    if kind == Function.WRITE_COIL:
        return {**head, "value": (0xFF00 if data[0] else 0) if command.format.type == "bit" else int.from_bytes(data, "big")}
    if kind == Function.WRITE_REGISTER:
        return {**head, "value": int.from_bytes(data, "big")}
    return {**head, "quantity": size, "bits" if kind == Function.WRITE_COILS else "registers": data}


def wanted(kind: int, body: bytes, models: Mapping[int, Model]) -> Wanted:
    """What a command's body asks of a line with these models by unit.

    Raises: ValueError, with the field and why it could not be done.
    """
    layout = COMMANDS.get(kind)
    if layout is None:
        raise ValueError(f"there is no command 0x{kind:02X}")
    try:
        parsed = layout.parse(body)
        data = REQUESTS[kind].build(parsed)
        if layout.build(parsed) != body:
            raise ValueError("there are bytes behind the command")
    except ConstructError as error:
        raise ValueError(str(error).splitlines()[-1]) from error
    if parsed.unit not in models:
        raise ValueError(f"unit: {parsed.unit} is none of {', '.join(map(str, models)) or 'no units'} on this line")
    request = Request(parsed.unit, kind, data)
    if not parsed.command:
        _check_raw(parsed, kind)
        return Wanted(request, body, None, None)
    model = models[parsed.unit]
    command = model.commands.get(parsed.command)
    if command is None or command.function != kind:
        raise ValueError(f"command: {model.name}, which unit {parsed.unit} is, has no {parsed.command!r} with function {kind}")
    size = command.quantity * command.format.size
    first = command.address + max(parsed.n - 1, 0) * size
    if parsed.n > command.alike or parsed.address != first or parsed.get("quantity", size) != size:
        raise ValueError(f"address: {parsed.address} is not what {command.key} of {model.name} writes")
    readback = model.point(f"{command.readback}_{parsed.n}" if command.alike > 1 else command.readback)
    return Wanted(request, body, command, readback)


def _command(key: Any, model: Any, kind: int, models: Mapping[str, Model]) -> Command:
    """The one command that is meant."""
    if model is not None and model not in models:
        raise ValueError(f"model: {model!r} is none of {', '.join(models)}")
    known = [models[model]] if model is not None else list(models.values())
    found = [(found, one.commands[key]) for found, one in ((one.name, one) for one in known) if key in one.commands]
    if not found:
        raise ValueError(f"command: {key!r} is none of {', '.join(key for one in known for key in one.commands) or 'no commands'}")
    if any(command != found[0][1] for _, command in found):
        raise ValueError(f"model: missing, there is {key} in {', '.join(name for name, _ in found)}")
    command = found[0][1]
    if command.function != kind:
        raise ValueError(f"command: {key} is a {Function(command.function).name.lower()}")
    return command


def _data(command: Command, value: Any) -> bytes:
    """The registers, or the packed coils, of one value or of several."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if len(values) != command.quantity:
        raise ValueError(f"{len(values)} values, where there are {command.quantity}")
    raws = [command.raw(one) for one in values]
    if command.function in (Function.WRITE_COIL, Function.WRITE_COILS) and command.format.type == "bit":
        return packed_bits([bool(raw) for raw in raws])
    return b"".join(command.format.write(raw) for raw in raws)


def _check_raw(parsed: Any, kind: int) -> None:
    """A request that no map describes has to be one at least."""
    most = _MOST.get(Function(kind))
    if most is not None and not 1 <= parsed.quantity <= most:
        raise ValueError(f"quantity: {parsed.quantity} is not from 1 to {most}")
    if kind in READS:
        return
    if kind == Function.WRITE_COILS and len(parsed.bits) != (parsed.quantity + 7) // 8:
        raise ValueError(f"bits: {len(parsed.bits)} bytes do not hold {parsed.quantity} coils")
    quantity = {Function.WRITE_REGISTERS: "quantity", Function.READ_WRITE_REGISTERS: "write_quantity"}.get(Function(kind))
    if quantity is not None and len(parsed.registers) != 2 * parsed[quantity]:
        raise ValueError(f"registers: {len(parsed.registers)} bytes do not hold {parsed[quantity]} registers")
