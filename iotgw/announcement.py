"""What ``iotgw up`` says when everything runs: where devices connect, where control is, what to try next."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable

from rich.markup import escape

from iotgw.stack import token_file
from protocols import DeviceProtocol
from settings import Settings


def announcement(settings: Settings, protocols: Iterable[DeviceProtocol]) -> str:
    """Lines with rich's markup."""
    lines = ["", "[bold]iotgw is up.[/bold] Devices connect to:"]
    for protocol in protocols:
        endpoints = settings.endpoints(protocol.name) or [f"tcp:{protocol.port}"]
        if endpoints != ["off"]:
            lines.append(escape(f"  {protocol.title:12} {', '.join(endpoints)}"))
    lines.append(escape(f"Rows: {settings.effective_database_url.split('://')[0]}, files in {settings.var.absolute()}"))
    if settings.control_listen != "off":
        lines.append(escape(f"Control: {_where(settings.control_listen)}, its token {_token(settings)}"))
    command = _command()
    lines += [
        "",
        "Try next, in another terminal:",
        f"  {command} simulate jt808 --devices 10 --interval 1 --duration 30 --ledger ledger.jsonl",
        f"  {command} reports --limit 5",
        f"  {command} verify --ledger ledger.jsonl",
        "Ctrl-C stops everything; nothing that was acked is lost.",
        "",
    ]
    return "\n".join(lines)


def _where(endpoint: str) -> str:
    """As a URL, if it can be told from the endpoint."""
    usual = re.fullmatch(r"tcp:([1-9]\d*)(?::interface=([\d.]+))?", endpoint)
    return f"http://{usual[2] or '127.0.0.1'}:{usual[1]}" if usual else endpoint


def _token(settings: Settings) -> str:
    path = token_file(settings)
    return "as set in control_token" if path is None else f"in {path}"


def _command() -> str:
    """How the reader calls this program."""
    if shutil.which("iotgw"):
        return "iotgw"
    path = os.path.relpath(sys.argv[0])
    return "python -m iotgw" if path.endswith("__main__.py") else path
