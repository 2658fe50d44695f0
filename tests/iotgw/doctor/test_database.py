"""The process that looks at the database: one that hangs, and one that cannot run."""

from __future__ import annotations

import sys

import pytest

from iotgw.doctor.database import examine_database
from settings import Settings
from settings.findings import State


def test_what_the_database_tells_within_its_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import json, time; print(json.dumps(dict(check='database', state='ok', found='there', do='')), flush=True); "
        "print('{\"half', end='', flush=True); time.sleep(60)"
    )
    run_instead(monkeypatch, program)
    assert [(each.state, each.found) for each in examine_database(Settings(), {}, 2)] == [
        (State.OK, "there"),
        (State.FAULT, "does not answer within 2 s"),
    ]


def test_a_host_without_a_driver_is_told_what_to_leave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(monkeypatch, "raise ImportError('no psycopg')")
    (found,) = examine_database(Settings(), {})
    assert (found.state, found.found) == (State.FAULT, "ImportError: no psycopg")
    assert found.do.endswith("iotgw doctor --without database")


def run_instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr("iotgw.doctor.database.command_line", lambda _: [sys.executable, "-c", program])
