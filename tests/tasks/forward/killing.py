"""Subscribers and forwarder killed while reports are stored, and what came of it; of the test and of the bench."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from store.bulk import write
from store.forwarding import Wanted, page
from store.models import Device, Media, MediaOutcome, TargetCursor
from tests.processes import Child, free_port, wait_until
from tests.records import NOON, anybody, incoming, minutes, report
from tests.servers import Mosquitto
from tests.tasks.forward.listeners import Listener
from tests.tasks.forward.targets import add

DEVICES = 20
AWAY = 2
"""Rounds until what was killed comes back."""
LONGEST_SECONDS = 180.0
Taken = list[tuple[str, str]]
"""Ids of notices with their devices, as they came."""


class Plan(NamedTuple):
    """How much is stored, and in which rounds who is killed."""

    rounds: int
    reports: int
    """A round."""
    brokers: Sequence[int]
    hooks: Sequence[int]
    forwarders: Sequence[int]


class Outcome(NamedTuple):
    notices: int
    faults: list[str]
    copies: dict[str, int]
    kills: dict[str, int]


class Part:
    """A process that is killed in some rounds, when it has been at work, and comes back a few rounds later."""

    def __init__(self, start: Callable[[], Child], rounds: Sequence[int]) -> None:
        self._start, self._rounds = start, rounds
        self.child = start()
        self.kills = 0

    def come_back(self, number: int) -> None:
        if number - AWAY in self._rounds:
            self.child = self._start()

    def go(self, number: int, taken: Callable[[], Taken], before: int) -> None:
        if number in self._rounds:
            wait_until(lambda: len(taken()) > before, "more has come before the next kill", LONGEST_SECONDS)
            self.child.kill()
            self.kills += 1


def run(plan: Plan, mosquitto: Mosquitto, secret: Path, forward: Callable[[], Child], start_child: Callable[..., Child]) -> Outcome:
    """Store, kill, and wait until everything has come to both subscribers.

    What the broker has confirmed it has given to the listener, if that is connected: it writes there before it confirms.
    """
    kills = sorted((*plan.brokers, *plan.hooks, *plan.forwarders))
    assert all(later - sooner >= AWAY for sooner, later in pairwise([*kills, plan.rounds])), "before one goes, the other is back"
    came, hook_port, mqtt_port = secret.parent / "came", free_port(), free_port()
    came.touch()
    data = mosquitto.data(mqtt_port)
    kept = ("persistence true", f"persistence_location {data}/", "autosave_interval 0", "queue_qos0_messages true")
    lines = ("allow_anonymous true", *kept, "max_queued_messages 0")
    add("hook", "webhook", since=NOON, address=f"http://127.0.0.1:{hook_port}/", secret_file=str(secret))
    add("broker", "mqtt", since=NOON, address=f"mqtt://127.0.0.1:{mqtt_port}")
    broker = Part(lambda: mosquitto.start(mqtt_port, *lines), plan.brokers)
    # A session that is kept has what comes while the listener is away. It acks nothing: an ack would fail at a broker that was
    # killed, and what has come but is not read would be thrown away with the connection.
    listener = Listener(mqtt_port, qos=0, session="listener")
    broker.child.process.send_signal(signal.SIGUSR1)
    wait_until((data / "mosquitto.db").exists, "the session is on the disk")
    recorder = ("-m", "tests.tasks.forward.recorder", str(hook_port), str(came))
    hook = Part(lambda: start_child(*recorder, name="recorder"), plan.hooks)
    forwarder = Part(forward, plan.forwarders)

    def heard() -> Taken:
        return [(notice["id"], notice["identity"]) for notice in listener.notices()]

    def recorded() -> Taken:
        return [(id, identity) for id, _, identity in (line.partition(" ") for line in came.read_text().splitlines())]

    try:
        for number in range(plan.rounds):
            for part in (broker, hook, forwarder):
                part.come_back(number)
            before = len(heard()), len(recorded())
            _store(number, plan.reports)
            broker.go(number, heard, before[0])
            hook.go(number, recorded, before[1])
            forwarder.go(number, recorded, before[1])
        wanted = _stored()
        wait_until(lambda: set(recorded()) == set(heard()) == set(wanted.items()), "everything has come", LONGEST_SECONDS)
    finally:
        listener.close()
        for part in (forwarder, hook, broker):
            part.child.stop()
    taken = {"hook": recorded(), "broker": heard()}
    return Outcome(
        len(wanted),
        [fault for name, found in taken.items() for fault in _faults(name, found, wanted)],
        {name: len(found) - len(set(found)) for name, found in taken.items()},
        {"broker": broker.kills, "hook": hook.kills, "forwarder": forwarder.kills},
    )


def _store(number: int, reports: int) -> None:
    """Reports of all devices, alarms now and then, and a file of one."""
    rows = []
    for index in range(number * reports, (number + 1) * reports):
        alarms = ["sos"] if index // DEVICES % 7 == 0 else []
        sent = report(f"{index}".encode(), NOON + minutes(index), alarms=alarms, is_event=True)
        rows.append(incoming(sent, identity=f"{index % DEVICES}", received_at=NOON))
    assert write(rows, is_open=anybody) == {}
    device = Device.objects.get(identity=f"{number % DEVICES}")
    media = Media.objects.create(device=device, file=f"{number}", kind="image", time=NOON, received_at=NOON, touched_at=NOON)
    MediaOutcome.objects.create(media=media, state=Media.State.COMPLETE)


def _stored() -> dict[str, str]:
    """All that is to come, by id, with its device."""
    found = {}
    for source in TargetCursor.objects.values_list("source", flat=True).distinct():
        after, settled = 0, 1 << 40
        while rows := (next_page := page(source, Wanted(), after, settled, 2_000)).rows:
            found |= {f"{source}-{row.row_id}": row.device.identity for row in rows}
            after = next_page.end
    return found


def _faults(name: str, taken: Taken, wanted: dict[str, str]) -> list[str]:
    """What is missing, or came to a device in another order the first time."""
    first = list(dict.fromkeys(taken))
    order: dict[tuple[str, str], list[int]] = defaultdict(list)
    for id, identity in first:
        source, _, number = id.partition("-")
        order[identity, source].append(int(number))
    faults = [f"{name}: {id} is missing or another device's" for id in wanted.items() - set(first)]
    return faults + [f"{name}: {key} in another order" for key, numbers in order.items() if numbers != sorted(numbers)]
