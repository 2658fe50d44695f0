"""The moves of commands, each a compare-and-set with its step, in one transaction with what causes it.

gateway ── leaving.sending ─▶ queued ▸ sent, unless it is too late, its condition does not hold, or another has its turn
        ── leaving.unsent ──▶ sent ▸ queued: it has written no byte; queued, sent ▸ failed: it never can be
device  ── answers.settle ──▶ sent ▸ acknowledged, failed; or: it has it, and more is to come
time    ── ledger.end_late ─▶ queued ▸ expired; sent ▸ queued (twice does no harm) or failed (no_answer)
people  ── ledger.cancel ───▶ queued ▸ cancelled
files   ── ledger.follow ───▶ as their deliveries have it

Who moves several locks them in the order of their ids, so that nobody waits in a ring.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from store import deliveries
from store.commands import writing
from store.models import Command, CommandStep

LONGEST_KEPT = 1 << 16
"""Bytes of a message that a step keeps."""
NO_ANSWER, CONDITION, REFUSED = "no_answer", "condition", "refused"
"""Reasons of ours why a command has failed; the last where the device gives none."""
State = Command.State


class Cause(StrEnum):
    """Why a command was moved, or what was heard of it."""

    ASKED = "asked"
    SENT = "sent"
    UNSENT = "unsent"
    """It was to leave, and no byte of it was written."""
    FAULT = "fault"
    """It cannot be made, or this device cannot take it."""
    CONDITION = "condition"
    ACCEPTED = "accepted"
    """The device has it, and more is to come."""
    ANSWERED = "answered"
    LATE_ANSWER = "late answer"
    NO_ANSWER = "no answer"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Moves:
    """The moves of one transaction, of rows that it has locked. They are written when it is about to commit, all at once."""

    def __init__(self, now: datetime) -> None:
        self.moved: list[int] = []
        """Whoever looks has something to be told."""
        self.sent: set[int] = set()
        self.now = now
        self._rows: dict[int, Command] = {}
        self._before: dict[int, str] = {}
        """The state in which a row was read."""
        self._steps: list[CommandStep] = []

    def move(self, row: Command, to: State, cause: Cause, said: Mapping[str, Any] | None = None, **fields: Any) -> None:
        self._rows[row.id] = row
        self._before.setdefault(row.id, row.state)
        for name, value in {"state": to, **fields}.items():
            setattr(row, name, value)
        self.note(row, cause, said)

    def end(self, row: Command, to: State, cause: Cause, said: Mapping[str, Any] | None = None, reason: str = "") -> None:
        self.move(row, to, cause, said, reason=reason, ended_at=self.now, due_at=self.now)

    def note(self, row: Command, cause: Cause, said: Mapping[str, Any] | None) -> None:
        self._steps.append(step(row, cause, self.now, said))

    def commit(self) -> None:
        """Of what was not where it was read to be nothing is written, not even the steps."""
        by_state: dict[str, list[Command]] = defaultdict(list)
        for id, state in self._before.items():
            by_state[state].append(self._rows[id])
        written = writing.write(by_state)
        rows = [row for id, row in self._rows.items() if id in written]
        self.sent = {row.id for row in rows if row.state == State.SENT}
        self.moved = [row.id for row in rows if row.state != State.SENT]
        steps = [step for step in self._steps if step.command_id in written or step.command_id not in self._rows]
        CommandStep.objects.bulk_create(steps, batch_size=500)
        # Deliveries that are wanted no more, if they have not ended.
        if withdrawn := [row.delivery_id for row in rows if row.delivery_id is not None and not row.is_open]:
            deliveries.withdraw(withdrawn, self.now)


def step(command: Command, cause: Cause, now: datetime, said: Mapping[str, Any] | None = None) -> CommandStep:
    """A step that is not stored yet."""
    return CommandStep(command=command, at=now, state=command.state, cause=cause, **said or {})


class Try(NamedTuple):
    """One time that a command was sent."""

    sequence: int | None
    sent_at: datetime


def tries_of(rows: Sequence[Command]) -> dict[int, list[Try]]:
    """By command, each time that it was sent, the newest last, but for those of which no byte was written.

    A device may answer any of them: what was taken for silence may have been an answer that was long on its way.
    """
    tries = {row.id: [] if row.sent_at is None else [Try(row.sequence, row.sent_at)] for row in rows}
    again: dict[int, list[Try]] = {row.id: [] for row in rows if row.tries > 1}
    if again:
        steps = CommandStep.objects.filter(command_id__in=list(again), cause__in=(Cause.SENT, Cause.UNSENT)).order_by("id")
        for id, cause, sequence, at in steps.values_list("command_id", "cause", "sequence", "at"):
            if cause == Cause.SENT:
                again[id].append(Try(sequence, at))
            elif again[id]:
                again[id].pop()
    return tries | again


def locked(wanted: Q, *states: State) -> QuerySet[Command]:
    """These commands, as far as they are in one of the states, kept from others until the transaction ends."""
    return Command.objects.select_for_update(of=("self",)).filter(wanted, state__in=states).order_by("id")
