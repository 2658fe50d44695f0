"""How a device's channels stand: the newest value of each, of when, from which report, and whether it is within its limits.

No row is written for it: the newest reports are looked through by their index. What none of them has stands in the device's
state, which knows no time for each value.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import F
from django.utils import timezone

from protocols.catalogue import CATALOGUE, MEASURES
from store.limits import Beyond, out_of_limits
from store.models import Channel, Device, Report
from store.states import CLOCK_AHEAD

REPORTS_READ = 1_000
"""A quarter of an hour of a device that reports every second; of most it is a day or more."""


class Reading(NamedTuple):
    """How a channel stands."""

    channel: Channel
    value: Any = None
    time: datetime | None = None
    """Of the report; None for a value that none of the newest reports has."""
    report_kind: str = ""
    report_digest: bytes = b""
    """With the device and the time, which report it is from."""

    @property
    def beyond(self) -> Beyond | None:
        return out_of_limits(self.value, self.channel.limits)


def readings(device: Device) -> list[Reading]:
    """All channels of a device: those with a place in their order, then the catalogue's, then the rest as they came."""
    channels = {channel.name: channel for channel in Channel.objects.filter(device=device)}
    found: dict[str, Reading] = {}
    for report in _newest(device) if channels else ():
        values = {name: value for name in MEASURES if (value := getattr(report, name)) is not None} | report.values
        for name in (values.keys() & channels.keys()) - found.keys():
            found[name] = Reading(channels[name], values[name], report.time, report.kind, bytes(report.digest))
        if len(found) == len(channels):
            break
    left = _in_state(device) if len(found) < len(channels) else {}
    all_readings = [found.get(name) or Reading(channel, left.get(name)) for name, channel in channels.items()]
    return sorted(all_readings, key=_place)


def _newest(device: Device) -> Iterator[Report]:
    """Reports of times that are believed, the newest first."""
    # The second condition, beside which the first says it exactly, is one that the index goes by.
    believed = Report.objects.filter(
        device=device, time__lte=F("received_at") + CLOCK_AHEAD, time__lt=timezone.now() + 2 * CLOCK_AHEAD
    )
    columns = believed.only("time", "kind", "digest", "values", *MEASURES)
    return columns.order_by("-time", "-id")[:REPORTS_READ].iterator(chunk_size=50)


def _in_state(device: Device) -> dict[str, Any]:
    try:
        state = device.state
    except ObjectDoesNotExist:
        return {}
    return {**{name: getattr(state, name) for name in MEASURES}, **state.values}


def _place(reading: Reading) -> tuple[bool, int, bool, int]:
    channel = reading.channel
    return channel.place is None, channel.place or 0, channel.name not in CATALOGUE and channel.name not in MEASURES, channel.id
