"""The tables, one module for each matter."""

from store.models.alarms import ALARM_LENGTH, HANDLER_LENGTH, Alarm, AlarmReason, AlarmState
from store.models.audit import ACTOR_LENGTH, SUBJECT_LENGTH, AuditEntry
from store.models.devices import CREDENTIAL_LENGTH, IDENTITY_LENGTH, PROTOCOL_LENGTH, Device
from store.models.media import FILE_LENGTH, NAME_LENGTH, Media, MediaPiece
from store.models.reports import CAUSE_LENGTH, KIND_LENGTH, VERSION_LENGTH, Position, Quarantine, Report, State

__all__ = [
    "ACTOR_LENGTH",
    "ALARM_LENGTH",
    "CAUSE_LENGTH",
    "CREDENTIAL_LENGTH",
    "FILE_LENGTH",
    "HANDLER_LENGTH",
    "IDENTITY_LENGTH",
    "KIND_LENGTH",
    "NAME_LENGTH",
    "PROTOCOL_LENGTH",
    "SUBJECT_LENGTH",
    "VERSION_LENGTH",
    "Alarm",
    "AlarmReason",
    "AlarmState",
    "AuditEntry",
    "Device",
    "Media",
    "MediaPiece",
    "Position",
    "Quarantine",
    "Report",
    "State",
]
