"""From a batch to committed rows: one worker process on PostgreSQL and SQLite, against what Django offers for it.

python -m bench.ingest [--rounds 5] [--batches 12] [--messages 2000]
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

_FOLDER = tempfile.TemporaryDirectory(prefix="iotgw-bench-")
os.environ |= {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_VAR": _FOLDER.name}

import django  # noqa: E402

django.setup()

import msgpack  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from bench.databases import default_database  # noqa: E402
from bench.timing import pin  # noqa: E402
from settings import Settings  # noqa: E402
from store.bulk import Incoming, binary, write  # noqa: E402
from store.channels import KnownChannels  # noqa: E402
from store.models import Device, Report, State  # noqa: E402
from store.rows import prepare  # noqa: E402
from store.rules.rulebook import KnownRules  # noqa: E402
from tasks.celery import collect_seldom  # noqa: E402
from tasks.channels import known_channels  # noqa: E402
from tasks.contract import IngestMessage, ingest_payload  # noqa: E402
from tasks.ingest import checked_payload, decoded  # noqa: E402
from tasks.rulebook import known_rules  # noqa: E402
from tests.servers import PostgreSQL, ServerMissingError  # noqa: E402

ONE_BY_ONE = 80
"""Of a batch's reports, as many as are saved one by one: each waits for the disk."""
FIRST_PHONE = 13_900_000_000
BEGIN = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
"""Today, as what devices send: on PostgreSQL its month has a partition."""
CHINA = timezone(timedelta(hours=8))
STATES = (0x0C0003, 0x0C0003, 0x0C0003, 0x0C0002, 0x0C0000, 0x0C1003)
"""Status words of a fleet: most drive, some stand, some have no fix."""
PLACE = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")


class Spent(NamedTuple):
    """Microseconds of one report in one round, by step; ``wall`` from the payload to the commit."""

    steps: Mapping[str, float]
    wall: float
    server: float
    """Of PostgreSQL's processor, for this connection; 0 on SQLite, which is in the worker."""
    messages: int = 0
    """Of the batch, where it is asked for."""

    @property
    def processor(self) -> float:
        return sum(self.steps.values())


def location(device: int, number: int, chance: random.Random) -> IngestMessage:
    """A report like those of the road: five to seven items, and nothing twice."""
    at = BEGIN + timedelta(seconds=number)
    head = struct.pack(">IIIIhHH", 0, chance.choice(STATES), 31_000_000 + chance.randrange(10**6), 121_000_000, 30, 600, 90)
    body = head + bytes.fromhex(f"{at.astimezone(CHINA):%y%m%d%H%M%S}")
    body += struct.pack(">BBIBBHBBHBBBBBB", 1, 4, 10_000 * device + number, 2, 2, 500, 3, 2, 610, 0x30, 1, 25, 0x31, 1, 18)
    if device % 2:
        body += struct.pack(">BBI", 0x25, 4, chance.choice((0, 1, 16)))
    if device % 4 == 3:
        body += struct.pack(">BBH", 0x2A, 2, chance.randrange(3))
    phone, sequence = FIRST_PHONE + device, number % 65_536
    head = struct.pack(">HH", 0x0200, len(body)) + bytes.fromhex(f"{phone:012}") + sequence.to_bytes(2, "big")
    return IngestMessage("jt808", str(phone), 0x0200, sequence, head, body, int(at.timestamp() * 1000) + device)


def payloads(messages: int, first: int = 0) -> Iterator[bytes]:
    """Batches as they come from the broker, each of all devices from the first on, a second after the last."""
    chance = random.Random(808)
    for number in count():
        yield packed([location(device, number, chance) for device in range(first, first + messages)])


def packed(messages: Sequence[IngestMessage]) -> bytes:
    return bytes(msgpack.packb(ingest_payload("b", "bench", messages)))


def unpacked(payload: bytes) -> list[IngestMessage]:
    return checked_payload(**msgpack.unpackb(payload))


def by_worker(payload: bytes, channels: KnownChannels = known_channels, rules: KnownRules | None = None) -> Spent:
    """The way of :func:`tasks.ingest.store_batch`. Rows are encoded once more by themselves, to tell what part it is of writing."""
    rules = rules or known_rules
    served, begin, start = server_time(), perf_counter(), process_time()
    rows = unpacked(payload)
    has_rows = process_time()
    decoding, batch = 0.0, []

    def decode(part: Sequence[IngestMessage]) -> list[Incoming]:
        nonlocal decoding
        begun = process_time()
        incoming = [decoded(row) for row in part]
        decoding += process_time() - begun
        batch.extend(incoming)
        return incoming

    if write(rows, decode, is_open=lambda protocol: True, channels=channels, rules=rules):
        raise AssertionError("not all was stored")
    is_written, end, served = process_time(), perf_counter(), server_time() - served
    encoding = _encoding(batch)
    steps = {
        "unpack": has_rows - start,
        "decode": decoding,
        "encode": encoding,
        "write": is_written - has_rows - decoding - encoding,
    }
    each = 1e6 / len(rows)
    return Spent({name: each * seconds for name, seconds in steps.items()}, each * (end - begin), each * served, len(rows))


def server_time() -> float:
    """Seconds that PostgreSQL's process for this connection has spent so far, as Linux counts them; without a connection, 0."""
    connection = connections["default"]
    if connection.vendor != "postgresql" or connection.connection is None:
        return 0.0
    spent = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text()
    return int(spent.split()[0]) / 1e9


def by_two_workers(waiting: Sequence[Iterator[bytes]], batches: int) -> Spent:
    """Two processes at once, each with devices of its own. What one spends waiting for the database the other works in."""
    connections["default"].close()
    with ProcessPoolExecutor(len(waiting), get_context("fork")) as pool:
        shares = [pool.submit(_share, [next(payloads) for _ in range(batches + 1)]) for payloads in waiting]
        spent = [share.result() for share in shares]
    wall = max(end for _, _, end in spent) - min(begin for _, begin, _ in spent)
    each = [one for ones, _, _ in spent for one in ones]
    steps = {step: sum(one.steps[step] for one in each) / len(each) for step in each[0].steps}
    return Spent(steps, 1e6 * wall / sum(one.messages for one in each), sum(one.server for one in each) / len(each))


def _share(payloads: Sequence[bytes]) -> tuple[list[Spent], float, float]:
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    by_worker(payloads[0])  # connects
    begin = perf_counter()
    return [by_worker(payload) for payload in payloads[1:]], begin, perf_counter()


def a_task_each(payload: bytes) -> Spent:
    """The same with a batch for each message: what a task for each would do, without what the broker and Celery cost."""
    each = [by_worker(packed([message])) for message in unpacked(payload)[:ONE_BY_ONE]]
    steps = {name: sum(spent.steps[name] for spent in each) / len(each) for name in each[0].steps}
    return Spent(steps, sum(spent.wall for spent in each) / len(each), sum(spent.server for spent in each) / len(each))


def _encoding(batch: Sequence[Incoming]) -> float:
    is_binary = connections["default"].vendor == "postgresql"
    start = process_time()
    for incoming in batch:
        (report,) = prepare(incoming).reports
        if is_binary:
            binary.report_row(1, 1, report, True)
    return process_time() - start


def by_bulk_create(payload: bytes) -> Spent:
    """All reports and all states of a batch by one ``bulk_create`` each, in one transaction."""

    def store(batch: list[Incoming]) -> int:
        reports = _reports(batch)
        states = [State(device_id=report.device_id, **_state(report)) for report in reports]
        names = list(_state(reports[0]))
        with transaction.atomic():
            Report.objects.bulk_create(reports, ignore_conflicts=True)
            State.objects.bulk_create(states, update_conflicts=True, unique_fields=["device"], update_fields=names)
        return len(reports)

    return _by_django(payload, store)


def one_by_one(payload: bytes) -> Spent:
    """Each report by ``save()``, and its state by ``update()``, in a transaction of their own."""

    def store(batch: list[Incoming]) -> int:
        reports = _reports(batch[:ONE_BY_ONE])
        for report in reports:
            with transaction.atomic():
                report.save(force_insert=True)
                State.objects.filter(device=report.device_id).update(**_state(report))
        return len(reports)

    return _by_django(payload, store)


def _by_django(payload: bytes, store: Callable[[list[Incoming]], int]) -> Spent:
    begin, start = perf_counter(), process_time()
    batch = [decoded(row) for row in unpacked(payload)]
    is_decoded, half = process_time(), perf_counter()
    served = server_time()
    stored = store(batch)
    end, finish, served = process_time(), perf_counter(), server_time() - served
    steps = {"unpack and decode": 1e6 * (is_decoded - start) / len(batch), "write": 1e6 * (end - is_decoded) / stored}
    return Spent(steps, 1e6 * ((half - begin) / len(batch) + (finish - half) / stored), 1e6 * served / stored)


def _reports(batch: Sequence[Incoming]) -> list[Report]:
    identities = [incoming.message.identity for incoming in batch]
    devices = {device.identity: device for device in Device.objects.filter(protocol="jt808", identity__in=identities)}
    rows = []
    for incoming in batch:
        (report,) = incoming.decoded.reports
        fields = {name: getattr(report, name) for name in ("kind", "time", "digest", "body", *PLACE, "values", "alarms")}
        message = incoming.message
        rows.append(
            Report(
                device=devices[message.identity],
                received_at=incoming.received_at,
                sequence=message.sequence,
                head=message.head,
                **fields,
            )
        )
    return rows


def _state(report: Report) -> dict[str, object]:
    fields = {name: getattr(report, name) for name in ("time", *PLACE, "alarms")}
    return {**fields, "newest": report.values, "last_seen": report.received_at, "position_time": report.time}


TWO_WORKERS = "two workers at once"
WAYS: dict[str, Callable[[bytes], Spent]] = {
    "the worker": by_worker,
    "a task for each": a_task_each,
    "bulk_create": by_bulk_create,
    "save() one by one": one_by_one,
}


def compare(rounds: int, batches: int, messages: int) -> dict[str, list[Spent]]:
    """All ways by turns on the database that Django is pointed at. What a way spends in a round is its batches' mean."""
    call_command("migrate", verbosity=0)
    known_channels.forget()
    known_rules.forget()
    waiting = payloads(messages)
    for _ in range(3):
        by_worker(next(waiting))
    collect_seldom()  # as in a worker
    spent: dict[str, list[Spent]] = {name: [] for name in [*WAYS, TWO_WORKERS]}
    shares = [payloads(messages, first) for first in (100_000, 200_000)]
    for _ in range(rounds):
        spent[TWO_WORKERS].append(by_two_workers(shares, batches))
        for name, way in WAYS.items():
            each = [way(next(waiting)) for _ in range(batches)]
            steps = {step: sum(one.steps[step] for one in each) / batches for step in each[0].steps}
            means = (sum(one.wall for one in each) / batches, sum(one.server for one in each) / batches)
            spent[name].append(Spent(steps, *means))
    connections["default"].close()
    return spent


def show(name: str, spent: Mapping[str, list[Spent]], table: Table) -> None:
    for way, rounds in spent.items():
        wall = [each.wall for each in rounds]
        processor = [each.processor for each in rounds]
        served = [each.server for each in rounds]
        steps = [f"{step} {median(each.steps[step] for each in rounds):.1f}" for step in rounds[0].steps]
        table.add_row(name, way, f"{1e6 / median(wall):,.0f}", _noisy(wall), _noisy(processor), _noisy(served), ", ".join(steps))


def _noisy(values: Sequence[float]) -> str:
    if not any(values):
        return ""
    return f"{median(values):.1f} ±{(max(values) - min(values)) / median(values) / 2:.0%}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--batches", type=int, default=12)
    arguments.add_argument("--messages", type=int, default=Settings().batch_messages)
    given = arguments.parse_args()
    title = f"Batches of {given.messages} JT/T 808 locations, medians of {given.rounds} rounds and half of least to most, µs each"
    table = Table("", "", "reports/s", "wall µs", "CPU µs of the worker", "of PostgreSQL", "of the worker's", title=title)
    try:
        server = PostgreSQL()
    except ServerMissingError as error:
        print(f"left out: {error}")
    else:
        try:
            # The server may use the other cores.
            pin()
            with default_database(server.create("bench")):
                show("PostgreSQL", compare(given.rounds, given.batches, given.messages), table)
        finally:
            server.close()
    with default_database(f"sqlite:///{Path(_FOLDER.name) / 'bench.sqlite3'}"):
        show("SQLite", compare(given.rounds, given.batches, given.messages), table)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
