"""``iotgw forward`` as a process: killed with its subscribers, stopped, and twice at once."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store import targets
from store.audit import Actor
from store.models import Target, TargetCursor
from tests.servers import Child, Mosquitto
from tests.tasks.forward.hooks import Hook
from tests.tasks.forward.killing import Plan, run
from tests.tasks.forward.targets import add, store

pytestmark = pytest.mark.usefixtures("database_url")


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


def test_subscribers_and_forwarder_are_killed_and_nothing_is_lost(
    forward: Callable[[], Child], start_child: Callable[..., Child], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """While reports are stored, with their alarms and files."""
    plan = Plan(rounds=28, reports=100, brokers=(4, 12, 18), hooks=(7, 15, 21), forwarders=(9, 24))
    outcome = run(plan, mosquitto, tmp_path / "secret", forward, start_child)
    assert outcome.notices > 2_500
    assert outcome.faults == []
    assert outcome.kills == {"broker": 3, "hook": 3, "forwarder": 2}
    assert max(outcome.copies.values()) <= outcome.notices, outcome.copies
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
        targets.change("hub", lambda target: targets.Plan(**plan | {"address": hook.url}, wanted=targets.Wanted()), Actor("ana"))
        child.wait_until(lambda: child.output().count("forwarding to a target") == 3, "the change is taken")
        store(1, 2)
        child.wait_until(lambda: hook.ids() == ["reports-1", "reports-3"], "the old address has it again")
    finally:
        elsewhere.close()


def test_an_unfit_kind_says_so_in_its_line(forward: Callable[[], Child], tmp_path: Path) -> None:
    add(kind="pigeon", sources=["reports"])
    child = forward()
    store(1)
    child.wait_until(lambda: TargetCursor.objects.get().failures, "it has been tried")
    assert "there is no kind of target 'pigeon'" in TargetCursor.objects.get().last_error
    assert "Traceback" not in child.output()
