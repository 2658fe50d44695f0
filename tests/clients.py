"""The shipped clients as programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parents[1] / "clients"
NAMES = ("c", "python")
_PYTHON = "import sys, iotgw_client as client; client.ANSWER_MS = {}; sys.exit(client.main(sys.argv[1:]))"


def compiler() -> str:
    """A C compiler; without one the test is left out, or fails where all servers and tools are required."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        reason = "the C client needs a compiler (no cc, gcc or clang found)"
        if os.environ.get("IOTGW_TEST_REQUIRE") == "all":
            pytest.fail(f"needed by IOTGW_TEST_REQUIRE=all: {reason}", pytrace=False)
        pytest.skip(reason)
    return found


def compiled(source: Path, program: Path, *more: str) -> list[str]:
    """Compile a program; the words that start it."""
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", f"-I{CLIENTS / 'c'}", *more]
    made = subprocess.run([compiler(), *flags, "-o", program, source], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return [str(program)]


def example(name: str, folder: Path, answer_ms: int) -> list[str]:
    """The words that start the example of a client, and how long it waits for each answer."""
    if name == "c":
        return compiled(CLIENTS / "c/example.c", folder / "example", f"-DIOTGW_ANSWER_MS={answer_ms}u")
    return [sys.executable, "-c", _PYTHON.format(answer_ms)]


def environment() -> dict[str, str]:
    """What a client's process needs beside the environment it is in."""
    return {"PYTHONPATH": str(CLIENTS / "python"), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
