"""A third party's package: its protocol is there by its entry point, and a broken one is told in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.registry import registered
from tests.plugin.installing import install, make_importable

ROOT = Path(__file__).resolve().parents[2]
BEEHIVE = Path(__file__).parent / "beehive"
HELLO = "7e 01 05 48 49 56 45 2d 30 30 37 30 7e"

WORKING = """
from beehive import BEEHIVE

class Incomplete:
    name = "incomplete"
    title = "Incomplete"
    port = 1

INCOMPLETE = Incomplete()
BEEHIVE_CLASS = type(BEEHIVE)
BEEHIVE.name = {name!r}
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return install(BEEHIVE, tmp_path / "site")


def iotgw(*words: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(path)])
    return subprocess.run(
        [sys.executable, "-m", "iotgw", *words],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def broken(folder: Path, entry: str, text: str) -> Path:
    """The package with its entry point and module changed."""
    package = folder / "package"
    package.mkdir()
    about = (BEEHIVE / "pyproject.toml").read_text().replace("beehive:BEEHIVE", entry).replace('["beehive.py"]', '["hive.py"]')
    (package / "pyproject.toml").write_text(about)
    (package / "hive.py").write_text(text)
    target = install(package, folder / "site")
    (target / "beehive.py").write_text((BEEHIVE / "beehive.py").read_text())
    return target


def test_an_installed_package_is_registered(target: Path, monkeypatch: pytest.MonkeyPatch):
    assert "beehive" not in registered()
    make_importable(target, monkeypatch)
    protocol = registered()["beehive"]
    assert (protocol.title, protocol.port) == ("Beehive scale", 7200)
    assert list(registered()).index("jt808") < list(registered()).index("beehive"), "ours come first"


def test_its_frames_are_decoded_by_the_command(target: Path):
    sealed = bytearray.fromhex(HELLO)
    for byte in sealed[1:-2]:
        sealed[-2] ^= byte
    sealed[-2] ^= 0x30
    found = iotgw("decode", "beehive", sealed.hex(), path=target)
    assert found.returncode == 0, found.stderr
    line = json.loads(found.stdout)
    assert (line["ok"], line["identity"], line["kind"], line["sequence"]) == (True, "HIVE-007", "hello", 5)
    assert line["ack"].startswith("7e8005")
    assert iotgw("decode", "beehive", sealed.hex(), path=ROOT).returncode == 2


@pytest.mark.parametrize(
    ("entry", "text", "told"),
    [
        ("hive:BEEHIVE", "import nothing_of_this_name\n", "its protocol 'beehive' cannot be loaded (ModuleNotFoundError:"),
        ("hive:BEEHIVE", "raise RuntimeError('no way')\n", "cannot be loaded (RuntimeError: no way)"),
        ("hive:GONE", WORKING.format(name="beehive"), "cannot be loaded (AttributeError:"),
        ("hive:BEEHIVE_CLASS", WORKING.format(name="beehive"), "it is a class, give an object of it"),
        ("hive:INCOMPLETE", WORKING.format(name="beehive"), "it has no messages, headers"),
        ("hive:BEEHIVE", WORKING.format(name="jt808"), "offers a protocol 'jt808', but there is one already"),
    ],
    ids=["import", "raises", "gone", "class", "incomplete", "clash"],
)
def test_a_broken_package_is_told_in_a_line(tmp_path: Path, entry: str, text: str, told: str):
    found = iotgw("decode", "jt808", "7e7e", path=broken(tmp_path, entry, text))
    assert found.returncode == 2
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert line.startswith("iotgw: package iotgw-beehive")
    assert told in line


def test_a_protocol_without_options_refuses_them(target: Path):
    found = iotgw("decode", "beehive", "7e7e", path=target, IOTGW_PROTOCOLS__BEEHIVE__COLOUR="red")
    assert found.returncode == 2
    assert found.stderr.splitlines() == ["iotgw: protocols.beehive.colour: Beehive scale has no such option"]
