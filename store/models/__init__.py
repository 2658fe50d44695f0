"""The tables, one module for each matter."""

from store.models.alarms import ALARM_LENGTH, HANDLER_LENGTH, Alarm, AlarmReason, AlarmState
from store.models.audit import ACTOR_LENGTH, SUBJECT_LENGTH, AuditEntry
from store.models.devices import (
    CREDENTIAL_LENGTH,
    DEVICE_NAME_LENGTH,
    IDENTITY_LENGTH,
    PROTOCOL_LENGTH,
    TAG_LENGTH,
    Device,
    Tag,
)
from store.models.groups import GROUP_DEPTH, GROUP_LENGTH, STEP, Group
from store.models.media import FILE_LENGTH, NAME_LENGTH, Media, MediaPiece
from store.models.reports import CAUSE_LENGTH, KIND_LENGTH, VERSION_LENGTH, Position, Quarantine, Report, State

__all__ = [
    "ACTOR_LENGTH",
    "ALARM_LENGTH",
    "CAUSE_LENGTH",
    "CREDENTIAL_LENGTH",
    "DEVICE_NAME_LENGTH",
    "FILE_LENGTH",
    "GROUP_DEPTH",
    "GROUP_LENGTH",
    "HANDLER_LENGTH",
    "IDENTITY_LENGTH",
    "KIND_LENGTH",
    "NAME_LENGTH",
    "PROTOCOL_LENGTH",
    "STEP",
    "SUBJECT_LENGTH",
    "TAG_LENGTH",
    "VERSION_LENGTH",
    "Alarm",
    "AlarmReason",
    "AlarmState",
    "AuditEntry",
    "Device",
    "Group",
    "Media",
    "MediaPiece",
    "Position",
    "Quarantine",
    "Report",
    "State",
    "Tag",
]
