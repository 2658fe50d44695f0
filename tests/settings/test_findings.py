"""What checks have in common: a verdict each, and none fails those after it."""

from __future__ import annotations

import pytest

from settings.findings import Finding, State, Verdict, after, clocks, fault, finding, ok, warning


def broken(_: None) -> Verdict:
    raise ValueError("first line\nsecond line")


@pytest.mark.parametrize(
    ("first", "states"),
    [
        (ok("there"), [State.OK, State.FAULT, State.OK]),
        (warning("slow", "wait"), [State.OK, State.FAULT, State.OK]),
        (fault("away", "start it"), [State.SKIPPED] * 3),
    ],
)
def test_what_needs_something_that_is_away_is_skipped_and_a_check_that_fails_has_found_that(
    first: Verdict, states: list[State]
) -> None:
    checks = {"one": lambda _: ok("1"), "two": broken, "three": lambda _: ok("3")}
    found = list(after(Finding("server", *first), checks, None))
    assert [(each.check, each.state) for each in found] == list(zip(checks, states, strict=True))
    if State.FAULT in states:
        assert found[1].found == "first line"
    else:
        assert {each.found for each in found} == {"waits for server"}


def test_what_waits_for_something_that_was_skipped_is_skipped() -> None:
    skipped = Finding("tables", State.SKIPPED, "waits for database")
    assert [each.state for each in after(skipped, {"rows": lambda _: ok("taken")}, None)] == [State.SKIPPED]


@pytest.mark.parametrize(
    ("there", "found"),
    [(99.1, "less"), (105.9, "less"), (98.5, "1.5 s behind"), (107.0, "2.0 s ahead of")],
)
def test_clocks_may_be_a_second_apart_beside_what_the_question_took(there: float, found: str) -> None:
    verdict = clocks(100.0, there, 105.0)
    assert verdict.found.startswith(found)
    assert (verdict.state is State.OK) == (found == "less")
    assert bool(verdict.do) == (found != "less")


def test_a_finding_has_the_name_of_its_check() -> None:
    assert finding("name", ok, "found") == Finding("name", State.OK, "found")
