"""``iotgw devices import`` and ``export``: files, progress and what is told of them."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandError

from store import groups, imports
from store.audit import Actor
from store.fleet import Wanted
from store.groups import GroupError
from store.imports import BadLine, ImportFileError, Line, Writable
from store.management.data_command import cell, json_line, new_file, progress_bar

BAD_LINES_SHOWN = 100


def import_file(path: Path, actor: Actor, out: Writable, *, is_dry: bool, makes_groups: bool, is_json: bool) -> None:
    """Load a file and tell what came of it; of a dry run what would.

    Raises: CommandError if it cannot be loaded; SystemExit with status 1 when some of its lines are bad.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines, bad = imports.read(file)
        missing = imports.missing_groups(lines)
        note = f"import of {path.name}"
        if makes_groups:
            if not is_dry:
                groups.ensure(sorted(missing), actor, note)
        else:
            lines, bad = _without(missing, lines, bad)
        with progress_bar() as progress:
            task = progress.add_task("devices", total=len(lines))
            loaded = imports.load(lines, actor, note, is_dry=is_dry, advance=lambda count: progress.advance(task, count))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except (ImportFileError, GroupError) as error:
        raise CommandError(f"{path}: {error}") from error
    made = sorted(missing) if makes_groups else []
    if is_json:
        told = [{"line": line.number, "reason": line.reason} for line in bad]
        out.write(json_line({**loaded._asdict(), "groups_made": made, "bad": told, "is_dry_run": is_dry}) + "\n")
    else:
        for line in bad[:BAD_LINES_SHOWN]:
            out.write(f"line {line.number}: {cell(line.reason)}\n")
        if len(bad) > BAD_LINES_SHOWN:
            out.write(f"and {len(bad) - BAD_LINES_SHOWN} more, see --json\n")
        would_be = "would be " if is_dry else ""
        out.write(
            f"{would_be}new: {loaded.new}, changed: {loaded.changed}, unchanged: {loaded.unchanged}, "
            f"bad: {len(bad)}, groups made: {len(made)}\n"
        )
    if bad:
        raise SystemExit(1)


def export_file(path: Path | None, wanted: Wanted, out: Writable) -> None:
    """Write devices to a new file, or else to ``out``.

    Raises: CommandError
    """
    with new_file(path), progress_bar() as progress:
        task = progress.add_task("devices", total=None)
        if path is None:
            for count in imports.export(wanted, out):
                progress.advance(task, count)
            return
        with path.open("x", encoding="utf-8", newline="") as file:
            for count in imports.export(wanted, file):
                progress.advance(task, count)


def _without(missing: set[str], lines: list[Line], bad: list[BadLine]) -> tuple[list[Line], list[BadLine]]:
    homeless = [
        BadLine(line.number, f"there is no group {line.group}, see --make-groups") for line in lines if line.group in missing
    ]
    return [line for line in lines if line.group not in missing], sorted([*bad, *homeless])
