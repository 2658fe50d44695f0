"""The tables, one module for each matter."""

from store.models.alarms import ALARM_LENGTH, HANDLER_LENGTH, SEVERITY_LENGTH, Alarm, AlarmReason, AlarmState, Severity
from store.models.audit import ACTOR_LENGTH, SUBJECT_LENGTH, AuditEntry
from store.models.background import ERROR_LENGTH, Background, BackgroundState
from store.models.channels import CHANNEL_LENGTH, LABEL_LENGTH, UNIT_LENGTH, Channel, ChannelKind
from store.models.commands import CONDITION_LENGTH, TOKEN_LENGTH, Command, CommandRun, CommandStep
from store.models.devices import (
    CREDENTIAL_LENGTH,
    DEVICE_NAME_LENGTH,
    IDENTITY_LENGTH,
    PROTOCOL_LENGTH,
    TAG_LENGTH,
    Device,
    Tag,
)
from store.models.events import Event, EventKind
from store.models.exports import Export, ExportFormat
from store.models.files import FILE_NAME_LENGTH, MAKER_LENGTH, Delivery, File
from store.models.groups import GROUP_DEPTH, GROUP_LENGTH, STEP, Group
from store.models.media import FILE_LENGTH, NAME_LENGTH, Media, MediaOutcome, MediaPiece
from store.models.presence import (
    END_LENGTH,
    GATEWAY_LENGTH,
    GATEWAY_LOST,
    PEER_LENGTH,
    PRESUMED,
    RUN_LENGTH,
    UNKNOWN,
    Presence,
)
from store.models.quarantine import DISCARDER_LENGTH, PATH_LENGTH, REASON_LENGTH, VERSION_LENGTH, Quarantine, QuarantineGroup
from store.models.quarantinereports import QuarantineReport
from store.models.redecoding import Redecoding, RedecodingSource
from store.models.reports import CAUSE_LENGTH, KIND_LENGTH, Position, Report, State
from store.models.rollups import ChannelFiveMinutes, ChannelHour, RollupMark, RollupProgress
from store.models.rules import Phase, Rule, RuleBook, RuleState
from store.models.summaries import ChannelSummary, DaySummary, Stop, SummaryProgress, Trip
from store.models.targets import (
    ADDRESS_LENGTH,
    ERROR_TEXT_LENGTH,
    OWNER_LENGTH,
    TARGET_LENGTH,
    DeadNotice,
    ForwardSource,
    Target,
    TargetCursor,
)

__all__ = [
    "ACTOR_LENGTH",
    "ADDRESS_LENGTH",
    "ALARM_LENGTH",
    "CAUSE_LENGTH",
    "CHANNEL_LENGTH",
    "CONDITION_LENGTH",
    "CREDENTIAL_LENGTH",
    "DEVICE_NAME_LENGTH",
    "DISCARDER_LENGTH",
    "END_LENGTH",
    "ERROR_LENGTH",
    "ERROR_TEXT_LENGTH",
    "FILE_LENGTH",
    "FILE_NAME_LENGTH",
    "GATEWAY_LENGTH",
    "GATEWAY_LOST",
    "GROUP_DEPTH",
    "GROUP_LENGTH",
    "HANDLER_LENGTH",
    "IDENTITY_LENGTH",
    "KIND_LENGTH",
    "LABEL_LENGTH",
    "MAKER_LENGTH",
    "NAME_LENGTH",
    "OWNER_LENGTH",
    "PATH_LENGTH",
    "PEER_LENGTH",
    "PRESUMED",
    "PROTOCOL_LENGTH",
    "REASON_LENGTH",
    "RUN_LENGTH",
    "SEVERITY_LENGTH",
    "STEP",
    "SUBJECT_LENGTH",
    "TAG_LENGTH",
    "TARGET_LENGTH",
    "TOKEN_LENGTH",
    "UNIT_LENGTH",
    "UNKNOWN",
    "VERSION_LENGTH",
    "Alarm",
    "AlarmReason",
    "AlarmState",
    "AuditEntry",
    "Background",
    "BackgroundState",
    "Channel",
    "ChannelFiveMinutes",
    "ChannelHour",
    "ChannelKind",
    "ChannelSummary",
    "Command",
    "CommandRun",
    "CommandStep",
    "DaySummary",
    "DeadNotice",
    "Delivery",
    "Device",
    "Event",
    "EventKind",
    "Export",
    "ExportFormat",
    "File",
    "ForwardSource",
    "Group",
    "Media",
    "MediaOutcome",
    "MediaPiece",
    "Phase",
    "Position",
    "Presence",
    "Quarantine",
    "QuarantineGroup",
    "QuarantineReport",
    "Redecoding",
    "RedecodingSource",
    "Report",
    "RollupMark",
    "RollupProgress",
    "Rule",
    "RuleBook",
    "RuleState",
    "Severity",
    "State",
    "Stop",
    "SummaryProgress",
    "Tag",
    "Target",
    "TargetCursor",
    "Trip",
]
