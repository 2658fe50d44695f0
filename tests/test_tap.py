"""``iotgw tap`` before gateways as they run in earnest."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.protocols.jt808.frames import piece, up
from tests.servers import Child
from tests.test_takeover import HEARTBEAT, PHONES, Fleet

TAPPED, OTHER = PHONES


def lines(tap: Child) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tap.output().splitlines() if line.startswith("{")]


def test_a_device_is_watched_on_whichever_gateway_it_is(start_child, sqlite_url, redis_broker_url, redis_url):
    fleet = Fleet(start_child, sqlite_url, redis_broker_url, redis_url)
    tap = start_child("-m", "iotgw", "tap", "jt808", TAPPED[1:], "--json", name="tap", IOTGW_REDIS_URL=redis_url)
    tap.wait_until(lambda: "has no session on any gateway: waiting for it" in tap.output(), "it waits for the device")

    beat = up(HEARTBEAT, phone=TAPPED)
    first = fleet.connect("a", TAPPED)
    tap.wait_until(lambda: len(lines(tap)) >= 2, "its first frame and the ack are shown")
    sent = piece(0x0801, 2, 1, 9, bytes(36), phone=TAPPED)
    broken = beat[:-2] + bytes((beat[-2] ^ 1,)) + beat[-1:]
    first.send(sent + broken)
    tap.wait_until(lambda: len(lines(tap)) >= 4, "what is no message by itself is shown")
    fleet.connect("b", OTHER)
    fleet.connect("b", TAPPED)
    tap.wait_until(lambda: len(lines(tap)) >= 7, "it is shown on the other gateway, and what its old link ended with")
    fleet.close()

    assert tap.stop(signal.SIGINT) == 0
    assert shown(tap, "a") == [
        ("up", "heartbeat", ""),
        ("down", "ack", ""),
        ("up", "", ""),
        ("up", "", "checksum"),
        ("up", "", "incomplete"),
    ]
    assert shown(tap, "b") == [("up", "heartbeat", ""), ("down", "ack", "")]
    assert [line["hex"] for line in lines(tap) if line["direction"] == "up"][:3] == [beat.hex(), sent.hex(), broken.hex()]
    assert "now on gateway b" in tap.output()
    assert tap.output().splitlines()[-1] == "7 lines"
    assert "Traceback" not in tap.output()


def shown(tap: Child, gateway: str) -> list[tuple[str, str, str]]:
    return [(line["direction"], line["kind"], line["cause"]) for line in lines(tap) if line["gateway"] == gateway]
