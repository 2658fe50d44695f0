"""docs/faults.md names tests that there are, and counters and log lines that docs/operate.md explains."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from settings import Settings

ROOT = Path(__file__).parent.parent
OPERATE = (ROOT / "docs/operate.md").read_text("utf-8")
LEAST_CASES = 30


def cases() -> list[list[str]]:
    """The rows of all tables: case, what is done, what is seen, tests."""
    lines = (ROOT / "docs/faults.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("case", "---")]


@cache
def functions_in(path: str) -> frozenset[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


CASES = cases()


def test_there_are_as_many_cases_as_were_thought_of():
    assert len(CASES) >= LEAST_CASES
    assert len({case[0] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0][:40])
def test_each_case_is_held_by_tests_that_there_are(case: list[str]):
    _, _, _, tests = case
    named = re.findall(r"`([^`]+)::([^`]+)`", tests)
    assert named
    assert tests == ", ".join(f"`{path}::{name}`" for path, name in named)
    for path, name in named:
        assert name in functions_in(path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0][:40])
def test_what_is_seen_is_explained(case: list[str]):
    for told in re.findall(r"`([^`]+)`", case[2]):
        named = {f"`{told}`", *(f"`{told.rpartition('.')[0]}.<{last}>`" for last in ("cause", "kind"))}
        is_explained = any(name in OPERATE for name in named)
        assert is_explained or told in Settings.model_fields or told == "keep_alive_*", told
