"""Which channels devices have, by what their reports hold, without a database.

reports of a batch ─▶ news: names that this process has not seen of their device ─▶ looked up ─▶ rows that are missing
                                                                                        │
                      remembered, once the batch is committed ◀─────────────────────────┘

A fleet reports the same names over and over, so that nearly every batch has no news and asks the database nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from protocols.catalogue import MEASURES, Entry
from protocols.vocabulary import entry
from store.json_text import plain_text
from store.models import CHANNEL_LENGTH, LABEL_LENGTH, UNIT_LENGTH, ChannelKind
from store.rows import PreparedMessage, PreparedReport

log = logging.getLogger(__name__)

MOST_CHANNELS = 500
"""Of one device: a car with all its cells has fewer than a hundred names. What a device makes up beyond stays in its reports."""
MOST_DEVICES = 200_000
MOST_NAMES = 500_000
"""What is remembered at most, some 50 MB. Beyond that all is forgotten, and looked up again as it comes."""

Told = str | tuple[str, str]
"""A name, or a name with the unit that the device itself gives it."""
_NOTHING: frozenset[Told] = frozenset()


class Value(NamedTuple):
    """What a report tells of a channel."""

    kind: ChannelKind
    unit: str
    """As the device itself says; mostly it does not."""


class ChannelRow(NamedTuple):
    """A channel to be added or, if it is there and nobody has set its unit, to be given this one."""

    device_id: int
    name: str
    kind: str
    unit: str
    english: str
    chinese: str


class Settled(NamedTuple):
    """What comes of news."""

    rows: list[ChannelRow]
    told: dict[int, set[Told]]
    """To be remembered of each device once the rows are committed."""
    full: set[int]
    """Devices with as many channels as are kept."""


class KnownChannels:
    """The channels of devices as far as this process has seen them; only what is committed is to be remembered.

    ``describe`` tells by a protocol's name and a value's what that is called and measured in.
    """

    def __init__(self, describe: Callable[[str, str], Entry] = lambda protocol, name: entry(name, {})) -> None:
        self._describe = describe
        self.forget()

    def forget(self) -> None:
        """Begin anew: what is in the database may have changed."""
        self._told: dict[int, frozenset[Told]] = {}
        self._shapes: dict[frozenset[Told], frozenset[Told]] = {}
        """One object for all devices that tell the same."""
        self._names = 0
        self._full: set[int] = set()

    def news(self, devices: Mapping[int, Sequence[PreparedMessage]]) -> dict[int, dict[str, Value]]:
        """What this process has not seen of each device yet, by name; devices without news are left out."""
        found: dict[int, dict[str, Value]] = {}
        for device, messages in devices.items():
            known = self._told.get(device, _NOTHING)
            for message in messages:
                for report in message.reports:
                    if not _is_told(report, known) and device not in self._full and (told := _told(report, known)):
                        found.setdefault(device, {}).update(told)
        return found

    def settle(
        self,
        news: Mapping[int, Mapping[str, Value]],
        stored: Mapping[int, Mapping[str, str]],
        protocols: Mapping[int, str],
    ) -> Settled:
        """The rows that news make, beside the channels that these devices have ``stored``, with their units by name."""
        settled = Settled([], {}, set())
        for device, told in news.items():
            there = stored.get(device, {})
            room = MOST_CHANNELS - len(there)
            for name, value in told.items():
                if name in there:
                    if value.unit and value.unit != there[name]:
                        settled.rows.append(self._row(device, protocols[device], name, value))
                elif room > 0:
                    room -= 1
                    settled.rows.append(self._row(device, protocols[device], name, value))
                else:
                    settled.full.add(device)
            settled.told[device] = {*there, *told, *((name, value.unit) for name, value in told.items() if value.unit)}
        return settled

    def remember(self, settled: Settled) -> None:
        """Have no news of this any more: it is committed."""
        for device in settled.full - self._full:
            log.warning("a device has more channels than are kept", extra={"device_id": device, "channels": MOST_CHANNELS})
        if len(self._told) >= MOST_DEVICES or self._names >= MOST_NAMES:
            self.forget()
        self._full |= settled.full
        for device, told in settled.told.items():
            # Of a unit that changes, the newest only: it may change back.
            old = {one for one in self._told.get(device, _NOTHING) if isinstance(one, str) or one[0] not in told}
            self._told[device] = self._shape(frozenset(old | told))

    def _shape(self, told: frozenset[Told]) -> frozenset[Told]:
        shape = self._shapes.get(told)
        if shape is None:
            shape = self._shapes[told] = told
            self._names += len(told)
        return shape

    def _row(self, device: int, protocol: str, name: str, value: Value) -> ChannelRow:
        described = self._describe(protocol, name)
        unit = plain_text(value.unit or described.unit)[:UNIT_LENGTH]
        # What has a unit is a number, also if the first that comes of it is a word for a broken sensor.
        kind = ChannelKind.NUMBER if unit and value.kind is ChannelKind.TEXT else value.kind
        labels = (plain_text(label)[:LABEL_LENGTH] for label in (described.english, described.chinese))
        return ChannelRow(device, name, kind.value, unit, *labels)


def _is_told(report: PreparedReport, known: frozenset[Told]) -> bool:
    """Whether all that a report tells is known. Every report is asked: no loop, and no object made."""
    row = report.row
    return (
        report.values.keys() <= known
        and (row.speed_kmh is None or "speed_kmh" in known)
        and (row.altitude_m is None or "altitude_m" in known)
        and (row.course_deg is None or "course_deg" in known)
        and (not report.units or report.units.items() <= known)
    )


def _told(report: PreparedReport, known: frozenset[Told]) -> dict[str, Value]:
    """What a report tells that is not known. A value that is null says that there is none, and not of which kind it would be."""
    measures = ((name, getattr(report.row, name)) for name in MEASURES)
    values: Iterable[tuple[str, Any]] = (*measures, *report.values.items())
    found = {}
    for name, value in values:
        unit = report.units.get(name, "")
        is_news = name not in known or (unit and (name, unit) not in known)
        if is_news and value is not None and isinstance(name, str) and 0 < len(name) <= CHANNEL_LENGTH:
            found[name] = Value(_kind(value), unit)
    return found


def _kind(value: Any) -> ChannelKind:
    if isinstance(value, bool):
        return ChannelKind.BOOLEAN
    if isinstance(value, (int, float)):
        return ChannelKind.NUMBER
    return ChannelKind.TEXT if isinstance(value, str) else ChannelKind.STRUCTURE
