"""The tables, one module for each matter."""

from store.models.alarms import ALARM_LENGTH, HANDLER_LENGTH, Alarm, AlarmReason, AlarmState
from store.models.channels import CHANNEL_LENGTH, LABEL_LENGTH, UNIT_LENGTH, Channel, ChannelKind
from store.models.devices import CREDENTIAL_LENGTH, IDENTITY_LENGTH, PROTOCOL_LENGTH, Device
from store.models.media import FILE_LENGTH, NAME_LENGTH, Media, MediaPiece
from store.models.quarantine import DISCARDER_LENGTH, PATH_LENGTH, REASON_LENGTH, VERSION_LENGTH, Quarantine, QuarantineGroup
from store.models.reports import CAUSE_LENGTH, KIND_LENGTH, Position, Report, State

__all__ = [
    "ALARM_LENGTH",
    "CAUSE_LENGTH",
    "CHANNEL_LENGTH",
    "CREDENTIAL_LENGTH",
    "DISCARDER_LENGTH",
    "FILE_LENGTH",
    "HANDLER_LENGTH",
    "IDENTITY_LENGTH",
    "KIND_LENGTH",
    "LABEL_LENGTH",
    "NAME_LENGTH",
    "PATH_LENGTH",
    "PROTOCOL_LENGTH",
    "REASON_LENGTH",
    "UNIT_LENGTH",
    "VERSION_LENGTH",
    "Alarm",
    "AlarmReason",
    "AlarmState",
    "Channel",
    "ChannelKind",
    "Device",
    "Media",
    "MediaPiece",
    "Position",
    "Quarantine",
    "QuarantineGroup",
    "Report",
    "State",
]
