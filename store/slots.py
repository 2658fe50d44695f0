"""What a slot of a device's time comes to, from its reports in their order, without a database.

reports ─▶ SlotSums: name -> [readings, least, greatest, sum, last] ─▶ those of five minutes ─▶ merged: an hour
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from store.channels import MOST_CHANNELS
from store.models import CHANNEL_LENGTH

FIVE_MINUTES = timedelta(minutes=5)
HOUR = timedelta(hours=1)
LARGEST = 1e300

Sums = list[float]
"""Readings, least, greatest, sum, last."""


class SlotSums:
    """Takes the reports of a slot."""

    def __init__(self) -> None:
        self.channels: dict[str, Sums] = {}

    def take(self, values: Mapping[str, Any]) -> None:
        channels = self.channels
        for name, value in values.items():
            # A number of hundreds of digits is no float, and what is no number has no sum.
            if value.__class__ not in (int, float, bool) or not -LARGEST < value < LARGEST:
                continue
            number = float(value)
            sums = channels.get(name)
            if sums is not None:
                sums[0] += 1
                if number < sums[1]:
                    sums[1] = number
                elif number > sums[2]:
                    sums[2] = number
                sums[3] = _bounded(sums[3] + number)
                sums[4] = number
            elif len(channels) < MOST_CHANNELS and len(name) <= CHANNEL_LENGTH:
                channels[name] = [1, number, number, number, number]


def merged(slots: Iterable[Mapping[str, Sums]]) -> dict[str, Sums]:
    """Of slots in their order all channels, as many as are kept."""
    found: dict[str, Sums] = {}
    for slot in slots:
        for name, sums in slot.items():
            there = found.get(name)
            if there is not None:
                found[name] = add(there, sums)
            elif len(found) < MOST_CHANNELS:
                found[name] = list(sums)
    return found


def add(first: Sums, then: Sums) -> Sums:
    return [
        first[0] + then[0],
        min(first[1], then[1]),
        max(first[2], then[2]),
        _bounded(first[3] + then[3]),
        then[4],
    ]


def slot_of(moment: datetime, length: timedelta) -> datetime:
    """When the slot begins that a moment is in; slots of a length follow each other from 1970 on, in UTC."""
    seconds = int(length.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, tz=moment.tzinfo)


def _bounded(total: float) -> float:
    """What JSON can write."""
    return min(max(total, -sys.float_info.max), sys.float_info.max)
