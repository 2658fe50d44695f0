"""What a report can concern is found without asking each rule, and nothing is missed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.rows import PreparedReport, prepare
from store.rules import plans
from store.rules.plans import RuleSet, seen
from store.rules.reading import declared
from store.rules.truth import CompiledRule, Seen, compiled
from tests.records import incoming, report

CHANNELS = ("a", "b", "speed_kmh")
numbers = st.integers(-2, 2) | st.sampled_from([0.5, -0.5, 1e9])
values = numbers | st.booleans() | st.sampled_from(["x", "y"]) | st.none() | st.just([1])
spots = st.tuples(st.sampled_from([0.0, 0.009, 0.011, 1.0]), st.sampled_from([0.0, 0.009, 0.011, 1.0]))


def threshold(channel: str, op: str, value: Any) -> dict[str, Any]:
    return {"channel": channel, "op": op, "value": value}


conditions: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.builds(threshold, st.sampled_from(CHANNELS), st.sampled_from([">", ">=", "<", "<="]), numbers),
        st.builds(threshold, st.sampled_from(CHANNELS), st.sampled_from(["==", "!="]), numbers | st.booleans() | st.just("x")),
        st.builds(threshold, st.sampled_from(CHANNELS), st.sampled_from(["between", "outside"]), st.just([-1, 1])),
        st.builds(
            lambda way, m: {"fence": way, "circle": {"center": [0, 0], "radius_m": m}},
            st.sampled_from(["inside", "outside"]),
            st.sampled_from([10, 1_200, 200_000]),
        ),
    ),
    lambda parts: st.one_of(
        st.builds(lambda found: {"all": found}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda found: {"any": found}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda found: {"not": found}, parts),
    ),
    max_leaves=5,
)


def rule(number: int, when: Any) -> CompiledRule:
    return compiled(number, 1, f"rule:{number}", declared({"name": f"{number}", "when": when}))


def prepared(told: dict[str, Any], spot: tuple[float, float] | None = None, speed: float | None = None) -> PreparedReport:
    place = {} if spot is None else {"latitude": spot[0], "longitude": spot[1]}
    sent = report(values=told, speed_kmh=speed, **place)
    (found,) = prepare(incoming(sent)).reports
    return found


reports = st.builds(
    prepared,
    st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3),
    st.none() | spots,
    st.none() | st.sampled_from([0.0, 1.0, 2.5]),
)


def plainly(condition: Any, told: Seen) -> bool | None:
    """What a condition means, part by part: True, False, or None for what is not told."""
    match condition:
        case {"all": parts}:
            found = [plainly(part, told) for part in parts]
            return False if False in found else None if None in found else True
        case {"any": parts}:
            found = [plainly(part, told) for part in parts]
            return True if True in found else None if None in found else False
        case {"not": part}:
            inner = plainly(part, told)
            return None if inner is None else not inner
        case {"fence": way, "circle": circle}:
            if told.place is None:
                return None
            # The spots are so that the corners of the earth's curve play no part.
            is_in = (told.place[0] ** 2 + told.place[1] ** 2) ** 0.5 * 111_195 <= circle["radius_m"]
            return is_in is (way == "inside")
    value, other = told.values.get(condition["channel"]), condition["value"]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(other, (bool, str)):
        if type(value) is not type(other):
            return None
    elif not is_number:
        return None
    return {
        ">": lambda: value > other, ">=": lambda: value >= other, "<": lambda: value < other, "<=": lambda: value <= other,
        "==": lambda: value == other, "!=": lambda: value != other,
        "between": lambda: other[0] <= value <= other[1], "outside": lambda: not other[0] <= value <= other[1],
    }[condition["op"]]()  # fmt: skip


@settings(deadline=None)
@given(conditions, reports)
def test_a_rule_means_what_its_parts_mean(when: Any, sent: PreparedReport) -> None:
    assert rule(1, when).opens(seen(sent)) is plainly(when, seen(sent))


@settings(deadline=None, max_examples=300)
@given(st.lists(conditions, min_size=1, max_size=6), st.lists(reports, min_size=1, max_size=6))
def test_no_rule_that_begins_to_hold_is_missed(whens: list[Any], sent: list[PreparedReport]) -> None:
    """Whatever was told before: a rule that holds now and did not is among those that are found."""
    rules = RuleSet(rule(number, when) for number, when in enumerate(whens))
    earlier = Seen({}, None)
    for each in sent:
        told = seen(each)
        now = told.behind(earlier)
        found = {one.id for one in rules.concerned(each)}
        begun = {
            one.id
            for one in rules.rules.values()
            if one.is_told_of(told) and (one.opens(told) or (one.opens(now) and one.opens(earlier) is not True))
        }
        assert begun <= found
        earlier = now


def test_what_is_far_from_all_borders_concerns_no_rule() -> None:
    rules = RuleSet(
        [
            *(rule(number, threshold("a", ">", 100 + number)) for number in range(100)),
            *(rule(200 + n, {"all": [threshold("on", "==", True), threshold("a", "<", -n - 1)]}) for n in range(50)),
            *(rule(400 + n, {"fence": "inside", "circle": {"center": [n % 10, n // 10], "radius_m": 5_000}}) for n in range(50)),
        ]
    )
    assert rules.concerned(prepared({"a": 50, "on": True}, (0.5, 0.5))) == ()
    assert {found.id for found in rules.concerned(prepared({"a": 102, "on": True}, (0.01, 0.01)))} == {0, 1, 400}
    assert {found.id for found in rules.concerned(prepared({"on": True}))} == set(range(200, 250)), "by what was told before"


def test_a_rule_that_holds_by_what_was_told_before_and_now_is_found() -> None:
    either = {"any": [threshold("a", ">", 0), threshold("b", ">", 0)]}
    rules = RuleSet([rule(1, {"all": [either, threshold("c", ">", 0)]})])
    assert [found.id for found in rules.concerned(prepared({"b": 0, "c": 1}))] == [1], "a may have been told before"


def test_yes_is_no_number_that_lies_far_from_all_thresholds() -> None:
    rules = RuleSet([rule(1, threshold("a", ">", 5)), rule(2, threshold("a", "==", True))])
    found = [[one.id for one in rules.concerned(prepared({"a": value}))] for value in (1, True, 1, 6, False)]
    assert found == [[], [2], [], [1], []]


def test_names_and_places_that_devices_make_up_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_PLANS", 4)
    monkeypatch.setattr(plans, "MOST_NAMES", 10)
    monkeypatch.setattr(plans, "MOST_CELLS", 10)
    channels = [f"c{number}" for number in range(10)]
    rules = RuleSet(
        [rule(99, {"fence": "inside", "circle": {"center": [0, 0], "radius_m": 5_000}})]
        + [rule(number, threshold(channel, ">", 0)) for number, channel in enumerate(channels)]
    )
    for number in range(300):
        told = {f"x{number}": 1, **{channel: 1 for bit, channel in enumerate(channels) if number >> bit & 1}}
        found = {one.id for one in rules.concerned(prepared(told, (number / 10, 0.0)))}
        assert found == {bit for bit in range(10) if number >> bit & 1} | ({99} if number == 0 else set())
    assert len(rules._plans) <= 4
    assert len(rules._by_names) <= 10
    assert all(plan.places is None or len(plan.places._cells) <= 10 for plan in rules._plans.values())
