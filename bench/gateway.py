"""What a frame and its ack cost: JT/T 808 locations into a gateway that acks on receipt of the bytes, beside two echoes.

python -m bench.gateway [--rounds 5] [--seconds 2] [--connections 1000]

The gateway does all it does in production but wait for the commit: frames checked, headers opened, messages collected
and published to Redis, acks built. On the other core are the load, Redis, and a stand-in for the workers, which takes
each batch from Redis and says that it is stored.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

from bench.echo import FRAME, STOCK, C, rivals
from bench.load import ROOT, Outcome, build, cores, on_core, run
from bench.traffic import LOCATIONS, PUTS
from iotgw.stack import gateway_command, redis_command
from tasks.contract import INGEST_QUEUE, RECEIPT_FIELD, Receipt, mailbox, pack_receipt
from tests.processes import Child, free_port
from tests.stacks import listening

GATEWAY_ID = "bench"
GATEWAY = "iotgw, ack = receive"
IN_FLIGHT = (1, 8)


class Workers:
    """Takes what the gateway publishes and says that it is stored."""

    def __init__(self, url: str, broker_url: str) -> None:
        self._mailbox, self._broker = redis.Redis.from_url(url), redis.Redis.from_url(broker_url)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.batches = 0

    def __enter__(self) -> Workers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            popped: Any = self._broker.brpop([INGEST_QUEUE], timeout=1)
            if popped:
                # The task's id is the batch's and the number of the attempt.
                batch = json.loads(popped[1])["headers"]["id"].rpartition(".")[0]
                self._mailbox.xadd(mailbox(GATEWAY_ID), {RECEIPT_FIELD: pack_receipt(Receipt(batch, {}))}, maxlen=1000)
                self.batches += 1


@contextmanager
def gateway(folder: Path) -> Iterator[int]:
    """The port of a gateway on the server's core."""
    socket = folder / "redis.sock"
    url, broker_url = (f"unix://{socket}?db={number}" for number in (0, 1))
    port = free_port()
    environment = {
        **os.environ,
        **listening(jt808=f"tcp:{port}:backlog=4096:interface=127.0.0.1"),
        "IOTGW_VAR": str(folder),
        "IOTGW_REDIS_URL": url,
        "IOTGW_GATEWAY_ID": GATEWAY_ID,
        "IOTGW_ACKS__JT808": "receive",
        # A thousand devices instead of a fleet, each as fast as it can.
        "IOTGW_MESSAGES_PER_SECOND": "0",
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        with on_core(cores().load):
            server = Child(redis_command(folder, socket), folder / "redis.log")
        stack.callback(server.stop)
        server.wait_until(redis.Redis.from_url(url).ping, "Redis answers")
        with on_core(cores().server):
            child = Child(gateway_command(), folder / "gateway.log", environment)
        stack.callback(child.stop)
        child.wait_until(lambda: "listening" in child.output(), "the gateway listens")
        stack.enter_context(Workers(url, broker_url))
        yield port


def cells(name: str, all_outcomes: dict[str, list[Outcome]]) -> list[str]:
    outcomes = all_outcomes[name]
    rates = [outcome.rate for outcome in outcomes]
    rate = median(rates)
    p50, p99 = (median(getattr(outcome, quantile) for outcome in outcomes) / 1000 for quantile in ("p50_us", "p99_us"))
    ratios = [median(own.rate / its.rate for own, its in zip(outcomes, all_outcomes[rival], strict=True)) for rival in (STOCK, C)]
    return [
        f"{rate:,.0f}",
        f"±{(max(rates) - min(rates)) / 2 / rate:.0%}",
        f"{1e6 / rate:.1f}",
        *(f"{ratio:.2f}x" for ratio in ratios),
        f"{p50:.1f} / {p99:.1f}",
        f"{median(outcome.busy for outcome in outcomes):.0%}",
    ]


def measure(arguments: argparse.Namespace, folder: Path) -> Table:
    title = f"{len(FRAME)} bytes in, 20 out, {arguments.connections} connections, median of {arguments.rounds}"
    columns = ("", "in flight", "acks/s", "half the spread", "µs each", "of stock", "of C", "p50 / p99 ms", "load's core")
    table = Table(*columns, title=title)
    program = build(folder)
    load = cores().load
    with rivals(program) as ports, gateway(folder) as port:
        for in_flight in IN_FLIGHT:
            options = {"seconds": arguments.seconds, "connections": arguments.connections, "in_flight": in_flight}
            outcomes: dict[str, list[Outcome]] = {name: [] for name in (STOCK, GATEWAY, C)}
            # By turns, so that a slow moment of the machine falls on all of them.
            for _ in range(arguments.rounds):
                for name in (STOCK, C):
                    outcomes[name].append(run(program, load, ports[name], report=FRAME.hex(), answer=20, **options))
                outcomes[GATEWAY].append(run(program, load, port, PUTS, **LOCATIONS, **options))
            for name in outcomes:
                table.add_row(name, str(in_flight), *cells(name, outcomes))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, default=1000)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        Console(width=132).print(measure(arguments, Path(folder)))


if __name__ == "__main__":
    main()
