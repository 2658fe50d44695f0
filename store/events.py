"""Events on their way to their table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from store.models import EventKind

_NOTHING: Mapping[str, str] = {}


class EventRow(NamedTuple):
    """The columns of an event but when it is noted. One that is there already is not noted again."""

    device_id: int
    time: datetime
    kind: EventKind
    subject: str = ""
    detail: Mapping[str, str] = _NOTHING
