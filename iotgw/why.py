"""Asking the gateway of this host where a device's data stops, and printing the ladder."""

from __future__ import annotations

import http.client
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from settings import Settings

ANSWER_SECONDS = 30
MARKS = {"ok": ("●", "green"), "open": ("▲", "bold red"), "not reached": ("–", "dim"), "unknown": ("?", "yellow")}
_PORT = re.compile(r"tcp6?:(?:port=)?(\d+)")
_INTERFACE = re.compile(r":interface=((?:[^:\\]|\\:)+)")


class NoAnswerError(Exception):
    """The gateway could not be asked; the text says what to do."""


def ask(settings: Settings, protocol: str, identity: str) -> dict[str, Any]:
    """What the control API of this host's gateway tells of a device.

    Raises: NoAnswerError
    """
    host, port = _place(settings.control_listen)
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        path = f"/v1/evidence/{quote(protocol, safe='')}/{quote(identity, safe='')}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {_token(settings)}"})
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        text = f"no gateway answers at {host}:{port} ({error}): does one run on this host with this control_listen?"
        raise NoAnswerError(text) from error
    finally:
        connection.close()
    if "error" in told:
        raise NoAnswerError(f"the gateway at {host}:{port} does not tell: {told['error']['message']}")
    return told


def is_well(told: dict[str, Any]) -> bool:
    """Whether nothing is wrong that is known."""
    return all(rung["state"] != "open" for rung in told["ladder"])


def print_ladder(told: dict[str, Any], out: Console) -> None:
    here = f"on {told['gateway']}" if told["gateway"] else "not here"
    out.print(Text(f"{told['protocol']} {told['identity']}: {here}", "bold"))
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for rung in told["ladder"]:
        mark, style = MARKS.get(rung["state"], MARKS["unknown"])
        evidence = rung["evidence"] if rung["evidence"] or rung["state"] == "ok" else rung["state"]
        table.add_row(Text(mark, style), rung["name"], _local(rung["at"]), Text(evidence))
        if rung["remedy"]:
            table.add_row("", "", "", Text(f"→ {rung['remedy']}", style))
    out.print(table)
    for miss in told["near_misses"]:
        stranger = miss["stranger"]
        met = f"{_local(stranger['last_at'])}, {stranger['reason']}"
        out.print(Text(f"near miss: {miss['sentence']} ({met}); its first bytes: {stranger['first']}"), soft_wrap=True)
    if not told["is_complete"]:
        out.print("Redis is away: this is what this gateway knows itself.")


def _place(endpoint: str) -> tuple[str, int]:
    """Raises: NoAnswerError when the control API is off, or not on TCP."""
    port, interface = _PORT.match(endpoint), _INTERFACE.search(endpoint)
    if port is None:
        raise NoAnswerError(f"control_listen is {endpoint!r}: a gateway is asked over TCP, such as tcp:6880:interface=127.0.0.1")
    host = interface[1].replace("\\:", ":") if interface else "127.0.0.1"
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port[1])


def _token(settings: Settings) -> str:
    """Raises: NoAnswerError when there is none to be found."""
    if settings.control_token:
        return settings.control_token
    path = settings.own_token_file
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        text = f"no control token: set IOTGW_CONTROL_TOKEN_FILE to the gateway's; {path} cannot be read ({error.strerror})"
        raise NoAnswerError(text) from error


def _local(time: str | None) -> str:
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}" if time else ""
