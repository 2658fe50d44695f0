"""What the writer asks of a database: one class for each kind, with the same rows behind it."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple, Protocol

from store.alarms import DeviceAlarm, ReportKey
from store.channels import ChannelRow
from store.events import EventRow
from store.models import PRESUMED
from store.rows import DeviceKey, PreparedMessage, PreparedReport, PresenceRow, QuarantineRow, ReportRow
from store.rules.life import Standing
from store.states import DeviceState

REPORT_COLUMNS = ("device_id", *ReportRow._fields)
EVENT_COLUMNS = (*EventRow._fields, "received_at")
EVENT_KEY = ("device_id", "time", "kind", "subject")
EVENT_ORDER = itemgetter(*range(len(EVENT_KEY)))
"""By which events are sorted: their key."""
QUARANTINE_COLUMNS = ("device_id", "group_id", *QuarantineRow._fields)
ALARM_COLUMNS = tuple(DeviceAlarm.__dataclass_fields__)
ALARM_ASSIGNMENTS = ", ".join(f'"{column}" = excluded."{column}"' for column in ALARM_COLUMNS[2:])
CHANNEL_COLUMNS = ChannelRow._fields
PRESENCE_COLUMNS = PresenceRow._fields
PRESENCE_ASSIGNMENTS = ", ".join(f'"{column}" = excluded."{column}"' for column in PRESENCE_COLUMNS[1:])
PRESENCE_ORDER = f"""
    excluded.epoch > p.epoch
    OR excluded.epoch = p.epoch AND (p.is_online AND NOT excluded.is_online OR p.cause IN {PRESUMED})
"""
"""Whether what comes in is newer than what is there, as :mod:`store.presence` says."""
STANDING_COLUMNS = Standing._fields
STANDING_ASSIGNMENTS = ", ".join(f'"{column}" = excluded."{column}"' for column in STANDING_COLUMNS[2:])
STATE_COLUMNS = tuple(DeviceState.__dataclass_fields__)
STATE_ASSIGNMENTS = ", ".join(f'"{column}" = excluded."{column}"' for column in STATE_COLUMNS[1:])
"""Of an insertion that meets a state: it becomes the one that was to be inserted."""


UNFIT = (ValueError, TypeError, OverflowError, struct.error)
"""What making a row raises when it cannot be made of what there is."""


class FoundDevice(NamedTuple):
    id: int
    is_enabled: bool


class NewReport(NamedTuple):
    device: int
    report: PreparedReport
    is_lone: bool
    """Whether nothing else came from the device in this batch, and it :func:`store.states.decides_alone`."""


def by_device(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, str]]:
    """The last column by the first two."""
    found: dict[int, dict[str, str]] = {}
    for device, name, unit in rows:
        found.setdefault(device, {})[name] = unit
    return found


class QuarantinedMessage(NamedTuple):
    device: int
    group: int | None
    row: QuarantineRow


class Insertion(Protocol):
    """Reports on their way into the table, part by part.

    The database may be at one part while the next is prepared. Until :meth:`finish` or :meth:`wait` its connection is taken.
    """

    def add(self, reports: Sequence[NewReport]) -> None:
        """Insert some. One that is there already is left as it is. Devices come in the order of their ids."""

    def wait(self) -> None:
        """Until all that were added are in."""

    def finish(self) -> set[ReportKey]:
        """Wait; of the reports that were not there before, those with alarms, with a file's result or with an answer."""


class Tables(Protocol):
    """Writes inside the transaction that is open on its connection.

    Workers write the same devices at the same time. So that they wait for each other and never in a ring, each
    takes its locks table by table in one order (devices, reports, groups of quarantine, quarantine, states, media and its
    pieces, channels, alarms, presence, events, standings by rules, deliveries, commands) and in each table in the order of its key.
    Media, groups of quarantine, deliveries and commands are written by modules of their own.
    """

    def find_devices(self, keys: Sequence[DeviceKey]) -> dict[DeviceKey, FoundDevice]:
        """Those of the devices that there are, kept from being deleted until the transaction ends."""

    def create_devices(self, keys: Sequence[DeviceKey], now: datetime) -> None:
        """Add devices. One that another worker has just added is left as it is."""

    def inserting(self) -> AbstractContextManager[Insertion]:
        """What takes reports. When a row is refused, the connection is free again once that is left."""

    def insert_quarantine(self, rows: Iterable[QuarantinedMessage]) -> None:
        """Add messages to quarantine. One that is there already is left as it is."""

    def bring_forward(
        self,
        devices: Mapping[int, Sequence[PreparedMessage]],
        lone: Collection[int],
        before: dict[int, DeviceState] | None = None,
    ) -> None:
        """Bring the states of devices forward by what came from each, as :class:`store.states.DeviceState` says.

        Reports have been inserted before, and those of ``lone`` devices may be taken from there. Of others the states as they
        were are left in ``before``, if it is given.
        """

    def find_states(self, devices: Collection[int]) -> list[DeviceState]:
        """How devices stand by now."""

    def find_times(self, devices: Collection[int]) -> dict[int, tuple[datetime | None, datetime | None]]:
        """Of states, by their devices, the time of the newest dated report and when something was received last."""

    def find_channels(self, devices: Collection[int]) -> dict[int, dict[str, str]]:
        """The units of all channels of these devices, by name.

        States have been brought forward before, so that no other worker adds any.
        """

    def write_channels(self, rows: Sequence[ChannelRow]) -> None:
        """Add channels. One that is there takes the unit, unless somebody has set it."""

    def find_alarms(self, devices: Collection[int], told: Collection[int]) -> list[DeviceAlarm]:
        """The ongoing alarms of devices, and all of those that are ``told`` of, kept as they are until the transaction ends.
        Of alarms of rules none.

        States have been brought forward before, so that no other worker has reports of these devices under way.
        """

    def find_ended(self, alarms: Sequence[DeviceAlarm], until: datetime) -> list[tuple[DeviceAlarm, datetime]]:
        """Those of the alarms that a stored report ends, dated after what says that they stand and before ``until``; and when."""

    def write_alarms(self, alarms: Sequence[DeviceAlarm]) -> None:
        """Add alarms, or bring them up to date."""

    def find_standings(self, devices: Collection[int]) -> list[Standing]:
        """How devices stand by rules. States have been brought forward, or locked, before: nobody else changes it."""

    def find_alarms_of_rules(self, keys: Sequence[tuple[int, str]]) -> list[DeviceAlarm]:
        """Alarms by device and kind, as far as there are any, kept as they are until the transaction ends."""

    def write_standings(self, rows: Sequence[Standing], gone: Sequence[tuple[int, int]]) -> None:
        """Add how devices stand by rules, or bring it up to date; those that are gone, by device and rule, go."""

    def write_presence(self, rows: Sequence[PresenceRow]) -> None:
        """Add presences, or bring them up to date unless what is there is newer. A device has one row, in the order of its id."""

    def insert_events(self, events: Sequence[EventRow], now: datetime) -> None:
        """Note events. One that is there already is left as it is."""
