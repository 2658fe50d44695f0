"""Commands and time, people and files: what ends them beside devices, and when workers look at them next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest, Least

from store import audit
from store.audit import Actor, Change
from store.commands.moves import NO_ANSWER, REFUSED, Cause, Moves, State, locked
from store.json_text import plain_text
from store.models import NAME_LENGTH, Command, Delivery

AGAIN = timedelta(minutes=1)
"""How often gateways are told anew of what is queued, for what no event tells of."""
SOON = timedelta(seconds=5)
"""When is looked again at what is late and may be answered yet."""
LONGEST_UNHEARD = timedelta(minutes=10)
"""So much longer than a device may take is waited for what gateways have received and workers have not stored."""
MOST_TRIES = 3
"""Of what may be done twice."""


def late_gateways(now: datetime) -> set[str]:
    """Those that have sent commands whose answers are late."""
    late = Command.objects.filter(state=State.SENT, answer_by__lte=now, due_at__lte=now)
    return set(late.order_by().values_list("gateway", flat=True).distinct())


def end_late(now: datetime, limit: int, heard_until: Mapping[str, datetime]) -> list[int]:
    """End what is too late to be sent, and what no device has answered, unless it may be done again; which have changed.

    Of gateways ``heard_until`` says up to when workers have stored all that they have received; of one that is not there all
    is. What a device says in between is no silence, and is waited for, up to :data:`LONGEST_UNHEARD`.
    """
    may_be_on_its_way = Q()
    for gateway, until in heard_until.items():
        may_be_on_its_way |= Q(gateway=gateway, answer_by__gt=max(until, now - LONGEST_UNHEARD))
    is_silent = Q(state=State.SENT, answer_by__lte=now) & ~may_be_on_its_way
    is_late = Q(state=State.QUEUED, expires_at__lte=now) | is_silent
    ids = list(Command.objects.filter(is_late, due_at__lte=now).order_by("due_at", "id").values_list("id", flat=True)[:limit])
    moves = Moves(now)
    with transaction.atomic():
        for row in locked(is_late & Q(id__in=ids), *Command.OPEN):
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
        moves = Moves(now)
        with transaction.atomic():
            rows = list(locked(wanted & Q(id__in=ids[start : start + 500]), *Command.OPEN).select_related("device"))
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
    moves = Moves(now)
    with transaction.atomic():
        for row in locked(Q(delivery_id__in=list(by_id)), *Command.OPEN):
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


def seen(commands: Iterable[Command], now: datetime) -> None:
    """Gateways and who waits have been told of these, as they were read. What has changed since is due still."""
    read = {row.id: (row.state, row.due_at) for row in commands}
    alike: dict[tuple[str, bool], list[int]] = defaultdict(list)
    with transaction.atomic():
        found = locked(Q(id__in=list(read)), *State)
        for id, state, due_at, delivery in found.values_list("id", "state", "due_at", "delivery_id"):
            if read[id] == (state, due_at):
                alike[state, delivery is not None].append(id)
        for (state, is_file), ids in alike.items():
            # Of a file nobody is told before it is too late.
            again: Any = F("expires_at") if is_file else Least(Value(now + AGAIN), F("expires_at"))
            answered = Greatest(F("answer_by"), Value(now + SOON))
            next_look: Any = {State.QUEUED: again, State.SENT: F("answer_by") if is_file else answered}.get(State(state))
            Command.objects.filter(id__in=ids).update(due_at=next_look)
