"""Who changed what: an entry for each change that an operator makes, in the transaction that makes it.

operator ── command or page ──▶ a change (devices, groups, handling) ──▶ rows  ┐
                └── Actor ────────────────▶ record ─────────────────────▶ entry ┴ one commit

Entries are only ever added: :mod:`store.triggers` has the database refuse anything else, and retention leaves them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from store.json_text import plain_text
from store.models import ACTOR_LENGTH, SUBJECT_LENGTH, AuditEntry


class Actor(NamedTuple):
    """Who makes a change."""

    name: str
    address: str = ""


class Change(NamedTuple):
    """What an entry says, but who and when. What was changed is told by field; secrets are never among it."""

    action: str
    subject_id: int
    subject: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def record(actor: Actor, changes: Iterable[Change], note: str = "") -> None:
    """Add an entry for each change.

    Raises: TransactionManagementError outside of a transaction, for then it would not be the change's own.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("an audit entry belongs into the transaction of its change")
    who = {"actor": plain_text(actor.name)[:ACTOR_LENGTH], "address": actor.address, "note": plain_text(note)}
    AuditEntry.objects.bulk_create(
        [
            AuditEntry(
                **who,
                action=change.action,
                subject_id=change.subject_id,
                subject=plain_text(change.subject)[:SUBJECT_LENGTH],
                before=dict(change.before),
                after=dict(change.after),
            )
            for change in changes
        ],
        batch_size=1_000,
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of two pictures of a row the fields that differ, as they were and as they are."""
    changed = [field for field in after if before.get(field) != after[field]]
    return {field: before[field] for field in changed if field in before}, {field: after[field] for field in changed}


def entries(who: str = "", what: str = "", since: datetime | None = None) -> QuerySet[AuditEntry]:
    """Entries of one actor, of one action or of all that begin with a kind of subject, since a time; the newest first."""
    found = AuditEntry.objects.order_by("-at", "-id")
    if who:
        found = found.filter(actor=who)
    if what:
        found = found.filter(Q(action=what) | Q(action__startswith=f"{what}."))
    return found if since is None else found.filter(at__gte=since)
