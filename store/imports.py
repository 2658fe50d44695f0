"""Devices from a CSV file and into one.

file ─▶ read ─▶ lines and bad lines ─▶ without groups ─▶ load: a thousand lines, one transaction ─▶ rows, audit

A column that is not there leaves what is there as it is. An empty cell empties name, group and tags; an empty credential or
enabled leaves it. So what is exported can be changed and imported, and what is imported twice changes nothing.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TextIO

from django.db import transaction

from protocols.credential import fits
from store import audit, fleet, groups, tags
from store.audit import Actor, Change
from store.csv_text import guarded, unguarded
from store.devices import picture, sealed
from store.fleet import Order, Wanted
from store.groups import SEPARATOR, GroupError, checked_names
from store.json_text import plain_text
from store.members import members_changed
from store.models import CREDENTIAL_LENGTH, DEVICE_NAME_LENGTH, IDENTITY_LENGTH, PROTOCOL_LENGTH, Device, Group, State
from store.rows import DeviceKey, is_name

COLUMNS = ("protocol", "identity", "name", "group", "tags", "credential", "enabled")
EXPORTED = tuple(column for column in COLUMNS if column != "credential")
_ENABLED = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}

MOST_LINES = 500_000
"""All of a file's lines are in memory at once, at about 1 KiB each."""
LINES_A_TIME = 1_000


class Writable(Protocol):
    """Where text goes."""

    def write(self, text: str, /) -> object: ...


class ImportFileError(Exception):
    """The file as a whole is none that can be imported."""


class BadLineError(ValueError):
    """What is wrong with a line."""


class BadLine(NamedTuple):
    number: int
    reason: str


class Line(NamedTuple):
    """A device as a line has it: the columns that are there, as they are meant."""

    number: int
    device: DeviceKey
    name: str | None
    group: str | None
    tags: list[str] | None
    credential: str
    is_enabled: bool | None


class Loaded(NamedTuple):
    """How many lines made a device, changed one, or found it as it should be."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0


def read(file: TextIO) -> tuple[list[Line], list[BadLine]]:
    """The lines of a file.

    Raises: ImportFileError if it has other columns, no text or too many lines.
    """
    rows = csv.reader(file)
    lines: list[Line] = []
    bad: list[BadLine] = []
    numbers: dict[DeviceKey, int] = {}
    try:
        columns = _columns(next(rows, []))
        for cells in rows:
            if len(lines) + len(bad) == MOST_LINES:
                raise ImportFileError(f"it has more than {MOST_LINES} lines: cut it into several")
            if not cells:
                continue
            try:
                line = _line(rows.line_num, columns, cells)
                if (first := numbers.setdefault(line.device, line.number)) != line.number:
                    raise BadLineError(f"the same device as line {first}")
                lines.append(line)
            except (ValueError, GroupError) as error:
                bad.append(BadLine(rows.line_num, str(error)))
    except UnicodeDecodeError as error:
        raise ImportFileError("it is no text in UTF-8") from error
    except csv.Error as error:
        raise ImportFileError(f"line {rows.line_num} is no CSV: {error}") from error
    return lines, bad


def _columns(header: Sequence[str]) -> list[str]:
    columns = [column.strip().lower() for column in header]
    if unknown := [column for column in columns if column not in COLUMNS]:
        raise ImportFileError(f"there is no column {unknown[0]!r}: the first line names some of {', '.join(COLUMNS)}")
    if not {"protocol", "identity"} <= set(columns) or len(set(columns)) < len(columns):
        raise ImportFileError("its first line has to name protocol and identity, and each column once")
    return columns


def _line(number: int, columns: Sequence[str], cells: Sequence[str]) -> Line:
    """Raises: BadLineError, TagError (both ValueErrors) or GroupError. No reason repeats a credential."""
    if len(cells) != len(columns):
        raise BadLineError(f"it has {len(cells)} cells for {len(columns)} columns")
    told = dict(zip(columns, cells, strict=True))
    texts = {column: unguarded(cell.strip()) for column, cell in told.items() if column != "credential"}
    device = DeviceKey(texts["protocol"], texts["identity"])
    for column, text, longest in (("protocol", device.protocol, PROTOCOL_LENGTH), ("identity", device.identity, IDENTITY_LENGTH)):
        if not is_name(text, longest):
            raise BadLineError(f"{column} has to have 1 to {longest} characters")
    name = texts.get("name")
    if name and not is_name(name, DEVICE_NAME_LENGTH):
        raise BadLineError(f"name has more than {DEVICE_NAME_LENGTH} characters, or some that are none")
    group = texts.get("group")
    words = texts.get("tags")
    credential = told.get("credential", "").strip()
    if len(credential) > CREDENTIAL_LENGTH or plain_text(credential) != credential:
        raise BadLineError(f"credential has more than {CREDENTIAL_LENGTH} characters, or some that are none")
    enabled = texts.get("enabled", "").lower()
    if enabled and enabled not in _ENABLED:
        raise BadLineError("enabled is neither yes nor no")
    return Line(
        number,
        device,
        name,
        SEPARATOR.join(checked_names(group)) if group else group,
        None if words is None else tags.checked(words.split()),
        credential,
        _ENABLED.get(enabled),
    )


def missing_groups(lines: Iterable[Line]) -> set[str]:
    """Groups that lines name and that are not there."""
    return {line.group for line in lines if line.group} - groups.all_titles().keys()


def load(
    lines: Sequence[Line], actor: Actor, note: str = "", *, is_dry: bool = False, advance: Callable[[int], object] = lambda _: None
) -> Loaded:
    """Have devices as lines say, each change with its entry in the audit; or, dry, only say what would be changed.

    Lines are committed by the thousand: of a run that is cut off a part stays, and the same file again brings the rest.
    ``advance`` is told of each part.
    Raises: GroupError if a group is not there.
    """
    total = Loaded()
    for at in range(0, len(lines), LINES_A_TIME):
        part = lines[at : at + LINES_A_TIME]
        with transaction.atomic():
            loaded = _load(part, actor, note, is_dry)
        total = Loaded(*map(sum, zip(total, loaded, strict=True)))
        advance(len(part))
    return total


class _Wish(NamedTuple):
    """A device as it is to be, and what the audit tells of it before and after."""

    device: Device
    before: dict[str, Any]
    after: dict[str, Any]


def _load(lines: Sequence[Line], actor: Actor, note: str, is_dry: bool) -> Loaded:
    there = _there([line.device for line in lines])
    titles = groups.titles(device.group for device in there.values() if device.group)
    marked = tags.of(there.values())
    wishes: list[_Wish] = []
    for line in lines:
        found = there.get(line.device)
        before = {} if found is None else _told(found, titles.get(found.group_id or 0, ""), marked[found.pk])
        wish = _wish(line, found, before)
        if wish.before != wish.after or (found and wish.device.credential != found.credential):
            wishes.append(wish)
    new = sum(not wish.before for wish in wishes)
    if wishes and not is_dry:
        _write(wishes, actor, note)
    return Loaded(new, len(wishes) - new, len(lines) - len(wishes))


def _there(keys: Sequence[DeviceKey]) -> dict[DeviceKey, Device]:
    """Those of the devices that there are, which nobody else changes until the transaction ends."""
    identities: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        identities[key.protocol].append(key.identity)
    found: dict[DeviceKey, Device] = {}
    for protocol in sorted(identities):
        rows = Device.objects.filter(protocol=protocol, identity__in=identities[protocol]).select_related("group")
        for device in rows.select_for_update(no_key=True, of=("self",)).order_by("id"):
            found[DeviceKey(device.protocol, device.identity)] = device
    return found


def _wish(line: Line, found: Device | None, before: dict[str, Any]) -> _Wish:
    protocol, identity = line.device
    device = Device(protocol=protocol, identity=identity)
    if found is not None:
        device.name, device.is_enabled, device.credential = found.name, found.is_enabled, found.credential
    if line.name is not None:
        device.name = line.name
    if line.is_enabled is not None:
        device.is_enabled = line.is_enabled
    if line.credential and not fits(line.credential, device.credential):
        device.credential = sealed(line.credential)
    group = before.get("group", "") if line.group is None else line.group
    words = before.get("tags", []) if line.tags is None else line.tags
    return _Wish(device, before, _told(device, group, words))


def _told(device: Device, group: str, words: list[str]) -> dict[str, Any]:
    return picture(device) | {"group": group, "tags": words}


def _write(wishes: Sequence[_Wish], actor: Actor, note: str) -> None:
    held = _held_groups({wish.after["group"] for wish in wishes if wish.after["group"]})
    for wish in wishes:
        wish.device.group = held[wish.after["group"]] if wish.after["group"] else None
    # New ones before any state is held, as workers add them: who waits for whom is never a ring. Those that somebody else
    # adds meanwhile are found then, like the others.
    devices = sorted((wish.device for wish in wishes), key=_key)
    Device.objects.bulk_create(devices, ignore_conflicts=True)
    there = _there([_key(device) for device in devices])
    # Their group is changed in their states too, whose locks workers take in this order.
    moved = [device.pk for wish in wishes if (device := there.get(_key(wish.device))) and device.group_id != wish.device.group_id]
    list(State.objects.select_for_update().filter(device_id__in=moved).order_by("device_id").values_list("device_id"))
    written = Device.objects.bulk_create(
        devices,
        update_conflicts=True,
        unique_fields=["protocol", "identity"],
        update_fields=["name", "group", "is_enabled", "credential"],
    )
    ids = {_key(device): device.pk for device in written}
    tags.replace({ids[_key(wish.device)]: (wish.before.get("tags", ()), wish.after["tags"]) for wish in wishes})
    if moved:
        members_changed()
    audit.record(actor, (_change(wish, ids[_key(wish.device)]) for wish in wishes), note)


def _held_groups(titles: set[str]) -> dict[str, Group]:
    """Groups that are not removed before the transaction ends.

    Raises: GroupError if one is not there.
    """
    named = groups.all_titles()
    if missing := titles - named.keys():
        raise GroupError(f"there is no group {min(missing)}: list them with groups")
    ids = [named[title].pk for title in titles]
    held = set(
        Group.objects.select_for_update(no_key=True, of=("self",)).filter(id__in=ids).order_by("id").values_list("id", flat=True)
    )
    if gone := [title for title in titles if named[title].pk not in held]:
        raise GroupError(f"group {min(gone)} has just been removed")
    return named


def _change(wish: _Wish, id: int) -> Change:
    if not wish.before:
        return Change("device.add", id, str(wish.device), {}, wish.after)
    before, after = audit.differences(wish.before, wish.after)
    if not after:
        before = after = {"credential": wish.after["credential"]}
    return Change("device.change", id, str(wish.device), before, after)


def _key(device: Device) -> DeviceKey:
    return DeviceKey(device.protocol, device.identity)


def export(wanted: Wanted, file: Writable) -> Iterator[int]:
    """Write devices as they are imported, by name, without credentials; after each page how many there were in it."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(EXPORTED)
    for page in fleet.pages(wanted, Order.NAME):
        found = [device for device, _ in page.rows]
        titles, marked = groups.titles(device.group for device in found if device.group), tags.of(found)
        for device in found:
            words = " ".join(marked[device.pk])
            cells = (device.protocol, device.identity, device.name, titles.get(device.group_id or 0, ""), words)
            out.writerow([*map(guarded, cells), "yes" if device.is_enabled else "no"])
        yield len(found)
