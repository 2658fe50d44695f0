from __future__ import annotations

from typing import Any
from uuid import UUID

from celery.result import AsyncResult
from celery.states import FAILURE, PENDING, SUCCESS
from django.core.management.base import CommandError, CommandParser
from redis import RedisError

from store.management.data_command import DataCommand, cell, json_line
from store.models import Export
from tasks.celery import app
from tasks.compute.exports import PROGRESS


class Command(DataCommand):
    help = "Show what has become of a task that keeps its outcome, by its id, which exports show has."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", metavar="ID", help="of the task")

    def handle(self, *args: Any, **options: Any) -> None:
        shown = _outcome(options["id"])
        if options["is_json"]:
            self.stdout.write(json_line(shown))
            return
        self.stdout.write(f"{shown['state']}")
        for name in ("progress", "result", "error"):
            if shown[name] is not None:
                told = shown[name].items() if isinstance(shown[name], dict) else [(name, shown[name])]
                self.stdout.write("\n".join(f"  {key}: {cell(value)}" for key, value in told))
        if shown["traceback"]:
            self.stdout.write(shown["traceback"])


def _outcome(id: str) -> dict[str, Any]:
    """Raises: CommandError"""
    found: AsyncResult[Any] = AsyncResult(id, app=app)
    try:
        state, told, traceback = found.state, found.info, found.traceback
    except RedisError as error:
        raise CommandError(
            f"Redis does not answer ({type(error).__name__}): look after it. What an export is at, exports show says"
        ) from error
    shown = {"id": id, "state": state, "progress": None, "result": None, "error": None, "traceback": traceback}
    if state in (PENDING, PROGRESS):
        return shown | _of_export(id, told)
    if state == SUCCESS:
        return shown | {"result": told}
    return shown | {"error": str(told) if state == FAILURE else None}


def _of_export(id: str, told: Any) -> dict[str, Any]:
    """What the database says of a task of which Redis knows nothing, or nothing any more, or not that it has ended.

    Raises: CommandError
    """
    row = Export.objects.filter(task_id=id).first() if _is_uuid(id) else None
    if told is not None and (row is None or row.is_open):
        return {"progress": told}
    if row is None:
        raise CommandError(
            f"nothing is known of a task {id}: it has not begun, is none that keeps its outcome, or ended more than seven days ago"
        )
    progress = {"export": row.id, "rows": row.done, "expected": row.expected, "percent": round(row.percent, 1)}
    return {"state": row.state, "progress": progress, "error": row.error or None}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
