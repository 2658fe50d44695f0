"""The gateway's reactor is Twisted's epoll reactor to protocols and peers, only sooner."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor

from iotgw.reactor import MOST_EVENTS, GatewayReactor
from iotgw.stack import gateway_command
from tests.iotgw.reactor import SCENARIOS

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60


def tell(name: str) -> dict[str, Any]:
    """What all scenarios come to in a process with that reactor."""
    command = [sys.executable, "-m", "tests.iotgw.reactor", name]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert child.returncode == 0, child.stderr
    told: dict[str, Any] = json.loads(child.stdout)
    return told


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    with ThreadPoolExecutor() as threads:
        return dict(zip(("stock", "ours"), threads.map(tell, ("stock", "ours")), strict=True))


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in SCENARIOS])
def test_protocol_and_peer_notice_the_same_as_on_the_stock_reactor(told: dict[str, dict[str, Any]], name: str):
    assert isinstance(told["stock"][name], dict), told["stock"][name]
    assert told["ours"][name] == told["stock"][name]


def test_what_is_written_leaves_without_a_turn_of_the_reactor(told: dict[str, dict[str, Any]]):
    outcome = told["ours"]["what_leaves_at_once"]["told"]
    assert outcome["plain"] == "hello now"
    assert outcome["writers"] == 0, "nobody waits for epoll to tell that it may write"


def test_a_protocol_that_is_the_producer_of_its_own_transport_writes_through_too(told: dict[str, dict[str, Any]]):
    assert told["ours"]["what_leaves_at_once"]["told"]["again"] == "again"


def test_one_connection_cannot_write_through_for_ever(told: dict[str, dict[str, Any]]):
    assert 100_000 < told["ours"]["what_leaves_at_once"]["told"]["in a row"] <= 128 * 1024


def test_what_is_due_comes_though_the_time_of_day_is_set(told: dict[str, dict[str, Any]]):
    assert told["ours"]["the_time_of_day_is_set_back"]["told"] == {"rung": ["due before", "due since"], "goes on": True}


def test_adopted_ports_write_through_and_unix_ports_stay_as_they_are(told: dict[str, dict[str, Any]]):
    assert told["ours"]["other_ways_in"]["told"] == [["WriteThroughServer", "x"], ["Server", "x"]]


def test_ten_thousand_connections_leave_nothing_behind(told: dict[str, dict[str, Any]]):
    assert told["ours"]["ten_thousand_connections"]["told"] == {
        "closed": 10_000,
        "kinds": ["ConnectionAborted", "ConnectionDone", "ConnectionLost"],
        "fds": 0,
        "objects": 0,
    }


def test_the_gateway_runs_on_it(tmp_path: Path):
    """Started as the stack does, from the real .tac: Twisted has chosen no reactor before."""
    *command, tac = gateway_command()
    wrapped = tmp_path / "wrapped.tac"
    wrapped.write_text(
        f"exec(open({tac!r}).read())\n"
        "from twisted.application.service import Application\n"
        "from twisted.internet import reactor\n"
        "application = Application('nothing')\n"
        "reactor.callWhenRunning(print, 'runs on', type(reactor).__module__)\n"
        "reactor.callWhenRunning(reactor.stop)\n"
    )
    environment = {**os.environ, "IOTGW_VAR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        [*command, str(wrapped)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert "runs on iotgw.reactor" in child.stdout, child.stdout + child.stderr
    assert child.returncode == 0


def test_what_is_due_does_not_wait_for_all_who_are_ready():
    reactor = GatewayReactor()
    count = MOST_EVENTS + 50
    pairs = [socket.socketpair() for _ in range(count)]
    heard: list[int] = []
    due: list[int] = []

    class Reader(FileDescriptor):
        def __init__(self, own: socket.socket) -> None:
            super().__init__(reactor)
            self.own = own

        def fileno(self) -> int:
            return self.own.fileno()

        def doRead(self) -> None:  # noqa: N802
            if not heard:
                reactor.callLater(0, lambda: due.append(len(heard)))
            heard.append(len(self.own.recv(1)))

    try:
        for own, peer in pairs:
            peer.send(b"x")
            reactor.addReader(Reader(own))
        while len(heard) < count:
            reactor.runUntilCurrent()
            reactor.doPoll(1)
        assert due == [MOST_EVENTS]
        assert heard == [1] * count, "everybody has its turn"
    finally:
        reactor.removeAll()
        reactor._poller.close()
        for pair in pairs:
            for end in pair:
                end.close()
