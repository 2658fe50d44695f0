"""Days as arguments of commands."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser

from store.days import FIRST_DAY, LAST_DAY


def add_day_arguments(parser: CommandParser) -> None:
    parser.add_argument("--device", metavar="DEVICE", help="of this identity only, as devices lists it")
    parser.add_argument("--day", type=day, metavar="DAY", help="of this day, for example 2026-03-01, in day_timezone")
    parser.add_argument("--from", type=day, dest="first", metavar="DAY", help="from this day on")
    parser.add_argument("--to", type=day, dest="last", metavar="DAY", help="up to this day, and of it too")


def given_days(options: dict[str, Any]) -> tuple[date, date] | None:
    """The first and the last day that are asked for; None for all.

    Raises: CommandError
    """
    only, first, last = options["day"], options["first"], options["last"]
    if only is not None and (first is not None or last is not None):
        raise CommandError("give --day, or --from and --to")
    if only is not None:
        return only, only
    if first is None and last is None:
        return None
    first, last = first or FIRST_DAY, last or LAST_DAY
    if first > last:
        raise CommandError(f"--from {first} is behind --to {last}")
    return first, last


def day(text: str) -> date:
    """A day as an argument."""
    found = date.fromisoformat(text)
    if not FIRST_DAY <= found <= LAST_DAY:
        raise ValueError
    return found


day.__name__ = "day such as 2026-03-01"
