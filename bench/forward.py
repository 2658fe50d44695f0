"""Forwarding: how fast, what a subscriber that is dead costs ingest, and what is left of kills.

python -m bench.forward [--notices 20000] [--rounds 20]

PostgreSQL, mosquitto, and a subscriber to webhooks that writes down what comes. Ingest is the workers' writer in this process,
by turns with all targets paused and with two that are dead: one hangs, one is not there. It ends with status 1 if anything is lost
or out of its order.
"""

from __future__ import annotations

import argparse
import base64
import os
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

_FOLDER = tempfile.TemporaryDirectory(prefix="iotgw-bench-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": _FOLDER.name}

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from bench.databases import default_database  # noqa: E402
from bench.usage import Usage  # noqa: E402
from store import targets  # noqa: E402
from store.bulk import write  # noqa: E402
from store.models import Report, Target, TargetCursor  # noqa: E402
from tests.processes import Child, free_port, wait_until  # noqa: E402
from tests.records import NOON, anybody, incoming, minutes, report  # noqa: E402
from tests.servers import Mosquitto, PostgreSQL, ServerMissingError  # noqa: E402
from tests.tasks.forward.killing import Outcome, Plan, run  # noqa: E402
from tests.tasks.forward.targets import ANA, add  # noqa: E402

ROOT = Path(__file__).parent.parent
FOLDER = Path(_FOLDER.name)
BATCH = 2_000
REPORTS_A_ROUND = 6_000
DEVICES = 1_000
VALUES = {"odometer_km": 1234.5, "battery_v": 12.6, "ignition": True, "satellites": 11, "signal": 24, "fuel_l": 41.5}
LONGEST_SECONDS = 300.0
HANGS_SECONDS = 5.0
"""A request to the one that hangs; a pause waits for it."""


class Children:
    """Processes of the bench."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._children: list[Child] = []

    def start(self, *words: str, name: str = "child") -> Child:
        log = FOLDER / f"{name}-{len(self._children)}.log"
        self._children.append(Child([sys.executable, *words], log, self._environment))
        return self._children[-1]

    def forward(self) -> Child:
        return self.start("-m", "django", "forward", name="forward")

    def close(self) -> None:
        for child in self._children:
            child.stop()


def store(first: int, count: int) -> None:
    for start in range(first, first + count, BATCH):
        rows = []
        for number in range(start, min(start + BATCH, first + count)):
            sent = report(f"{number}".encode(), NOON + minutes(number / 60), latitude=30.5, longitude=104.1, values=VALUES)
            rows.append(incoming(sent, identity=f"{number % DEVICES}", received_at=NOON))
        write(rows, is_open=anybody)


def rate(target: Target, forwarder: Child) -> tuple[float, float]:
    """Notices a second, and microseconds of processor time of the forwarder for each, while a target catches up."""
    cursor = TargetCursor.objects.get(target=target)
    newest = Report.objects.order_by("-pk").values_list("pk", flat=True)[0]
    wait_until(lambda: cursor.refresh_from_db() or cursor.sent, "it has begun", LONGEST_SECONDS)
    before, began, usage = cursor.sent, time.monotonic(), Usage({"forwarder": forwarder.process.pid})
    wait_until(lambda: cursor.refresh_from_db() or cursor.last_id == newest, "it has caught up", LONGEST_SECONDS)
    seconds, share = time.monotonic() - began, usage.shares()["forwarder"]
    return (cursor.sent - before) / seconds, share * seconds / (cursor.sent - before) * 1e6


def ingest(rounds: int, first: int, count: int, forwarder: Child) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Reports stored a second, while nobody is sent to and while two are dead, and the forwarder's part of a core."""
    found: dict[str, list[float]] = {"paused": [], "dead": []}
    shares: dict[str, list[float]] = {"paused": [], "dead": []}
    for number in range(2 * rounds):
        name = ("paused", "dead")[(number + number // 2) % 2]
        for target in Target.objects.filter(name__startswith="dead"):
            (targets.resume(target.name, ANA) if name == "dead" else targets.pause(target.name, "", ANA))
        is_owned = Target.objects.filter(name__startswith="dead").exclude(owner="")
        wait_until(
            lambda name=name, is_owned=is_owned: is_owned.count() == (2 if name == "dead" else 0), "lanes have begun or ended"
        )
        began, usage = time.monotonic(), Usage({"forwarder": forwarder.process.pid})
        store(first + number * count, count)
        found[name].append(count / (time.monotonic() - began))
        shares[name].append(usage.shares()["forwarder"])
    return found, shares


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--notices", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=20)
    given = arguments.parse_args()
    secret = FOLDER / "secret"
    secret.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    with ExitStack() as stack:
        try:
            server, mosquitto = stack.enter_context(closing(PostgreSQL())), stack.enter_context(closing(Mosquitto()))
        except ServerMissingError as error:
            raise SystemExit(f"the bench needs {error}") from error
        rates = measured(server, mosquitto, secret, given.notices, given.rounds)
        outcome = killed(server, mosquitto, secret)
    for name, (a_second, each) in rates.items():
        print(f"{name}: {a_second:,.0f} notices/s, {each:.0f} µs of the forwarder's processor time each")
    print(
        f"killed -9: {', '.join(f'{name} {kills} times' for name, kills in outcome.kills.items())}, while {outcome.notices:,} came"
    )
    copies = ", ".join(f"{count:,} to {name}" for name, count in outcome.copies.items())
    print("\n".join(outcome.faults) or f"nothing lost, each device's in its order; copies: {copies}")
    sys.exit(bool(outcome.faults))


def measured(server: PostgreSQL, mosquitto: Mosquitto, secret: Path, notices: int, rounds: int) -> dict[str, tuple[float, float]]:
    url, hook_port, mqtt_port = server.create("rates"), free_port(), free_port()
    children = Children({**os.environ, "IOTGW_DATABASE_URL": url, "PYTHONPATH": str(ROOT)})
    broker = mosquitto.start(mqtt_port)
    hanging = socket.create_server(("127.0.0.1", 0))
    found = {}
    try:
        with default_database(url):
            call_command("migrate", verbosity=0)
            children.start("-m", "tests.tasks.forward.recorder", str(hook_port), str(FOLDER / "rates"), name="recorder")
            store(0, notices)
            forwarder = children.forward()
            own = {
                "webhook": (f"http://127.0.0.1:{hook_port}/", {"secret_file": str(secret)}),
                "mqtt": (f"mqtt://127.0.0.1:{mqtt_port}", {}),
            }
            for kind, (address, options) in own.items():
                target = add(kind, kind, ["reports"], since=NOON, address=address, **options)
                found[kind] = rate(target, forwarder)
                targets.pause(kind, "", ANA)
            hook = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
            add("dead-hook", "webhook", ["reports"], since=NOON, address=hook, secret_file=str(secret), total_seconds=HANGS_SECONDS)
            add("dead-broker", "mqtt", ["reports"], since=NOON, address=f"mqtt://127.0.0.1:{free_port()}")
            speeds, shares = ingest(rounds, notices, REPORTS_A_ROUND, forwarder)
            for name, each in speeds.items():
                spread = f"({min(each):,.0f} to {max(each):,.0f})"
                print(f"ingest, {name}: {median(each):,.0f} reports/s {spread}, forwarder {median(shares[name]):.1%} of a core")
            ratio = median(dead / paused for dead, paused in zip(speeds["dead"], speeds["paused"], strict=True))
            print(f"dead beside paused, of each two rounds side by side: {ratio:.3f}")
    finally:
        children.close()
        broker.stop()
        hanging.close()
    return found


def killed(server: PostgreSQL, mosquitto: Mosquitto, secret: Path) -> Outcome:
    url = server.create("kills")
    children = Children({**os.environ, "IOTGW_DATABASE_URL": url, "PYTHONPATH": str(ROOT)})
    try:
        with default_database(url):
            call_command("migrate", verbosity=0)
            plan = Plan(100, 200, brokers=range(5, 95, 10), hooks=range(8, 95, 10), forwarders=range(30, 95, 20))
            return run(plan, mosquitto, secret, children.forward, children.start)
    finally:
        children.close()


if __name__ == "__main__":
    main()
