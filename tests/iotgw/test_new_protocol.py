"""The folder that a new protocol begins with: it works, its tests pass and notice, and nothing is written over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iotgw.new_protocol import NewProtocolError, next_steps, write_package
from tests.plugin.installing import install

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str | Path, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(part) for part in (ROOT, path) if part)
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "IOTGW_VAR": str(folder / "var")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    done = run("iotgw", "new-protocol", "hive_scale", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip install --editable 'hive_scale[test]'" in done.stdout
    return tmp_path / "hive_scale"


def test_what_is_written_carries_the_name_and_no_placeholder(written: Path):
    files = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert files == {"pyproject.toml", "hive_scale.py", "test_hive_scale.py", "captures/hive_scale.jsonl"}
    for path in files:
        text = (written / path).read_text("utf-8")
        for placeholder in ("my_protocol", "MY_PROTOCOL", "my-protocol", "My Protocol"):
            assert placeholder not in text
    assert 'hive_scale = "hive_scale:HIVE_SCALE"' in (written / "pyproject.toml").read_text()
    assert 'name = "iotgw-hive-scale"' in (written / "pyproject.toml").read_text()
    assert 'title="Hive Scale"' in (written / "hive_scale.py").read_text()


def test_its_own_tests_pass_and_notice_a_change(written: Path):
    tests = ("pytest", "-q", "-p", "no:cacheprovider", written)
    passed = run(*tests, folder=written, path=written)
    assert passed.returncode == 0, passed.stdout
    module = written / "hive_scale.py"
    good = module.read_text()
    for before, after in (('Int16sb, 10, "°C"', 'Int16sb, 100, "°C"'), ('since="length"', 'since="identity"'), ("0x02", "0x05")):
        assert before in good
        module.write_text(good.replace(before, after))
        assert run(*tests, folder=written, path=written).returncode == 1, after


def test_what_it_says_to_do_next_works(written: Path, tmp_path: Path):
    command = next(line for line in next_steps("hive_scale", written).splitlines() if " decode " in line)
    site = install(written, tmp_path / "site")
    shown = run("iotgw", *command.split("iotgw ", 1)[1].split(), folder=tmp_path, path=site)
    assert shown.returncode == 0, shown.stderr
    assert "Firmware" in shown.stdout
    assert "2.1.0" in shown.stdout


def test_the_house_has_no_complaint_about_its_style(written: Path):
    for tool in (("ruff", "check"), ("ruff", "format", "--check"), ("ruff", "check", "--select", "E,F,W,I,UP,B,C4,SIM,RUF,PT,N")):
        checked = run(*tool, "--line-length", "132", "--target-version", "py311", ".", folder=written)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Hive", "'Hive' is no name: use up to 32 lower-case letters"),
        ("hive-scale", "is no name"),
        ("../hive", "is no name"),
        ("", "is no name"),
        ("h" * 33, "is no name"),
        ("class", "is no name"),
        ("jt808", "there is a protocol 'jt808' already"),
        ("json", "there is a Python module 'json' already, which json.py would hide"),
        ("celery", "there is a Python module 'celery' already"),
    ],
)
def test_a_bad_name_is_refused(tmp_path: Path, name: str, told: str):
    with pytest.raises(NewProtocolError) as raised:
        write_package(name, tmp_path / "new", {"jt808"})
    assert told in str(raised.value)
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_over(written: Path, tmp_path: Path):
    before = (written / "hive_scale.py").stat().st_mtime_ns
    again = run("iotgw", "new-protocol", "hive_scale", folder=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "iotgw: hive_scale is there already: choose another with --folder, or remove it\n"
    assert (written / "hive_scale.py").stat().st_mtime_ns == before
    elsewhere = run("iotgw", "new-protocol", "hive_scale", "--folder", "deep/er", folder=tmp_path)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert (tmp_path / "deep" / "er" / "hive_scale.py").exists()
    blocked = run("iotgw", "new-protocol", "other", "--folder", "hive_scale/hive_scale.py/x", folder=tmp_path)
    assert blocked.returncode == 2
    assert "cannot be written (Not a directory)" in blocked.stderr
