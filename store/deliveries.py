"""The life of a delivery: a file that is offered to a device, gone down piece by piece, and ended by the device's own word.

    offer ─▶ offered ── bytes went down ─▶ fetching ─┬─ the device says so ─▶ done, failed
               │  ▲                           │      └─ nothing comes of 20 offers ─▶ failed
               │  └── the device says: later ─┘
               └────────── cancel ────────────┴─────▶ cancelled

Whatever is to be told to a gateway goes by ``due_at``, in the transaction that changes the row, and a worker's sweep: so it
is not lost between database and broker. What is to be told at once has a ``due_at`` that is its ``touched_at``. A device gets one
file at a time, the one first that was offered first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, When

from protocols.download import FileResult, FileStatus
from store import audit
from store.audit import Actor, Change
from store.json_text import plain_text
from store.models import IDENTITY_LENGTH, NAME_LENGTH, Delivery, Device, File
from store.rows import is_name

AGAIN = timedelta(minutes=10)
"""How often an open delivery is looked at, for what no event tells of."""
LATER = timedelta(minutes=1)
"""When a device that was busy is asked again."""
RESULT_WAIT = timedelta(minutes=10)
"""How long the device's word is waited for after all has gone down: it may have to start anew first."""
EARLY = "the device says done, not all has gone down"
"""The reason of a delivery of which that is said. Most often it is of the one before, said once more."""
MOST_TRIES = 20
"""Offers of which nothing comes, before the device is taken for one that does not know what to do with them."""


class GoneError(Exception):
    """A file that was removed."""


class Noted(NamedTuple):
    """What a gateway has seen of a delivery."""

    delivery: int
    sent: int
    sent_at: datetime
    """When it had come so far, by the clock by which messages are received."""
    fault: str = ""


class Said(NamedTuple):
    """What a device says of a file."""

    device: int
    """Its row."""
    result: FileResult
    received_at: datetime


def offer(file: File, devices: Iterable[Device], by: str, now: datetime, actor: Actor) -> list[Delivery]:
    """Give a file to devices. One that is to get it already has one delivery of it; which is then given back.

    Raises: GoneError
    """
    # In one order, so that two who offer the same wait for each other and never in a ring.
    wanted = sorted(devices, key=lambda device: device.id)
    new = [Delivery(device=device, file=file, by=by, created_at=now, touched_at=now, due_at=now) for device in wanted]
    known = _open().filter(file=file, device__in=wanted)
    with transaction.atomic():
        if not File.objects.select_for_update(no_key=True).filter(id=file.id, removed_at=None):
            raise GoneError
        before = set(known.values_list("id", flat=True))
        Delivery.objects.bulk_create(new, ignore_conflicts=True, batch_size=500)
        offered = list(known.select_related("device").order_by("id"))
        told = [_change("offer", each, {}, {"file": str(file)}) for each in offered if each.id not in before]
        audit.record(actor, told)
    return offered


def cancel_all(file: File, reason: str, now: datetime) -> int:
    """End all deliveries of a file that have not ended; how many those were."""
    ids = list(_open().filter(file=file).values_list("id", flat=True))
    with transaction.atomic():
        return _end(_locked(ids), Delivery.State.CANCELLED, reason, now)


def cancel(id: int, now: datetime, actor: Actor) -> bool:
    """End a delivery, if it has not ended; whether it had not."""
    with transaction.atomic():
        found = list(_locked([id]).select_related("device"))
        _end(_open().filter(id__in=[each.id for each in found]), Delivery.State.CANCELLED, "", now)
        audit.record(actor, [_change("cancel", each, {"state": each.state}, {"state": "cancelled"}) for each in found])
    return bool(found)


def withdraw(ids: Iterable[int], now: datetime) -> None:
    """End those of the deliveries that have not ended, in the transaction that is open: nobody wants them any more."""
    _end(_locked(ids), Delivery.State.CANCELLED, "", now)


def settle(said: Iterable[Said], now: datetime) -> None:
    """Write down, in the transaction that is open, what devices say of files.

    Of what a device says of a file the last counts. What is said of a file that is not under way changes nothing.
    """
    last = {(one.device, one.result.file): one for one in said}
    handed = _handed({device for device, _ in last})
    meant = [(delivery, *one[1:]) for told, one in last.items() if (delivery := handed.get(told))]
    for delivery, result, received_at in sorted(meant, key=lambda told: told[0].id):
        told, reason = _open().filter(id=delivery.id), plain_text(result.reason)[:NAME_LENGTH]
        match result.status:
            case FileStatus.DONE if result.file is None and delivery.sent_bytes < delivery.file.size:
                # The note that all has gone down goes by another queue, and may come later.
                told.update(reason=EARLY, touched_at=received_at)
            case FileStatus.DONE:
                _end(told, Delivery.State.DONE, "", now, sent_bytes=delivery.file.size)
            case FileStatus.FAILED:
                _end(told, Delivery.State.FAILED, reason, now)
            case FileStatus.LATER:
                # Something has come of the offer, which stays one that was made.
                told.update(reason=reason, touched_at=now, due_at=now + LATER, tries=1)


def note(noted: Iterable[Noted], now: datetime) -> None:
    """Bring deliveries up to what gateways have seen of them. Idempotent, and in any order."""
    told = {one.delivery: one for one in sorted(noted, key=lambda one: (bool(one.fault), one.sent))}
    with transaction.atomic():
        for delivery in _locked(told).select_related("file").order_by("id"):
            known, one = _open().filter(id=delivery.id), told[delivery.id]
            if one.fault:
                _end(known, Delivery.State.FAILED, plain_text(one.fault)[:NAME_LENGTH], now)
            elif delivery.sent_bytes >= one.sent:
                continue
            elif delivery.reason == EARLY and delivery.touched_at >= one.sent_at:
                # It was said when so much had gone down: of more there is word to come, of all it is the end.
                known.update(state=Delivery.State.FETCHING, sent_bytes=one.sent, tries=0)
                if one.sent >= delivery.file.size:
                    _end(known, Delivery.State.DONE, "", now)
            else:
                known.update(state=Delivery.State.FETCHING, reason="", sent_bytes=one.sent, tries=0, touched_at=now)


def take_next(protocol: str, identities: Iterable[str], now: datetime) -> dict[str, Delivery]:
    """By device, the delivery that is its turn now, for a gateway to offer. Of one that comes to nothing time and again, none.

    One that :func:`is_awaited` is still its device's turn, though it is no offer: the device may ask for what it lacks.
    """
    names = [identity for identity in identities if is_name(identity, IDENTITY_LENGTH)]
    found = _open().filter(device__protocol=protocol, device__identity__in=names)
    first: dict[str, Delivery] = {}
    for delivery in found.select_related("device", "file").order_by("id"):
        first.setdefault(delivery.device.identity, delivery)
    with transaction.atomic():
        rows = _locked(delivery.id for delivery in first.values() if not is_awaited(delivery, now))
        rows.update(tries=F("tries") + 1)
        _end(rows.filter(tries__gt=MOST_TRIES), Delivery.State.FAILED, f"offered {MOST_TRIES} times, nothing came of it", now)
    return {identity: delivery for identity, delivery in first.items() if delivery.tries < MOST_TRIES}


def is_awaited(delivery: Delivery, now: datetime) -> bool:
    """Whether all of it has gone down, and the device may be about to say what became of it."""
    return delivery.sent_bytes >= delivery.file.size and delivery.touched_at > now - RESULT_WAIT


def due(now: datetime, limit: int) -> list[Delivery]:
    """Deliveries that workers are to look at: what has changed first, then what is only looked at again."""
    found = Delivery.objects.filter(due_at__lte=now).select_related("device", "file")
    is_old = Case(When(due_at=F("touched_at"), then=0), default=1)
    return list(found.order_by(is_old, "due_at", "id")[:limit])


def seen(deliveries: Sequence[Delivery], now: datetime) -> None:
    """Workers have looked at these. What has changed since is due still."""
    by_due: dict[datetime | None, list[int]] = defaultdict(list)
    for delivery in deliveries:
        by_due[delivery.due_at].append(delivery.id)
    for due_at, ids in by_due.items():
        Delivery.objects.filter(id__in=ids, due_at=due_at).exclude(state__in=Delivery.OPEN).update(due_at=None)
        with transaction.atomic():
            _locked(ids).filter(due_at=due_at).update(due_at=now + AGAIN)


def waiting(devices: Iterable[int]) -> set[int]:
    """Those of the devices that have something open."""
    return set(_open().filter(device_id__in=list(devices)).values_list("device_id", flat=True))


def _change(what: str, delivery: Delivery, before: dict[str, str], after: dict[str, str]) -> Change:
    return Change(f"delivery.{what}", delivery.id, str(delivery.device), before, after)


def _open() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state__in=Delivery.OPEN)


def _handed(devices: Iterable[int]) -> dict[tuple[int, int | None], Delivery]:
    """Which deliveries devices may speak of, by device and file: those that were handed to a gateway.

    Without a file the first of a device. They are kept from others until the transaction ends.
    """
    found = _open().filter(Q(tries__gt=0) | Q(sent_bytes__gt=0), device_id__in=list(devices))
    by_file: dict[tuple[int, int | None], Delivery] = {}
    for delivery in found.select_related("file").select_for_update(of=("self",)).order_by("id"):
        for file in (None, delivery.file_id):
            by_file.setdefault((delivery.device_id, file), delivery)
    return by_file


def _locked(ids: Iterable[int]) -> QuerySet[Delivery]:
    """These deliveries, as far as they are open, kept from others until the transaction ends.

    In the order of their ids, as devices' results are written in: who waits for whom is never a ring.
    """
    rows = _open().filter(id__in=list(ids))
    list(rows.select_for_update().order_by("id").values_list("id", flat=True))
    return rows


def _end(deliveries: QuerySet[Delivery], state: Delivery.State, reason: str, now: datetime, **fields: int) -> int:
    return deliveries.update(state=state, reason=reason, ended_at=now, touched_at=now, due_at=now, **fields)
