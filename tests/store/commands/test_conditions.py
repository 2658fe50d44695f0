"""Conditions as people write them, and as devices' reports have them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from store.bulk import write
from store.commands.conditions import MOST_REPORTS, Condition, ConditionError, Term, read_condition
from store.models import Report
from tests.records import NOON, anybody, incoming, report
from tests.store.commands.made import device, seconds

HALF_MINUTE = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("text", "terms", "age"),
    [
        ("speed_kmh <= 0 within 30 s", [("speed_kmh", "<=", 0.0)], HALF_MINUTE),
        ("  speed_kmh<=-1.5e1   within 0.5 min", [("speed_kmh", "<=", -15.0)], HALF_MINUTE),
        (
            'ignition == false and gear == "P and R" and mode != eco within 2 h',
            [("ignition", "==", False), ("gear", "==", "P and R"), ("mode", "!=", "eco")],
            timedelta(hours=2),
        ),
    ],
)
def test_conditions_are_read(text: str, terms: list[tuple[str, str, Any]], age: timedelta) -> None:
    assert read_condition(text) == Condition(tuple(Term(*term) for term in terms), age)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no comparison"),
        ("speed_kmh", "'speed_kmh' is no comparison"),
        ("speed_kmh <= 0", "how old"),
        ("speed_kmh <= 0 within 30", "how old"),
        ("speed_kmh <= 0 within 0 s", "older than 0 s"),
        ("speed_kmh <= 0 within 25 h", "a day at the most"),
        ("speed_kmh <= 0 or x > 1 within 30 s", "how old"),
        ("speed_kmh <= 0 and within 30 s", "'within 30 s' is no comparison"),
        ("speed_kmh <= slow within 30 s", "give a number"),
        ("speed_kmh <= nan within 30 s", "give a number"),
        ("speed_kmh < true within 30 s", "give a number"),
        ('x == "\0" within 30 s', "plain characters"),
        ("x == 1 and " * 50 + "x == 1 within 1 s", "255"),
    ],
)
def test_what_is_no_condition_is_told_why(text: str, told: str) -> None:
    with pytest.raises(ConditionError, match=told):
        read_condition(text)


def tell(at: timedelta = timedelta(), **fields: Any) -> None:
    place = {"latitude": 1.0, "longitude": 2.0} if "speed_kmh" in fields else {}
    one = report(f"{at} {fields}".encode(), NOON + at, **place, **fields)
    write([incoming(one, identity="1", received_at=NOON)], is_open=anybody)


def fault(text: str) -> str:
    return read_condition(text).fault(device().id, NOON)


@pytest.mark.usefixtures("database_url")
def test_each_value_is_as_old_as_the_report_that_told_it() -> None:
    tell(-seconds(40), values={"door": "shut"}, speed_kmh=0.0)
    tell(-seconds(5), values={"ignition": False})
    assert fault("speed_kmh <= 0 and ignition == false within 40 s") == ""
    assert fault("ignition == false within 30 s") == ""
    assert fault("speed_kmh <= 0 within 30 s") == "speed_kmh was not told of late"
    assert fault("ignition == false and door == shut within 30 s") == "door was not told of late"
    assert fault("door != shut within 40 s") == 'door is "shut"'


@pytest.mark.usefixtures("database_url")
def test_the_newest_word_on_a_value_counts() -> None:
    tell(-seconds(5), speed_kmh=0.0)
    tell(-seconds(3), speed_kmh=30.0)
    tell(-seconds(1), values={"fix": False}, speed_kmh=0.0)
    assert fault("speed_kmh <= 0 within 30 s") == "speed_kmh is 30.0", "without a fix a speed is none"
    tell(seconds(31), speed_kmh=0.0)
    assert fault("speed_kmh <= 0 within 30 s") == "speed_kmh is 30.0", "a clock so far ahead is not believed"
    tell(seconds(20), speed_kmh=0.0)
    assert fault("speed_kmh <= 0 within 30 s") == ""


@pytest.mark.usefixtures("database_url")
def test_words_numbers_and_truths_are_three_things() -> None:
    tell(values={"a": 1, "b": True, "c": "1", "d": [1]})
    assert fault('a == 1 and b == true and c == "1" and a >= 1 and a > 0 and a < 2 within 1 s') == ""
    for text in ("a == true", "b == 1", "c == 1", 'a == "1"', "d == 1", "d != 1", "b > 0", "e != 1"):
        assert fault(f"{text} within 1 s"), text


@pytest.mark.usefixtures("database_url")
def test_it_looks_through_so_many_reports() -> None:
    tell(-seconds(9), values={"door": "shut"})
    blank = [
        Report(device=device(), time=NOON - seconds(1), received_at=NOON, kind="x", sequence=0, digest=n.to_bytes(16, "big"))
        for n in range(MOST_REPORTS)
    ]
    Report.objects.bulk_create(blank[1:])
    assert fault("door == shut within 10 s") == ""
    Report.objects.bulk_create(blank[:1])
    assert fault("door == shut within 10 s") == "door was not told of late"
