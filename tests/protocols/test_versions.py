from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from protocols import versions as module
from protocols.registry import PROTOCOLS
from protocols.versions import versions
from tests.plugin.installing import install, make_importable

BEEHIVE = Path(__file__).parents[1] / "plugin" / "beehive"


def test_each_protocol_has_one_of_its_own_that_stays() -> None:
    told = versions()
    assert told.keys() == PROTOCOLS.keys()
    assert len(set(told.values())) == len(PROTOCOLS)
    assert all(re.fullmatch(r"\d\S*\+[0-9a-f]{12}", version) for version in told.values())
    assert versions() == told


def test_another_package_s_has_its_release_and_changes_with_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = install(BEEHIVE, tmp_path / "site")
    make_importable(target, monkeypatch)
    before = versions()
    with (target / "beehive.py").open("a") as code:
        code.write("# mended\n")
    after = versions()
    assert before["beehive"] != after.pop("beehive")
    assert before.pop("beehive").startswith("1.2.0+")
    assert after == before


@pytest.mark.parametrize(
    ("changed", "others"),
    [("fields.py", set()), ("compiler/lists.py", set()), ("jt808/protocol.py", PROTOCOLS.keys() - {"jt808"})],
)
def test_it_changes_with_all_that_a_body_s_meaning_depends_on(
    changed: str, others: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "protocols"
    shutil.copytree(module._OURS, here, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "_OURS", here)
    before = versions()
    (here / changed).write_text((here / changed).read_text("utf-8") + "# mended\n", "utf-8")
    after = versions()
    assert {name for name in PROTOCOLS if before[name] == after[name]} == others
