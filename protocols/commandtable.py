"""The commands of a protocol by their names: what operators can have its devices do, and the bytes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from protocols.command import CommandField, CommandKind, CommandRule, Effect
from protocols.describe import rows

if TYPE_CHECKING:
    from protocols.protocol import DeviceProtocol, MessageRow

RAW = "raw"
MAX_RAW_BYTES = 65_536
_HIGHEST_ID = 0xFFFF
RAW_KIND = CommandKind(
    RAW,
    None,
    "Bytes as they are",
    "原始数据",
    CommandRule(Effect.RAW, is_confirmed_twice=True),
    (
        CommandField("kind", "u16, or hex behind 0x", "", "Id of the message", "消息ID"),
        CommandField("body", "bytes in hex", "", "Body of the message", "消息体"),
    ),
)


class Built(NamedTuple):
    """A command that can be sent."""

    kind: int
    body: bytes
    rule: CommandRule
    """With these fields."""


def commands_of(protocol: DeviceProtocol, head: bytes = b"") -> dict[str, CommandKind]:
    """A protocol's commands by name, for the device whose messages have a head like this."""
    return {**{row.name: _kind(row) for row in protocol.messages.values() if _rule(row)}, RAW: RAW_KIND}


def edition_of(protocol: DeviceProtocol, head: bytes) -> str:
    """Which layouts the device with this head understands; empty where the protocol does not tell."""
    of: Callable[[bytes], str] = getattr(protocol, "edition_of", lambda head: "")
    return of(head) if head else ""


def build(protocol: DeviceProtocol, name: str, fields: Mapping[str, Any], identity: str = "", head: bytes = b"") -> Built:
    """A command by its name, for the device of this identity whose messages have a head like this.

    Raises: ValueError, with the command or the field, its value and what it may be.
    """
    row = next((row for row in protocol.messages.values() if row.name == name and _rule(row)), None)
    if row is None:
        if name != RAW:
            raise ValueError(f"there is no command {name!r}")
        return _raw(fields, RAW_KIND.rule)
    rule = _rule(row)
    assert rule is not None
    return Built(row.id, protocol.build(row.id, {**rule.defaults, **fields}, edition_of(protocol, head)), rule.of(fields))


def shown(command: CommandKind) -> dict[str, Any]:
    """A command as JSON values."""
    rule = command.rule
    return {
        "name": command.name,
        "kind": command.kind,
        "english": command.english,
        "chinese": command.chinese,
        "effect": rule.effect.value,
        "is_repeatable": rule.is_repeatable,
        "is_confirmed_twice": rule.is_confirmed_twice,
        "differs_by_fields": rule.differs is not None,
        "answer_seconds": rule.answer_seconds,
        "answered_by": list(command.answered_by),
        "fields": [{**field._asdict(), "words": [dict(word) for word in field.words]} for field in command.fields],
    }


def _rule(row: MessageRow) -> CommandRule | None:
    rule: CommandRule | None = getattr(row, "command", None)
    return rule


def _kind(row: MessageRow) -> CommandKind:
    rule = _rule(row)
    assert rule is not None
    fields = [CommandField(field.name, field.type, field.unit, field.text) for field in rows(next(iter(row.layouts.values())))]
    return CommandKind(row.name, row.id, row.english, row.chinese, rule, tuple(fields), row.answered_by)


def _raw(fields: Mapping[str, Any], rule: CommandRule) -> Built:
    for name in fields:
        if name not in ("kind", "body"):
            raise ValueError(f"{RAW}: {name}: there is no such field, but kind, body")
    kind, body = fields.get("kind"), fields.get("body", "")
    if isinstance(kind, str):
        try:
            kind = int(kind, 16) if kind.lower().startswith("0x") else int(kind)
        except ValueError:
            kind = None
    if isinstance(kind, bool) or not isinstance(kind, int) or not 0 <= kind <= _HIGHEST_ID:
        raise ValueError(f"{RAW}: kind: {fields.get('kind')!r} is no id from 0 to 0x{_HIGHEST_ID:04X}")
    try:
        raw = bytes.fromhex(body) if isinstance(body, str) else bytes(body) if isinstance(body, bytes) else None
    except ValueError:
        raw = None
    if raw is None or len(raw) > MAX_RAW_BYTES:
        raise ValueError(f"{RAW}: body: {str(body)[:64]!r} is no bytes in hex, at most {MAX_RAW_BYTES}")
    return Built(kind, raw, rule)
