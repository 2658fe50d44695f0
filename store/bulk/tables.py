"""What the writer asks of a database: one class for each kind, with the same rows behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from store.rows import DeviceKey, QuarantineRow, ReportRow
from store.states import DeviceState

REPORT_COLUMNS = ("device_id", *ReportRow._fields)
QUARANTINE_COLUMNS = ("device_id", *QuarantineRow._fields)
STATE_COLUMNS = tuple(DeviceState.__dataclass_fields__)


class FoundDevice(NamedTuple):
    id: int
    is_enabled: bool
    has_state: bool


class Tables(Protocol):
    """Writes inside the transaction that is open on its connection.

    Workers write the same devices at the same time. So that they wait for each other and never in a ring, each
    takes its locks table by table in one order (devices, reports, quarantine, states) and in each table in the
    order of its key.
    """

    def find_devices(self, keys: Sequence[DeviceKey]) -> dict[DeviceKey, FoundDevice]:
        """Those of the devices that there are, kept from being deleted until the transaction ends."""

    def create_devices(self, keys: Sequence[DeviceKey], now: datetime) -> None:
        """Add devices. One that another worker has just added is left as it is."""

    def insert_reports(self, rows: Iterable[tuple[int, ReportRow]]) -> None:
        """Add reports. One that is there already is left as it is."""

    def insert_quarantine(self, rows: Iterable[tuple[int, QuarantineRow]]) -> None:
        """Add messages to quarantine. One that is there already is left as it is."""

    def create_states(self, device_ids: Sequence[int]) -> None:
        """Add blank states for devices that have none."""

    def lock_states(self, device_ids: Sequence[int]) -> Mapping[int, DeviceState]:
        """The states as they are, which nobody else changes until the transaction ends."""

    def update_states(self, states: Iterable[DeviceState]) -> None:
        """Write locked states back."""
