"""Several workers on one database: processes wait for each other, never for ever, and nothing is written twice."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from protocols.report import DecodeError
from store.bulk import Incoming, write
from store.bulk.postgresql import PostgreSQLTables
from store.models import Alarm, Device, Quarantine, Report, State
from tests.records import NOON, anybody, incoming, minutes, report

pytestmark = pytest.mark.usefixtures("database_url")

# Large enough that the writers' statements overlap: with locks taken in the order of the batch, they deadlock.
WRITERS, ROUNDS, DEVICES = 4, 5, 400


def shuffled_batch(turn: int, new_devices: int, chance: random.Random) -> list[Incoming]:
    """The same messages for every writer of a turn, in another order for each; some of the devices are new each turn."""
    error = DecodeError("cut", "", "")
    batch = []
    for number in range(DEVICES):
        identity = f"{turn}-{number}" if number < new_devices else f"{number}"
        time = NOON + minutes(turn)
        body = f"{turn} {number}".encode()
        batch.append(incoming(report(body, time, latitude=1.0 * turn, longitude=0.0), identity=identity, received_at=time))
        batch.append(incoming(identity=identity, received_at=time, error=error, body=body))
    chance.shuffle(batch)
    return batch


def test_writers_lock_states_in_one_order_whether_or_not_a_report_is_all_there_is() -> None:
    """A device of which one writer has a single report, whose state is folded in place, has sent the next writer two."""
    start = threading.Barrier(WRITERS)

    def run(writer: int) -> None:
        chance = random.Random(writer)
        try:
            for turn in range(ROUNDS):
                batch = []
                for number in range(DEVICES):
                    for part in range(1 + (number + writer) % 2):
                        body = f"{turn} {number} {part}".encode()
                        batch.append(incoming(report(body, NOON + minutes(turn), values={f"{part}": turn}), identity=f"{number}"))
                chance.shuffle(batch)
                start.wait(30)
                write(batch, is_open=anybody)
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        for future in [pool.submit(run, writer) for writer in range(WRITERS)]:
            future.result(60)
    assert Report.objects.count() == 2 * DEVICES * ROUNDS
    assert [state.values for state in State.objects.all()] == [{"0": ROUNDS - 1, "1": ROUNDS - 1}] * DEVICES


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_alarm_ends_whichever_writer_is_first_to_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has the reports that tell of it, the other those that end it, and both have inserted them before either commits."""
    write([incoming(report(b"first"), identity=f"{number}") for number in range(DEVICES)], is_open=anybody)
    have_inserted = threading.Barrier(2)
    bring_forward = PostgreSQLTables.bring_forward

    def after_the_other(*arguments: Any) -> None:
        have_inserted.wait(30)
        bring_forward(*arguments)

    def run(at: int, alarms: list[str]) -> None:
        try:
            sent = report(b"next", NOON + minutes(at), alarms=alarms)
            write([incoming(sent, identity=f"{number}") for number in range(DEVICES)], is_open=anybody)
        finally:
            connection.close()

    monkeypatch.setattr(PostgreSQLTables, "bring_forward", after_the_other)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run, 1, ["sos"]), pool.submit(run, 2, [])]:
            future.result(60)
    assert list(Alarm.objects.values_list("times", "is_ongoing")) == [(1, False)] * DEVICES


@pytest.mark.parametrize("new_devices", [0, DEVICES // 2])
def test_writers_of_the_same_devices_all_succeed(new_devices: int) -> None:
    start = threading.Barrier(WRITERS)

    def run(writer: int) -> None:
        chance = random.Random(writer)
        try:
            for turn in range(ROUNDS):
                start.wait(30)
                write(shuffled_batch(turn, new_devices, chance), is_open=anybody)
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        for future in [pool.submit(run, writer) for writer in range(WRITERS)]:
            future.result(60)
    assert Device.objects.count() == State.objects.count() == DEVICES - new_devices + ROUNDS * new_devices
    assert Report.objects.count() == Quarantine.objects.count() == ROUNDS * DEVICES
    assert {state.latitude for state in State.objects.filter(device__identity__in=[str(DEVICES - 1), str(DEVICES - 2)])} == {
        ROUNDS - 1.0
    }


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("table", ["incoming_report", "incoming_quarantine"])
def test_writers_that_insert_at_the_same_moment_wait_in_one_order(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(shuffled_batch(0, 0, random.Random(0)), is_open=anybody)
    together = threading.Barrier(2)
    copy = PostgreSQLTables._copy

    def copy_and_meet(self: PostgreSQLTables, name: str, *rest: Any) -> None:
        copy(self, name, *rest)
        if name == table:
            together.wait(30)

    def run(writer: int) -> None:
        try:
            batch = shuffled_batch(1, 0, random.Random(writer))
            # In quarantine the writers can only meet if no report, which comes first, has made one wait for the other.
            write(batch if table == "incoming_report" else [each for each in batch if each.decoded.error], is_open=anybody)
        finally:
            connection.close()

    monkeypatch.setattr(PostgreSQLTables, "_copy", copy_and_meet)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run, writer) for writer in range(2)]:
            future.result(60)
    assert Quarantine.objects.count() == 2 * DEVICES
