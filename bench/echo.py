"""What a read and a write cost: an echo of JT/T 808 sizes on Twisted's reactor, on the gateway's, and in C.

python -m bench.echo [--rounds 5] [--seconds 1] [--connections 1000]
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.decode import LOCATION
from bench.load import Outcome, build, cores, run, server
from protocols.jt808 import JT808

FRAME = JT808.terminal("13912345678").frame(123, LOCATION)
ANSWER_BYTES = 20
"""A platform's general response: marks, header, checksum and five bytes."""
IN_FLIGHT = (1, 8)
STOCK, OURS, C = "Twisted, stock", "Twisted, iotgw.reactor", "C, epoll"


def serve(kind: str) -> None:
    """Answer each frame by ANSWER_BYTES, with one write for all that one read brought."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if kind == "ours":
        from iotgw.reactor import install
    else:
        from twisted.internet.epollreactor import install
    install()
    from twisted.internet import reactor
    from twisted.internet.protocol import Protocol, ServerFactory

    size, answer = len(FRAME), bytes(ANSWER_BYTES)

    class Echo(Protocol):
        pending = 0

        def connectionMade(self) -> None:
            self.transport.setTcpNoDelay(True)

        def dataReceived(self, data: bytes) -> None:
            frames, self.pending = divmod(self.pending + len(data), size)
            if frames:
                self.transport.write(answer * frames)

    factory = ServerFactory.forProtocol(Echo)
    factory.noisy = False
    print(reactor.listenTCP(0, factory, backlog=4096, interface="127.0.0.1").getHost().port, flush=True)
    reactor.run()


@contextmanager
def rivals(program: Path) -> Iterator[dict[str, int]]:
    """The ports of all servers. Those that are not asked sleep."""
    core = cores().server
    commands: dict[str, list[str | Path]] = {
        STOCK: [sys.executable, "-m", "bench.echo", "serve", "stock"],
        OURS: [sys.executable, "-m", "bench.echo", "serve", "ours"],
        C: [program, "serve", str(len(FRAME)), str(ANSWER_BYTES)],
    }
    with ExitStack() as stack:
        logs = {name: program.parent / f"{number}.log" for number, name in enumerate(commands)}
        yield {name: stack.enter_context(server(command, core, logs[name])) for name, command in commands.items()}


def cells(outcomes: list[Outcome], against: list[Outcome]) -> list[str]:
    rates = [outcome.rate for outcome in outcomes]
    rate = median(rates)
    p50, p99 = (median(getattr(outcome, name) for outcome in outcomes) / 1000 for name in ("p50_us", "p99_us"))
    ratio = median(own.rate / its.rate for own, its in zip(outcomes, against, strict=True))
    return [
        f"{rate:,.0f}",
        f"±{(max(rates) - min(rates)) / 2 / rate:.0%}",
        f"{1e6 / rate:.2f}",
        f"{ratio:.2f}x",
        f"{p50:.1f} / {p99:.1f}",
        f"{median(outcome.busy for outcome in outcomes):.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("serve", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[1])
        return
    title = f"{len(FRAME)} bytes in, {ANSWER_BYTES} out, {arguments.connections} connections, median of {arguments.rounds}"
    columns = ("", "in flight", "answers/s", "half the spread", "µs each", "of stock", "p50 / p99 ms", "load's core")
    table = Table(*columns, title=title)
    with TemporaryDirectory() as folder:
        program = build(Path(folder))
        with rivals(program) as ports:
            for in_flight in IN_FLIGHT:
                options = {"seconds": arguments.seconds, "connections": arguments.connections, "in_flight": in_flight}
                outcomes: dict[str, list[Outcome]] = {name: [] for name in ports}
                # By turns, so that a slow moment of the machine falls on all of them.
                for _ in range(arguments.rounds):
                    for name, port in ports.items():
                        outcomes[name].append(run(program, cores().load, port, report=FRAME.hex(), answer=ANSWER_BYTES, **options))
                for name, own in outcomes.items():
                    table.add_row(name, str(in_flight), *cells(own, outcomes[STOCK]))
    Console(width=132).print(table)


if __name__ == "__main__":
    main()
