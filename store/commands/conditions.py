"""What has to be so for a command to leave, as people write it and as a device has told it.

    speed_kmh <= 0 and ignition == false within 30 s

It is looked up in the device's newest reports, since its state does not know how old each value is: each has to have been told
within so long, by the device's own clock. What is not told so, or by a clock that is further ahead than that, does not hold.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from protocols.catalogue import MEASURES
from store.json_text import plain_text
from store.models import CONDITION_LENGTH, Report

EXAMPLE = "speed_kmh <= 0 within 30 s"
LONGEST_AGE = timedelta(days=1)
MOST_REPORTS = 500
"""That are looked through."""
_PLACE = frozenset(MEASURES) | {"latitude", "longitude"}
"""What is of no use without a fix: a speed is 0 then, mostly."""
_ORDER: dict[str, Callable[[Any, Any], bool]] = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_EQUALITY: dict[str, Callable[[Any, Any], bool]] = {"==": operator.eq, "!=": operator.ne}
_TERM = re.compile(r"\s*([\w.]+)\s*(<=|>=|==|!=|<|>)\s*(\"[^\"]*\"|[\w.+-]+)\s*")
_AGE = re.compile(r"\s*within\s+(\d{1,5}(?:\.\d{1,3})?)\s*(s|min|h)\s*")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


class ConditionError(ValueError):
    """It is no condition, and why."""


class Term(NamedTuple):
    """A value of the state held against another."""

    name: str
    operation: str
    value: bool | int | float | str


class Condition(NamedTuple):
    terms: tuple[Term, ...]
    age: timedelta

    def fault(self, device: int, now: datetime) -> str:
        """Why it does not hold of a device; empty if it does."""
        reports = Report.objects.filter(device_id=device, time__gte=now - self.age, time__lte=now + self.age)
        told: dict[str, Any] = {}
        wanted = {term.name for term in self.terms}
        for report in reports.order_by("-time", "-id")[:MOST_REPORTS]:
            for name in wanted - told.keys():
                if (value := _told(report, name)) is not None:
                    told[name] = value
            if len(told) == len(wanted):
                break
        return next(filter(None, (_fault(term, told) for term in self.terms)), "")


def read_condition(text: str) -> Condition:
    """Raises: ConditionError"""
    if len(text) > CONDITION_LENGTH or plain_text(text) != text:
        raise ConditionError(f"a condition is {CONDITION_LENGTH} plain characters at the most, such as {EXAMPLE}")
    terms, at = [], 0
    while True:
        found = _TERM.match(text, at)
        if found is None:
            raise ConditionError(f"{text[at:].strip() or text!r} is no comparison: write it like {EXAMPLE}")
        terms.append(Term(found[1], found[2], _value(found[2], found[3])))
        at = found.end()
        if not text.startswith("and ", at):
            break
        at += len("and ")
    age = _AGE.fullmatch(text, at)
    if age is None:
        raise ConditionError(f"say at the end how old the values may be, in s, min or h: {EXAMPLE}")
    within = timedelta(seconds=float(age[1]) * _SECONDS[age[2]])
    if not timedelta() < within <= LONGEST_AGE:
        raise ConditionError("values may be older than 0 s, and a day at the most")
    return Condition(tuple(terms), within)


def _value(operation: str, text: str) -> bool | int | float | str:
    if text.startswith('"'):
        value: bool | int | float | str = text[1:-1]
    elif text in ("true", "false"):
        value = text == "true"
    else:
        try:
            value = float(text)
        except ValueError:
            value = text
    if operation in _ORDER and (isinstance(value, (bool, str)) or value != value):
        raise ConditionError(f"{operation} {text}: give a number")
    return value


def _told(report: Report, name: str) -> Any:
    if name not in _PLACE:
        return report.values.get(name)
    return None if report.values.get("fix") is False else getattr(report, name)


def _fault(term: Term, told: Mapping[str, Any]) -> str:
    if term.name not in told:
        return f"{term.name} was not told of late"
    value = told[term.name]
    return "" if _holds(term, value) else f"{term.name} is {json.dumps(value, ensure_ascii=False)}"


def _holds(term: Term, told: Any) -> bool:
    if isinstance(told, bool) is not isinstance(term.value, bool) or isinstance(told, str) is not isinstance(term.value, str):
        return False
    if not isinstance(told, (bool, int, float, str)):
        return False
    return (_ORDER | _EQUALITY)[term.operation](told, term.value)
