"""Log lines: one form, and nothing in them that must not be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import logging, structlog
from settings import Settings
from settings.logs import configure
configure(Settings(log_format={form!r}, log_level={level!r}))
structlog.get_logger("one").info("ours", device="1", batch=7)
logging.getLogger("two").warning("theirs %s", "x", extra={{"cause": "c", "data": {{"kwargs": "hush"}}}})
logging.getLogger("celery.app.trace").info("chatter")
logging.getLogger("three").debug("detail")
try:
    secret = "hush"
    raise ValueError("fault")
except ValueError:
    structlog.get_logger("four").exception("failed")
"""


def lines(form: str, level: str = "info") -> list[str]:
    program = PROGRAM.format(form=form, level=level)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_a_line_with_its_fields():
    ours, theirs, failed = map(json.loads, lines("json"))
    assert (ours["event"], ours["level"], ours["logger"], ours["device"], ours["batch"]) == ("ours", "info", "one", "1", 7)
    assert ours["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"], theirs["cause"]) == ("theirs x", "warning", "c")
    assert "ValueError: fault" in failed["exception"]


def test_text_has_the_same_fields():
    ours, theirs, *rest = lines("text")
    assert "[info] ours [one] batch=7 device=1" in ours
    assert "[warning] theirs x [two] cause=c" in theirs
    assert rest[-1] == "ValueError: fault"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_neither_task_arguments_nor_local_variables_are_logged(form, level):
    shown = "\n".join(line for line in lines(form, level) if 'secret = "hush"' not in line)
    assert "hush" not in shown


def test_libraries_chat_only_when_asked_to():
    assert not any("chatter" in line for line in lines("json"))
    assert any("chatter" in line for line in lines("json", "debug"))
    assert any("detail" in line for line in lines("json", "debug"))
