"""The tree of groups: what it is, and how operators change it.

North ─┬─ Plant ── Line 1        a group is named by the way to it, "North/Plant/Line 1";
       └─ Cold                   its path is of numbers, so that a new name changes one row and a move one stretch of them

Changes of the tree wait for each other, each in one transaction with its entry in the audit. Devices are moved by
:mod:`store.devices`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Count, Q, Value
from django.db.models.functions import Concat, Substr

from store import audit
from store.audit import Actor, Change
from store.json_text import plain_text
from store.members import rules_changed
from store.models import GROUP_DEPTH, GROUP_LENGTH, STEP, Device, Group

SEPARATOR = "/"


class GroupError(Exception):
    """It cannot be done with this group, and why."""


class Branch(NamedTuple):
    """A group in its tree."""

    group: Group
    title: str
    own: int
    """Devices in it."""
    all: int
    """And in those below it."""


def checked_names(title: str) -> list[str]:
    """The names on the way to a group.

    Raises: GroupError.
    """
    names = [name.strip() for name in title.split(SEPARATOR)]
    for name in names:
        if not name or len(name) > GROUP_LENGTH or plain_text(name) != name or not name.isprintable():
            raise GroupError(
                f"{title!r} names no group: give names of 1 to {GROUP_LENGTH} characters with {SEPARATOR} between them"
            )
    if len(names) > GROUP_DEPTH:
        raise GroupError(f"{title!r} is {len(names)} groups deep: {GROUP_DEPTH} is the most")
    return names


def find(title: str) -> Group:
    """The group that is named by the way to it.

    Raises: GroupError if there is none.
    """
    group = None
    for name in checked_names(title):
        group = Group.objects.filter(parent=group, name=name).first()
        if group is None:
            raise GroupError(f"there is no group {title}: list them with groups")
    assert group is not None, "there is at least one name"
    return group


def titles(groups: Iterable[Group]) -> dict[int, str]:
    """How groups are named, by their ids: one question, however many there are."""
    ways = {group.pk: _way(group) for group in groups}
    names = dict(Group.objects.filter(id__in={id for way in ways.values() for id in way}).values_list("id", "name"))
    return {id: SEPARATOR.join(names.get(step, "?") for step in way) for id, way in ways.items()}


def all_titles() -> dict[str, Group]:
    groups = list(Group.objects.all())
    named = titles(groups)
    return {named[group.pk]: group for group in groups}


def below(groups: Iterable[Group]) -> Q:
    """Which groups are these and those below them: a stretch of the index for each."""
    found = Q(pk__in=[])
    for group in groups:
        found |= Q(path__gte=group.path, path__lt=str(int(group.path) + 1).zfill(len(group.path)))
    return found


def tree() -> list[Branch]:
    """All groups with what is in them, each behind the one it is in and siblings by their names."""
    own = dict(Device.objects.filter(group__isnull=False).order_by().values_list("group").annotate(Count("id")))
    named = all_titles()
    all: Counter[int] = Counter()
    for group in named.values():
        for above in _way(group):
            all[above] += own.get(group.pk, 0)
    ordered = sorted(named.items(), key=lambda item: item[0].split(SEPARATOR))
    return [Branch(group, title, own.get(group.pk, 0), all[group.pk]) for title, group in ordered]


def add(title: str, actor: Actor) -> Group:
    """A new group, in one that is there or at the top.

    Raises: GroupError.
    """
    names = checked_names(title)
    with _changing():
        parent = find(SEPARATOR.join(names[:-1])) if names[1:] else None
        return _add(names[-1], parent, actor)


def ensure(titles: Collection[str], actor: Actor, note: str = "") -> None:
    """Have these groups, and those on the way to them.

    Raises: GroupError, and then none is made.
    """
    with _changing():
        there = all_titles()
        for title in titles:
            parent = None
            names = checked_names(title)
            for depth, name in enumerate(names, 1):
                way = SEPARATOR.join(names[:depth])
                parent = there[way] = there.get(way) or _add(name, parent, actor, note)


def rename(title: str, name: str, actor: Actor) -> Group:
    """Give a group another name, in its place.

    Raises: GroupError.
    """
    with _changing():
        group = find(title)
        names = checked_names(name)
        if len(names) > 1:
            raise GroupError(f"{name!r} is a way and no name: put it elsewhere with groups move")
        if names[0] != group.name:
            _refuse_sibling(group.parent, names[0])
            group.name = names[0]
            group.save(update_fields=["name"])
            _record("group.rename", group, {"title": title}, {"title": _title(group)}, actor)
    return group


def move(title: str, into: str, actor: Actor) -> Group:
    """Put a group, with all that is below it, into another; into none, to the top.

    Raises: GroupError, also for a group that would be in itself, or deeper than groups may be.
    """
    with _changing():
        group, parent = find(title), find(into) if into else None
        if parent is not None and parent.path.startswith(group.path):
            raise GroupError(f"{title} cannot be put into itself")
        if group.parent_id == (parent and parent.pk):
            return group
        _refuse_sibling(parent, group.name)
        old, under = group.path, Group.objects.filter(below([group]))
        path = _path(parent, group.pk)
        deepest = max(len(found) for found in under.values_list("path", flat=True))
        _refuse_depth((deepest - len(old) + len(path)) // STEP)
        under.update(path=Concat(Value(path), Substr("path", len(old) + 1)))
        group.parent, group.path = parent, path
        group.save(update_fields=["parent"])
        rules_changed()
        _record("group.move", group, {"title": title}, {"title": _title(group)}, actor)
    return group


def remove(title: str, actor: Actor) -> None:
    """Remove an empty group. Of one that is not, nothing goes elsewhere by itself: whoever may see a group would see it there.

    Raises: GroupError.
    """
    with _changing():
        # Whoever puts a device into it holds its row.
        group = Group.objects.select_for_update(of=("self",)).get(pk=find(title).pk)
        groups, devices = group.children.count(), group.devices.count()
        if groups or devices:
            raise GroupError(f"{title} has {groups} groups and {devices} devices in it: move them first")
        if names := sorted(group.rules.values_list("name", flat=True)):
            raise GroupError(f"{title} is what rules are for ({', '.join(names)}): change or delete them first")
        _record("group.remove", group, {"title": title}, {}, actor)
        group.delete()


@contextmanager
def _changing() -> Iterator[None]:
    """A transaction in which nobody else changes the tree. On SQLite every transaction is alone."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE store_group IN SHARE ROW EXCLUSIVE MODE")
        yield


def _add(name: str, parent: Group | None, actor: Actor, note: str = "") -> Group:
    _refuse_sibling(parent, name)
    _refuse_depth(parent.depth + 1 if parent else 1)
    group = Group.objects.create(parent=parent, name=name)
    group.path = _path(parent, group.pk)
    group.save(update_fields=["path"])
    _record("group.add", group, {}, {"title": _title(group)}, actor, note)
    return group


def _refuse_sibling(parent: Group | None, name: str) -> None:
    if Group.objects.filter(parent=parent, name=name).exists():
        raise GroupError(f"there is a group {_title(parent) + SEPARATOR if parent else ''}{name} already")


def _refuse_depth(depth: int) -> None:
    if depth > GROUP_DEPTH:
        raise GroupError(f"groups would be {depth} deep: {GROUP_DEPTH} is the most")


def _path(parent: Group | None, id: int) -> str:
    return (parent.path if parent else "") + str(id).zfill(STEP)


def _way(group: Group) -> list[int]:
    return [int(group.path[at : at + STEP]) for at in range(0, len(group.path), STEP)]


def _title(group: Group) -> str:
    return titles([group])[group.pk]


def _record(action: str, group: Group, before: dict[str, str], after: dict[str, str], actor: Actor, note: str = "") -> None:
    audit.record(actor, [Change(action, group.pk, (after or before)["title"], before, after)], note)
