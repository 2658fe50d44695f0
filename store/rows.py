"""From decoded messages to rows, without a database: everything a column could refuse is settled here."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any, NamedTuple, Protocol

from protocols.command import Answer
from protocols.download import FileResult
from protocols.message import Message, Outcome
from protocols.piece import Piece
from protocols.report import Decoded, DecodeError, Report, digest
from store.json_text import NotJSONError, plain_text, storable
from store.models import ALARM_LENGTH, CAUSE_LENGTH, IDENTITY_LENGTH, KIND_LENGTH, PROTOCOL_LENGTH, VERSION_LENGTH

ALARM_PREFIX = "rule:"
"""What the kinds of rules' alarms begin with, and those of devices do not."""
ERROR_TEXT_LENGTH = 2_000
"""Characters kept of an error's path and text: enough for a person, too little to fill a disk with."""
UNSTORABLE = "unstorable"
"""The cause under which a message is quarantined whose reports no column takes."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
"""Of a column of whole numbers."""


class DeviceKey(NamedTuple):
    protocol: str
    identity: str


class Sent(Protocol):
    """A message of a protocol, decoded or not."""

    @property
    def protocol(self) -> str: ...

    @property
    def message(self) -> Message: ...


class Incoming(NamedTuple):
    """A message with what its decoding gave."""

    protocol: str
    message: Message
    received_at: datetime
    """Aware and in UTC."""
    kind: str
    """The name of ``message.kind``."""
    decoded: Decoded
    version: str = ""
    """Of the protocol's definition that decoded it, as :func:`protocols.versions.versions` has it."""


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
    version: str


class PresenceRow(NamedTuple):
    """The columns of a device's presence."""

    device_id: int
    is_online: bool
    since: datetime
    gateway: str
    run: str
    peer: str
    epoch: int
    cause: str


class PreparedReport(NamedTuple):
    row: ReportRow
    is_dated: bool
    is_position: bool
    values: dict[str, Any]
    """What the row's JSON says."""
    names: int
    """Of the values, as :func:`names_digest` has them."""
    alarms: list[str]
    is_event: bool
    piece: Piece | None
    units: dict[str, str]
    """By name, as the device itself says."""
    file_result: FileResult | None = None
    answer: Answer | None = None

    @property
    def is_telling(self) -> bool:
        """Whether something follows from it when it is stored for the first time."""
        return bool(self.alarms) or self.file_result is not None or self.answer is not None


class PreparedMessage(NamedTuple):
    """The rows of one message."""

    received_at: datetime
    reports: list[PreparedReport]
    quarantine: QuarantineRow | None

    @property
    def outcome(self) -> Outcome:
        return Outcome.QUARANTINED if self.quarantine else Outcome.STORED


def device_key(sent: Sent) -> DeviceKey | None:
    """Whose message it is, or None if there can be no row of it, not even one in quarantine.

    That is so when what identifies it fits no column: an identity that is empty, longer than a column is wide or
    not text a database takes, a number past 64 bits. No real device has such, and cutting it to fit would store
    one device's data as another's.
    """
    message = sent.message
    is_storable = (
        is_name(message.identity, IDENTITY_LENGTH)
        and is_name(sent.protocol, PROTOCOL_LENGTH)
        and _LOWEST <= message.kind <= _HIGHEST
        and _LOWEST <= message.sequence <= _HIGHEST
    )
    return DeviceKey(sent.protocol, message.identity) if is_storable else None


def prepare(incoming: Incoming) -> PreparedMessage:
    """The rows of a message that has a :func:`device_key`."""
    error = incoming.decoded.error
    reports: list[PreparedReport] = []
    for report in incoming.decoded.reports:
        try:
            reports.append(_prepared_report(report, incoming))
        except (NotJSONError, OverflowError, ValueError, TypeError, AttributeError) as fault:
            error = error or DecodeError(UNSTORABLE, str(report.kind), str(fault))
    return PreparedMessage(incoming.received_at, reports, None if error is None else _quarantine_row(incoming, error))


def quarantined(incoming: Incoming, cause: str, text: str) -> PreparedMessage:
    """The message's row in quarantine alone, for a message whose other rows the database refused."""
    return PreparedMessage(incoming.received_at, [], _quarantine_row(incoming, DecodeError(cause, "", text)))


def is_name(text: str, longest: int) -> bool:
    """Whether a column of this width takes a device's or a protocol's name as it is."""
    return 0 < len(text) <= longest and plain_text(text) == text


@lru_cache(maxsize=4096)
def names_digest(names: tuple[str, ...]) -> int:
    """What differs for other names, and for the same in another order, in 63 bits; 0 for none."""
    if not names:
        return 0
    return int.from_bytes(blake2b("\0".join(map(str, names)).encode(), digest_size=8).digest(), "big") >> 1 or 1


def _prepared_report(report: Report, incoming: Incoming) -> PreparedReport:
    if len(report.kind) > KIND_LENGTH:
        raise ValueError(f"the kind has {len(report.kind)} characters, {KIND_LENGTH} is the most")
    values_text, values = storable(report.values)
    alarms_text, alarms = storable(report.alarms)
    if alarms and not all(map(_is_alarm, alarms)):
        raise ValueError(f"an alarm is no name of 1 to {ALARM_LENGTH} characters, or that of a rule's: {ALARM_PREFIX}...")
    # By position: fourteen names would take longer than what they name.
    row = ReportRow(
        incoming.received_at if report.time is None else _in_utc(report.time),
        incoming.received_at,
        plain_text(report.kind),
        incoming.message.sequence,
        report.digest,
        _number(report.latitude),
        _number(report.longitude),
        _number(report.altitude_m),
        _number(report.speed_kmh),
        _number(report.course_deg),
        values_text,
        alarms_text,
        incoming.message.head,
        report.body,
    )
    return PreparedReport(
        row,
        report.time is not None,
        report.is_position,
        values,
        names_digest(tuple(values)),
        alarms,
        report.is_event,
        report.piece,
        report.units,
        report.file_result,
        report.answer,
    )


def _is_alarm(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= ALARM_LENGTH and not name.startswith(ALARM_PREFIX)


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
        version=incoming.version[:VERSION_LENGTH],
    )


def _in_utc(time: datetime) -> datetime:
    if time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _number(value: Any) -> float | None:
    """A finite number or None: NaN would be stored by one database and not by the other, and no page could show it."""
    if value is None:
        return None
    number = value if value.__class__ is float else float(value)
    return number if isfinite(number) else None
