"""Which commands gateways may write: asked once each is numbered and framed, and before its first byte leaves.

A device's commands leave one after another by the lock of its row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q

from protocols.command import AnswersName
from store.commands.conditions import read_condition
from store.commands.moves import CONDITION, LONGEST_KEPT, NO_ANSWER, Cause, Moves, State, locked, tries_of
from store.json_text import plain_text
from store.models import NAME_LENGTH, Command, CommandStep, Device

NamesOf = Callable[[str], AnswersName]
"""By what a protocol's answers tell which command they are to."""


class Going(NamedTuple):
    """A command that a gateway is about to write."""

    command: int
    sequence: int | None
    data: bytes


def sending(gateway: str, going: Sequence[Going], token: str, names_of: NamesOf, now: datetime) -> tuple[list[bool], list[int]]:
    """Which of these a gateway may write, in their order; and which commands have changed.

    The task of a ``token`` that comes twice hears the same twice.
    """
    ids = [one.command for one in going]
    with transaction.atomic():
        devices = _lock_devices(Command.objects.filter(id__in=ids).values_list("device_id", flat=True))
        before = _done_by(token, ids, Cause.SENT)
        rows = {row.id: row for row in locked(Q(id__in=ids), State.QUEUED).select_related("device")}
        turns = _Turns(devices, names_of)
        moves = Moves(now)
        for one in sorted(going, key=lambda one: one.command):
            row = rows.pop(one.command, None)
            if row is not None and _may_leave(row, one.sequence, turns, moves, now):
                tries = row.tries + 1
                answer_by = now + timedelta(seconds=row.answer_seconds * (math.factorial(tries) if row.waits_grow else 1))
                fields = {
                    "tries": tries, "sent_at": now, "gateway": gateway, "sequence": one.sequence,
                    "answer_by": answer_by, "due_at": answer_by,
                }  # fmt: skip
                said = {
                    "gateway": gateway,
                    "kind": row.name,
                    "data": one.data[:LONGEST_KEPT],
                    "sequence": one.sequence,
                    "token": token,
                }
                moves.move(row, State.SENT, Cause.SENT, said, **fields)
                turns.take(row, one.sequence)
        moves.commit()
    return [one.command in moves.sent or one.command in before for one in going], moves.moved


def unsent(gateway: str, faults: Mapping[int, str], token: str, now: datetime) -> list[int]:
    """Of these a gateway has written no byte; those that have a fault never can be. Which have changed.

    What another one has sent meanwhile stays. The task of a ``token`` that comes twice has done it once.
    """
    moves = Moves(now)
    with transaction.atomic():
        before = _done_by(token, faults, Cause.UNSENT, Cause.FAULT)
        is_its = Q(state=State.QUEUED) | Q(gateway=gateway)
        rows = list(locked(is_its & Q(id__in=[id for id in faults if id not in before]), *Command.OPEN))
        tries = tries_of(rows)
        for row in rows:
            fault = plain_text(faults[row.id])[:NAME_LENGTH]
            said = {"text": fault, "gateway": gateway, "token": token}
            if fault:
                moves.end(row, State.FAILED, Cause.FAULT, said, fault)
            elif row.state == State.SENT:
                # The time before may be answered yet.
                earlier = tries[row.id][:-1]
                sequence, sent_at = earlier[-1] if earlier else (None, None)
                fields = {"tries": row.tries - 1, "sent_at": sent_at, "sequence": sequence, "answer_by": None, "due_at": now}
                moves.move(row, State.QUEUED, Cause.UNSENT, said, **fields)
        moves.commit()
    return moves.moved


class _Turns:
    """Of devices that are locked, which commands of theirs are under way."""

    def __init__(self, devices: Sequence[int], names_of: NamesOf) -> None:
        self._names_of = names_of
        told = Command.objects.filter(device_id__in=devices, state__in=Command.OPEN, sent_at__isnull=False, delivery=None)
        rows = list(told.only("state", "device_id", "kind", "sequence", "sent_at", "tries"))
        self._taken = {(row.device_id, row.kind) for row in rows if row.state == State.SENT}
        self._busy = {device for device, _ in self._taken}
        tries = tries_of(rows)
        self._numbers = {(row.device_id, row.kind, one.sequence): row.id for row in rows for one in tries[row.id]}
        self._halted: set[int] = set()
        """Devices whose next command has to wait, and those behind it with it."""

    def is_free(self, row: Command, sequence: int | None) -> bool:
        """Whether an answer to it could not be taken for one to another command.

        Links number anew. What leaves under a number of one that may be answered yet, from a link before, is asked for again by
        its gateway under the next number.
        """
        match self._names_of(row.device.protocol):
            case AnswersName.SEQUENCE:
                if sequence is not None and self._numbers.get((row.device_id, row.kind, sequence), row.id) != row.id:
                    self._halted.add(row.device_id)
                return row.device_id not in self._halted
            case AnswersName.KIND:
                return (row.device_id, row.kind) not in self._taken
        return row.device_id not in self._busy

    def take(self, row: Command, sequence: int | None) -> None:
        self._numbers[row.device_id, row.kind, sequence] = row.id
        self._taken.add((row.device_id, row.kind))
        self._busy.add(row.device_id)


def _may_leave(row: Command, sequence: int | None, turns: _Turns, moves: Moves, now: datetime) -> bool:
    if row.expires_at <= now:
        if row.sent_at is None:
            moves.end(row, State.EXPIRED, Cause.EXPIRED)
        else:
            moves.end(row, State.FAILED, Cause.NO_ANSWER, reason=NO_ANSWER)
        return False
    if row.not_before > now or row.delivery_id is not None or not turns.is_free(row, sequence):
        return False
    fault = read_condition(row.condition).fault(row.device_id, now) if row.condition else ""
    if fault:
        moves.end(row, State.FAILED, Cause.CONDITION, {"text": fault[:NAME_LENGTH]}, CONDITION)
    return not fault


def _done_by(token: str, ids: Iterable[int], *causes: Cause) -> set[int]:
    """Those of the commands to which the task of this token has done it already."""
    if not token:
        return set()
    steps = CommandStep.objects.filter(command_id__in=list(ids), token=token, cause__in=causes)
    return set(steps.values_list("command_id", flat=True))


def _lock_devices(ids: Iterable[int]) -> list[int]:
    return list(Device.objects.select_for_update(no_key=True).filter(id__in=set(ids)).order_by("id").values_list("id", flat=True))
