"""From fields to reports, by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from construct import Const, ConstructError, Container, Struct

from protocols.body import decode_error, read, values
from protocols.compiler import compile
from protocols.compiler.structure import bare, inside
from protocols.fields import Declaration, FlagWord
from protocols.items import Entries, Records
from protocols.message import Message
from protocols.protocol import MessageRow
from protocols.report import Decoded, DecodeError, Report

if TYPE_CHECKING:
    from protocols.declared.protocol import DeclaredProtocol

POSITION = {"latitude": "°", "longitude": "°", "altitude_m": "m", "speed_kmh": "km/h", "course_deg": "°"}
"""The fields that a report has places of its own for, with their units."""
RECORDS = "records"
ENVELOPE = ("kind", "length", "sequence", "identity")
"""A header's fields that say whose message it is, and nothing of the device's surroundings."""


def decode(protocol: DeclaredProtocol, message: Message) -> Decoded:
    """Reports of a message, and the error that ended them or took some away."""
    row = protocol.messages.get(message.kind)
    try:
        if row is None:
            raise DecodeError("unknown-kind", "", f"no message {protocol.kind_name(message.kind)}")
        header = _header(protocol, message.head)
        (layout,) = row.layouts.values()
        parsed = read(layout, message.body)
    except DecodeError as error:
        return Decoded([], error)
    decoded = _decoded(protocol, message, row, header, parsed)
    if decoded.reports:
        decoded.reports[0].answer = protocol.outcomes.answer_of(message.kind, parsed)
    return decoded


def _decoded(
    protocol: DeclaredProtocol, message: Message, row: MessageRow, header: Mapping[str, Any], parsed: Container[Any]
) -> Decoded:
    (layout,) = row.layouts.values()
    shown = told_by(protocol.frame.header, header)
    # What the header tells belongs to the report, and to what it is recognised by.
    head = message.head if shown else b""
    common = Report(row.name, head)
    _take(common, shown, header)
    shown = values(layout, parsed)
    if message.kind == protocol.login_kind:
        shown.pop("identity", None)
    batch = shown.pop(RECORDS, None)
    _take(common, shown, parsed)
    if batch is None:
        return Decoded([_settled(replace(common, body=head + message.body))], _cut(parsed))
    reports, fault = _records(common, layout, parsed[RECORDS])
    return Decoded(reports, fault or _cut(parsed))


def record_of(layout: Struct) -> tuple[Declaration | None, bool]:
    """What declares an entry of the layout's ``records``, and whether entries come with their lengths."""
    field = next((field for field in layout.subcons if field.name == RECORDS), None)
    parts = [part for part, _ in inside(field)] if field else []
    return next((part for part in parts if isinstance(part, Struct)), None), any(isinstance(part, Records) for part in parts)


def told_by(header: Struct, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a header says beside whose message it is and how long, as JSON values."""
    names = telling(header)
    return {name: value for name, value in values(header, fields).items() if name in names} if names else {}


def telling(header: Struct) -> set[str | None]:
    """The names of a header's fields that say something beside whose message it is and how long."""
    return {field.name for field in header.subcons if field.name not in ENVELOPE and not isinstance(bare(field), Const)}


def _header(protocol: DeclaredProtocol, head: bytes) -> Mapping[str, Any]:
    try:
        if len(head) == protocol.frame.head_size:
            return protocol.frame.read(head)
    except ConstructError as error:
        raise decode_error(error) from error
    raise DecodeError("header", "", f"a header has {protocol.frame.head_size} bytes, not {len(head)}")


def _take(report: Report, shown: Mapping[str, Any], parsed: Mapping[str, Any]) -> None:
    """Put fields where they belong. ``shown`` has them as JSON values, and has no secrets."""
    for name, value in shown.items():
        found = parsed.get(name)
        if isinstance(found, Mapping):
            _take(report, value, found)
        elif isinstance(found, Entries) and isinstance(value, dict):
            report.values |= value
        elif isinstance(found, FlagWord):
            _take_flags(report, name, found)
        elif name == "time" and isinstance(found, datetime):
            report.time = found
        elif name == "time":
            report.values["device_time"] = value
        elif name in POSITION and isinstance(found, (int, float)):
            setattr(report, name, float(found))
        else:
            report.values[name] = value


def _take_flags(report: Report, name: str, word: FlagWord) -> None:
    """The bits by their names; the whole word too where bits without a name are set, for they are not to be lost."""
    if name == "alarms":
        report.alarms += word.names
    else:
        report.values |= word.values
    declared = sum((1 << bit.width) - 1 << at for at, bit in word.flags.bits.items())
    if word & ~declared:
        report.values[name] = int(word)


def _records(common: Report, layout: Struct, entries: Sequence[Any]) -> tuple[list[Report], DecodeError | None]:
    """A report for each entry that can be read, with what the message says of all of them."""
    record, has_lengths = record_of(layout)
    assert isinstance(record, Struct)
    reports: list[Report] = []
    errors: list[DecodeError] = []
    for index, entry in enumerate(entries):
        try:
            parsed = read(record, entry) if has_lengths else entry
        except DecodeError as error:
            errors.append(DecodeError(error.cause, ".".join(filter(None, (f"{RECORDS}[{index}]", error.path))), error.text))
            continue
        raw = entry if has_lengths else compile(record).build(entry)
        report = replace(common, body=common.body + raw, values=dict(common.values), alarms=list(common.alarms))
        _take(report, values(record, parsed), parsed)
        reports.append(_settled(report))
    return reports, errors[0] if errors else None


def _cut(parsed: Mapping[str, Any]) -> DecodeError | None:
    """What is wrong with a list: an entry that is cut."""
    for name, found in parsed.items():
        if isinstance(found, Entries) and found.is_cut:
            return DecodeError("truncated", f"{name}[{len(found)}]", f"{len(found.trailing)} bytes left are no whole entry")
    return None


def _settled(report: Report) -> Report:
    """Without coordinates that only stand for "no fix"."""
    if report.values.get("fix") is False and not report.latitude and not report.longitude:
        report.latitude = report.longitude = None
    return report
