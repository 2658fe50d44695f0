"""Commands on their way down to devices: what gateways and workers say of them to each other, and what Redis knows.

operator ── ask ──▶ a row, queued ──▶ database; iotgw:commands, a set of devices; mailbox of the gateway that has one
gateway  ── next_commands ([device, head]) ──▶ worker: whose turn it is, as kind and body; nothing changes
gateway  ── sending ([command, sequence, data]) ──▶ worker: queued becomes sent, if it still may ── granted ──▶ it is written
device   ── answers ──▶ a message like any other ──▶ worker: the row ends in its report's transaction

A row is sent before its bytes leave: who dies between leaves a command of which nobody knows if it was done, and never one
that is done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from tasks.contract.mailboxes import BadPayloadError

NEXT_COMMANDS_TASK = "tasks.commands.next_commands"
SENDING_TASK = "tasks.commands.sending"
UNSENT_TASK = "tasks.commands.unsent"
ASK_TASK = "tasks.commands.ask"
"""``ask(request, by, address, permitted)`` gives ``{"command": ...}``, or ``{"error": {"code": ..., "text": ...}}``. A request has
``protocol``, ``identity``, ``name``, ``fields``, and may have ``condition``, ``expires_in`` (seconds), ``is_confirmed``,
``must_be_online``, ``waiter`` (a gateway) and ``key``; permitted are effects."""
SHOW_COMMAND_TASK = "tasks.commands.show"
"""``show(command)`` gives the command, or None."""
CANCEL_COMMAND_TASK = "tasks.commands.cancel"
"""``cancel(command, by, address)`` gives ``{"is_cancelled": ..., "command": ...}``, or None."""
COMMANDS_SWEEP_TASK = "tasks.commands.sweep"
COMMANDS_WAITING = "iotgw:commands"
"""The Redis set of devices for which a command may wait, by :func:`tasks.contract.route_field`."""
COMMANDS_FIELD = b"commands"
ENDED_FIELD = b"ended"
MOST_COMMANDS = 500
"""Devices, or commands, in one question."""


class CommandsWaiting(NamedTuple):
    """Word to a gateway that something has changed in what a device is told to do."""

    protocol: str
    identity: str


class CommandEnded(NamedTuple):
    """Word to the gateway whose caller waits for it that a command has come to its end."""

    command: int


class Asking(NamedTuple):
    """A device of which a gateway asks what is to go down to it next."""

    protocol: str
    identity: str
    head: bytes
    """What its messages begin with: by it the body's edition is chosen."""


class Ready(NamedTuple):
    """A command whose turn it is."""

    command: int
    kind: int
    body: bytes


class Leaving(NamedTuple):
    """A command that a gateway is about to write."""

    command: int
    sequence: int | None
    data: bytes


class Unsent(NamedTuple):
    """A command that was to leave and did not: of which no byte was written."""

    command: int
    fault: str
    """Why it never can; empty if it may be tried again."""


def pack_commands_waiting(devices: Sequence[CommandsWaiting]) -> bytes:
    packed: bytes = msgpack.packb(devices)
    return packed


def unpack_commands_waiting(data: bytes) -> list[CommandsWaiting]:
    """Raises: BadPayloadError when the bytes name no devices."""
    try:
        return [CommandsWaiting(str(protocol), str(identity)) for protocol, identity in msgpack.unpackb(data)]
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"no devices: {error}") from error


def pack_ended(commands: Sequence[int]) -> bytes:
    packed: bytes = msgpack.packb(list(commands))
    return packed


def unpack_ended(data: bytes) -> list[CommandEnded]:
    """Raises: BadPayloadError when the bytes name no commands."""
    try:
        return [CommandEnded(int(command)) for command in msgpack.unpackb(data)]
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadPayloadError(f"no commands: {error}") from error


def read_asking(rows: Any) -> list[Asking]:
    """Raises: BadPayloadError"""
    return [Asking(*row) for row in _rows(rows, (str, str, bytes), Asking)]


def read_leaving(rows: Any) -> list[Leaving]:
    """Raises: BadPayloadError"""
    return [Leaving(*row) for row in _rows(rows, (int, (int, type(None)), bytes), Leaving)]


def read_unsent(rows: Any) -> list[Unsent]:
    """Raises: BadPayloadError"""
    return [Unsent(*row) for row in _rows(rows, (int, str), Unsent)]


def read_ready(told: Any, count: int) -> list[list[Ready]]:
    """What the task tells of as many devices: of each the commands that may leave now, in their order.

    Raises: BadPayloadError
    """
    if not isinstance(told, (list, tuple)) or len(told) != count:
        raise BadPayloadError(f"the answer is not about {count} devices")
    return [[Ready(*row) for row in _rows(rows, (int, int, bytes), Ready)] for rows in told]


def read_granted(told: Any, count: int) -> list[bool]:
    """Of each of so many commands whether it may be written.

    Raises: BadPayloadError
    """
    if not isinstance(told, (list, tuple)) or len(told) != count or any(type(one) is not bool for one in told):
        raise BadPayloadError(f"the answer is not about {count} commands")
    return list(told)


def _rows(rows: Any, types: tuple[Any, ...], shape: type[Any]) -> list[Any]:
    if not isinstance(rows, (list, tuple)) or len(rows) > MOST_COMMANDS:
        raise BadPayloadError(f"not a list of {MOST_COMMANDS} at the most")
    for index, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or len(row) != len(types) or not all(map(isinstance, row, types)):
            raise BadPayloadError(f"[{index}] is not ({', '.join(shape.__annotations__)})")
        if any(isinstance(value, int) and not -(1 << 63) <= value < 1 << 63 for value in row):
            raise BadPayloadError(f"[{index}] has a number that no column has")
    return list(rows)
