"""What the data commands share: tables and bars for people, JSON for scripts, errors in one line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from getpass import getuser
from pathlib import Path
from signal import SIGPIPE
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from store.audit import Actor

WIDTH_WITHOUT_TERMINAL = 200
_DJANGOS_OWN = {"--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color"}
"""Options that would hide ours in the help."""


class DataCommand(BaseCommand):
    """A command that reads or changes rows; its faults are one line on standard error."""

    requires_system_checks = ()
    suppressed_base_arguments = _DJANGOS_OWN

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser("iotgw", subcommand, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="is_json", help="print JSON instead of a table")

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            told = super().execute(*args, **options)
            sys.stdout.flush()
            return told
        except BrokenPipeError:
            # Whoever reads has seen enough, as head has. What is left must not fail once more when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + SIGPIPE)
        except (DatabaseError, InterfaceError) as error:
            first_line = str(error).partition("\n")[0]
            raise CommandError(
                f"the database does not answer as it should ({first_line}): "
                "see that it runs, that database_url names it, and that it is migrated"
            ) from error

    def print_rows(self, rows: Iterable[dict[str, Any]], columns: Sequence[str], is_json: bool, empty: str) -> None:
        """Rows as a table of these columns, or as a JSON array of them whole, one to a line; ``empty`` says that there are none."""
        if is_json:
            self._print_json(rows)
            return
        table = Table(*columns)
        for row in rows:
            table.add_row(*(cell(row[column]) for column in columns))
        if table.row_count:
            console().print(table)
        else:
            self.stdout.write(empty)

    def _print_json(self, rows: Iterable[dict[str, Any]]) -> None:
        separator = "["
        for row in rows:
            self.stdout.write(separator + json_line(row), ending="")
            separator = ",\n"
        self.stdout.write("]" if separator != "[" else "[]")


def command_line_actor() -> Actor:
    """Who runs this command, for the audit."""
    return Actor(f"cli:{login_name()}")


def login_name() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # which of them depends on the Python: a container's user may have no name
        return f"uid {os.getuid()}"


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)


def progress_bar() -> Progress:
    """On standard error, so that it is in no file, and only where somebody looks at it."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


@contextmanager
def new_file(path: Path | None) -> Iterator[None]:
    """While a new file is written: what is there already stays. None is standard output.

    Raises: CommandError
    """
    try:
        yield
    except FileExistsError as error:
        raise CommandError(f"{path} is there already: give another name") from error
    except OSError as error:
        raise CommandError(f"{error.filename or path}: {error.strerror}") from error


def cell(value: Any) -> Text:
    """A value as text to look at. What came from a device can neither colour the terminal nor command it."""
    if value is None:
        return Text("-")
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%S}")
    if isinstance(value, (dict, list)):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    return Text("".join(character if character.isprintable() else "\ufffd" for character in str(value)))


def json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=_json_value)


def _json_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else bytes(value).hex()
