"""What devices say of commands, in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q

from protocols.command import Answer, AnswerStatus
from store.commands.moves import LONGEST_KEPT, NO_ANSWER, REFUSED, Cause, Moves, State, Try, locked, tries_of
from store.json_text import plain_text
from store.models import NAME_LENGTH, Command, CommandStep

LATE = timedelta(days=1)
"""So long after a command was given up an answer is still noted with it."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""So far may a gateway's clock be behind a worker's. What was received longer before a command was sent is no answer to it, such as
one that has been in a spool."""
MOST_LATE = 32
"""Commands of a device that a late answer may be to."""
_Content = tuple[int, int | None, str, bytes]
"""Of an answer: its device, the number by which it names a command, its kind and its body."""


class Heard(NamedTuple):
    """What a device says of a command."""

    device: int
    answer: Answer
    received_at: datetime
    kind: str
    body: bytes
    is_new: bool = True
    """Whether its report was not stored before. One that was may be a copy, or say what another message did, such as a place."""


def settle(heard: Sequence[Heard], now: datetime) -> list[int]:
    """Bring commands forward, in the transaction that is open, by what devices say of them; which have changed.

    In the order in which it was said. What fits no command that is under way changes nothing, and is noted with one that was
    given up. Of what is not new a number has to say to which command it is, and that nothing has come of it yet.
    """
    moves = Moves(now)
    heard = _without_copies(heard, now)
    told = Q(device_id__in={one.device for one in heard}, sent_at__isnull=False, delivery=None)
    open = locked(told, *Command.OPEN)
    # Of those under way first; one that is to be done again may have been done the first time.
    rows = sorted(open, key=lambda row: row.state != State.SENT)
    tries = tries_of(rows)
    for one in heard:
        meant = [(row, sent) for row in rows if row.is_open and (sent := _answered(row, tries[row.id], one))]
        # One in pieces has no number, and any answer of its kind may be to it; but not one that names another.
        named = (row for row, sent in meant if sent.sequence == one.answer.sequence)
        row = next(named, meant[0][0] if meant else None)
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


def _answered(row: Command, tries: Sequence[Try], one: Heard) -> Try | None:
    """The time that it was sent to which this may be the answer, the newest of several."""
    if row.device_id != one.device or row.kind not in one.answer.kinds:
        return None
    for sent in reversed(tries):
        is_numbered = one.answer.sequence is not None and sent.sequence is not None
        if one.received_at > sent.sent_at - CLOCKS_DIFFER and (not is_numbered or one.answer.sequence == sent.sequence):
            return sent
    return None


def _without_copies(heard: Sequence[Heard], now: datetime) -> list[Heard]:
    known = _known([one for one in heard if not one.is_new], now)
    kept: list[Heard] = []
    for one in heard:
        content = _content(one)
        if one.is_new or (one.answer.sequence is not None and content not in known):
            kept.append(one)
        known.add(content)
    return kept


def _known(stored: Sequence[Heard], now: datetime) -> set[_Content]:
    """Of answers whose reports are stored, those of which something has come already.

    After a slow moment there are whole batches of them: gateways send again what they have no receipt for.
    """
    contents = [_content(one) for one in stored if one.answer.sequence is not None]
    known: set[_Content] = set()
    for start in range(0, len(contents), 500):
        devices, sequences, kinds, data = (list(set(column)) for column in zip(*contents[start : start + 500], strict=True))
        of_these = CommandStep.objects.filter(command__device_id__in=devices, sequence__in=sequences)
        steps = of_these.filter(kind__in=kinds, data__in=data, at__gt=now - LATE)
        names = ("command__device_id", "sequence", "kind", "data")
        known |= {(device, sequence, kind, bytes(body)) for device, sequence, kind, body in steps.values_list(*names)}
    return known


def _content(one: Heard) -> _Content:
    return one.device, one.answer.sequence, one.kind, one.body[:LONGEST_KEPT]


def _note_late(one: Heard, moves: Moves) -> None:
    given_up = Command.objects.filter(device_id=one.device, state=State.FAILED, reason=NO_ANSWER, kind__in=one.answer.kinds)
    rows = list(given_up.filter(ended_at__gt=moves.now - LATE).order_by("-id")[:MOST_LATE])
    tries = tries_of(rows)
    for row in rows:
        if _answered(row, tries[row.id], one):
            moves.note(row, Cause.LATE_ANSWER, _said(one, f"{one.answer.status} {one.answer.reason}".strip()))
            return


def _said(one: Heard, text: str) -> dict[str, Any]:
    data = one.body[:LONGEST_KEPT]
    return {"text": plain_text(text)[:NAME_LENGTH], "kind": one.kind, "data": data, "sequence": one.answer.sequence}
