"""``iotgw doctor``: what it finds of an installation that is well, and of each that is not, in a bounded time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from click.testing import CliRunner

from iotgw.cli import AREA_NAMES, main
from iotgw.doctor import AREAS
from iotgw.doctor.examining import examine_areas
from settings import Settings
from settings.findings import Finding, State
from tests.servers import Child
from tests.stacks import RunningStack

SECRET = "not-this-one"


def run(*words: str, **environment: str) -> tuple[int, list[dict[str, str]]]:
    done = CliRunner().invoke(main, ["doctor", "--json", *words], env=environment)
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_stack_that_runs_is_well(start_child: Callable[..., Child], tmp_path: Path) -> None:
    stack = RunningStack(start_child, tmp_path / "var", IOTGW_MEDIA_SPARE_BYTES="0", IOTGW_SPOOL_BYTES="1024")
    stack.child.wait_until(lambda: "ready." in stack.child.output(), "its worker is ready")
    done = stack.command("doctor", "--json")
    found = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
    # How this machine's own kernel and disks are set is not the stack's.
    machine = ("open files", "links to accept", "ports", "var folder", "database folder")
    assert {name: row["found"] for name, row in found.items() if row["state"] != "ok" and name not in machine} == {}
    assert done.returncode == 0
    assert found["workers"]["found"] == "all queues are taken"
    assert found["database"]["found"] == f"sqlite answers, {stack.folder}/iotgw.sqlite3"
    table = stack.command("doctor")
    assert table.returncode == 0
    assert ", 0 fault, 0 skipped" in table.stdout


def test_settings_that_cannot_be_used_are_each_a_fault_and_all_else_waits(tmp_path: Path) -> None:
    config = tmp_path / "iotgw.toml"
    config.write_text('redis_url = "http://host"\nmax_links = 0\n')
    status, rows = run(IOTGW_CONFIG=str(config))
    assert status == 1
    assert [(row["check"], row["state"]) for row in rows] == [
        *[("settings", "fault")] * 2,
        *((name, "skipped") for name in AREA_NAMES),
    ]
    assert "redis_url" in rows[0]["found"]
    status, rows = run(IOTGW_LISTEN__JT808="tls:6809")
    assert (status, rows[0]["found"][:26]) == (1, "tls_certificate is not set")


def test_what_is_left_out_is_not_looked_at() -> None:
    assert tuple(AREAS) == AREA_NAMES
    status, rows = run(*(word for name in AREA_NAMES if name != "host" for word in ("--without", name)))
    assert (status, [row["check"] for row in rows]) == (0, ["settings", "open files", "links to accept", "ports"])


def test_an_area_that_hangs_keeps_nobody_and_what_it_has_told_is_kept() -> None:
    never = threading.Event()

    def hangs(*_: object) -> Iterator[Finding]:
        yield Finding("name", State.OK, "resolved")
        never.wait()

    def fails(*_: object) -> Iterator[Finding]:
        raise RuntimeError("unforeseen")
        yield

    began = time.monotonic()
    try:
        found = list(examine_areas([("slow", hangs), ("broken", fails)], Settings(), {}, 0.2))
    finally:
        never.set()
    assert time.monotonic() - began < 5
    assert [(each.check, each.state) for each in found] == [
        ("name", State.OK),
        ("slow", State.FAULT),
        ("broken", State.FAULT),
    ]
    assert found[2].found == "unforeseen"


def test_servers_that_take_connections_and_say_nothing_are_given_up_and_no_password_is_told(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        status, rows = run(
            "--without", "host", "--without", "disk",
            IOTGW_REDIS_URL=f"redis://:{SECRET}@{place}/0",
            IOTGW_BROKER_URL=f"amqp://iotgw:{SECRET}@{place}//",
            IOTGW_DATABASE_URL=f"postgresql://iotgw:{SECRET}@{place}/iotgw",
        )  # fmt: skip
        assert time.monotonic() - began < 20
    assert status == 1
    assert [row["check"] for row in rows if row["state"] == "fault"] == ["Redis", "broker", "database"]
    assert {row["state"] for row in rows} == {"ok", "fault", "skipped"}
    assert SECRET not in str(rows)
