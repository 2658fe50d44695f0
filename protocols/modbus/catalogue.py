"""What operators can have a unit do: the commands of its model's map, and requests as they stand in the standard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from protocols.command import CommandField, CommandKind, CommandRule, Effect
from protocols.modbus import kinds
from protocols.modbus.model import Command, Model
from protocols.modbus.pdu import READS, Function

ANSWER_SECONDS = 60.0
"""A request waits for its turn, is sent up to twice, and read back."""
REQUEST_DEFAULTS = {"command": "", "n": 0}
READ_RULE = CommandRule(Effect.QUERY, is_repeatable=True, answer_seconds=ANSWER_SECONDS, defaults=REQUEST_DEFAULTS)
WRITE_RULE = CommandRule(Effect.ACTUATE, answer_seconds=ANSWER_SECONDS, is_confirmed_twice=True, defaults=REQUEST_DEFAULTS)
"""Of a write that no map describes: what the register does, nobody has said."""


def rule_of(function: int) -> CommandRule:
    return READ_RULE if function in READS or function == Function.READ_IDENTIFICATION else WRITE_RULE


def map_commands(models: Iterable[Model]) -> dict[str, CommandKind]:
    """The commands of these models by name; of those that several have under one name, the first model's."""
    found: dict[str, CommandKind] = {}
    for model in models:
        for command in model.commands.values():
            found.setdefault(command.key, _kind(command))
    return found


def _kind(command: Command) -> CommandKind:
    fields = tuple(_fields(command))
    seconds = ANSWER_SECONDS + command.expires_seconds
    rule = CommandRule(command.effect, command.is_repeatable, seconds, is_confirmed_twice=command.is_confirmed_twice, form=fields)
    english, chinese = (text.replace("{n}", "").strip() for text in (command.label.en, command.label.zh))
    answers, preset = (kinds.COMMAND_RESULT,), {"command": command.key}
    return CommandKind(command.key, command.function, english, chinese or english, rule, fields, answers, preset)


def _fields(command: Command) -> Iterator[CommandField]:
    yield CommandField("unit", "u8", "", "Unit on the line; this device's if it is left out", "从站地址", is_needed=False)
    if command.alike > 1:
        yield CommandField("n", f"1 to {command.alike}", "", "Which of several alike", "序号")
    type = (
        f"{command.quantity} values"
        if command.quantity > 1
        else {"bit": "true or false", "string": "text"}.get(command.format.type, "number")
    )
    limits = ", ".join(
        f"{word} {end}"
        for word, end in (("at least", command.low), ("at most", command.high), ("in steps of", command.step))
        if end is not None
    )
    yield CommandField("value", ", ".join(filter(None, (type, limits))), command.unit, "What is written", "写入值")
