"""What the command prints of a device that is watched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from iotgw.tapping import MAX_PRINTED_BYTES, Tapping, json_line, print_line
from tasks.contract import Tap, TapLine, Tapped
from tests.iotgw.test_fakes import parameters

UP = TapLine(1_700_000_000_120, "up", "location", "", bytes(range(40)), 40)
DOWN = TapLine(1_700_000_000_160, "down", "ack", "refused", b"\x01", 1)
BAD = TapLine(1_700_000_000_200, "up", "", "checksum", b"\x7e\x00\x7e", 3)


class FakeWatcher:
    """Has been told what it hears, and is interrupted when that is over."""

    tap = Tap("jt808", "13800138000")

    def __init__(self, *heard: Tapped, gateways: int = 1, holder: str | None = None) -> None:
        self._heard = heard
        self._gateways, self._holder = gateways, holder
        self.is_closed = False

    def begin(self) -> int:
        return self._gateways

    def holder(self) -> str | None:
        return self._holder

    def tapped(self, seconds: float | None = None) -> Iterator[Tapped]:
        yield from self._heard
        raise KeyboardInterrupt

    def close(self) -> None:
        self.is_closed = True


def printed(line: TapLine, width: int) -> list[str]:
    out = StringIO()
    print_line(line, Console(file=out, width=width))
    return [" ".join(text.split()) for text in out.getvalue().splitlines()]


def run(capsys: pytest.CaptureFixture[str], watcher: FakeWatcher, as_json: bool = False) -> tuple[list[str], Sequence[str]]:
    """The lines of standard output and of standard error."""
    Tapping(watcher, as_json).run(None)  # type: ignore[arg-type]
    assert watcher.is_closed
    read = capsys.readouterr()
    return read.out.splitlines(), read.err.splitlines()


def test_the_fake_takes_what_the_watcher_takes():
    from iotgw.watcher import Watcher

    for name in ("begin", "holder", "tapped", "close"):
        assert parameters(getattr(FakeWatcher, name)) == parameters(getattr(Watcher, name)), name


def test_a_line_has_time_direction_kind_size_verdict_and_bytes():
    (first, second) = printed(UP, 140)
    assert first[2:].startswith(":13:20.120 ← location 40 B ok 00 01 02"), "hours and minutes are this machine's"
    assert (first.split("ok ")[1] + " " + second) == UP.data.hex(" ")
    assert printed(DOWN, 140)[0].endswith(":20.160 → ack 1 B refused 01")
    assert printed(BAD, 140)[0].endswith(":20.200 ← 3 B checksum 7e 00 7e")


def test_on_a_narrow_terminal_the_bytes_are_below():
    first, *below = printed(UP, 80)
    assert first.endswith("← location 40 B ok")
    assert " ".join(below) == UP.data.hex(" ")


def test_of_a_long_frame_the_beginning_is_printed_and_how_much_more_there_is():
    long = UP._replace(data=bytes(1000), length=5000)
    text = " ".join(printed(long, 140))
    assert text.endswith(f"00 00 … {5000 - MAX_PRINTED_BYTES} more")
    assert text.count(" 00") == MAX_PRINTED_BYTES


def test_json_has_all_of_it():
    assert json.loads(json_line(DOWN, "a")) == {
        "time": "2023-11-14T22:13:20.160Z",
        "gateway": "a",
        "direction": "down",
        "kind": "ack",
        "cause": "refused",
        "length": 1,
        "hex": "01",
    }


@pytest.mark.parametrize(
    ("gateways", "holder", "said"),
    [
        (0, None, "no gateway runs on this Redis (is IOTGW_REDIS_URL the gateways'?): waiting for one, and for jt808 13800138000"),
        (2, None, "jt808 13800138000 has no session on any gateway: waiting for it"),
        (2, "b", "jt808 13800138000 is on gateway b"),
    ],
)
def test_it_says_where_the_device_is(capsys: Any, gateways: int, holder: str | None, said: str):
    assert run(capsys, FakeWatcher(gateways=gateways, holder=holder)) == ([], [said, "0 lines"])


def test_it_says_what_is_not_shown_and_where_the_device_has_gone(capsys: Any):
    heard = Tapped("a", [UP, DOWN], 0), Tapped("a", [], 1200), Tapped("b", [UP], 3)
    out, notices = run(capsys, FakeWatcher(*heard, holder="a"))
    assert [line for line in out if "not shown" in line] == ["⋯ 1,200 lines not shown", "⋯ 3 lines not shown"]
    assert notices == ["jt808 13800138000 is on gateway a", "now on gateway b", "3 lines, 1,203 not shown"]


def test_as_json_standard_output_has_nothing_else(capsys: Any):
    out, _ = run(capsys, FakeWatcher(Tapped("a", [UP], 7)), as_json=True)
    assert [json.loads(line) for line in out] == [{"gateway": "a", "not_shown": 7}, json.loads(json_line(UP, "a"))]
