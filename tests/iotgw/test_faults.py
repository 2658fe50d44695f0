"""Fault cases of docs/faults.md that no other file is about."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from iotgw import service
from iotgw.spool import Spool
from protocols import Event
from tests.iotgw.fakes import House, LineCodec, LineProtocol
from tests.iotgw.few_descriptors import FREE
from tests.iotgw.test_accepting import Listener, listen  # noqa: F401 (a fixture)

ROOT = Path(__file__).parent.parent.parent
SECONDS = 20


class FailingCodec(LineCodec):
    def receive(self, data: bytes, now: float) -> Sequence[Event]:
        if data == b"fail\n":
            raise ZeroDivisionError
        return super().receive(data, now)


class FailingProtocol(LineProtocol):
    def codec(self, identity: str = "") -> LineCodec:
        return FailingCodec()


def hello(port: int) -> tuple[socket.socket, bytes]:
    """Connect and be greeted; nothing if the connection ends instead."""
    client = socket.create_connection(("127.0.0.1", port), SECONDS)
    try:
        client.sendall(b"? hello\n")
        return client, client.recv(100)
    except OSError:
        return client, b""


@pytest.fixture
def poor() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A gateway that has few descriptors left, and its port."""
    command = [sys.executable, "-m", "tests.iotgw.few_descriptors"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield child, int(child.stdout.readline())
        child.kill()


def test_without_descriptors_links_go_on_and_new_ones_come_in_again(poor: tuple[subprocess.Popen[str], int]):
    child, port = poor
    clients = [hello(port) for _ in range(3 * FREE)]
    served = [client for client, answer in clients if answer == b"welcome\n"]
    assert FREE // 2 < len(served) <= FREE
    assert {answer for _, answer in clients} == {b"welcome\n", b""}, "the others are closed, not left waiting"
    for client in served:
        client.sendall(b"? hello\n")
        assert client.recv(100) == b"welcome\n"
    for client, _ in clients:
        client.close()
    answer, attempts = b"", 0
    while not answer:
        # The gateway may not have seen yet that the others are gone.
        client, answer = hello(port)
        client.close()
        attempts += 1
        assert attempts < 1000
    assert answer == b"welcome\n"
    output, _ = child.communicate(timeout=SECONDS)
    opened, left = map(int, output.split())
    assert opened >= len(served) + 1
    assert left == 0
    assert child.returncode == 0


def test_a_codec_that_fails_on_what_came_costs_its_own_link_only(listen):  # noqa: F811
    listener: Listener = listen()
    listener.port.factory._protocol = FailingProtocol()
    failing, other = listener.connect(), listener.connect()
    other.send(b"dev 1 a\n")
    failing.send(b"fail\n")
    listener.turn()
    assert listener.is_closed(failing)
    assert not listener.is_closed(other)
    assert listener.gateway.links == 1
    listener.house.clock.advance(0)
    listener.house.commit()
    listener.turn()
    assert other.recv(100) == b"dev:1 STORED\n"


def test_a_device_that_closes_its_side_is_gone_and_what_it_sent_is_taken(listen):  # noqa: F811
    listener: Listener = listen()
    client = listener.connect()
    client.send(b"dev 1 a\ndev 1 b\n")
    client.shutdown(socket.SHUT_WR)
    listener.turn()
    assert listener.gateway.links == 0
    listener.house.clock.advance(0)
    assert [entry.message.body for batch in listener.house.publisher.batches for entry in batch.entries] == [b"a", b"b"]
    listener.house.commit()
    assert listener.house.statistics["acks.too_late"] == 2


def test_a_handshake_that_never_ends_has_the_deadline_of_every_link(listen):  # noqa: F811
    listener: Listener = listen("tls")
    client = listener.connect()
    client.send(b"\x16\x03\x01\x02\x00\x01\x00")
    listener.turn()
    assert not listener.is_closed(client)
    listener.house.pass_time(60)
    listener.turn()
    assert listener.is_closed(client)
    assert listener.gateway.links == listener.transports == 0


def test_acks_of_a_link_that_has_gone_are_counted_and_stop_nobody_else():
    house = House()
    gone, transport = house.connect()
    here, written = house.connect()
    house.say(gone, "a 1 x")
    house.say(here, "b 1 x")
    transport.finish()
    house.commit()
    assert written.value() == b"b:1 STORED\n"
    assert house.statistics["acks.too_late"] == 1
    assert len(house.gateway.sessions) == 1


class UngratefulCodec(LineCodec):
    def end(self) -> Sequence[Event]:
        raise ZeroDivisionError


class UngratefulProtocol(LineProtocol):
    def codec(self, identity: str = "") -> LineCodec:
        return UngratefulCodec()


def test_a_codec_that_fails_at_the_end_leaves_no_link_behind():
    house = House(UngratefulProtocol())
    _, transport = house.connect()
    with pytest.raises(ZeroDivisionError):
        transport.finish()
    assert (house.gateway.links, len(house.gateway.addresses), len(house.gateway.wheel)) == (0, 0, 0)


def test_a_codec_that_fails_on_what_came_is_counted_as_our_fault():
    house = House(FailingProtocol())
    link, transport = house.connect()
    house.say(link, "fail")
    transport.finish()
    assert house.statistics["links.closed.fault"] == 1


def test_a_broker_that_is_away_is_said_once_and_not_for_each_batch_a_second():
    house = House(batch_messages=1, batches_in_flight=8, spool_bytes=0)
    house.publisher.error = OSError("away")
    link, _ = house.connect()
    with capture_logs() as lines:
        house.say(link, *["a 1 x"] * 8)
        house.pass_time(60)
        house.publisher.error = None
        house.pass_time(5)
    said = [line["event"] for line in lines if "published" in line["event"] and "receipt" not in line["event"]]
    assert said == ["batch not published, will try again", "batches are published again"]


def test_strangers_write_no_log():
    house = House(ban_offences=0)
    with capture_logs() as lines:
        for number in range(100):
            garbage, _ = house.connect(f"192.0.2.{number}")
            garbage.dataReceived(b"x\n" * 10)
            claim, _ = house.connect(f"192.0.2.{number}")
            house.say(claim, "victim 1 a")
            house.commit()
    assert [line for line in lines if line["log_level"] != "debug"] == []


def test_a_disk_that_hangs_holds_no_messages_that_are_stored(tmp_path: Path):
    """Its thread never comes back from an fsync, and workers go on."""
    house = House(batch_messages=1, batches_in_flight=2, messages_per_second=0)
    spool = Spool(tmp_path / "spool", 1 << 20, house.clock, house.statistics)
    house.gateway.batches.overflow_into(spool)
    link, _ = house.connect()
    held = []
    for _ in range(100):
        house.say(link, "a 1 x", "a 1 x", "a 1 x")
        held += [batch for batch in house.publisher.batches if batch not in held]
        house.commit()
    assert len(held) > 100
    assert sum(len(batch.entries) for batch in held if batch.is_committed) == 0


def test_a_process_with_few_open_files_takes_more_and_says_when_there_are_not_enough():
    code = (
        "import resource; from structlog.testing import capture_logs; from iotgw import service\n"
        "with capture_logs() as lines:\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 1000)); service._open_files(500)\n"
        "    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], len(lines)); service._open_files(5000)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], lines[0]['limit'])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[:2] == [f"{500 + service.OTHER_FILES} 0", "1000 1000"]
