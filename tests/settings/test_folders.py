"""Folders with room, without, and such as nobody may write to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from settings.findings import State
from settings.folders import room


def test_a_folder_with_room_is_left_as_it_was(tmp_path: Path) -> None:
    verdict = room(tmp_path, 1, "make room")
    assert (verdict.state, verdict.do) == (State.OK, "")
    assert str(tmp_path) in verdict.found
    assert list(tmp_path.iterdir()) == []


def test_of_a_folder_that_is_not_there_the_one_it_is_to_be_made_in_is_looked_at(tmp_path: Path) -> None:
    verdict = room(tmp_path / "a/b", 1, "make room")
    assert verdict.state is State.OK
    assert f"{tmp_path}/a/b, to be made in {tmp_path}: " in verdict.found
    assert list(tmp_path.iterdir()) == []


def test_little_room_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    verdict = room(tmp_path, 1 << 60, "make room")
    assert (verdict.state, verdict.do) == (State.WARNING, "make room")


@pytest.mark.parametrize(("free", "of_all", "state"), [(4, 100, State.WARNING), (6, 100, State.OK), (0, 0, State.OK)])
def test_few_inodes_are_a_warning_where_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, of_all: int, state: State
) -> None:
    real = list(os.statvfs(tmp_path))
    real[5], real[7] = of_all, free
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(real))
    assert room(tmp_path, 1, "make room").state is state


def test_a_disk_that_takes_nothing_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    verdict = room(tmp_path, 1, "unused")
    assert verdict.state is State.FAULT
    assert "No space left on device" in verdict.found
    assert verdict.do.startswith("make room on the disk")


def test_a_folder_that_is_none_is_a_fault_that_names_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    verdict = room(tmp_path / "file", 1, "unused")
    assert (verdict.state, "cannot be written to" in verdict.found) == (State.FAULT, True)
    assert verdict.do.startswith("have user ")
