"""Photos of simulated terminals, over a stack whose worker is killed, become whole files with thumbnails."""

from __future__ import annotations

import json
from typing import Any

from tests.processes import wait_until
from tests.stacks import RunningStack


def test_photos_arrive_whole_though_the_worker_is_killed(start_child, tmp_path):
    stack = RunningStack(start_child, tmp_path / "var", IOTGW_RECEIPT_TIMEOUT_SECONDS="2", IOTGW_MEDIA_SPARE_BYTES="0")

    def media() -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(stack.command("media", "--limit", "1000", "--json").stdout)
        return listed

    ledger = tmp_path / "ledger.jsonl"
    options = {"devices": 5, "interval": 2, "duration": 12, "settle": 90, "photos-every": 3}
    simulator = stack.simulate(start_child, ledger, **options)
    simulator.wait_until(lambda: media(), "photos come")
    stack.kill("worker")
    wait_until(lambda: simulator.process.poll() is not None, "the simulator ends", 240)
    assert simulator.process.returncode == 0, simulator.output()[-2000:] + stack.child.output()[-4000:]
    sent = sum(json.loads(line).get("kind") == "multimedia_data" for line in ledger.read_text().splitlines())
    assert sent >= 10
    wait_until(lambda: len(photos := media()) == sent and all(row["state"] == "complete" for row in photos), "all are filed", 120)
    assert all(row["has_thumbnail"] and row["content_type"] == "image/jpeg" for row in media())
    copy = tmp_path / "copy.jpg"
    got = stack.command("media", "get", str(media()[0]["id"]), copy)
    assert got.returncode == 0, got.stderr
    assert copy.read_bytes()[:2] == b"\xff\xd8"
    assert stack.child.stop() == 0
