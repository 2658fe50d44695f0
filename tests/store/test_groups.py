"""The tree of groups, and devices in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction

from store import audit, devices, groups, queries, triggers
from store.audit import Actor
from store.bulk import write
from store.groups import GroupError
from store.models import GROUP_DEPTH, Device, Group, State, Tag
from store.tags import TAGS_A_DEVICE
from tests.records import anybody, incoming, report
from tests.store.beside import Beside

pytestmark = pytest.mark.usefixtures("database_url")
ANA = Actor("ana")


def run(*words: str, capsys: pytest.CaptureFixture[str] | None = None) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue() + (capsys.readouterr().out if capsys else "")


def listed() -> dict[str, tuple[int, int]]:
    return {row["group"]: (row["own"], row["all"]) for row in json.loads(run("groups", "--json"))}


def add(*titles: str) -> None:
    for title in titles:
        groups.add(title, ANA)


def device(identity: str, group: str = "") -> Device:
    devices.add("fake", identity, "", ANA)
    return devices.move("fake", identity, group, ANA)


def below(*titles: str) -> set[str]:
    found = Group.objects.filter(groups.below([groups.find(title) for title in titles]))
    return set(groups.titles(found).values())


def whole() -> bool:
    """Whether each path is that of its parent and its own number."""
    return all(
        group.path == (group.parent.path if group.parent else "") + str(group.pk).zfill(9)
        for group in Group.objects.select_related("parent")
    )


def test_groups_are_a_tree_with_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no groups" in run("groups")
    for title in ("North", "North/Plant", "North/Plant/Line 1", "North/Cold", "South"):
        assert run("groups", "add", title) == f"added {title}\n"
    device("1", "North/Plant")
    device("2", "North/Plant/Line 1")
    device("3", "South")
    device("4")
    assert listed() == {"North": (0, 2), "North/Cold": (0, 0), "North/Plant": (1, 2), "North/Plant/Line 1": (1, 1), "South": (1, 1)}
    assert list(listed()) == ["North", "North/Cold", "North/Plant", "North/Plant/Line 1", "South"]
    table = run("groups", capsys=capsys)
    assert "Plant  1 + 1" in table
    assert "Line 1  1" in table


def test_what_is_below_a_group_is_what_begins_with_its_path() -> None:
    add("A", "A/B", "A/B/C", "A/D", "E", "E/B")
    assert below("A") == {"A", "A/B", "A/B/C", "A/D"}
    assert below("A/B", "E") == {"A/B", "A/B/C", "E", "E/B"}
    assert below() == set()
    # A number that ends in nines, and one that begins like another.
    Group.objects.filter(name="E").update(path="000000099")
    Group.objects.filter(name="D").update(path="000000100")
    assert {group.name for group in Group.objects.filter(groups.below([Group.objects.get(name="E")]))} == {"E"}


def test_a_group_moves_with_what_is_below_it_and_its_devices() -> None:
    add("A", "A/B", "A/B/C", "D")
    device("1", "A/B/C")
    run("groups", "move", "A/B", "D")
    assert list(listed()) == ["A", "D", "D/B", "D/B/C"]
    assert whole()
    assert listed()["D"] == (0, 1)
    run("groups", "move", "D/B", "")
    assert list(listed()) == ["A", "B", "B/C", "D"]
    assert whole()
    run("groups", "rename", "B", "Büro")
    assert list(listed()) == ["A", "Büro", "Büro/C", "D"]
    assert whole()
    changes = [(entry.action, entry.before, entry.after) for entry in reversed(audit.entries(what="group"))][4:]
    assert changes == [
        ("group.move", {"title": "A/B"}, {"title": "D/B"}),
        ("group.move", {"title": "D/B"}, {"title": "B"}),
        ("group.rename", {"title": "B"}, {"title": "Büro"}),
    ]


def test_an_empty_group_is_removed_and_its_name_is_free() -> None:
    add("A", "A/B")
    run("groups", "remove", "A/B")
    add("A/B")
    assert list(listed()) == ["A", "A/B"]
    assert [entry.subject for entry in audit.entries(what="group.remove")] == ["A/B"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["add", "A"], "A already"),
        (["add", "A/B"], "A/B already"),
        (["add", "X/Y"], "no group X"),
        (["add", ""], "names no group"),
        (["add", "A//B"], "names no group"),
        (["add", "A/\x1b[2J"], "names no group"),
        (["add", "n" * 65], "names no group"),
        (["add", "/".join("123456789")], f"{GROUP_DEPTH} is the most"),
        (["rename", "A", "D"], "D already"),
        (["rename", "A", "X/Y"], "groups move"),
        (["rename", "X", "Y"], "no group X"),
        (["move", "A", "A"], "itself"),
        (["move", "A", "A/B"], "itself"),
        (["move", "D/B", "A"], "A/B already"),
        (["move", "A", "X"], "no group X"),
        (["remove", "A"], "1 groups and 0 devices"),
        (["remove", "D/B"], "0 groups and 1 devices"),
        (["remove", "X"], "no group X"),
    ],
)
def test_what_groups_cannot_do_it_says_and_leaves_as_it_was(words: list[str], fault: str) -> None:
    add("A", "A/B", "D", "D/B")
    device("1", "D/B")
    entries = audit.entries().count()
    with pytest.raises(CommandError, match=fault):
        run("groups", *words)
    assert list(listed()) == ["A", "A/B", "D", "D/B"]
    assert audit.entries().count() == entries


def test_no_move_makes_groups_deeper_than_they_may_be() -> None:
    for top in "AB":
        add(*("/".join([top, *"2345678"[:count]]) for count in range(GROUP_DEPTH - 1)))
    with pytest.raises(GroupError, match="8 is the most"):
        groups.move("A/2", "B/2/3/4/5", ANA)
    groups.move("A/2/3/4/5/6/7", "B/2/3/4/5/6/7", ANA)
    assert whole()


def test_groups_are_made_on_the_way_and_all_or_none() -> None:
    add("A")
    groups.ensure(["A/B/C", "A/B/D", "A"], ANA)
    assert list(listed()) == ["A", "A/B", "A/B/C", "A/B/D"]
    assert whole()
    with pytest.raises(GroupError):
        groups.ensure(["E", "E//F"], ANA)
    assert len(listed()) == 4


def test_each_device_has_a_state_with_its_group_whoever_makes_or_moves_it() -> None:
    def in_both(identity: str) -> tuple[int | None, int | None]:
        found = Device.objects.get(identity=identity)
        return found.group_id, State.objects.get(device=found).group_id

    add("A", "B")
    a, b = groups.find("A").pk, groups.find("B").pk
    device("by hand", "A")
    write([incoming(report(), identity="by the writer")], is_open=anybody)
    queries.create_devices([("fake", "by admission")])
    Device.objects.bulk_create([Device(protocol="fake", identity="at once", group_id=b)])
    assert [in_both(identity) for identity in ("by hand", "by the writer", "by admission", "at once")] == [
        (a, a), (None, None), (None, None), (b, b),
    ]  # fmt: skip
    write([incoming(report(values={"x": 1}), identity=identity) for identity in ("by hand", "by the writer")], is_open=anybody)
    assert in_both("by hand") == (a, a)
    assert State.objects.get(device__identity="by hand").values == {"x": 1}
    devices.move("fake", "by the writer", "B", ANA)
    Device.objects.filter(identity__in=("by hand", "by admission")).update(group_id=b)
    devices.move("fake", "at once", "", ANA)
    assert [in_both(identity) for identity in ("by hand", "by the writer", "by admission", "at once")] == [
        (b, b), (b, b), (b, b), (None, None),
    ]  # fmt: skip
    assert [entry.after for entry in audit.entries(what="device.move")] == [{"group": ""}, {"group": "B"}, {"group": "A"}]


def test_a_migration_makes_up_for_what_happens_without_triggers() -> None:
    add("A")
    device("1", "A")
    device("2")
    triggers.drop()
    devices.add("fake", "3", "", ANA)
    devices.move("fake", "1", "", ANA)
    devices.move("fake", "2", "A", ANA)
    call_command("migrate", verbosity=0)
    states = State.objects.order_by("device__identity").values_list("device__identity", "group__name", "newest")
    assert list(states) == [("1", None, {}), ("2", "A", {}), ("3", None, {})]


def test_a_state_that_a_worker_makes_meanwhile_keeps_no_trigger_from_being_made() -> None:
    triggers.drop()
    other, made = Beside(triggers.make), device("7")
    with transaction.atomic():
        State.objects.create(device=made)
        other.start()
    assert other.fault() is None
    assert devices.add("fake", "8", "", ANA).state


def test_a_device_is_tagged(capsys: pytest.CaptureFixture[str]) -> None:
    device("7")
    assert run("devices", "tag", "fake", "7", "Cold", "leased", "冷链") == "fake 7 has cold, leased, 冷链\n"
    assert run("devices", "tag", "fake", "7", "--remove", "COLD", "--remove", "unknown") == "fake 7 has leased, 冷链\n"
    assert run("devices", "tag", "fake", "7", "leased") == "fake 7 has leased, 冷链\n"
    tagged = [(entry.before, entry.after) for entry in audit.entries(what="device.tag")]
    assert tagged == [
        ({"tags": ["cold", "leased", "冷链"]}, {"tags": ["leased", "冷链"]}),
        ({"tags": []}, {"tags": ["cold", "leased", "冷链"]}),
    ]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["move", "fake", "7", "X"], "no group X"),
        (["move", "fake", "8", ""], "no device"),
        (["tag", "fake", "8", "x"], "no device"),
        (["tag", "fake", "7", "two words"], "no tag"),
        (["tag", "fake", "7", ""], "no tag"),
        (["tag", "fake", "7", "a,b"], "no tag"),
        (["tag", "fake", "7", "\x00"], "no tag"),
        (["tag", "fake", "7", "w" * 33], "no tag"),
        (["tag", "fake", "7", *map(str, range(TAGS_A_DEVICE + 1))], "16 is the most"),
    ],
)
def test_where_a_device_cannot_go_is_said(words: list[str], fault: str) -> None:
    device("7")
    with pytest.raises(CommandError, match=fault):
        run("devices", *words)
    assert not Tag.objects.exists()
    assert Device.objects.get().group is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: groups.move("A", "B", ANA), lambda: groups.move("B", "A", ANA)),
        (lambda: devices.move("fake", "7", "A", ANA), lambda: groups.remove("A", ANA)),
        (lambda: groups.remove("A", ANA), lambda: devices.move("fake", "7", "A", ANA)),
        (lambda: groups.add("A/C", ANA), lambda: groups.add("A/C", ANA)),
    ],
    ids=["a ring", "a group that is filled while it is removed", "a group that is removed while it is filled", "twins"],
)
def test_of_two_changes_that_exclude_each_other_the_first_is_made(first: Callable[[], Any], second: Callable[[], Any]) -> None:
    add("A", "B")
    devices.add("fake", "7", "", ANA)
    other = Beside(second)
    with transaction.atomic():
        first()
        other.start()
    fault = other.fault()
    assert isinstance(fault, (GroupError, devices.DeviceError)), fault
    assert whole()
