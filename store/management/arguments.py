"""Arguments that several commands take, and their types: what argparse calls them when a word is none."""

from __future__ import annotations

from argparse import SUPPRESS
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

MOST_ROWS = 100_000


def add_action(actions: Any, name: str, text: str) -> CommandParser:
    parser: CommandParser = actions.add_parser(name, help=text, description=text)
    return parser


def add_json(*parsers: CommandParser) -> None:
    """Behind the word of an action as well as before it."""
    for parser in parsers:
        parser.add_argument("--json", action="store_true", dest="is_json", default=SUPPRESS, help="print JSON instead")


def add_limit(parser: CommandParser, default: int = 50, text: str = "so many at most") -> None:
    parser.add_argument("--limit", type=row_count, default=default, help=f"{text} ({default})")


def row_count(text: str) -> int:
    """How many rows are asked for."""
    count = int(text)
    if not 1 <= count <= MOST_ROWS:
        raise ValueError
    return count


def row_id(text: str) -> int:
    """Which row is asked for."""
    number = int(text)
    if not 0 < number < 1 << 63:
        raise ValueError
    return number


def moment(text: str) -> datetime:
    """A time; in UTC if it names no zone."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


row_count.__name__ = f"number from 1 to {MOST_ROWS}"
row_id.__name__ = "number of a row"
moment.__name__ = "time such as 2026-03-01T12:00"
