"""Parsing and building: by hand, compiled, construct's own compiler, construct.

python -m bench.decode [--rounds 31]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench import handwritten
from bench.timing import Timing, pin, time_all
from protocols.compiler import compile
from protocols.fields import Declaration
from protocols.gt06.positions import LOCATION as LOCATION_GT06
from protocols.jt808 import JT808
from protocols.jt808.header import HEADERS
from protocols.jt808.location import LOCATION_2013
from protocols.jt808.messages import GENERAL_RESPONSE, MESSAGES
from protocols.message import Message, Outcome
from protocols.teltonika.records import CODEC_8, RECORDS

LOCATION = bytes.fromhex(
    "000000000000000c02618e8006e2c5a0001e02bc005a240102030405"  # fixed fields
    "0104000186a0020201f4030202bc300119310112"  # odometer, fuel, recorder's speed, signal, satellites
)
RESPONSE = bytes.fromhex("0001020000")
HEADER = bytes.fromhex("02000030013912345678007b")
RECORD = bytes.fromhex(
    "000001907835 8db0 01 1941b81a 1941b81a 02db 0106 05 0000 ef 11"  # time, priority, place, event and number of elements
    "07 ef01 f001 1505 c800 4503 0101 b300"  # ignition, moving, signal, sleep, GNSS, input, output
    "06 b50009 b60005 42314a 180000 430f5f 440000"  # PDOP, HDOP, external voltage, speed, battery voltage and current
    "03 c700001234 1000012d68 f1000059d9"  # trip, odometer, operator
    "01 4e0000000000000000"  # iButton
)
POSITION = bytes.fromhex("1903070e0509c90286d5740500d2643e191302d4052b6701f4a30100010012d687")
REGISTRATION = bytes.fromhex("001f00736364000000777777" + "2e3830382e37363534333231" + "01b2e24131323334")
TIME = datetime(2024, 1, 2, tzinfo=UTC)
NAMES = ("by hand", "compiled", "construct.compile()", "construct")


class Case(NamedTuple):
    """A body, and who can read it."""

    name: str
    declaration: Declaration
    body: bytes
    parse: Callable[[bytes], Any] | None = None
    build: Callable[[Any], bytes] | None = None


CASES = (
    Case("location, five items", LOCATION_2013, LOCATION, handwritten.parse_location, handwritten.build_location),
    Case("GT06 location", LOCATION_GT06["status and mileage"], POSITION, handwritten.parse_position, handwritten.build_position),
    Case("Teltonika record, 17 elements", RECORDS[CODEC_8], RECORD, handwritten.parse_record, handwritten.build_record),
    Case("general response", GENERAL_RESPONSE, RESPONSE, handwritten.parse_response, handwritten.build_response),
    Case("header of 2013", HEADERS[False, False], HEADER, handwritten.parse_header, handwritten.build_header),
    Case("registration of 2011", MESSAGES[0x0100].layouts["2011"], REGISTRATION),
)


def content(value: Any) -> Any:
    """A parsed value as plain data, so that what different code gives can be compared."""
    if isinstance(value, dict):
        return {name: content(entry) for name, entry in value.items() if name not in ("_io", "trailing")}
    if isinstance(value, (list, tuple)):
        return [content(entry) for entry in value]
    return int(value) if isinstance(value, int) else value


def rivals(case: Case) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """Who parses and who builds. They have to agree, or comparing their speed would mean nothing."""
    compiled = compile(case.declaration)
    others = (compiled, case.declaration.compile(), case.declaration)
    parsed = [case.parse(case.body)] if case.parse else []
    parsed += [other.parse(case.body) for other in others]
    builders = [case.build] if case.build else []
    builders += [other.build for other in others]
    names = NAMES if case.parse else NAMES[1:]
    for name, value, build in zip(names, parsed, builders, strict=True):
        if content(value) != content(parsed[-1]) or build(value) != case.body:
            raise AssertionError(f"{case.name}: {name} gives {value}")
    parsers = [case.parse] if case.parse else []
    parsers += [other.parse for other in others]
    return (
        {name: partial(parse, case.body) for name, parse in zip(names, parsers, strict=True)},
        {name: partial(build, value) for name, build, value in zip(names, builders, parsed, strict=True)},
    )


def add_row(table: Table, name: str, timings: dict[str, Timing]) -> None:
    by_hand = timings.get(NAMES[0])
    cells = []
    for rival in NAMES:
        timing = timings.get(rival)
        if timing is None:
            cells.append("")
            continue
        ratio = f"{timing.over(by_hand):6.2f}x" if by_hand else ""
        cells.append(f"{timing.median / 1000:7.2f} µs ±{timing.spread / 2:4.0%} {ratio}")
    table.add_row(name, *cells)


def whole_way(rounds: int, table: Table) -> None:
    """From a message to its reports, and from a frame to its answer."""
    message = Message("13912345678", 0x0200, 123, HEADER, LOCATION)
    terminal = JT808.terminal("13912345678")
    frame = terminal.frame(123, LOCATION)
    codec = JT808.codec()

    def receive_and_ack() -> bytes:
        (event,) = codec.receive(frame, 0.0)
        if not isinstance(event, Message):
            raise AssertionError(event)
        return codec.ack(event, Outcome.STORED, TIME)

    if JT808.decode(message).error is not None or not receive_and_ack():
        raise AssertionError("the whole way leads nowhere")
    ways: dict[str, Callable[[], object]] = {"decode to reports": partial(JT808.decode, message), "receive, ack": receive_and_ack}
    for name, timing in time_all(ways, rounds).items():
        table.add_row(name, f"{timing.median / 1000:.2f} µs", f"±{timing.spread / 2:.0%}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=31)
    rounds = arguments.parse_args().rounds
    core = pin()
    table = Table("", *NAMES, title=f"Median of {rounds} rounds on core {core}, half of least to most, times by hand")
    for case in CASES:
        for verb, competitors in zip(("parse", "build"), rivals(case), strict=True):
            add_row(table, f"{case.name}: {verb}", time_all(competitors, rounds))
    ways = Table("Whole way", "Median", "Half the spread", title="JT/T 808 location with five items")
    whole_way(rounds, ways)
    console = Console(width=160)
    console.print(table)
    console.print(ways)


if __name__ == "__main__":
    main()
