"""Which devices are here, from what gateways tell of their sessions, in whatever order and however often.

    gateway ── visits ──▶ take ──▶ presence: the newest word of each device; events: all that there was
    worker ─── nobody has them ──▶ presume ──▶ the same, until a gateway knows better

Of two words on a device that of the later epoch counts, of one epoch that of the end. An end that was presumed gives way to
whatever is told of that epoch: the gateway was there. An end says when its session began, too, so that nothing is missed
when that was never told. Nothing is told of a device's session that a newer one took over from: it never left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

from store.bulk import tables_of
from store.events import EventRow
from store.json_text import plain_text
from store.models import (
    END_LENGTH,
    GATEWAY_LENGTH,
    IDENTITY_LENGTH,
    PEER_LENGTH,
    PRESUMED,
    PROTOCOL_LENGTH,
    RUN_LENGTH,
    EventKind,
    Presence,
)
from store.rows import DeviceKey, PresenceRow, is_name


class Visit(NamedTuple):
    """A device's session on a gateway, as far as it has gone."""

    device: DeviceKey
    epoch: int
    begun: datetime
    ended: datetime | None
    peer: str
    cause: str


class Online(NamedTuple):
    """A device that is told to be here."""

    device_id: int
    protocol: str
    identity: str
    epoch: int


class Standing(NamedTuple):
    """How a device's presence is put to people."""

    state: str
    """online; stale, which is online and silent; offline; never, which is nothing seen or told of it yet."""
    since: datetime | None
    gateway: str
    cause: str


def take(gateway: str, run: str, visits: Iterable[Visit]) -> None:
    """Store what a gateway tells. Devices that there are not are passed over.

    Idempotent. Raises: django.db.DatabaseError or InterfaceError; then nothing is stored.
    """
    told = sorted((visit for visit in visits if _is_device(visit.device)), key=_order)
    with transaction.atomic(), connection.cursor() as cursor, connection.wrap_database_errors:
        tables = tables_of(cursor)
        devices = tables.find_devices(list(dict.fromkeys(visit.device for visit in told)))
        known = _known([device.id for device in devices.values()])
        rows: dict[int, PresenceRow] = {}
        events: list[EventRow] = []
        for visit in told:
            if visit.device in devices:
                row = _row(devices[visit.device].id, gateway, run, visit)
                before = known.get(row.device_id)
                if before is None or _is_news(before, row):
                    rows[row.device_id] = row
                    events += _events(before, row, visit)
        if rows:
            tables.write_presence(sorted(rows.values()))
            tables.insert_events(events, datetime.now(UTC))


def presume(missed: Mapping[int, int], cause: str, now: datetime) -> int:
    """Take devices, by their ids and epochs, for gone unless something newer is told of them by now; how many are."""
    with transaction.atomic(), connection.cursor() as cursor:
        there = Presence.objects.select_for_update().filter(device_id__in=list(missed), is_online=True).order_by("device_id")
        gone = [row for row in there if row.epoch == missed[row.device_id]]
        if gone:
            Presence.objects.filter(device_id__in=[row.device_id for row in gone]).update(is_online=False, since=now, cause=cause)
            events = [EventRow(row.device_id, now, EventKind.OFFLINE, "", {"gateway": row.gateway, "cause": cause}) for row in gone]
            tables_of(cursor).insert_events(events, now)
    return len(gone)


def online_runs() -> set[str]:
    """Of the gateways' processes that have devices."""
    return set(Presence.objects.filter(is_online=True).values_list("run", flat=True).distinct().order_by())


def online_of(run: str, limit: int) -> dict[int, int]:
    """Some of the devices that a process has, with their epochs."""
    return dict(Presence.objects.filter(is_online=True, run=run).values_list("device_id", "epoch")[:limit])


def online_after(device_id: int, limit: int) -> list[Online]:
    """The next devices that are here, by their ids."""
    return [Online(*row) for row in _online().filter(device_id__gt=device_id).order_by("device_id")[:limit]]


def still_online(device_ids: Iterable[int]) -> list[Online]:
    return [Online(*row) for row in _online().filter(device_id__in=list(device_ids))]


def standing(presence: Presence | None, last_seen: datetime | None, now: datetime, stale_after: timedelta) -> Standing:
    """How a device stands: here it is stale when nothing came from it for so long."""
    if presence is None:
        # Told of by no gateway: from before they did, or of one that does not yet.
        return Standing("never" if last_seen is None else "offline", None, "", "")
    if not presence.is_online:
        return Standing("offline", presence.since, presence.gateway, presence.cause)
    heard = presence.since if last_seen is None else max(presence.since, last_seen)
    return Standing("stale" if now - heard > stale_after else "online", presence.since, presence.gateway, "")


def _online() -> QuerySet[Presence, tuple[int, str, str, int]]:
    return Presence.objects.filter(is_online=True).values_list("device_id", "device__protocol", "device__identity", "epoch")


def _is_device(key: DeviceKey) -> bool:
    return is_name(key.protocol, PROTOCOL_LENGTH) and is_name(key.identity, IDENTITY_LENGTH)


def _order(visit: Visit) -> tuple[int, bool]:
    return visit.epoch, visit.ended is not None


def _known(ids: Sequence[int]) -> dict[int, PresenceRow]:
    rows = Presence.objects.filter(device_id__in=ids).values_list(*PresenceRow._fields)
    return {row[0]: PresenceRow(*row) for row in rows}


def _row(device_id: int, gateway: str, run: str, visit: Visit) -> PresenceRow:
    cause = "" if visit.ended is None else plain_text(visit.cause)[:END_LENGTH]
    return PresenceRow(
        device_id,
        visit.ended is None,
        visit.ended or visit.begun,
        plain_text(gateway)[:GATEWAY_LENGTH],
        plain_text(run)[:RUN_LENGTH],
        plain_text(visit.peer)[:PEER_LENGTH],
        visit.epoch,
        cause,
    )


def _is_news(before: PresenceRow, row: PresenceRow) -> bool:
    """Whether there is something to store of it: what is older than what is known may have left events untold."""
    if row.epoch != before.epoch or before.cause in PRESUMED:
        return True
    return before.is_online and not row.is_online


def _events(before: PresenceRow | None, row: PresenceRow, visit: Visit) -> list[EventRow]:
    place = {"gateway": row.gateway, "peer": row.peer}
    events = [EventRow(row.device_id, visit.begun, EventKind.ONLINE, "", place)]
    if visit.ended is not None:
        events.append(EventRow(row.device_id, visit.ended, EventKind.OFFLINE, "", {**place, "cause": row.cause}))
    if before is not None and before.cause in PRESUMED and row.epoch >= before.epoch:
        was_there = visit.begun <= before.since and (visit.ended is None or visit.ended > before.since)
        if was_there:
            # The timeline says that it had gone then: it is back at that very moment.
            events.append(EventRow(row.device_id, before.since, EventKind.ONLINE, "", place))
    return events
