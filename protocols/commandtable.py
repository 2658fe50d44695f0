"""The commands of a protocol by their names: what operators can have its devices do, and the bytes of it.

    table of messages ─┐
    rules of commands ─┼─▶ catalogue: name, effect, fields with their units and words ─▶ lists, forms, reference pages
    register maps ─────┘
    name and fields ───▶ checked ─▶ the message's id and body, and its rule with these fields

A command's name is that of its message's row. Beside those stand commands of register maps, ``raw``, and ``file`` where files go
down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from protocols.catalogue import languages
from protocols.command import CommandField, CommandKind, CommandRule, Effect
from protocols.describe import Row, rows, text_of
from protocols.download import Carrier
from protocols.fields import Choice, Flags
from protocols.filling import EXTRA
from protocols.items import Items

if TYPE_CHECKING:
    from construct import Struct

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

FILE = "file"
FILE_KIND = CommandKind(
    FILE,
    None,
    "A file, such as firmware",
    "文件下发",
    CommandRule(Effect.CONFIGURE),
    (CommandField("file", "number", "", "Its number, as iotgw files lists it", "文件编号"),),
)
"""No message: the codec knows by which a file goes down."""


class Built(NamedTuple):
    """A command that can be sent."""

    kind: int
    body: bytes
    rule: CommandRule
    """With these fields."""


def commands_of(protocol: DeviceProtocol, head: bytes = b"") -> dict[str, CommandKind]:
    """A protocol's commands by name, for the device whose messages have a head like this; without one in the oldest layouts."""
    edition = edition_of(protocol, head)
    found = {row.name: _kind(row, edition) for row in protocol.messages.values() if _rule(row)}
    return {**_more(protocol, head), **found, RAW: RAW_KIND}


def kinds_of(protocol: DeviceProtocol, head: bytes = b"") -> dict[str, CommandKind]:
    """What devices of a protocol can be told, by name: its commands, and files if they take any."""
    kinds = commands_of(protocol, head)
    return {**kinds, FILE: FILE_KIND} if carries_files(protocol) else kinds


def carries_files(protocol: DeviceProtocol) -> bool:
    return isinstance(protocol.codec(), Carrier)


def edition_of(protocol: DeviceProtocol, head: bytes) -> str:
    """Which layouts the device with this head understands; empty where the protocol does not tell."""
    of: Callable[[bytes], str] = getattr(protocol, "edition_of", lambda head: "")
    return of(head) if head else ""


def build(protocol: DeviceProtocol, name: str, fields: Mapping[str, Any], identity: str = "", head: bytes = b"") -> Built:
    """A command by its name, for the device of this identity whose messages have a head like this.

    Raises: ValueError, with the command or the field, its value and what it may be.
    """
    edition = edition_of(protocol, head)
    row = next((row for row in protocol.messages.values() if row.name == name and _rule(row)), None)
    if not isinstance(fields, Mapping) or not all(isinstance(field, str) for field in fields):
        raise ValueError(f"{name}: {fields!r} is no fields by name")
    if name == RAW and row is None:
        return _raw(fields, RAW_KIND.rule)
    kind, rule, preset = _found(protocol, row, name, head)
    of: Callable[[str, bytes], Mapping[str, Any]] = getattr(protocol, "fields_of", lambda identity, head: {})
    told = {**of(identity, head), **preset}
    for field, value in told.items():
        if fields.get(field, value) != value:
            raise ValueError(f"{name}: {field}: {fields[field]!r}, where this device's is {value!r}")
    # What fields there are goes by the edition.
    known = {field.name for field in _layout(row, edition).subcons} if row else set()
    defaults = {field: value for field, value in rule.defaults.items() if field in known}
    return Built(kind, protocol.build(kind, {**defaults, **told, **fields}, edition), rule.of({**told, **fields}))


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
        "waits_grow": rule.waits_grow,
        "answered_by": list(command.answered_by),
        "fields": [{**field._asdict(), "words": [dict(word) for word in field.words]} for field in command.fields],
    }


def _rule(row: MessageRow) -> CommandRule | None:
    # Rows of other packages need not have one, and protocols of theirs not what follows.
    rule: CommandRule | None = getattr(row, "command", None)
    return rule


def _more(protocol: DeviceProtocol, head: bytes) -> dict[str, CommandKind]:
    more: Callable[[bytes], dict[str, CommandKind]] = getattr(protocol, "more_commands", lambda head: {})
    return more(head)


def _found(protocol: DeviceProtocol, row: MessageRow | None, name: str, head: bytes) -> tuple[int, CommandRule, Mapping[str, Any]]:
    """A command's message, its rule, and the fields that are given with its name."""
    rule = _rule(row) if row else None
    if row is not None and rule is not None:
        return row.id, rule, {}
    command = _more(protocol, head).get(name)
    if command is None or command.kind is None:
        raise ValueError(f"there is no command {name!r}")
    return command.kind, command.rule, command.preset


def _kind(row: MessageRow, edition: str) -> CommandKind:
    rule = _rule(row)
    assert rule is not None
    fields = rule.form if rule.form is not None else tuple(_fields(_layout(row, edition), rule))
    return CommandKind(row.name, row.id, row.english, row.chinese, rule, fields, row.answered_by)


def _layout(row: MessageRow, edition: str) -> Struct:
    """The layout of the newest edition that is not newer than this one; else, and without an edition, the first."""
    known = [name for name in row.layouts if edition and name.split()[0] <= edition]
    newest = max((name.split()[0] for name in known), default="")
    return next((row.layouts[name] for name in known if name.split()[0] == newest), next(iter(row.layouts.values())))


def _fields(layout: Struct, rule: CommandRule) -> Iterator[CommandField]:
    for row in rows(layout):
        if row.is_counted or row.name.rpartition(".")[2] == EXTRA:
            continue
        is_needed = row.name.partition("[")[0].partition(".")[0] not in rule.defaults
        yield CommandField(row.name, row.type, row.unit, *languages(row.text), is_needed, row.condition, tuple(_words(row)))


def _words(row: Row) -> Iterator[dict[str, Any]]:
    words = row.words
    if isinstance(words, Choice):
        for value, option in words.options.items():
            yield {"value": value, "name": option.name, **_texts(option.text)}
    elif isinstance(words, Flags):
        for at, bit in words.bits.items():
            yield {"bit": at, "width": bit.width, "name": bit.name, **_texts(bit.text), "choices": list(bit.choices)}
    elif isinstance(words, Items):
        for id, declarations in words.table.items():
            for declaration in declarations:
                yield _item(id, declaration)


def _item(id: int, declaration: Any) -> dict[str, Any]:
    """An item of a list, which may have fields of its own."""
    parts = [row for row in rows(declaration) if not row.is_counted]
    first = parts[0] if len(parts) == 1 else None
    return {
        "id": id,
        "name": str(declaration.name),
        **_texts(text_of(declaration)),
        "type": first.type if first else "fields",
        "unit": first.unit if first else "",
        "words": [word["name"] for word in _words(first)] if first else [row.name.rpartition(".")[2] for row in parts],
    }


def _texts(text: str) -> dict[str, str]:
    english, chinese = languages(text)
    return {"english": english, "chinese": chinese}


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
