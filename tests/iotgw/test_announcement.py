"""What ``iotgw up`` says when everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from iotgw.announcement import announcement
from protocols.registry import PROTOCOLS
from settings import Settings


def said(**settings: Any) -> list[str]:
    return Text.from_markup(announcement(Settings(**settings), PROTOCOLS.values())).plain.splitlines()


def control(**settings: Any) -> list[str]:
    return [line for line in said(**settings) if line.startswith("Control")]


def test_it_says_what_devices_connect_to():
    lines = said(listen={"jt808": ["tcp:6808", "tls:6809:interface=[::1]"], "gt06": "off"})
    assert "  JT/T 808     tcp:6808, tls:6809:interface=[::1]" in lines
    assert "  Teltonika    tcp:5027" in lines
    assert not [line for line in lines if "GT06" in line]


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ("tcp:6880:interface=127.0.0.1", "http://127.0.0.1:6880"),
        ("tcp:7000", "http://127.0.0.1:7000"),
        ("tcp:7000:interface=192.0.2.1", "http://192.0.2.1:7000"),
        ("tcp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1"),
        ("unix:/run/iotgw/control", "unix:/run/iotgw/control"),
    ],
)
def test_it_says_where_control_is(tmp_path: Path, endpoint: str, where: str):
    assert control(var=tmp_path, control_listen=endpoint) == [f"Control: {where}, its token in {tmp_path}/control-token"]


def test_it_says_where_the_token_lies_that_was_set(tmp_path: Path):
    path = tmp_path / "[token]"
    path.write_text("0123456789abcdef")
    assert control(control_token_file=path)[0].endswith(f", its token in {path}")
    (line,) = control(control_token="0123456789abcdef")
    assert line.endswith(", its token as set in control_token")
    assert "0123" not in line


def test_it_says_nothing_of_control_where_there_is_none():
    assert control(control_listen="off") == []
