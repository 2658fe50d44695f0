"""Asking the gateway of this host, and what people see of its answer."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from iotgw.why import NoAnswerError, _place, ask, is_well, print_ladder
from settings import Settings
from tests.servers import free_port

STRANGER = {"identity": "7", "last_at": "2026-03-01T12:00:00Z", "reason": "refused.unknown", "first": "7eff"}


def rung(name: str, state: str, at: str | None = None, evidence: str = "", remedy: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "at": at, "evidence": evidence, "remedy": remedy}


def told(*rungs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"protocol": "line", "identity": "[b]7", "gateway": "", "is_complete": True, "near_misses": [], "ladder": rungs, **more}


def printed(answer: dict[str, Any]) -> list[str]:
    out = StringIO()
    print_ladder(answer, Console(file=out, width=140))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("tcp:6880:interface=127.0.0.1", ("127.0.0.1", 6880)),
        ("tcp:port=6880", ("127.0.0.1", 6880)),
        ("tcp:6880:interface=0.0.0.0", ("127.0.0.1", 6880)),
        ("tcp:6880:backlog=5:interface=10.0.0.7:x=1", ("10.0.0.7", 6880)),
        (r"tcp6:6880:interface=\:\:1", ("::1", 6880)),
        (r"tcp6:6880:interface=\:\:", ("::1", 6880)),
    ],
)
def test_the_place_is_where_the_gateway_listens(endpoint: str, place: tuple[str, int]):
    assert _place(endpoint) == place


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"control_listen": "off"}, "control_listen is 'off': a gateway is asked over TCP"),
        ({"control_listen": "unix:/run/control"}, "a gateway is asked over TCP"),
        ({}, "set IOTGW_CONTROL_TOKEN_FILE to the gateway's; "),
        ({"control_token": "0123456789abcdef"}, "no gateway answers at 127.0.0.1:"),
    ],
)
def test_a_gateway_that_cannot_be_asked_is_said(settings: dict[str, str], words: str, tmp_path: Path):
    with pytest.raises(NoAnswerError, match=words):
        ask(Settings(var=tmp_path, **{"control_listen": f"tcp:{free_port()}", **settings}), "jt808", "1")


def test_steps_are_lines_and_what_to_do_stands_under_those_that_are_open():
    lines = printed(
        told(
            rung("known", "ok", "2026-03-01T12:00:00Z", "in the [red]database"),
            rung("link", "open", evidence="never linked", remedy="set its server"),
            rung("frames", "not reached"),
            rung("stored", "unknown"),
            near_misses=[{"reason": "zeros", "sentence": "a device 7 knocked", "stranger": STRANGER}],
            is_complete=False,
        )
    )
    assert lines[0] == "line [b]7: not here"
    assert [line.split()[:2] for line in lines[1:6]] == [
        ["●", "known"],
        ["▲", "link"],
        ["→", "set"],
        ["–", "frames"],
        ["?", "stored"],
    ]
    assert lines[1].endswith("in the [red]database"), "what devices say is no markup"
    assert "refused.unknown); its first bytes: 7eff" in lines[6]
    assert lines[7].startswith("Redis is away")


def test_all_is_well_when_nothing_is_open():
    assert is_well(told(rung("known", "ok"), rung("stored", "unknown")))
    assert not is_well(told(rung("known", "ok"), rung("link", "open")))
