"""Faults staged on a stack as it runs in earnest, and whether ``iotgw why`` names each."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import redis

from iotgw.stack import gateway_command
from iotgw.why import ask
from settings import Settings
from tasks.contract import ALIVE, EVIDENCE, read_facts
from tests.processes import wait_until
from tests.protocols.jt808.frames import LOCATION_BODY, up
from tests.protocols.native.frames import hello
from tests.servers import Child, free_port
from tests.stacks import RunningStack, listening
from tests.test_end_to_end import Terminal

LOCATION, HEARTBEAT = 0x0200, 0x0002


def here_at(time: datetime) -> bytes:
    """The body of a location of that time."""
    return LOCATION_BODY[:-6] + bytes.fromhex(f"{time.astimezone(UTC) + timedelta(hours=8):%y%m%d%H%M%S}")


class Inquiry:
    """A stack that lets in known devices only, and the command that asks it."""

    def __init__(self, start_child: Callable[..., Child], folder: Path) -> None:
        listen = f"tcp:{free_port()}:interface=127.0.0.1"
        environment = {"IOTGW_CONTROL_LISTEN": listen, "IOTGW_ADMISSION": "known", "IOTGW_RECEIPT_TIMEOUT_SECONDS": "2"}
        environment["IOTGW_ADMISSIONS__NATIVE"] = "credential"
        self.stack = RunningStack(start_child, folder / "var", **environment)
        self.stack.child.wait_until(lambda: "control over HTTP" in self.stack.child.output(), "control is there")
        self.settings = Settings(var=folder / "var", control_listen=listen)
        self.port = self.stack.ports["jt808"]
        self.terminals: list[Terminal] = []

    def add(self, identity: str) -> None:
        added = self.stack.command("devices", "add", "jt808", identity)
        assert added.returncode == 0, added.stderr

    def connect(self, port: int = 0) -> Terminal:
        self.terminals.append(Terminal(port or self.port))
        return self.terminals[-1]

    def why(self, identity: str, protocol: str = "jt808") -> dict[str, Any]:
        return ask(self.settings, protocol, identity)

    def command(self, identity: str) -> tuple[int, Any]:
        """The same by the command: its exit status, and what it prints."""
        asked = self.stack.command("why", "jt808", identity, "--json")
        return asked.returncode, json.loads(asked.stdout)

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()


def opened(told: dict[str, Any]) -> dict[str, str]:
    """What is said of the steps that are open."""
    return {rung["name"]: f"{rung['evidence']} -> {rung['remedy']}" for rung in told["ladder"] if rung["state"] == "open"}


@pytest.fixture
def inquiry(start_child: Callable[..., Child], tmp_path: Path) -> Iterator[Inquiry]:
    inquiry = Inquiry(start_child, tmp_path)
    yield inquiry
    inquiry.close()


def test_each_fault_is_named_with_what_to_do(inquiry: Inquiry):
    phones = {name: f"1380000000{number}" for number, name in enumerate(("well", "checksum", "clock", "elsewhere"))}
    for phone in (*phones.values(), "013811112222"):
        inquiry.add(phone)

    # Never linked, though it sends: to GT06's port.
    told = inquiry.why(phones["elsewhere"])
    assert opened(told).keys() == {"link"}
    assert f"never linked -> set the device's server to this host and port {inquiry.port}" in opened(told)["link"]
    lost = inquiry.connect(inquiry.stack.ports["gt06"])
    lost.send(up(HEARTBEAT, phone=phones["elsewhere"]))
    lost.close()
    wait_until(lambda: inquiry.why(phones["elsewhere"])["near_misses"], "who knocked is known")
    assert f"at the port of another protocol: {inquiry.stack.ports['gt06']}" in opened(inquiry.why(phones["elsewhere"]))["link"]

    # Added with a zero before it, that the terminal's own name has not.
    assert inquiry.connect().ask(up(HEARTBEAT, phone="13811112222"))
    wait_until(lambda: inquiry.why("013811112222")["near_misses"], "who was refused is known")
    assert "a device 13811112222 knocked: it has not the zero before it" in opened(inquiry.why("013811112222"))["link"]
    told = inquiry.why("13811112222")
    assert list(opened(told)) == ["known", "identified"]
    assert "iotgw devices add jt808 13811112222" in opened(told)["known"]
    assert inquiry.command("13811112222") == (1, {**told, "ladder": ANY, "summary": ANY})

    # Well, and then a worker that stands still.
    well = inquiry.connect()
    assert well.ask(up(LOCATION, here_at(datetime.now(UTC)), 1, phones["well"]))
    told = inquiry.why(phones["well"])
    assert (opened(told), told["gateway"]) == ({}, told["facts"]["gateway"])
    assert all(rung["state"] == "ok" and rung["at"] for rung in told["ladder"])
    assert inquiry.command(phones["well"])[0] == 0

    # Bad checksums: a frame of ours with another byte for the check.
    bad = inquiry.connect()
    assert bad.ask(up(LOCATION, here_at(datetime.now(UTC)), 1, phones["checksum"]))
    frame = bytearray(up(HEARTBEAT, phone=phones["checksum"]))
    frame[-2] ^= 0x55
    bad.send(bytes(frame))
    wait_until(lambda: inquiry.why(phones["checksum"])["facts"]["malformed"], "it is counted")
    assert "1 good, 1 of 2 bad: 1 checksum" in opened(inquiry.why(phones["checksum"]))["frames"]

    # A token that is not the one that was set.
    for words in (("devices", "add", "native", "board-7"), ("devices", "credential", "native", "board-7")):
        assert inquiry.stack.command(*words).returncode == 0
    board = inquiry.connect(inquiry.stack.ports["native"])
    board.send(hello(identity="board-7", token=b"guess"))
    wait_until(lambda: "identified" in opened(inquiry.why("board-7", "native")), "the refusal is known")
    told = opened(inquiry.why("board-7", "native"))
    assert "credential" in told["identified"]
    assert "iotgw devices credential native board-7" in told["identified"]

    # A clock a day off.
    assert inquiry.connect().ask(up(LOCATION, here_at(datetime.now(UTC) - timedelta(days=1)), 1, phones["clock"]))
    assert "its clock is 24.0 h behind" in opened(inquiry.why(phones["clock"]))["plausible"]

    worker = inquiry.stack.pid("worker")
    os.killpg(worker, signal.SIGSTOP)
    try:
        well.send(up(LOCATION, here_at(datetime.now(UTC)), 2, phones["well"]))
        told = inquiry.why(phones["well"])
        assert (told["summary"], opened(told).keys()) == (None, {"stored"})
        assert "is a worker running that takes the queues ingest, media and default" in opened(told)["stored"]
    finally:
        os.killpg(worker, signal.SIGCONT)
    assert well.answer()
    wait_until(lambda: not opened(inquiry.why(phones["well"])), "and all is well again")


def test_what_it_says_is_for_people(inquiry: Inquiry):
    asked = inquiry.stack.command("why", "jt808", "013800138000")
    lines = asked.stdout.splitlines()
    assert lines[0] == "jt808 013800138000: not here"
    assert [line.split()[1] for line in lines if line[0] in "●▲–?"] == [
        *("known", "link", "identified", "frames", "decoded", "handed", "stored", "acked", "plausible")
    ]
    assert "iotgw devices add jt808 013800138000" in asked.stdout
    assert asked.returncode == 1


def test_any_gateway_tells_of_a_device_on_another(start_child, sqlite_url, redis_broker_url, redis_url):
    urls = {"IOTGW_DATABASE_URL": sqlite_url, "IOTGW_BROKER_URL": redis_broker_url, "IOTGW_REDIS_URL": redis_url}
    token = "0123456789abcdef"
    start_child("-m", "celery", "-A", "tasks", "worker", "-c", "1", name="worker", **urls)
    gateways: dict[str, Child] = {}
    ports = {name: free_port() for name in "ab"}
    asking = {}
    for name in "ab":
        control = f"tcp:{free_port()}:interface=127.0.0.1"
        listen = listening(jt808=f"tcp:{ports[name]}:interface=127.0.0.1")
        own = {"IOTGW_GATEWAY_ID": name, "IOTGW_CONTROL_LISTEN": control, "IOTGW_CONTROL_TOKEN": token}
        gateways[name] = start_child(*gateway_command()[1:], name=name, **{**urls, **listen, **own})
        gateways[name].wait_until(lambda name=name: "control over HTTP" in gateways[name].output(), "control is there")
        asking[name] = Settings(control_listen=control, control_token=token)

    device = Terminal(ports["a"])
    for sequence in range(1, 4):
        # Each is seen at once, though only the beginning of the session was told.
        assert device.ask(up(LOCATION, here_at(datetime.now(UTC)), sequence, "13800000001"))
        wait_until(lambda: ask(asking["b"], "jt808", "13800000001")["gateway"] == "a", "its route is known")
        told = ask(asking["b"], "jt808", "13800000001")
        assert (told["facts"]["gateway"], told["facts"]["messages"], opened(told)) == ("a", sequence, {})

    gateways["a"].kill()
    device.close()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        # As time would.
        client.delete(*[key for key in client.keys(f"{ALIVE}*") if client.get(key) == "a"])
    told = ask(asking["b"], "jt808", "13800000001")
    assert "its gateway a has ended" in opened(told)["link"]

    device = Terminal(ports["b"])
    assert device.ask(up(HEARTBEAT, phone="13800000001"))
    assert ask(asking["b"], "jt808", "13800000001")["facts"]["gateway"] == "b"
    assert gateways["b"].stop(signal.SIGTERM) == -signal.SIGTERM
    with redis.Redis.from_url(redis_url) as client:
        facts = read_facts(client.hget(EVIDENCE, "jt808/13800000001"))
    assert (facts.gateway, facts.cause) == ("b", "shutdown"), "the last word of a gateway that stops"
