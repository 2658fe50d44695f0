"""From what an author writes to a protocol's table, or to a word about what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from itertools import groupby
from typing import Any, NoReturn

from construct import Const, FormatField, GreedyBytes, Struct

from protocols.catalogue import CATALOGUE, languages
from protocols.compiler.structure import UnsafeDeclarationError, bare, check, inside
from protocols.declared.frame import DeclarationError, Frame
from protocols.declared.reports import ENVELOPE, POSITION, RECORDS, record_of
from protocols.declared.rows import Answer, Downlink, Uplink
from protocols.fields import ClockTime, Declaration, Flags, UnixTime
from protocols.filling import EXTRA
from protocols.message import Outcome
from protocols.rows import Direction, MessageType

EDITION = "every edition"
_WORD = re.compile("[a-z][a-z0-9_]{0,31}")
_EXTRA = EXTRA / GreedyBytes * "Bytes behind the declared ones 多余字节"


def refuse(where: str, what: str) -> NoReturn:
    raise DeclarationError(f"{where}: {what}")


def check_word(where: str, word: str) -> None:
    if not _WORD.fullmatch(word):
        refuse(where, "a name is of lower-case letters, digits and _, begins with a letter and has at most 32 of them")


def table(
    messages: Sequence[Uplink | Downlink], answers: Mapping[int, Answer | None], usual: Answer | None, frame: Frame
) -> dict[int, MessageType]:
    """The protocol's messages by kind, with the answers that have kinds of their own."""
    kinds = {message.name: message.kind for message in messages}
    told = [answer for answer in (usual, *answers.values()) if answer]
    for one in told:
        check_answer(one)
    sentences = {answer.sentence for answer in told} | {"none"}
    how: Any = Enum("how", [(sentence, sentence) for sentence in sorted(sentences)])  # type: ignore[misc]
    rows: dict[int, MessageType] = {}
    for message in (*messages, *_answers_apart(told, set(kinds.values()))):
        where = f"message 0x{message.kind:02X} {message.name}"
        _check_message(where, message, rows, frame)
        row = MessageType(*message[:2], *languages(message.text), {EDITION: _open(message.body)}, Direction.DOWN, how["none"])
        if isinstance(message, Uplink):
            answer = answers[message.kind]
            row = replace(
                row, direction=Direction.UP, answer=how[answer.sentence if answer else "none"], ends_session=message.ends_session
            )
        else:
            unknown = [name for name in message.answered_by if name not in kinds]
            if unknown:
                refuse(where, f"answered_by {unknown[0]!r} is no message: use some of {', '.join(kinds)}")
            row = replace(row, answered_by=tuple(kinds[name] for name in message.answered_by), command=message.command)
        rows[message.kind] = row
    return rows


def check_layout(where: str, layout: Struct) -> None:
    """Whether every field has a name, a text and, where its name asks for one, its unit.

    Raises: DeclarationError
    """
    try:
        check(layout)
    except UnsafeDeclarationError as error:
        refuse(where, str(error))
    for part, path in inside(layout):
        if not isinstance(part, Struct):
            continue
        # A field with a name and a text is wrapped twice, and named twice on the way.
        path = ".".join(name for name, _ in groupby(path.split(".")))
        names = [field.name for field in part.subcons]
        for field in part.subcons:
            at = f"{where}: {path}.{field.name}" if path else f"{where}: {field.name}"
            if not field.name:
                refuse(where, f'a field of {path or "it"} has no name: write "name" / ... * "its text"')
            if names.count(field.name) > 1:
                refuse(at, "two fields have this name")
            if not getattr(field, "docs", ""):
                refuse(at, 'no text: write ... * "what it is", with its Chinese term behind if there is one')
            _check_meaning(at, field.name, field)


def has_time(layout: Struct) -> bool:
    """Whether a body says when it was made, itself or in what it holds."""
    return any(path.rpartition(".")[2] == "time" for _, path in inside(layout))


def check_answer(answer: Answer) -> None:
    """Whether each field of an answer is filled, and with something to say that the message is stored.

    Raises: DeclarationError
    """
    where = f"answer {answer.name}"
    check_layout(where, answer.body)
    declared = [str(field.name) for field in answer.body.subcons if not isinstance(bare(field), Const)]
    for name, source in answer.fields.items():
        if name not in declared:
            refuse(f"{where}: {name}", f"there is no such field, but {', '.join(declared)}")
        if isinstance(source, Mapping) and Outcome.STORED not in source:
            refuse(f"{where}: {name}", "has no value for Outcome.STORED")
    for name in declared:
        if name not in answer.fields:
            refuse(f"{where}: {name}", "nothing says what it is filled with: add it to fields")


def check_copied(header: Struct, from_header: Struct) -> None:
    """Whether all of a platform's header can be had from the device's.

    Raises: DeclarationError
    """
    known = {field.name for field in from_header.subcons} | set(ENVELOPE)
    for field in header.subcons:
        if field.name not in known and not isinstance(bare(field), Const):
            refuse(
                f"header from the platform: {field.name}", "the device's header has none to copy: make it a Const, or leave it out"
            )


def _check_message(where: str, message: Uplink | Downlink, rows: Mapping[int, MessageType], frame: Frame) -> None:
    check_word(where, message.name)
    if not languages(message.text)[0]:
        refuse(where, "no text: say in a few words what it is")
    if message.kind in rows:
        refuse(where, f"{rows[message.kind].name} has this kind already")
    if message.name in {row.name for row in rows.values()}:
        refuse(where, "another message has this name")
    highest = (1 << 8 * frame.places["kind"][1].sizeof()) - 1
    if not 0 <= message.kind <= highest:
        refuse(where, f"the header's kind holds 0 to 0x{highest:02X}")
    if not isinstance(message.body, Struct):
        refuse(where, 'a body is a Struct("name" / ... * "its text", ...)')
    check_layout(where, message.body)


def _check_meaning(at: str, name: str, field: Declaration) -> None:
    """What the names that all protocols share may stand for."""
    parts = [part for part, _ in inside(field)]
    if name == "time" and not any(isinstance(part, (ClockTime, UnixTime)) for part in parts):
        refuse(at, "has to be UnixTime, BcdTime or BinaryTime; call it otherwise if it is no moment")
    if name == "alarms" and not any(isinstance(part, Flags) for part in parts):
        refuse(at, "has to be Flags, whose bits are the alarms' names")
    if name == RECORDS and record_of(Struct(field))[0] is None:
        refuse(at, "has to be a list of Structs, such as UntilEnd(Struct(...))")
    expected = POSITION.get(name, CATALOGUE[name].unit if name in CATALOGUE else "")
    unit = next((part.unit for part in parts if hasattr(part, "unit")), "")
    is_float = isinstance(bare(field), FormatField) and bare(field).fmtstr[-1] in "efd"  # type: ignore[attr-defined]
    if expected and unit != expected and not is_float:
        refuse(at, f"is in {expected} everywhere: declare it with Scaled(..., {expected!r}), or give it a name of its own")


def _answers_apart(answers: Sequence[Answer], taken: set[int]) -> list[Downlink]:
    """The answers that are messages beside those of the table."""
    apart = {answer.kind: answer for answer in reversed(answers) if answer.kind is not None and answer.kind not in taken}
    return [Downlink(kind, answer.name, answer.text, answer.body, command=None) for kind, answer in sorted(apart.items())]


def _open(body: Struct) -> Struct:
    """A layout that keeps what newer firmware puts behind the declared fields."""
    return body if any(field.name == EXTRA for field in body.subcons) else Struct(*body.subcons, _EXTRA)
