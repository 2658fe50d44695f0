"""A control API without servers: requests in, answers out, over a transport in memory."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import StringTransport

from iotgw.callers import Callers
from iotgw.control.commands import catalogues
from iotgw.control.reach import Reach
from iotgw.control.server import ControlSite
from iotgw.draining import Draining
from iotgw.lag import Lag
from iotgw.offload import Call, Offload
from iotgw.readiness import Readiness
from protocols.registry import PROTOCOLS
from tests.iotgw.fakes import House, LineProtocol

TOKEN = "0123456789abcdef"


class FakeQueues:
    depths: dict[str, int] = {"ingest": 3, "default": 0}  # noqa: RUF012
    unacked: int | None = 2
    asked_at: float | None = 100.0


class FakeMailbox:
    read_at: float | None = 100.0


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Desk:
    """A gateway on a fake clock, and the control API before it."""

    def __init__(self, protocol: LineProtocol | None = None, **settings: Any) -> None:
        self.house = House(protocol, **{"control_token": TOKEN, "control_tasks": ["tasks.devices.summary"], **settings})
        gateway, clock = self.house.gateway, self.house.clock
        self.queues, self.mailbox = FakeQueues(), FakeMailbox()
        self.sent: list[tuple[Call, Deferred[None]]] = []
        self.offload = Offload("gw", clock, gateway.statistics, self._send)
        self.draining = Draining(gateway, clock, lambda: succeed(None))
        self.is_listening = True
        self.seconds = 101.0
        readiness = Readiness(
            gateway,
            self.draining,
            self.mailbox,  # type: ignore[arg-type]
            self.queues,  # type: ignore[arg-type]
            lambda: self.is_listening,
            lambda: self.seconds,
        )
        lag = Lag(clock, gateway.statistics.lag)
        self.callers = Callers(clock)
        known = catalogues({"jt808": PROTOCOLS["jt808"]})
        watched: Any = (self.queues, lag, self.draining, readiness)
        self.reach = Reach(gateway.settings, gateway, self.offload, *watched, self.callers, known)
        self.site = ControlSite(self.reach, clock)

    def _send(self, call: Call) -> Deferred[None]:
        published: Deferred[None] = Deferred()
        self.sent.append((call, published))
        return published

    def begin(self, method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str) -> Asking:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return self.raw("\r\n".join([*lines, "", ""]).encode() + data)

    def raw(self, data: bytes) -> Asking:
        asking = Asking(self)
        asking.channel.dataReceived(data)
        return asking

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answered:
        return self.begin(method, path, body, **options).answer()

    def get(self, path: str, **options: Any) -> Answered:
        return self.ask("GET", path, **options)

    def count(self, name: str) -> int:
        return int(self.house.statistics[name])


class Asking:
    """One connection with one request on it."""

    def __init__(self, desk: Desk) -> None:
        address = IPv4Address("TCP", "127.0.0.1", 1)
        self.transport = StringTransport(peerAddress=address)
        self.channel = desk.site.buildProtocol(address)
        self.channel.makeConnection(self.transport)

    @property
    def is_answered(self) -> bool:
        return bool(self.transport.value())

    def answer(self) -> Answered:
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return Answered(int(first.split()[1]), headers, body.decode())
