"""The moves of commands, each a compare-and-set with its step, in one transaction with what causes it.

gateway ── sending ──▶ queued ▸ sent, unless it is too late, its condition does not hold, or another has its turn
        ── unsent ───▶ sent ▸ queued: it has written no byte; queued, sent ▸ failed: it never can be
device  ── answer ───▶ sent ▸ acknowledged, failed; or: it has it, and more is to come
time    ── end_late ─▶ queued ▸ expired; sent ▸ queued (twice does no harm) or failed (no_answer)
people  ── cancel ───▶ queued ▸ cancelled
files   ── follow ───▶ as their deliveries have it

Who moves several locks them in the order of their ids, so that nobody waits in a ring. A device's commands leave one after another
by the lock of its row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Least

from protocols.command import Answer, AnswersName, AnswerStatus
from store import audit, deliveries
from store.audit import Actor, Change
from store.commands import writing
from store.commands.conditions import read_condition
from store.json_text import plain_text
from store.models import NAME_LENGTH, Command, CommandStep, Delivery, Device

AGAIN = timedelta(minutes=1)
"""How often gateways are told anew of what is queued, for what no event tells of."""
MOST_TRIES = 3
"""Of what may be done twice."""
LATE = timedelta(days=1)
"""So long after a command was given up an answer is still noted with it."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""So far may a gateway's clock be behind a worker's. What was received longer before a command was sent is no answer to it, such as
one that has been in a spool."""
MOST_LATE = 32
"""Commands of a device that a late answer may be to."""
LONGEST_KEPT = 1 << 16
"""Bytes of a message that a step keeps."""
NO_ANSWER, CONDITION, REFUSED = "no_answer", "condition", "refused"
"""Reasons of ours why a command has failed; the last where the device gives none."""
State = Command.State
_Content = tuple[int, int | None, str, bytes]
"""Of an answer: its device, the number by which it names a command, its kind and its body."""
NamesOf = Callable[[str], AnswersName]
"""By what a protocol's answers tell which command they are to."""


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


class Going(NamedTuple):
    """A command that a gateway is about to write."""

    command: int
    sequence: int | None
    data: bytes


class Heard(NamedTuple):
    """What a device says of a command."""

    device: int
    answer: Answer
    received_at: datetime
    kind: str
    body: bytes
    is_new: bool = True
    """Whether its report was not stored before. One that was may be a copy, or say what another message did, such as a place."""


def sending(gateway: str, going: Sequence[Going], token: str, names_of: NamesOf, now: datetime) -> tuple[list[bool], list[int]]:
    """Which of these a gateway may write, in their order; and which commands have changed.

    The task of a ``token`` that comes twice hears the same twice.
    """
    ids = [one.command for one in going]
    with transaction.atomic():
        devices = _lock_devices(Command.objects.filter(id__in=ids).values_list("device_id", flat=True))
        before = _done_by(token, ids, Cause.SENT)
        rows = {row.id: row for row in _locked(Q(id__in=ids), State.QUEUED).select_related("device")}
        turns = _Turns(devices, names_of)
        moves = _Moves(now)
        for one in sorted(going, key=lambda one: one.command):
            row = rows.pop(one.command, None)
            if row is not None and _may_leave(row, one.sequence, turns, moves, now):
                answer_by = now + timedelta(seconds=row.answer_seconds)
                fields = {
                    "tries": row.tries + 1, "sent_at": now, "gateway": gateway, "sequence": one.sequence,
                    "answer_by": answer_by, "due_at": answer_by,
                }  # fmt: skip
                said = {"gateway": gateway, "kind": row.name, "data": one.data[:LONGEST_KEPT], "token": token}
                moves.move(row, State.SENT, Cause.SENT, said, **fields)
                turns.take(row, one.sequence)
        moves.commit()
    return [one.command in moves.sent or one.command in before for one in going], moves.moved


def unsent(gateway: str, faults: Mapping[int, str], token: str, now: datetime) -> list[int]:
    """Of these a gateway has written no byte; those that have a fault never can be. Which have changed.

    What another one has sent meanwhile stays. The task of a ``token`` that comes twice has done it once.
    """
    moves = _Moves(now)
    with transaction.atomic():
        before = _done_by(token, faults, Cause.UNSENT, Cause.FAULT)
        is_its = Q(state=State.QUEUED) | Q(gateway=gateway)
        for row in _locked(is_its & Q(id__in=[id for id in faults if id not in before]), *Command.OPEN):
            fault = plain_text(faults[row.id])[:NAME_LENGTH]
            said = {"text": fault, "gateway": gateway, "token": token}
            if fault:
                moves.end(row, State.FAILED, Cause.FAULT, said, fault)
            elif row.state == State.SENT:
                fields = {"tries": row.tries - 1, "sent_at": None, "sequence": None, "answer_by": None, "due_at": now}
                moves.move(row, State.QUEUED, Cause.UNSENT, said, **fields)
        moves.commit()
    return moves.moved


def settle(heard: Sequence[Heard], now: datetime) -> list[int]:
    """Bring commands forward, in the transaction that is open, by what devices say of them; which have changed.

    In the order in which it was said. What fits no command that is under way changes nothing, and is noted with one that was
    given up. Of what is not new a number has to say to which command it is, and that nothing has come of it yet.
    """
    moves = _Moves(now)
    known = _known([one for one in heard if not one.is_new], now)
    heard = [one for one in heard if one.is_new or (one.answer.sequence is not None and _content(one) not in known)]
    told = Q(device_id__in={one.device for one in heard}, sent_at__isnull=False, delivery=None)
    open = _locked(told, *Command.OPEN)
    # Of those under way first; one that is to be done again may have been done the first time.
    rows = sorted(open, key=lambda row: row.state != State.SENT)
    for one in heard:
        meant = [row for row in rows if row.is_open and _is_meant(row, one)]
        # One in pieces has no number, and any answer of its kind may be to it; but not one that names another.
        row = next((row for row in meant if row.sequence == one.answer.sequence), meant[0] if meant else None)
        if row is None:
            _note_late(one, moves)
            continue
        said = _said(one, one.answer.reason)
        match one.answer.status:
            case AnswerStatus.ACCEPTED if row.state == State.SENT:
                answer_by = now + timedelta(seconds=row.answer_seconds)
                moves.move(row, State.SENT, Cause.ACCEPTED, said, answer_by=answer_by, due_at=answer_by)
            case AnswerStatus.ACCEPTED:
                moves.note(row, Cause.ACCEPTED, said)
            case AnswerStatus.DONE:
                moves.end(row, State.ACKNOWLEDGED, Cause.ANSWERED, said)
            case AnswerStatus.FAILED:
                moves.end(row, State.FAILED, Cause.ANSWERED, said, said["text"] or REFUSED)
    moves.commit()
    return moves.moved


def end_late(now: datetime, limit: int) -> list[int]:
    """End what is too late to be sent, and what no device has answered, unless it may be done again; which have changed."""
    is_late = Q(state=State.QUEUED, expires_at__lte=now) | Q(state=State.SENT, answer_by__lte=now)
    ids = list(Command.objects.filter(is_late, due_at__lte=now).order_by("due_at", "id").values_list("id", flat=True)[:limit])
    moves = _Moves(now)
    with transaction.atomic():
        for row in _locked(is_late & Q(id__in=ids), *Command.OPEN):
            if row.state == State.QUEUED and row.sent_at is None:
                moves.end(row, State.EXPIRED, Cause.EXPIRED)
            elif row.state == State.SENT and row.is_repeatable and row.tries < MOST_TRIES and now < row.expires_at:
                moves.move(row, State.QUEUED, Cause.NO_ANSWER, answer_by=None, due_at=now)
            else:
                moves.end(row, State.FAILED, Cause.NO_ANSWER, reason=NO_ANSWER)
        moves.commit()
    return moves.moved


def cancel(wanted: Q, now: datetime, actor: Actor) -> list[Command]:
    """Cancel those of the wanted commands that have not been sent, 500 at a time; which those were.

    A file that has not gone down whole can be called back.
    """
    ended: list[Command] = []
    wanted &= Q(state=State.QUEUED) | Q(delivery__isnull=False)
    ids = list(Command.objects.filter(wanted, state__in=Command.OPEN).order_by("id").values_list("id", flat=True))
    for start in range(0, len(ids), 500):
        moves = _Moves(now)
        with transaction.atomic():
            rows = list(_locked(wanted & Q(id__in=ids[start : start + 500]), *Command.OPEN).select_related("device"))
            before = [{"state": row.state} for row in rows]
            for row in rows:
                moves.end(row, State.CANCELLED, Cause.CANCELLED, {"text": plain_text(actor.name)[:NAME_LENGTH]})
            moves.commit()
            after = [{"state": "cancelled", "command": row.name} for row in rows]
            told = zip(rows, before, after, strict=True)
            audit.record(actor, [Change("command.cancel", row.id, str(row.device), *change) for row, *change in told])
        ended += rows
    return ended


def follow(found: Sequence[Delivery], now: datetime) -> list[int]:
    """Bring commands up to where their deliveries are; which have changed."""
    by_id = {delivery.id: delivery for delivery in found}
    moves = _Moves(now)
    with transaction.atomic():
        for row in _locked(Q(delivery_id__in=list(by_id)), *Command.OPEN):
            delivery = by_id[row.delivery_id or 0]
            said = {"text": delivery.reason}
            match delivery.state:
                case Delivery.State.FETCHING if row.state == State.QUEUED:
                    moves.move(row, State.SENT, Cause.SENT, said, sent_at=now, tries=1, due_at=None)
                case Delivery.State.DONE:
                    moves.end(row, State.ACKNOWLEDGED, Cause.ANSWERED, said)
                case Delivery.State.FAILED:
                    moves.end(row, State.FAILED, Cause.ANSWERED, said, delivery.reason or REFUSED)
                case Delivery.State.CANCELLED:
                    moves.end(row, State.CANCELLED, Cause.CANCELLED, said)
        moves.commit()
    return moves.moved


def step(command: Command, cause: Cause, now: datetime, said: Mapping[str, Any] | None = None) -> CommandStep:
    """A step that is not stored yet."""
    return CommandStep(command=command, at=now, state=command.state, cause=cause, **said or {})


def seen(commands: Iterable[Command], now: datetime) -> None:
    """Gateways and who waits have been told of these, as they were read. What has changed since is due still."""
    read = {row.id: (row.state, row.due_at) for row in commands}
    alike: dict[tuple[str, bool], list[int]] = defaultdict(list)
    with transaction.atomic():
        found = _locked(Q(id__in=list(read)), *State)
        for id, state, due_at, delivery in found.values_list("id", "state", "due_at", "delivery_id"):
            if read[id] == (state, due_at):
                alike[state, delivery is not None].append(id)
        for (state, is_file), ids in alike.items():
            # Of a file nobody is told before it is too late.
            again: Any = F("expires_at") if is_file else Least(Value(now + AGAIN), F("expires_at"))
            next_look: Any = {State.QUEUED: again, State.SENT: F("answer_by")}.get(State(state))
            Command.objects.filter(id__in=ids).update(due_at=next_look)


class _Moves:
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


class _Turns:
    """Of devices that are locked, which commands of theirs are under way."""

    def __init__(self, devices: Sequence[int], names_of: NamesOf) -> None:
        self._names_of = names_of
        told = Command.objects.filter(device_id__in=devices, state__in=Command.OPEN, sent_at__isnull=False, delivery=None)
        rows = list(told.values_list("id", "state", "device_id", "kind", "sequence"))
        self._taken = {(device, kind) for _, state, device, kind, _ in rows if state == State.SENT}
        self._busy = {device for device, _ in self._taken}
        self._numbers = {(device, kind, number): id for id, _, device, kind, number in rows if number is not None}
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
        if sequence is not None:
            self._numbers[row.device_id, row.kind, sequence] = row.id
        self._taken.add((row.device_id, row.kind))
        self._busy.add(row.device_id)


def _may_leave(row: Command, sequence: int | None, turns: _Turns, moves: _Moves, now: datetime) -> bool:
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


def _is_meant(row: Command, one: Heard) -> bool:
    answer = one.answer
    if row.device_id != one.device or row.kind not in answer.kinds or row.sent_at is None:
        return False
    is_numbered = answer.sequence is not None and row.sequence is not None
    return one.received_at > row.sent_at - CLOCKS_DIFFER and (not is_numbered or answer.sequence == row.sequence)


def _known(stored: Sequence[Heard], now: datetime) -> set[_Content]:
    """Of answers whose reports are stored, those of which something has come already.

    After a slow moment there are whole batches of them: gateways send again what they have no receipt for.
    """
    contents = [_content(one) for one in stored if one.answer.sequence is not None]
    known: set[_Content] = set()
    for start in range(0, len(contents), 500):
        devices, sequences, kinds, data = (list(set(column)) for column in zip(*contents[start : start + 500], strict=True))
        of_these = CommandStep.objects.filter(command__device_id__in=devices, command__sequence__in=sequences)
        steps = of_these.filter(kind__in=kinds, data__in=data, at__gt=now - LATE)
        names = ("command__device_id", "command__sequence", "kind", "data")
        known |= {(device, sequence, kind, bytes(body)) for device, sequence, kind, body in steps.values_list(*names)}
    return known


def _content(one: Heard) -> _Content:
    return one.device, one.answer.sequence, one.kind, one.body[:LONGEST_KEPT]


def _note_late(one: Heard, moves: _Moves) -> None:
    given_up = Command.objects.filter(device_id=one.device, state=State.FAILED, reason=NO_ANSWER, kind__in=one.answer.kinds)
    for row in given_up.filter(ended_at__gt=moves.now - LATE).order_by("-id")[:MOST_LATE]:
        if _is_meant(row, one):
            moves.note(row, Cause.LATE_ANSWER, _said(one, f"{one.answer.status} {one.answer.reason}".strip()))
            return


def _said(one: Heard, text: str) -> dict[str, Any]:
    return {"text": plain_text(text)[:NAME_LENGTH], "kind": one.kind, "data": one.body[:LONGEST_KEPT]}


def _done_by(token: str, ids: Iterable[int], *causes: Cause) -> set[int]:
    """Those of the commands to which the task of this token has done it already."""
    if not token:
        return set()
    steps = CommandStep.objects.filter(command_id__in=list(ids), token=token, cause__in=causes)
    return set(steps.values_list("command_id", flat=True))


def _lock_devices(ids: Iterable[int]) -> list[int]:
    return list(Device.objects.select_for_update(no_key=True).filter(id__in=set(ids)).order_by("id").values_list("id", flat=True))


def _locked(wanted: Q, *states: State) -> QuerySet[Command]:
    """These commands, as far as they are in one of the states, kept from others until the transaction ends."""
    return Command.objects.select_for_update(of=("self",)).filter(wanted, state__in=states).order_by("id")
