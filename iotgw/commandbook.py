"""Where commands for devices come from: the workers, who have their rows.

next_commands(devices) ─▶ offload ─▶ worker ─▶ database   whose turn it is; nothing changes
sending(commands) ──────▶ offload ─▶ worker ─▶ database   queued becomes sent, and this gateway may write it
unsent(commands) ───────▶ offload ─▶ worker ─▶ database   sent by this gateway becomes queued again, or failed
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from iotgw.offload import CLOCKS_DIFFER_SECONDS
from tasks.contract import (
    NEXT_COMMANDS_TASK,
    SENDING_TASK,
    UNSENT_TASK,
    Asking,
    Leaving,
    Ready,
    Unsent,
    read_granted,
    read_ready,
)

ANSWER_SECONDS = 15.0
"""How long a worker may take: it may have something else to do first."""
LONGEST_TASK_SECONDS = 30.0
"""After so long a worker's task about commands is ended."""
SETTLED_SECONDS = 2 * CLOCKS_DIFFER_SECONDS + LONGEST_TASK_SECONDS
"""So long after a question that had no answer no worker is at it any more: it has expired by whichever clock, and been done."""

Ask = Callable[..., "Deferred[Any]"]


class CommandBook(Protocol):
    """Who has the commands. All of it fails when there is no answer."""

    def next_commands(self, asking: Sequence[Asking]) -> Deferred[list[list[Ready]]]:
        """Of each device the commands that may leave now, in their order."""

    def sending(self, leaving: Sequence[Leaving]) -> Deferred[list[bool]]:
        """Of each command whether it may be written."""

    def unsent(self, unsent: Sequence[Unsent]) -> Deferred[None]:
        """Have it written down that commands were not written."""


class WorkersBook:
    """Asks workers by way of ``offload``."""

    def __init__(self, gateway_id: str, offload: Ask) -> None:
        self._gateway_id = gateway_id
        self._offload = offload

    def next_commands(self, asking: Sequence[Asking]) -> Deferred[list[list[Ready]]]:
        return self._ask(NEXT_COMMANDS_TASK, asking).addCallback(read_ready, len(asking))

    def sending(self, leaving: Sequence[Leaving]) -> Deferred[list[bool]]:
        return self._ask(SENDING_TASK, leaving).addCallback(read_granted, len(leaving))

    def unsent(self, unsent: Sequence[Unsent]) -> Deferred[None]:
        return self._ask(UNSENT_TASK, unsent).addCallback(lambda _: None)

    def _ask(self, task: str, rows: Sequence[Asking] | Sequence[Leaving] | Sequence[Unsent]) -> Deferred[Any]:
        return self._offload(task, self._gateway_id, [list(row) for row in rows], timeout_seconds=ANSWER_SECONDS)
