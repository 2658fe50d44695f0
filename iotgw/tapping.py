"""Printing what a device says and is told, a line for each frame, as it happens."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from iotgw.explain import console
from iotgw.watcher import Watcher
from protocols.rows import Direction
from tasks.contract import TapLine, Tapped

MAX_PRINTED_BYTES = 256
"""Of a frame; JSON has all that is shown of it."""
_ARROWS = {Direction.UP.value: "←", Direction.DOWN.value: "→"}
_TIME, _ARROW, _KIND, _SIZE, _VERDICT = 12, 1, 20, 7, 12
"""Widths of the columns before the bytes."""
_WIDE = 110
"""From here on there is room beside them for so many bytes a row that it is worth it."""


class Tapping:
    """Frames on standard output, all else on standard error."""

    def __init__(self, watcher: Watcher, as_json: bool) -> None:
        self._watcher = watcher
        self._as_json = as_json
        self._out = console()
        self._notices = Console(stderr=True, highlight=False)
        self._gateway: str | None = None
        self._lines = self._not_shown = 0

    def run(self, seconds: float | None) -> None:
        """Print what comes, for so long or until Ctrl-C.

        Raises: WatcherError
        """
        try:
            gateways = self._watcher.begin()
            self._gateway = self._watcher.holder()
            self._notice(self._where(gateways))
            for tapped in self._watcher.tapped(seconds):
                self._print(tapped)
        except KeyboardInterrupt:
            pass
        finally:
            self._watcher.close()
        self._notice(f"{self._lines:,} lines" + (f", {self._not_shown:,} not shown" if self._not_shown else ""))

    def _where(self, gateways: int) -> str:
        device = " ".join(self._watcher.tap)
        if not gateways:
            return f"no gateway runs on this Redis (is IOTGW_REDIS_URL the gateways'?): waiting for one, and for {device}"
        if self._gateway is None:
            return f"{device} has no session on any gateway: waiting for it"
        return f"{device} is on gateway {self._gateway}"

    def _print(self, tapped: Tapped) -> None:
        if tapped.gateway != self._gateway:
            self._gateway = tapped.gateway
            self._notice(f"now on gateway {tapped.gateway}")
        if tapped.not_shown:
            self._not_shown += tapped.not_shown
            if self._as_json:
                print(json.dumps({"gateway": tapped.gateway, "not_shown": tapped.not_shown}), flush=True)
            else:
                self._out.print(f"⋯ {tapped.not_shown:,} lines not shown", style="dim")
        for line in tapped.lines:
            self._lines += 1
            if self._as_json:
                print(json_line(line, tapped.gateway), flush=True)
            else:
                print_line(line, self._out)

    def _notice(self, text: str) -> None:
        self._notices.print(Text(text), soft_wrap=True)


def print_line(line: TapLine, out: Console) -> None:
    """For people: the time by this machine's zone, what it is, and its first bytes in hex, beside it or below."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for width in (_TIME, _ARROW, _KIND):
        grid.add_column(width=width, no_wrap=True)
    grid.add_column(width=_SIZE, justify="right")
    grid.add_column(width=_VERDICT, no_wrap=True)
    time = datetime.fromtimestamp(line.time_ms / 1000).strftime("%H:%M:%S.%f")[:-3]
    verdict = Text(line.cause, "yellow") if line.cause else Text("ok", "green")
    cells = (time, _ARROWS.get(line.direction, "?"), Text(line.kind), f"{line.length} B", verdict)
    if out.width >= _WIDE:
        grid.add_column()
        grid.add_row(*cells, Text(_hex(line)))
        out.print(grid)
    else:
        grid.add_row(*cells)
        out.print(grid, Padding(Text(_hex(line)), (0, 0, 0, _TIME)))


def json_line(line: TapLine, gateway: str) -> str:
    """For programs. Where ``hex`` has fewer bytes than ``length``, the frame was cut."""
    time = datetime.fromtimestamp(line.time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"time": time, "gateway": gateway, "direction": line.direction, "kind": line.kind, "cause": line.cause}
    return json.dumps({**told, "length": line.length, "hex": line.data.hex()}, ensure_ascii=False)


def _hex(line: TapLine) -> str:
    shown = line.data[:MAX_PRINTED_BYTES]
    left = line.length - len(shown)
    return shown.hex(" ") + (f" … {left} more" if left else "")
