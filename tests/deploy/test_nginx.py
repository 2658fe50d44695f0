"""The configuration that is shipped, with the real nginx in front of real gateways.

| fault case | test |
| --- | --- |
| one of two gateways is killed | test_devices_of_a_killed_gateway_come_back_through_the_other |
| a header from somebody who is no proxy | test_limits_and_logs_have_the_devices_addresses |
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.registry import PROTOCOLS
from tests.deploy.gateways import Gateways
from tests.processes import Child, free_port
from tests.protocols.jt808.frames import up
from tests.servers import Nginx

FOLDER = Path(__file__).resolve().parents[2] / "deploy/nginx"
HEARTBEAT = 0x0002


def configuration(public: dict[int, int], gateways: dict[str, int]) -> str:
    """The files as they are shipped, with ports that are free here, and gateways at these for JT/T 808."""
    stream = (FOLDER / "iotgw-stream.conf").read_text()
    stream = re.sub(r"listen (\d+)", lambda match: f"listen 127.0.0.1:{public[int(match[1])]}", stream)
    stream = re.sub(r"(gateway-\d):(\d+)", lambda match: f"127.0.0.1:{gateways[match[1]] if int(match[2]) == PORT else 9}", stream)
    main = (FOLDER / "nginx.conf").read_text()
    assert main.count("include iotgw-stream.conf;") == 1
    return main.replace("include iotgw-stream.conf;", stream)


PORT = PROTOCOLS["jt808"].port


class Balanced:
    """nginx before gateways ``gateway-1`` and ``gateway-2``."""

    def __init__(self, nginx: Nginx, gateways: Gateways) -> None:
        self.gateways = gateways
        self.ports = {f"gateway-{number}": 0 for number in (1, 2)}
        for name in self.ports:
            self.start(name)
        # Last, and used at once: what other processes connect from would take them.
        public = {protocol.port: free_port() for protocol in PROTOCOLS.values()}
        self.port = public[PORT]
        self.nginx: Child = nginx.start(configuration(public, self.ports), list(public.values()))

    def start(self, name: str) -> None:
        self.ports[name] = self.gateways.start(name, f"haproxy:tcp:{self.ports[name]}:interface=127.0.0.1")


@pytest.fixture
def balanced(nginx: Nginx, start_child, tmp_path, sqlite_url, redis_broker_url, redis_url) -> Iterator[Balanced]:
    gateways = Gateways(
        start_child,
        tmp_path,
        IOTGW_DATABASE_URL=sqlite_url,
        IOTGW_BROKER_URL=redis_broker_url,
        IOTGW_REDIS_URL=redis_url,
        IOTGW_LOG_LEVEL="debug",
        IOTGW_TRUSTED_PROXIES='["127.0.0.1"]',
        IOTGW_UNLIMITED_ADDRESSES='["127.0.0.1"]',
        IOTGW_LINKS_PER_ADDRESS="1",
    )
    balanced = Balanced(nginx, gateways)
    yield balanced
    balanced.nginx.stop()


def connect(port: int, host: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30, source_address=(host, 0))


def answered(client: socket.socket, phone: str) -> bool:
    """Whether a device has an answer, and is not closed instead."""
    try:
        client.sendall(up(HEARTBEAT, phone=phone))
        return client.recv(1000) != b""
    except OSError:
        return False


def test_every_protocol_has_its_port_and_every_gateway(nginx: Nginx):
    text = (FOLDER / "iotgw-stream.conf").read_text()
    for protocol in PROTOCOLS.values():
        block = re.search(rf"upstream iotgw_{protocol.name} {{(.*?)}}\s*server {{(.*?)}}", text, re.DOTALL)
        assert block is not None, protocol.name
        assert "least_conn;" in block[1]
        assert re.findall(r"server (\S+)", block[1]) == [f"gateway-{number}:{protocol.port}" for number in (1, 2)]
        assert f"listen {protocol.port} " in block[2]
    assert text.count("    upstream ") == len(PROTOCOLS)


def test_nginx_waits_longer_than_any_protocol(nginx: Nginx):
    from settings import Settings

    settings = Settings()
    (hours,) = re.findall(r"proxy_timeout (\d+)h;", (FOLDER / "iotgw-stream.conf").read_text())
    assert int(hours) * 3600 > max(settings.idle_timeout_seconds, *settings.idle_timeouts.values())


def test_limits_and_logs_have_the_devices_addresses(balanced: Balanced):
    clients = {host: connect(balanced.port, host) for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")}
    for number, client in enumerate(clients.values()):
        assert answered(client, f"01380000000{number}")
    # One link of an address is the most here. A gateway that did not know them would have taken all for nginx's.
    more = [connect(balanced.port, "127.0.0.2") for _ in range(4)]
    taken = [answered(client, "013800000009") for client in more].count(True)
    assert taken <= 1, "the gateway that has one refuses, the other may take one"
    stranger = connect(balanced.ports["gateway-1"], "127.0.0.9")
    stranger.sendall(b"PROXY TCP4 127.0.0.3 127.0.0.1 4711 6808\r\n" + up(HEARTBEAT, phone="013800000001"))
    assert not answered(stranger, "013800000001")
    output = "".join(gateway.output() for gateway in balanced.gateways.running.values())
    for host, client in clients.items():
        assert f'"peer": "{host}:{client.getsockname()[1]}"' in output
        assert answered(client, "013800000008"), "nobody else is disturbed"
    counted = [balanced.gateways.stop(name) for name in balanced.ports]
    assert sum(counts.get("links.refused.address", 0) for counts in counted) == 4 - taken
    assert [counts.get("links.refused.proxy", 0) for counts in counted] == [1, 0]
    assert '"refused, not among trusted_proxies"' in output
    for client in (*clients.values(), *more, stranger):
        client.close()


def test_devices_of_a_killed_gateway_come_back_through_the_other(balanced: Balanced):
    gateways = balanced.gateways
    simulator = gateways.simulate(balanced.port, devices=40, interval=0.5, duration=12, settle=60)
    gateways.wait_for_acks(simulator, 300)
    lost, kept = gateways.sessions("gateway-1"), gateways.sessions("gateway-2")
    assert (len(lost), len(kept)) == (20, 20)
    gateways.kill("gateway-1")
    simulator.wait_until(lambda: gateways.sessions("gateway-2") >= lost, "all devices are on the other gateway")
    gateways.wait_for_acks(simulator, 100)
    # It comes back, and so do its share of new devices.
    balanced.start("gateway-1")
    assert gateways.verify(simulator) == f"0 lost, 0 duplicated, {gateways.acked} stored"
    assert gateways.acked > 600
