"""docs/forward.md: its target of your own works as it stands there, and its tables name all options."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from store.models import DeadNotice, TargetCursor
from tasks.forward.registry import KINDS
from tests.servers import Child
from tests.tasks.forward.targets import store

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "forward.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.mark.usefixtures("database_url")
def test_a_target_of_another_package_takes_what_is_stored(
    start_child: Callable[..., Child], database_url: str, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    described = tomllib.loads(block("toml"))["project"]
    points = described["entry-points"]["iotgw.targets"]
    info = package / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    info.mkdir(parents=True)
    (package / "file_target.py").write_text(block("python"))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n")
    (info / "entry_points.txt").write_text("[iotgw.targets]\n" + "".join(f"{name} = {at}\n" for name, at in points.items()))
    path = tmp_path / "notices.jsonl"
    environment = {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_DATABASE_URL": database_url, "PYTHONPATH": str(package)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "django", "targets", *words]
        paths = f"{package}{os.pathsep}{Path.cwd()}"
        return subprocess.run(line, env={**os.environ, **environment, "PYTHONPATH": paths}, capture_output=True, text=True)

    assert "give a file's path, from / on" in run("add", "archive", "file", "notices").stderr
    assert run("add", "archive", "file", str(path), "--source", "reports", "--set", "longest_bytes=1000").returncode == 0
    store(2)
    store(1, 2, values={"text": "x" * 2_000})
    store(1, 3)
    paths = os.pathsep.join((str(package), str(Path.cwd())))
    child = start_child("-m", "django", "forward", name="forward", **environment | {"PYTHONPATH": paths})
    child.wait_until(lambda: TargetCursor.objects.get().last_id == 4, "all of it is sent")
    assert child.stop() == 0
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["reports-1", "reports-2", "reports-4"]
    assert [(dead.row_id, dead.reason) for dead in DeadNotice.objects.all()] == [(3, "longer than 1000 bytes")]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_option_is_in_a_table(kind) -> None:
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    assert all(f"`{option}`" in tables for option in kind.options.model_fields)
