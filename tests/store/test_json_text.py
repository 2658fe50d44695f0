"""JSON text: as json writes it, whoever writes it."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from store.json_text import NotJSONError, storable

_FLOATS = some.floats(allow_nan=False, allow_infinity=False) | some.floats(-1e-3, 1e-3) | some.floats(1e14, 1e24)
_TEXTS = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | _FLOATS | _TEXTS,
    lambda inner: some.lists(inner) | some.dictionaries(_TEXTS, inner),
)


@given(some.dictionaries(_TEXTS, _VALUES, min_size=1))
@example({"small": 0.00001})
@example({"smaller": 1.5e-7})
@example({"large": 1e16, "larger": 1.7976931348623157e308, "zero": -0.0, "whole": 2**70})
@example({"text": '"quoted" \\ \x7f \u2028 \x1f null 京A', "nothing": None, "pair": [1, [2]]})
def test_the_text_is_what_json_would_write(value: dict[str, Any]) -> None:
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert storable(value) == (expected, value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, struct.unpack(">f", b"\x7f\xc0\0\1")[0]])
def test_a_number_that_is_none_is_null_in_text_and_value(number: float) -> None:
    assert storable({"a": [number, 1.5]}) == ('{"a":[null,1.5]}', {"a": [None, 1.5]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "x\0y"}, '{"a":"x\ufffdy"}'),
        ({"a": "\ud800"}, '{"a":"?"}'),
        ({"a": b"\x01\xff"}, '{"a":"01ff"}'),
        ({1: 2}, '{"1":2}'),
    ],
)
def test_what_no_database_takes_is_replaced(value: Any, text: str) -> None:
    assert storable(value)[0] == text


@pytest.mark.parametrize("value", [{"a": datetime(2024, 1, 1, tzinfo=UTC)}, {"a": object()}, {"a": {1, 2}}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(NotJSONError):
        storable(value)
