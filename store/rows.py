"""From decoded messages to rows, without a database: everything a column could refuse is settled here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from protocols.message import Message, Outcome
from protocols.report import Decoded, DecodeError, Report, digest
from store.json_text import NotJSONError, plain_text, storable
from store.models import CAUSE_LENGTH, IDENTITY_LENGTH, KIND_LENGTH, PROTOCOL_LENGTH

ERROR_TEXT_LENGTH = 2_000
"""Characters kept of an error's path and text: enough for a person, too little to fill a disk with."""
UNSTORABLE = "unstorable"
"""The cause under which a message is quarantined whose reports no column takes."""

_INTEGER = range(-(2**63), 2**63)


class DeviceKey(NamedTuple):
    protocol: str
    identity: str


class Incoming(NamedTuple):
    """A message with what its decoding gave."""

    protocol: str
    message: Message
    received_at: datetime
    """Aware and in UTC."""
    kind: str
    """The name of ``message.kind``."""
    decoded: Decoded


class ReportRow(NamedTuple):
    """The columns of a report but its device's id."""

    time: datetime
    received_at: datetime
    kind: str
    sequence: int
    digest: bytes
    latitude: float | None
    longitude: float | None
    altitude_m: float | None
    speed_kmh: float | None
    course_deg: float | None
    values: str
    """JSON."""
    alarms: str
    """JSON."""
    head: bytes
    body: bytes


class QuarantineRow(NamedTuple):
    """The columns of a quarantined message but its device's id."""

    kind: str
    kind_id: int
    sequence: int
    head: bytes
    body: bytes
    digest: bytes
    received_at: datetime
    error_cause: str
    error_path: str
    error_text: str


class PreparedReport(NamedTuple):
    row: ReportRow
    is_dated: bool
    is_position: bool
    values: dict[str, Any]
    """What the row's JSON says."""
    alarms: list[str]


@dataclass(slots=True)
class PreparedMessage:
    """The rows of one message."""

    index: int
    """Its place in the batch."""
    device: DeviceKey
    received_at: datetime
    reports: list[PreparedReport] = field(default_factory=list)
    quarantine: QuarantineRow | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome.QUARANTINED if self.quarantine else Outcome.STORED


def prepare(index: int, incoming: Incoming) -> PreparedMessage | None:
    """The rows of a message, or None if there can be no row of it, not even one in quarantine.

    That is so when what identifies it fits no column: an identity that is empty, longer than a column is wide or
    not text a database takes, a number past 64 bits. No real device has such, and cutting it to fit would store
    one device's data as another's.
    """
    if not _is_storable(incoming):
        return None
    prepared = PreparedMessage(index, DeviceKey(incoming.protocol, incoming.message.identity), incoming.received_at)
    error = incoming.decoded.error
    for report in incoming.decoded.reports:
        try:
            prepared.reports.append(_prepared_report(report, incoming))
        except (NotJSONError, OverflowError, ValueError, TypeError, AttributeError) as fault:
            error = error or DecodeError(UNSTORABLE, str(report.kind), str(fault))
    if error is not None:
        prepared.quarantine = _quarantine_row(incoming, error)
    return prepared


def quarantined(index: int, incoming: Incoming, cause: str, text: str) -> PreparedMessage:
    """The message's row in quarantine alone, for a message whose other rows the database refused."""
    device = DeviceKey(incoming.protocol, incoming.message.identity)
    row = _quarantine_row(incoming, DecodeError(cause, "", text))
    return PreparedMessage(index, device, incoming.received_at, quarantine=row)


def _is_storable(incoming: Incoming) -> bool:
    message = incoming.message
    return (
        0 < len(message.identity) <= IDENTITY_LENGTH
        and plain_text(message.identity) == message.identity
        and 0 < len(incoming.protocol) <= PROTOCOL_LENGTH
        and plain_text(incoming.protocol) == incoming.protocol
        and message.kind in _INTEGER
        and message.sequence in _INTEGER
    )


def _prepared_report(report: Report, incoming: Incoming) -> PreparedReport:
    if len(report.kind) > KIND_LENGTH:
        raise ValueError(f"the kind has {len(report.kind)} characters, {KIND_LENGTH} is the most")
    values_text, values = storable(report.values)
    alarms_text, alarms = storable(report.alarms)
    row = ReportRow(
        time=incoming.received_at if report.time is None else _in_utc(report.time),
        received_at=incoming.received_at,
        kind=plain_text(report.kind),
        sequence=incoming.message.sequence,
        digest=report.digest,
        latitude=_number(report.latitude),
        longitude=_number(report.longitude),
        altitude_m=_number(report.altitude_m),
        speed_kmh=_number(report.speed_kmh),
        course_deg=_number(report.course_deg),
        values=values_text,
        alarms=alarms_text,
        head=incoming.message.head,
        body=report.body,
    )
    return PreparedReport(row, report.time is not None, report.is_position, values, alarms)


def _quarantine_row(incoming: Incoming, error: DecodeError) -> QuarantineRow:
    message = incoming.message
    return QuarantineRow(
        kind=plain_text(incoming.kind)[:KIND_LENGTH],
        kind_id=message.kind,
        sequence=message.sequence,
        head=message.head,
        body=message.body,
        digest=digest(incoming.kind, message.body),
        received_at=incoming.received_at,
        error_cause=plain_text(error.cause)[:CAUSE_LENGTH],
        error_path=plain_text(error.path)[:ERROR_TEXT_LENGTH],
        error_text=plain_text(error.text)[:ERROR_TEXT_LENGTH],
    )


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _number(value: Any) -> float | None:
    """A finite number or None: NaN would be stored by one database and not by the other, and no page could show it."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
