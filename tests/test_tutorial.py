"""docs/your-own-protocol.md, done as it says: every file written, every command run, what they print compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from protocols.catalogue import CATALOGUE
from protocols.registry import PROTOCOLS
from tests.plugin.installing import install
from tests.servers import Child, free_port

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "your-own-protocol.md").read_text("utf-8")
ANYTHING = "…"
FILE = re.compile(r"`(tg2/[\w./]+)`[^`]*$")


class Block(NamedTuple):
    language: str
    before: str
    """The paragraph before it."""
    text: str


class Step(NamedTuple):
    command: str
    output: str


BLOCKS = [
    Block(found[2], found[1].rpartition("\n\n")[2], found[3])
    for found in re.finditer(r"((?:(?!```).)*?)\n```(\w+)\n(.*?)```", PAGE, re.DOTALL)
]


def steps(block: Block) -> list[Step]:
    found = [part.partition("\n") for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE) if part]
    return [Step(command, output) for command, _, output in found]


def says(expected: str, output: str) -> bool:
    """Whether an output is what the page shows, blanks at the ends of lines aside: ``…`` is anything, alone any lines."""
    patterns = []
    for line in expected.strip().splitlines():
        text = re.escape(line.rstrip()).replace(ANYTHING, ".*")
        patterns.append("(?:.*\n)*" if line == ANYTHING else f"{text}\n")
    printed = "".join(f"{line.rstrip()}\n" for line in output.strip().splitlines())
    return re.fullmatch("".join(patterns), printed) is not None


class Reader:
    """Somebody who does what the page says, in a folder of his own."""

    def __init__(self, folder: Path, start_child: Callable[..., Child]) -> None:
        self.folder = folder
        self.port = free_port()
        self._start_child = start_child
        self.environment = {
            "IOTGW_VAR": str(folder / "var"),
            **{f"IOTGW_LISTEN__{name.upper()}": "off" for name in PROTOCOLS},
            "IOTGW_CONTROL_LISTEN": "off",
        }

    def write(self, path: str, text: str) -> None:
        assert (self.folder / path).exists(), "the package has brought one along"
        (self.folder / path).write_text(text, "utf-8")

    def run(self, command: str) -> str:
        """What a command prints."""
        if " pip install --editable " in command:
            self._install()
            return ""
        words = shlex.split(command)
        if words[1:] == ["up"]:
            return self._up()
        if words[1] == "simulate":
            words += ["--port", str(self.port)]
        words[:1] = [sys.executable, "-m", "iotgw"] if words[0] == ".venv/bin/iotgw" else [sys.executable]
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.complaint = done.stderr
        return done.stdout

    def _install(self) -> None:
        """As pip does with --editable: the folder is on the path, what tells of it beside it."""
        site = install(self.folder / "tg2", self.folder / "site")
        self.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(self.folder / "tg2"), str(site)])
        # Unknown before: a setting for a protocol that there is none of is refused.
        self.environment["IOTGW_LISTEN__TG2"] = f"tcp:{self.port}:interface=127.0.0.1"

    def _up(self) -> str:
        stack = self._start_child("-m", "iotgw", "up", name="up", **self.environment)
        stack.wait_until(lambda: "listening" in stack.output(), "the stack listens")
        return stack.output()


@pytest.fixture
def reader(tmp_path: Path, start_child: Callable[..., Child]) -> Reader:
    return Reader(tmp_path, start_child)


def test_the_page_does_what_it_says(reader: Reader):
    done = 0
    for block in BLOCKS:
        file = FILE.search(block.before)
        if block.language in ("python", "json"):
            assert file, block.text
            reader.write(file[1], block.text)
            done += 1
        for step in steps(block) if block.language == "console" else ():
            output = reader.run(step.command)
            assert says(step.output, output), f"$ {step.command}\n{output}\n{getattr(reader, 'complaint', '')}"
            done += 1
    assert done == 11


def test_a_mistake_is_told_as_the_page_says(reader: Reader):
    reader.run(".venv/bin/iotgw new-protocol tg2")
    reader.run(".venv/bin/python -m pip install --editable tg2")
    (text,) = [block.text for block in BLOCKS if block.language == "python"]
    (told,) = [block.text for block in BLOCKS if block.language == "text"]
    assert text.count(' * "Battery"') == 1
    reader.write("tg2/tg2.py", text.replace(' * "Battery"', ""))
    assert reader.run(".venv/bin/iotgw decode tg2 00") == ""
    assert reader.complaint == told


@pytest.mark.parametrize(
    ("expected", "output", "is_said"),
    [
        ("a…c\n…\nend", "abc\nx\ny\nend", True),
        ("…\nend", "end", True),
        ("a …", "a b  ", True),
        ("a…c", "abd", False),
        ("a\nc", "a\nb\nc", False),
        ("…\nend", "end\nmore", False),
        ("a…b", "a\nb", False),
    ],
)
def test_the_comparison_notices(expected: str, output: str, is_said: bool):
    assert says(expected, output) is is_said


def test_names_and_units_are_the_catalogues():
    rows = re.findall(r"`(\w+)` \| ([^|]*?) ?(?=\|)", PAGE.split("Among them:")[1].split("[protocols/catalogue.py]")[0])
    assert len(rows) == 15
    for name, unit in rows:
        assert CATALOGUE[name].unit == unit, name


def test_the_pages_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
    for path in re.findall(r"`(protocols/[\w/.]+)`", PAGE):
        assert path == "protocols/tg2.py" or (ROOT / path).exists(), path
