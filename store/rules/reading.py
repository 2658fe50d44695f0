"""Rules in a text, and what is wrong with them, in words that name the place.

text ─▶ JSON ─▶ not too deep ─▶ RuleDeclaration
         └───────────┴───────────────┴─▶ RuleError: "when.all[1].value: give a number, or words in quotes"

Bounded by the length of the text and by how deep it is nested, before anything is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from store.rules.declaration import TAGS, RuleDeclaration, parts_of
from store.rules.errors import RuleError

MOST_BYTES = 1 << 20
"""Of a file of rules."""
MOST_FAULTS = 5
"""That are told at once."""
DEPTH = 6
_NESTING = 2 * DEPTH + 6
"""Of brackets in a rule that is not too deep, and some more."""


def read_rules(text: str) -> list[RuleDeclaration]:
    """One rule, or a list of them.

    Raises: RuleError
    """
    if len(text) > MOST_BYTES:
        raise RuleError(f"longer than {MOST_BYTES:,} characters: rules are short")
    try:
        found = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise RuleError(f"no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise RuleError(f"no JSON: {error if isinstance(error, ValueError) else 'nested too deep'}") from error
    if isinstance(found, list):
        return [declared(each, f"[{number}].") for number, each in enumerate(found)]
    return [declared(found)]


def declared(told: Any, where: str = "") -> RuleDeclaration:
    """A rule as JSON has it.

    Raises: RuleError
    """
    if not isinstance(told, dict):
        raise RuleError(f"{where}a rule is an object in braces, with name and when")
    if _is_deeper(told, _NESTING):
        raise RuleError(f"{where}when: nested deeper than {DEPTH} levels of all, any, not")
    try:
        rule = RuleDeclaration.model_validate(told)
    except ValidationError as error:
        raise RuleError(_told(error, where)) from None
    if _depth(rule.when) > DEPTH:
        raise RuleError(f"{where}when: nested deeper than {DEPTH} levels of all, any, not")
    return rule


def _depth(condition: Any) -> int:
    return 1 + max(map(_depth, parts_of(condition)), default=0)


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inner)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


_WORDS = {"missing": "is missing", "extra_forbidden": "nothing is known by this name"}


def _told(error: ValidationError, where: str) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        cause = fault.get("ctx", {}).get("error")
        text = str(cause) if cause else _WORDS.get(fault["type"], fault["msg"])
        faults.append(f"{where}{_path(fault['loc'])}: {text}" if fault["loc"] else f"{where}{text}")
    more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    return "; ".join(faults[:MOST_FAULTS]) + more


def _path(loc: Sequence[int | str]) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc if step not in TAGS.values()]
    return "".join(steps).removeprefix(".")
