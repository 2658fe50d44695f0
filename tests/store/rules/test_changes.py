"""What operators do with rules, by commands, and what is left of rules that have changed."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from store import devices, groups
from store.groups import GroupError
from store.models import Alarm, AuditEntry, Event, Report, Rule, RuleState
from store.rules import changes
from store.rules.errors import RuleError
from store.rules.rulebook import KnownRules
from tests.records import minutes
from tests.store.rules.written import ANA, HOT, NOON, Worker, add, events, phases, told

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.json"


def run(*words: Any) -> str:
    out = StringIO()
    call_command("rules", *map(str, words), stdout=out)
    return out.getvalue()


def listed() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(run("list", "--json"))}


def test_rules_are_added_listed_changed_and_written_out_as_they_were_read(file: Path) -> None:
    groups.add("North", ANA)
    rules = [
        {"name": "hot", "when": HOT, "severity": "critical", "scope": {"group": "North"}, "for_seconds": 60},
        {"name": "out", "when": {"fence": "outside", "circle": {"center": [31, 121], "radius_m": 500}}, "enabled": False},
    ]
    file.write_text(json.dumps(rules))
    assert run("add", file) == "added hot\nadded out\n"
    assert {name: (row["severity"], row["scope"], row["ongoing"]) for name, row in listed().items()} == {
        "hot": ("critical", {"group": "North"}, 0),
        "out": ("warning", "all", 0),
    }
    exported = json.loads(run("export"))
    assert exported == [{"enabled": True, **rules[0]}, {"severity": "warning", "scope": "all", **rules[1]}]
    assert json.loads(run("show", "hot")) == exported[0]
    file.write_text(json.dumps(rules[0] | {"for_seconds": 0}))
    assert run("change", file) == "changed hot\n"
    assert "for_seconds" not in json.loads(run("show", "hot"))
    changed = AuditEntry.objects.get(action="rule.change")
    assert (changed.subject, changed.before["for_seconds"]) == ("hot", 60)
    assert run("disable", "hot") == "disabled hot\n"
    assert run("enable", "out") == "enabled out\n"
    assert {name: row["enabled"] for name, row in listed().items()} == {"hot": False, "out": True}
    assert run("delete", "out") == "deleted out\n"
    assert list(listed()) == ["hot"]
    actions = ["rule.add", "rule.add", "rule.change", "rule.disable", "rule.enable", "rule.remove"]
    assert list(AuditEntry.objects.filter(action__startswith="rule.").order_by("id").values_list("action", flat=True)) == actions
    with pytest.raises(GroupError, match=r"is what rules are for \(hot\)"):
        groups.remove("North", ANA)


@pytest.mark.parametrize(
    ("words", "text", "fault"),
    [
        (["show", "cold"], "", "there is no rule cold"),
        (["delete", "cold"], "", "there is no rule cold"),
        (["add", "nowhere.json"], "", "nowhere.json: No such file"),
        (["add"], {"name": "hot", "when": HOT}, "there is a rule hot already"),
        (["change"], {"name": "cold", "when": HOT}, "there is no rule cold"),
        (["add"], {"name": "a", "when": HOT, "scope": {"group": "Nowhere"}}, "scope.group: there is no group Nowhere"),
        (
            ["add"],
            {"name": "a", "when": HOT, "scope": {"devices": [{"protocol": "fake", "identity": "9"}]}},
            r"scope.devices\[0\]: there is no device fake 9",
        ),
        (["add"], {"name": "a", "when": {"foo": 1}}, "rules.json: when: a condition has one of"),
        (["try", "cold"], "", "there is no rule cold and no such file"),
        (["try", "hot", "--from", "2026-03-02", "--to", "2026-03-01"], "", "--from is not before --to"),
        (["try", "hot", "--device", "fake", "9"], "", "there is no device fake 9"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], text: Any, fault: str, file: Path) -> None:
    add()
    file.write_text(json.dumps(text))
    with pytest.raises(CommandError, match=fault):
        run(*words, *([file] if text else []))
    assert [row.name for row in Rule.objects.all()] == ["hot"]


def test_of_a_file_with_a_bad_rule_none_is_added(file: Path) -> None:
    add()
    file.write_text(json.dumps([{"name": "cold", "when": HOT}, {"name": "hot", "when": HOT}]))
    with pytest.raises(CommandError, match="there is a rule hot already"):
        run("add", file)
    assert list(listed()) == ["hot"]


def test_a_rule_that_holds_for_too_many_now_is_not_taken_unless_it_is_meant(
    file: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.management.commands.rules.MOST_STANDINGS", 3)
    worker.store(*(told(0, f"{number}", temperature_c=9) for number in range(4)))
    file.write_text(json.dumps({"name": "hot", "when": HOT}))
    with pytest.raises(CommandError, match="hot holds for more than 3 devices by what they told last"):
        run("add", file)
    file.write_text(json.dumps({"name": "hot", "when": HOT, "enabled": False}))
    run("add", file)
    with pytest.raises(CommandError, match="hot holds for more than 3 devices"):
        run("enable", "hot")
    assert run("enable", "hot", "--even-so") == "enabled hot\n"


def test_what_a_disabled_rule_leaves_behind_ends_at_once_and_in_steps(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "STANDINGS_A_STEP", 2)
    add(for_seconds=60)
    worker.store(*(told(0, f"{number}", temperature_c=9) for number in range(5)))
    worker.store(*(told(2, f"{number}", temperature_c=9) for number in range(4)))
    assert listed()["hot"] | {"ongoing": 4, "pending": 1} == listed()["hot"]
    changes.set_enabled("hot", False, ANA)
    now = NOON + minutes(3)
    assert list(changes.tidy(KnownRules(), now)) == [2, 2, 1]
    assert list(changes.tidy(KnownRules(), now)) == []
    assert (phases(), events()) == ([], [("opened", 2), ("ended", 3)])
    assert not Alarm.objects.filter(is_ongoing=True).exists()
    assert Event.objects.count() == 8


def test_a_deleted_rule_goes_when_no_batch_can_be_at_it_any_more_and_may_be_added_again(worker: Worker) -> None:
    add()
    worker.store(told(0, temperature_c=9))
    late = Worker()
    late.known.refresh()
    run("delete", "hot")
    assert not Alarm.objects.filter(is_ongoing=True).exists()
    with pytest.raises(RuleError):
        changes.find("hot")
    add()
    worker.store(told(1, temperature_c=9))
    assert events()[0] == ("opened", 0)
    assert phases() == [("1", "hot", "active")]
    run("delete", "hot")
    list(changes.tidy(KnownRules(), timezone.now()))
    assert Rule.objects.count() == 1
    list(changes.tidy(KnownRules(), timezone.now() + timedelta(minutes=11)))
    assert (Rule.objects.count(), RuleState.objects.count()) == (0, 0)


def test_a_device_that_a_rule_is_not_for_any_more_is_left_though_it_is_silent(worker: Worker) -> None:
    devices.add("fake", "1", "", ANA)
    devices.tag("fake", "1", ["reefer"], [], ANA)
    add(scope={"tag": "reefer"})
    worker.store(told(0, temperature_c=9))
    assert list(changes.tidy(KnownRules(), NOON)) == []
    devices.tag("fake", "1", [], ["reefer"], ANA)
    assert list(changes.tidy(KnownRules(), NOON + minutes(9))) == [1]
    assert (phases(), events()) == ([], [("opened", 0), ("ended", 9)])


def tried(*words: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("try", *words, "--from", "2026-03-01T00:00", "--to", "2026-03-02", "--json"))
    return found


def openings(found: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(row["identity"], row["begun_at"][11:16], row["ended_at"] and row["ended_at"][11:16]) for row in found["listed"]]


def test_a_trial_finds_what_a_worker_would_have_and_stores_nothing(file: Path, worker: Worker) -> None:
    hot = {"name": "hot", "when": HOT | {"clear": 6}, "for_seconds": 60}
    course = [(0, 9), (1, 9), (2, 7), (3, 6), (4, 9), (5, 9), (6, 9)]
    batch = [told(at, identity, temperature_c=warmth) for at, warmth in course for identity in ("1", "2")]
    worker.store(*batch, told(0, "3", temperature_c=1))
    file.write_text(json.dumps(hot))
    found = tried(file)
    assert openings(found) == [(id, *span) for id in "12" for span in (("12:01", "12:03"), ("12:05", None))]
    assert (found["devices"], found["reports"], found["openings"], found["devices_with_openings"]) == (3, 15, 4, 2)
    assert not Rule.objects.exists()
    assert not Alarm.objects.exists()
    assert openings(tried(file, "--device", "fake", "2", "--limit", "1")) == [("2", "12:01", "12:03")]
    text = run("try", file, "--from", "2026-03-01T12:02", "--to", "2026-03-01T12:06")
    assert "hot would have opened 2 times on 2 of 3 devices, by 8 reports" in text
    Report.objects.all().delete()
    add("hot", HOT | {"clear": 6}, for_seconds=60)
    again = Worker()
    again.store(*(told(at + 60, identity, temperature_c=warmth) for at, warmth in course for identity in ("1", "2")))
    assert events() == [("opened", 61), ("ended", 63), ("resumed", 65)], "the same by a worker"


def test_a_trial_of_silence_goes_by_when_reports_came(file: Path, worker: Worker) -> None:
    worker.store(told(0, temperature_c=9), told(5, temperature_c=9), told(40, temperature_c=1), told(45, temperature_c=1))
    file.write_text(json.dumps({"name": "silent", "when": {"no_data_minutes": 30}}))
    assert openings(tried(file)) == [("1", "12:35", "12:40"), ("1", "13:15", None)]
    file.write_text(json.dumps({"name": "silent", "when": {"all": [{"no_data_minutes": 30}, HOT]}}))
    assert openings(tried(file)) == [("1", "12:35", "12:40")]
