"""``iotgw forward`` as a process: killed with its subscribers, stopped, and twice at once."""

from __future__ import annotations

import base64
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from store import targets
from store.audit import Actor
from store.bulk import write
from store.models import Device, Media, MediaOutcome, Target, TargetCursor
from tests.processes import wait_until
from tests.records import NOON, anybody, incoming, minutes, report
from tests.servers import Child, Mosquitto, free_port
from tests.tasks.forward.hooks import Hook
from tests.tasks.forward.listeners import Listener
from tests.tasks.forward.targets import add, store

pytestmark = pytest.mark.usefixtures("database_url")
DEVICES = 20
REPORTS_A_ROUND = 100
ROUNDS = 25
Taken = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def forward(start_child: Callable[..., Child], database_url: str, tmp_path: Path) -> Callable[..., Child]:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(bytes(32)).decode())

    def forward() -> Child:
        environment = {"DJANGO_SETTINGS_MODULE": "store.settings", "IOTGW_DATABASE_URL": database_url}
        return start_child("-m", "django", "forward", name="forward", **environment)

    return forward


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


class Killed:
    """A part that is killed in one round and comes back a few rounds later, and what it does meanwhile."""

    def __init__(self, start: Callable[[], Child], rounds: Sequence[int], away: int) -> None:
        self._start, self._rounds, self._away = start, rounds, away
        self.child = start()
        self.kills = 0

    def turn(self, number: int, wait: Callable[[], object]) -> None:
        if number in self._rounds:
            wait()
            self.child.kill()
            self.kills += 1
        if number - self._away in self._rounds:
            self.child = self._start()


def ingest(number: int) -> None:
    """A round: reports of all devices, alarms now and then, and a file of one."""
    rows = []
    for index in range(number * REPORTS_A_ROUND, (number + 1) * REPORTS_A_ROUND):
        alarms = ["sos"] if index // DEVICES % 7 == 0 else []
        sent = report(f"{index}".encode(), NOON + minutes(index), alarms=alarms, is_event=True)
        rows.append(incoming(sent, identity=f"{index % DEVICES}", received_at=NOON))
    assert write(rows, is_open=anybody) == {}
    device = Device.objects.get(identity=f"{number % DEVICES}")
    media = Media.objects.create(device=device, file=f"{number}", kind="image", time=NOON, received_at=NOON, touched_at=NOON)
    MediaOutcome.objects.create(media=media, state=Media.State.COMPLETE)


def stored() -> dict[str, str]:
    """All that is to come, by id, with its device."""
    from store.forwarding import Wanted, page

    found = {}
    for source in TargetCursor.objects.values_list("source", flat=True).distinct():
        for row in page(source, Wanted(), 0, 20_000, 20_000).rows:
            found[f"{source}-{row.row_id}"] = row.device.identity
    return found


def check(taken: list[tuple[str, str]], wanted: dict[str, str]) -> int:
    """Nothing is missing, each device's are in their order the first time; how many were copies."""
    first = list(dict.fromkeys(taken))
    assert dict(first) == wanted
    order: dict[tuple[str, str], list[int]] = defaultdict(list)
    for id, identity in first:
        source, _, number = id.partition("-")
        order[identity, source].append(int(number))
    assert all(numbers == sorted(numbers) for numbers in order.values())
    return len(taken) - len(first)


def test_subscribers_and_forwarder_are_killed_and_nothing_is_lost(
    forward: Callable[[], Child], start_child: Callable[..., Child], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """While reports are stored. What a broker has confirmed, it has given to the listener that is connected, or keeps."""
    came, hook_port, mqtt_port = tmp_path / "came", free_port(), free_port()
    came.touch()
    data = mosquitto.data(mqtt_port)
    add("hook", "webhook", since=NOON, address=f"http://127.0.0.1:{hook_port}/", secret_file=str(tmp_path / "secret"))
    add("broker", "mqtt", since=NOON, address=f"mqtt://127.0.0.1:{mqtt_port}")

    def recorder() -> Child:
        return start_child("-m", "tests.tasks.forward.recorder", str(hook_port), str(came), name="recorder")

    def broker() -> Child:
        persistent = ("persistence true", f"persistence_location {data}/", "queue_qos0_messages true")
        return mosquitto.start(mqtt_port, "allow_anonymous true", *persistent, "max_queued_messages 0", "autosave_interval 0")

    brokers = Killed(broker, rounds=(4, 12, 18), away=2)
    # A kept session, so that what comes before the listener is back waits for it; without acks, that would be cut off with it.
    listener = Listener(mqtt_port, qos=0, session="listener")
    brokers.child.process.send_signal(signal.SIGUSR1)
    wait_until((data / "mosquitto.db").exists, "the session is on the disk")
    hooks = Killed(recorder, rounds=(6, 13, 19), away=3)
    forwarders = Killed(forward, rounds=(9, 16), away=1)

    def heard() -> list[tuple[str, str]]:
        return [(notice["id"], notice["identity"]) for notice in listener.notices()]

    def recorded() -> list[tuple[str, str]]:
        return [(id, identity) for id, _, identity in (line.partition(" ") for line in came.read_text().splitlines())]

    def more(taken: Taken) -> Callable[[], None]:
        before = len(taken())
        return lambda: wait_until(lambda: len(taken()) > before, "more has come before the next kill")

    for number in range(ROUNDS):
        waits = more(heard), more(recorded)
        ingest(number)
        brokers.turn(number, waits[0])
        hooks.turn(number, waits[1])
        forwarders.turn(number, waits[1])
    wanted = stored()
    try:
        wait_until(lambda: set(recorded()) == set(heard()) == set(wanted.items()), "everything has come", 120)
    finally:
        listener.close()
        for part in (forwarders, hooks, brokers):
            part.child.stop()
    assert len(wanted) > ROUNDS * REPORTS_A_ROUND
    copies = check(recorded(), wanted), check(heard(), wanted)
    assert max(copies) <= len(wanted), f"{copies} copies"
    assert (brokers.kills, hooks.kills, forwarders.kills) == (3, 3, 2)
    assert not TargetCursor.objects.exclude(lost=0).exists()


def test_it_ends_within_seconds_also_when_a_subscriber_hangs(forward: Callable[[], Child], hook: Hook, tmp_path: Path) -> None:
    add(kind="webhook", address=hook.url, sources=["reports"], secret_file=str(tmp_path / "secret"), total_seconds=300)
    hook.reply = lambda request, connection: hook.release.wait() and None
    child = forward()
    store(1)
    child.wait_until(lambda: hook.requests, "it is sent")
    began = time.monotonic()
    assert child.stop() == 0
    assert time.monotonic() - began < 15
    assert "stopped while a target had not answered" in child.output()
    assert (TargetCursor.objects.get().last_id, Target.objects.get().owner) == (0, "")


def test_what_one_had_is_another_s_when_it_is_stopped(forward: Callable[[], Child], hook: Hook, tmp_path: Path) -> None:
    add(kind="webhook", address=hook.url, sources=["reports"], secret_file=str(tmp_path / "secret"))
    first = forward()
    store(1)
    first.wait_until(lambda: hook.ids() == ["reports-1"], "the first sends")
    second = forward()
    second.wait_until(lambda: "forwarding" in second.output(), "the second runs")
    assert first.stop() == 0
    store(1, 1)
    second.wait_until(lambda: hook.ids() == ["reports-1", "reports-2"], "the second goes on")
    assert second.stop() == 0


def test_changes_are_taken_without_a_restart(forward: Callable[[], Child], hook: Hook, tmp_path: Path) -> None:
    child = forward()
    child.wait_until(lambda: "forwarding" in child.output(), "it runs")
    add(kind="webhook", address=hook.url, sources=["reports"], secret_file=str(tmp_path / "secret"))
    store(1)
    child.wait_until(lambda: hook.ids() == ["reports-1"], "a new target has it")
    targets.pause("hub", "", Actor("ana"))
    child.wait_until(lambda: not Target.objects.get().owner, "it is let go")
    store(1, 1)
    elsewhere = Hook()
    try:
        plan: Any = {"kind": "webhook", "address": elsewhere.url, "options": Target.objects.get().options, "sources": ["reports"]}
        targets.change("hub", lambda target: targets.Plan(**plan, wanted=targets.Wanted()), Actor("ana"))
        targets.resume("hub", Actor("ana"))
        child.wait_until(lambda: elsewhere.ids() == ["reports-2"], "the new address has it")
        assert hook.ids() == ["reports-1"]
    finally:
        elsewhere.close()


def test_an_unfit_kind_says_so_in_its_line(forward: Callable[[], Child], tmp_path: Path) -> None:
    add(kind="pigeon", sources=["reports"])
    child = forward()
    store(1)
    child.wait_until(lambda: TargetCursor.objects.get().failures, "it has been tried")
    assert "there is no kind of target 'pigeon'" in TargetCursor.objects.get().last_error
    assert "Traceback" not in child.output()
