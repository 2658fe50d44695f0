"""How long a device was here, from what its timeline says, without a database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from store.days import Span


def online_seconds(comings: Iterable[tuple[datetime, bool]], was_online: bool, span: Span) -> float:
    """Of a span, by when the device came and went in it, in the order of their time, and whether it was here before.

    Coming twice without having gone: it came back on another link before the old one was known to be dead.
    """
    total = 0.0
    since = span.begin if was_online else None
    for time, is_online in comings:
        if is_online:
            since = since or time
        elif since is not None:
            total += (time - since).total_seconds()
            since = None
    if since is not None:
        total += max(0.0, (span.end - since).total_seconds())
    return total
