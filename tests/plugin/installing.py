"""Putting packages where Python finds them, as an installer does, without an index to get a build backend from."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import pytest


def install(package: Path, target: Path) -> Path:
    """The modules of a package's wheel, and what an installer writes about it: its metadata and its entry points."""
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))
    about = project["project"]
    target.mkdir(exist_ok=True)
    for module in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        shutil.copy(package / module, target)
    told = target / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    lines = []
    for group, entries in about["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (told / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return target


def make_importable(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process find its modules until the test is over, whatever else of their names was loaded before."""
    monkeypatch.syspath_prepend(target)
    for module in target.glob("*.py"):
        # What is set here for a moment is put back, or away, when the test is over.
        monkeypatch.setitem(sys.modules, module.stem, sys)
        del sys.modules[module.stem]
