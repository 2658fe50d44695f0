"""A whole fleet that comes back at once: how long until its last device is let in and answered, and how late others are meanwhile.

python -m bench.storm [--devices 10000] [--rounds 3]

Every device is known and shows its own credential. Each round has three storms on a gateway that has just started: nobody
is remembered; everybody is, from the storm before, after the gateway was killed; and the same with the workers stopped, so
that Redis alone says who may come in and the spool is what answers. Meanwhile somebody else asks the gateway for /healthz,
over and over.
"""

from __future__ import annotations

import argparse
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from statistics import median
from typing import NamedTuple
from urllib.request import Request, urlopen

import psycopg
import redis
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.stack import Gateway, Stack
from protocols.credential import SALT_BYTES, seal
from protocols.jt808 import JT808
from protocols.jt808.header import Header, frame
from protocols.jt808.terminal_management import AUTHENTICATE, SUCCESS
from tests.processes import free_port, wait_until

FIRST_DEVICE = 13_700_000_000
STORM_SECONDS = 120.0
AT_ONCE = 200
"""Links that are opened before the devices look at those they have."""
STORMS = ("nobody is remembered", "everybody is", "and no worker answers")
PROBE = """
import http.client, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
took = []
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[2])
try:
    while time.monotonic() < end:
        began = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        took.append(time.perf_counter() - began)
        time.sleep(0.005)
except KeyboardInterrupt:
    pass
print(*took)
"""


class Storm(NamedTuple):
    connected: float
    """Until the last link was open. Units: seconds, as all here."""
    answered: float
    """Until the last device had its answer."""
    p50: float
    """Of all devices, from opening the link to the answer."""
    p99: float
    probe_p50: float
    probe_p99: float
    probe_max: float
    lag_late: str
    """How many of the gateway's own looks at its lag were above 0.05 s."""


def phone(number: int) -> str:
    return str(FIRST_DEVICE + number)


def create(stack: Stack, count: int) -> None:
    """Devices with a credential each, their own number."""
    with psycopg.connect(stack.environment["IOTGW_DATABASE_URL"]) as connection, connection.cursor() as cursor:
        statement = "COPY store_device (protocol, identity, name, is_enabled, credential, created_at) FROM STDIN"
        with cursor.copy(statement) as copy:
            for number in range(count):
                sealed = seal(phone(number), secrets.token_bytes(SALT_BYTES))
                copy.write_row((JT808.name, phone(number), "", True, sealed, "2026-01-01T00:00:00Z"))


def authentication(number: int) -> bytes:
    return frame(Header(AUTHENTICATE, phone(number), 1), phone(number).encode())


def is_accepted(data: bytes) -> bool:
    """Whether these bytes, without escapes in them, are the answer to an authentication, and a good one."""
    return len(data) > 17 and data[13:17] == b"\0\1\1\2" and data[17] == SUCCESS


def run(port: int, frames: Sequence[bytes]) -> tuple[float, list[float]]:
    """All devices at once: until the last link was open, and until each had its answer."""
    began = time.monotonic()
    opened: dict[socket.socket, float] = {}
    took: list[float] = []
    connected = 0.0
    selector = selectors.DefaultSelector()
    waiting = iter(frames)
    try:
        while len(took) < len(frames):
            for data in islice(waiting, AT_ONCE):
                link = socket.socket()
                link.setblocking(False)
                link.connect_ex(("127.0.0.1", port))
                opened[link] = time.monotonic()
                selector.register(link, selectors.EVENT_WRITE, data)
            for key, _ in selector.select(0 if len(opened) < len(frames) else 1):
                link = key.fileobj  # type: ignore[assignment]
                if key.data is not None:
                    link.send(key.data)
                    connected = time.monotonic() - began
                    selector.modify(link, selectors.EVENT_READ, None)
                elif not is_accepted(link.recv(4096)):
                    raise SystemExit("a device was not let in")
                else:
                    took.append(time.monotonic() - opened[link])
                    selector.unregister(link)
            if time.monotonic() - began > STORM_SECONDS:
                raise SystemExit(f"{len(frames) - len(took)} of {len(frames)} devices have no answer after {STORM_SECONDS:g} s")
        return connected, [time.monotonic() - began, *sorted(took)]
    finally:
        for link in opened:
            link.close()
        selector.close()


@contextmanager
def probing(port: int) -> Iterator[list[float]]:
    """Somebody who asks for /healthz meanwhile; how long each answer took is there after the block."""
    took: list[float] = []
    command = [sys.executable, "-c", PROBE, str(port), str(STORM_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield took
        finally:
            process.send_signal(signal.SIGINT)
            took += map(float, process.stdout.read().split())


def lag(control: int, token: str) -> tuple[int, int]:
    """Of the gateway's looks at its lag: those above 0.05 s, and all."""
    request = Request(f"http://127.0.0.1:{control}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urlopen(request) as answer:
        lines = answer.read().decode().splitlines()
    counts = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("iotgw_reactor_lag_seconds")}
    below, all_looks = counts['iotgw_reactor_lag_seconds_bucket{le="0.05"}'], counts["iotgw_reactor_lag_seconds_count"]
    return int(all_looks - below), int(all_looks)


def storm(gateway: Gateway, control: int, token: str, frames: Sequence[bytes]) -> Storm:
    wait_until(lambda: lag(control, token), "control answers")
    late, looks = lag(control, token)
    with probing(control) as probes:
        connected, (answered, *took) = run(gateway.port, frames)
    late_after, looks_after = lag(control, token)
    probes.sort()
    quantiles = [ordered[int(len(ordered) * part)] for ordered in (took, probes) for part in (0.5, 0.99)]
    return Storm(connected, answered, *quantiles, probes[-1], f"{late_after - late} of {looks_after - looks}")


def round_of(stack: Stack, control: int, token: str, frames: Sequence[bytes]) -> Iterator[Storm]:
    with redis.Redis.from_url(stack.environment["IOTGW_REDIS_URL"]) as client:
        for key in client.scan_iter("iotgw:known:*", count=10_000):
            client.delete(key)
    yield storm(stack.restart_gateway(), control, token, frames)
    yield storm(stack.restart_gateway(), control, token, frames)
    worker = stack.worker.process.pid
    gateway = stack.restart_gateway()
    os.killpg(worker, signal.SIGSTOP)
    try:
        yield storm(gateway, control, token, frames)
    finally:
        os.killpg(worker, signal.SIGCONT)
    wait_until(stack.is_settled, "all is stored", STORM_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--devices", type=int, default=10_000, help="that come back at once")
    parser.add_argument("--rounds", type=int, default=3, help="of three storms each")
    arguments = parser.parse_args()
    console = Console(width=140)
    frames = [authentication(number) for number in range(arguments.devices)]
    control, token = free_port(), secrets.token_hex(16)
    settings = {"control_listen": f"tcp:{control}:interface=127.0.0.1", "control_token": token, "admission": "credential"}
    rounds: list[list[Storm]] = []
    with Stack(**settings) as stack, Progress(console=console) as bar:
        create(stack, arguments.devices)
        task = bar.add_task("storms", total=arguments.rounds * len(STORMS))
        for _ in range(arguments.rounds):
            rounds.append([])
            for result in round_of(stack, control, token, frames):
                rounds[-1].append(result)
                bar.advance(task)
    table = Table(
        *("", "links open s", "all answered s", "p50 / p99 s", "/healthz p50 / p99 / max ms", "lag above 50 ms"),
        title=f"{arguments.devices:,} devices come back at once, medians of {arguments.rounds} (least to most)",
    )
    for row, name in enumerate(STORMS):
        storms = [each[row] for each in rounds]
        answered = [each.answered for each in storms]
        middle = [median(float(value) for value in column) for column in zip(*(each[:-1] for each in storms), strict=True)]
        table.add_row(
            name,
            f"{middle[0]:.2f}",
            f"{middle[1]:.2f} ({min(answered):.2f} to {max(answered):.2f})",
            f"{middle[2]:.2f} / {middle[3]:.2f}",
            " / ".join(f"{value * 1000:.0f}" for value in middle[4:7]),
            ", ".join(each.lag_late for each in storms),
        )
    console.print(table)


if __name__ == "__main__":
    main()
