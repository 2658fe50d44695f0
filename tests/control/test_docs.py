"""docs/control.md: its commands work, and what it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from protocols.commandtable import build
from protocols.jt808 import JT808
from tasks.contract import ASK_TASK, CANCEL_COMMAND_TASK, SHOW_COMMAND_TASK, CommandEnded, Reply
from tests.control.desk import TOKEN, Desk
from tests.iotgw.fakes import LineProtocol

PAGE = (Path(__file__).resolve().parents[2] / "docs/control.md").read_text("utf-8")
COMMANDS = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
COMMAND = {"id": 7, "protocol": "jt808", "identity": "013800138000", "name": "query_location", "state": "sent"}


def answer(desk: Desk, result: Any, task: str) -> None:
    """A worker's."""
    assert desk.sent[-1][0].task == task
    desk.offload.receive(Reply(desk.sent[-1][0].id, result))


class Jt808(LineProtocol):
    name = "jt808"


@pytest.fixture(scope="module")
def desk() -> Desk:
    """With the devices of the page on it, for all commands in their order."""
    desk = Desk(protocol=Jt808())
    link, _ = desk.house.connect("192.0.2.7")
    desk.house.say(link, "013800138000 1 hello")
    desk.house.commit()
    return desk


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_work(desk: Desk, command: str):
    words = shlex.split(command.replace("$GATEWAY", "").replace("$AUTH", f"Bearer {TOKEN}"))[1:]
    method, data, token, path = "GET", None, None, words[-1]
    for option, value in zip(words[:-1:2], words[1::2], strict=False):
        if option == "-H":
            token = value.removeprefix("Bearer ")
        elif option == "-d":
            method, data = ("POST" if method == "GET" else method), value.encode()
        else:
            assert option == "-X"
            method = value
    asking = desk.begin(method, path, data, token=token)
    if "/v1/tasks/" in path:
        assert desk.sent[-1][0].task == "tasks.devices.summary"
    elif path.endswith("/commands?wait=15"):
        answer(desk, {"command": COMMAND}, ASK_TASK)
        desk.callers.ended(CommandEnded(7))
        answer(desk, {**COMMAND, "state": "acknowledged", "ended_at": "2026-01-01T00:00:05+00:00"}, SHOW_COMMAND_TASK)
        assert asking.answer().status == 200
    elif path.endswith("/commands?wait=0"):
        request, _, _, permitted = desk.sent[-1][0].arguments
        assert build(JT808, request["name"], request["fields"]).rule.effect in permitted
        answer(desk, {"command": COMMAND}, ASK_TASK)
        assert asking.answer().status == 202
    elif "/v1/commands/" in path:
        cancelled = {"is_cancelled": True, "command": {**COMMAND, "state": "cancelled"}}
        answer(desk, cancelled if method == "DELETE" else COMMAND, CANCEL_COMMAND_TASK if method == "DELETE" else SHOW_COMMAND_TASK)
        assert asking.answer().status == 200
    elif "/v1/evidence/" in path:
        desk.offload.receive(Reply(desk.sent[-1][0].id, {"exists": False}))
        assert asking.answer().json["gateway"] == desk.house.gateway.settings.gateway_id
    elif path == "/readyz":
        assert asking.answer().status in (200, 503)
    else:
        assert asking.answer().status in (200, 202), asking.answer().text


def test_it_has_the_metrics_that_it_names(desk: Desk):
    served = desk.get("/metrics").text
    named = set(re.findall(r"`(iotgw_[a-z_]+)", PAGE))
    assert len(named) > 15
    assert [name for name in sorted(named) if f"\n# TYPE {name}" not in served.replace("_total", "") + served] == []


def test_it_shows_every_route(desk: Desk):
    shown = [command.partition("$GATEWAY")[2].partition("?")[0].rstrip('"') for command in COMMANDS]
    missing = [route.path for route in desk.site.routes if not any(route.match(path) is not None for path in shown)]
    assert missing == ["/", "/openapi.json"]
