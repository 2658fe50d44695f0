"""What commands and pages ask of the data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Case, QuerySet, When

from store.models import IDENTITY_LENGTH, PROTOCOL_LENGTH, Alarm, AlarmState, Delivery, Device, Event, Media, Quarantine, Report
from store.rows import is_name


class ReportDigest(NamedTuple):
    """What tells a stored report from others of its device."""

    device_id: int
    kind: str
    digest: bytes


def device(protocol: str, identity: str) -> Device | None:
    return Device.objects.filter(protocol=protocol, identity=identity).first()


class KnownDevice(NamedTuple):
    """What decides whether a device may come in."""

    is_enabled: bool
    credential: str


def known_devices(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KnownDevice]:
    """Which of these devices there are, by protocol and identity: a question for each protocol, however many there are."""
    identities: dict[str, list[str]] = defaultdict(list)
    for protocol, identity in filter(_is_device, keys):
        identities[protocol].append(identity)
    found = {}
    for protocol, names in identities.items():
        rows = Device.objects.filter(protocol=protocol, identity__in=names)
        for identity, is_enabled, credential in rows.values_list("identity", "is_enabled", "credential"):
            found[protocol, identity] = KnownDevice(is_enabled, credential)
    return found


def create_devices(keys: Iterable[tuple[str, str]]) -> None:
    """Have these devices, as far as they are not there and columns take their names."""
    # In one order, so that two who create the same ones do not wait for each other.
    new = [Device(protocol=protocol, identity=identity) for protocol, identity in sorted(filter(_is_device, keys))]
    Device.objects.bulk_create(new, ignore_conflicts=True)


def _is_device(key: tuple[str, str]) -> bool:
    """Whether there may be such a device: for what no column takes, a database would refuse even the question."""
    protocol, identity = key
    return is_name(protocol, PROTOCOL_LENGTH) and is_name(identity, IDENTITY_LENGTH)


def newest_reports(limit: int, identity: str | None = None, kind: str | None = None) -> QuerySet[Report]:
    """Of one device by their time, newest first; of all devices in the order they were stored, newest first.

    Across devices no index knows the time, and sorting them all would read the whole table for a few rows.
    """
    found = Report.objects.select_related("device")
    if kind is not None:
        found = found.filter(kind=kind)
    if identity is None:
        return found.order_by("-id")[:limit]
    # By id, so that the database sees at once which stretch of the index is meant.
    ids = list(Device.objects.filter(identity=identity).values_list("id", flat=True))
    return found.filter(device_id__in=ids).order_by("-time", "-id")[:limit]


def newest_quarantine(limit: int) -> QuerySet[Quarantine]:
    """Messages in quarantine in the order they were stored, newest first."""
    return Quarantine.objects.select_related("device").order_by("-id")[:limit]


def report_digests(device_ids: Sequence[int], kinds: Sequence[str]) -> Iterator[ReportDigest]:
    """Every stored report of some devices and kinds, a few thousand at a time in memory."""
    rows = Report.objects.filter(device_id__in=device_ids, kind__in=kinds).values_list("device_id", "kind", "digest")
    for device_id, kind, digest in rows.iterator(chunk_size=5_000):
        yield ReportDigest(device_id, kind, bytes(digest))


def newest_media(limit: int, identity: str | None = None, state: str | None = None) -> QuerySet[Media]:
    """Files of devices in the order in which they began to come, newest first."""
    found = Media.objects.select_related("device")
    if identity is not None:
        found = found.filter(device__identity=identity)
    if state is not None:
        found = found.filter(state=state)
    return found.order_by("-received_at", "-id")[:limit]


def newest_deliveries(limit: int, identity: str | None = None, state: str | None = None) -> QuerySet[Delivery]:
    """Files that were offered to devices, newest first."""
    found = Delivery.objects.select_related("device", "file")
    if identity is not None:
        found = found.filter(device__identity=identity)
    if state is not None:
        found = found.filter(state=state)
    return found.order_by("-id")[:limit]


def newest_events(
    limit: int,
    identity: str,
    kinds: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Event]:
    """What happened to the devices of a name, newest first: of some kinds, from a time on, and before a time."""
    ids = list(Device.objects.filter(identity=identity).values_list("id", flat=True))
    found = Event.objects.select_related("device").filter(device_id__in=ids)
    if kinds is not None:
        found = found.filter(kind__in=kinds)
    if since is not None:
        found = found.filter(time__gte=since)
    if until is not None:
        found = found.filter(time__lt=until)
    return found.order_by("-time", "-id")[:limit]


def alarms(limit: int) -> QuerySet[Alarm]:
    """Alarms with their devices: open ones first, then acknowledged and closed ones, the newest of each first."""
    places = [When(state=state, then=place) for place, state in enumerate(AlarmState)]
    return Alarm.objects.select_related("device").order_by(Case(*places, default=len(places)), "-last_at", "id")[:limit]
