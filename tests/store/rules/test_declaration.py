"""A rule as people write it is taken, or what is wrong with it is said with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from store.rules.errors import RuleError
from store.rules.reading import MOST_BYTES, declared, read_rules

HOT = {"channel": "t", "op": ">", "value": 8}
NESTED: Any = HOT
for _ in range(6):
    NESTED = {"all": [NESTED]}


def rule(**fields: Any) -> dict[str, Any]:
    return {"name": "hot", "when": HOT, **fields}


@pytest.mark.parametrize(
    "told",
    [
        rule(),
        rule(enabled=False, severity="notice", for_seconds=60, clear_for_seconds=5),
        rule(scope="all"),
        rule(scope={"group": "North/Plant"}),
        rule(scope={"devices": [{"protocol": "jt808", "identity": "1"}]}),
        rule(when=HOT | {"clear": 6}),
        rule(when={"channel": "t", "op": "outside", "value": [2, 8], "clear": [3, 7]}),
        rule(when={"channel": "t", "op": "between", "value": [2, 8], "clear": [1, 9]}),
        rule(when={"all": [HOT, {"not": {"fence": "inside", "circle": {"center": [31, 121], "radius_m": 50}}}]}),
        rule(when={"all": [{"no_data_minutes": 30}, {"fence": "outside", "polygon": [[0, 0], [0, 1], [1, 0]], "clear_m": 5}]}),
        rule(when={"fence": "outside", "corridor": {"line": [[0, 0], [0, 1]], "half_width_m": 100}}),
    ],
    ids=str,
)
def test_what_is_written_down_can_be_read_again_as_the_same(told: dict[str, Any]) -> None:
    found = declared(told)
    assert declared(json.loads(json.dumps(found.to_json()))) == found
    assert read_rules(json.dumps([told, told])) == [found, found]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([], "a rule is an object in braces"),
        ({"when": HOT}, "name: is missing"),
        (rule(name=" hot"), "name: give words without line breaks"),
        (rule(name="a" * 60), "name: String should have at most 59 characters"),
        (rule(colour=1), "colour: nothing is known by this name"),
        (rule(scope={"group": "A", "tag": "b"}), "scope: a scope has one of"),
        (rule(scope="some"), "scope: "),
        (rule(when={"all": [HOT, {"foo": 1}]}), r"when.all\[1\]: a condition has one of channel, fence"),
        (rule(when={"any": [{"not": {**HOT, "value": "x"}}]}), r"when.any\[0\].not: > needs a number as value"),
        (rule(when=HOT | {"op": "~"}), "when.op: Input should be '>'"),
        (rule(when=HOT | {"op": "between"}), "when: between needs two numbers"),
        (rule(when=HOT | {"op": "between", "value": [3, 1]}), r"when.value: give two numbers, \[low, high\]"),
        (rule(when=HOT | {"value": None}), "when: > needs a number"),
        (rule(when=HOT | {"clear": 9}), "when: clear has to be like value"),
        (rule(when=HOT | {"op": "==", "clear": 9}), "when: clear means nothing with =="),
        (rule(when={"not": HOT | {"clear": 6}}), "clear means nothing inside of not"),
        (rule(when={"all": []}), "when.all: List should have at least 1 item"),
        (rule(when={"fence": "inside"}), "when: a fence has one of circle, polygon, corridor"),
        (
            rule(when={"fence": "inside", "circle": {"center": [121, 31], "radius_m": 5}}),
            r"when.circle.center: \[121, 31\] is not on",
        ),
        (
            rule(when={"fence": "inside", "circle": {"center": [1, 31], "radius_m": -5}}),
            "when.circle.radius_m: Input should be greater",
        ),
        (
            rule(when={"fence": "inside", "polygon": [[0, 0], [1, 1], [0, 1], [1, 0]]}),
            "when: polygon crosses itself between edge 1",
        ),
        (rule(when={"fence": "inside", "polygon": [[0, 0]] * 300}), "when.polygon: List should have at most"),
        (rule(when={"any": [{"no_data_minutes": 5}]}), "no_data_minutes stands alone"),
        (rule(when={"no_data_minutes": 5}, for_seconds=5), "mean nothing with no_data_minutes"),
        (rule(when={"no_data_minutes": True}), "when.no_data_minutes: Input should be a valid integer"),
        (rule(when=NESTED), "when: nested deeper than 6 levels"),
        (rule(when={"all": [HOT] * 33}), "when has 33 conditions: 32 is the most"),
        (rule(when=1, for_seconds=-1), "when: a condition has one of .*; for_seconds: Input should be greater"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_its_place(told: Any, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        declared(told)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": ', "no JSON: Expecting value in line 1, column"),
        ('{"name": NaN}', "NaN is no number"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 400 + "1" + "}" * 400, "nested deeper than"),
        (" " * (MOST_BYTES + 1), "rules are short"),
        (json.dumps([rule(), {"name": "x"}]), r"\[1\].when: is missing"),
        ('{"name": "hot", "when": {"channel": "t", "op": ">", "value": 1e999}}', "when.value: give a number"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_none_is_refused_in_bounded_time(text: str, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        read_rules(text)


def test_the_rules_in_the_manual_can_be_added() -> None:
    text = (Path(__file__).parents[3] / "docs/rules.md").read_text("utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 6
    names = [found.name for block in blocks for found in read_rules(block)]
    assert len(set(names)) == len(blocks)
