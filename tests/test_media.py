"""Photos of simulated cameras through the whole stack while its worker is killed: each one whole, with its thumbnail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Child, wait_until
from tests.stacks import RunningStack


def photos_acked(ledger: Path) -> int:
    return ledger.read_text().count('"multimedia_data"') if ledger.exists() else 0


def photograph(start_child: Callable[..., Child], folder: Path, kills: int, every: int, **plan: object) -> int:
    """Take photos, kill the worker each time that ``every`` more are acked, and look at all of them; how many there were."""
    stack = RunningStack(start_child, folder / "var", IOTGW_MEDIA_SPARE_BYTES="0")
    ledger = folder / "ledger.jsonl"
    simulator = stack.simulate(start_child, ledger, settle=120, **plan)
    for _ in range(kills):
        goal = photos_acked(ledger) + every
        simulator.wait_until(lambda goal=goal: photos_acked(ledger) >= goal, f"{goal} photos are acked")
        before = stack.pid("worker")
        stack.kill("worker")
        stack.child.wait_until(lambda before=before: stack.pid("worker") != before, "the worker comes back")
    wait_until(lambda: simulator.process.poll() is not None, "the simulator ends", 240)
    assert simulator.process.returncode == 0, simulator.output()[-2000:] + stack.child.output()[-4000:]
    wait_until(lambda: not stack.spooled(), "what was acked from the spool is in the database", 90)
    count = photos_acked(ledger)

    def states() -> Counter[tuple[str, bool, int]]:
        rows = json.loads(stack.command("media", "--limit", "100000", "--json").stdout)
        return Counter((row["state"], row["has_thumbnail"], row["width"]) for row in rows)

    wait_until(lambda: states() == {("complete", True, 352): count}, f"{count} photos are whole", 180)
    files = [path for path in (folder / "var/media").glob("*/*/*.jpg") if not path.name.endswith(".thumb.jpg")]
    assert len(files) == count
    assert stack.command("verify", "--ledger", ledger).returncode == 0
    assert stack.child.stop() == 0
    return count


def test_photos_are_whole_though_the_worker_is_killed(start_child: Callable[..., Child], tmp_path: Path) -> None:
    plan = {"devices": 5, "interval": 5, "photos-every": 1, "duration": 8}
    assert photograph(start_child, tmp_path, kills=2, every=8, **plan) >= 30


@pytest.mark.slow
def test_five_hundred_photos_are_whole_though_the_worker_is_killed(start_child: Callable[..., Child], tmp_path: Path) -> None:
    plan = {"devices": 50, "interval": 10, "photos-every": 2, "duration": 40}
    count = photograph(start_child, tmp_path, kills=5, every=60, **plan)
    print(f"{count} photos")
    assert count >= 500
