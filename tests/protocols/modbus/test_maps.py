from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from protocols.modbus import MODBUS
from protocols.modbus.planner import Block, blocks, halves, longer, plan_line
from protocols.modbus.site import demo, read_texts
from protocols.modbus.tables import MapError
from tests.protocols.modbus.station import MAPS, METER, RELAY, SITE, STATION


def planned(protocol: object = STATION) -> dict[tuple[int, str], tuple[Block, ...]]:
    (dtu,) = protocol.maps.dtus  # type: ignore[attr-defined]
    return {(unit.unit, group.group.name): group.blocks for unit in dtu.plan.units for group in unit.groups}


EXPECTED = {
    (1, "fast"): (Block(3, 0, 11),),
    (1, "slow"): (Block(3, 0x10, 4),),
    (1, "once"): (Block(3, 0x30, 4), Block(3, 0x100, 1)),
    (2, "fast"): (Block(1, 0, 8), Block(2, 0, 4)),
}


def test_the_plan_of_the_meter_and_the_relay_board() -> None:
    assert planned() == EXPECTED


def test_the_demo_has_the_same_plan_and_running_times() -> None:
    more = {(1, "once"): (Block(3, 0x30, 6), Block(3, 0x100, 1)), (2, "fast"): (*EXPECTED[2, "fast"], Block(3, 0x20, 2))}
    assert planned(MODBUS) == EXPECTED | more


def model(text: str):  # type: ignore[no-untyped-def]
    (found,) = read_texts({"m.toml": text}).models.values()
    return found


def plan(limits: str, *points: str) -> list[tuple[int, int, int]]:
    entries = "".join(f'[[point]]\nkey = "p{at}"\nname = {{ en = "P", zh = "点" }}\n{text}\n' for at, text in enumerate(points))
    found = model(
        f'schema = 1\nmodel = "m"\nname = {{ en = "M", zh = "型" }}\n[limits]\n{limits}\n'
        f"[groups]\nfast = {{ interval_s = 10 }}\n{entries}"
    )
    return [tuple(block) for block in blocks(found.groups["fast"].points, found.limits)]


GAP = "merge_gap = 2\ngap_readable = true"


@pytest.mark.parametrize(
    ("limits", "points", "expected"),
    [
        ("", ["address = 0", "address = 1"], [(3, 0, 2)]),
        ("", ["address = 1", "address = 0"], [(3, 0, 2)]),
        ("", ["address = 0", "address = 2"], [(3, 0, 1), (3, 2, 1)]),
        (GAP, ["address = 0", "address = 3"], [(3, 0, 4)]),
        (GAP, ["address = 0", "address = 4"], [(3, 0, 1), (3, 4, 1)]),
        ("merge_gap = 9", ["address = 0", "address = 3"], [(3, 0, 1), (3, 3, 1)]),
        (
            "max_registers = 4",
            ['address = 0\ntype = "u32"', 'address = 2\ntype = "u16"', 'address = 3\ntype = "u32"'],
            [(3, 0, 3), (3, 3, 2)],
        ),
        ("", ["address = 0", "address = 0\nfunction = 4"], [(3, 0, 1), (4, 0, 1)]),
        ("", ['address = 0\ntype = "u32"', "address = 1"], [(3, 0, 2)]),
        ("", ["address = 0\nbit = 0", "address = 0\nbit = 7"], [(3, 0, 1)]),
        ("max_registers = 60", ["address = 0\ncount = 100"], [(3, 0, 60), (3, 60, 40)]),
        ("max_bits = 8", ["address = 0\nfunction = 1\ncount = 12"], [(1, 0, 8), (1, 8, 4)]),
        ("max_registers = 5", ['address = 0\ntype = "f32"\ncount = 4'], [(3, 0, 4), (3, 4, 4)]),
    ],
)
def test_points_are_merged_within_the_limits_and_never_torn(limits: str, points: list[str], expected: list[object]) -> None:
    assert plan(limits, *points) == expected


def test_a_block_is_divided_between_its_points() -> None:
    points = model(METER).groups["fast"].points
    first, second = halves(Block(3, 0, 11), points)
    assert (first, second) == (Block(3, 0, 5), Block(3, 5, 6))
    energy = model(METER).groups["slow"].points
    assert halves(Block(3, 0x10, 4), energy) == (Block(3, 0x10, 2), Block(3, 0x12, 2))
    assert halves(Block(3, 0x10, 2), energy) == ()


def test_a_longer_read_only_where_gaps_can_be_read() -> None:
    meter, relay = model(METER).limits, model(RELAY).limits
    assert longer(Block(3, 0, 11), meter) == Block(3, 0, 12)
    assert longer(Block(3, 0, 64), meter) is None
    assert longer(Block(1, 0, 8), meter) == Block(1, 0, 9)
    assert longer(Block(1, 0, 4), meter) == Block(1, 0, 9)
    assert longer(Block(3, 0xFFFF, 1), meter) is None
    assert longer(Block(1, 0, 8), relay) is None


def test_a_line_without_time_says_so_and_is_stretched() -> None:
    site = SITE.replace("link_latency_ms = 800", "link_latency_ms = 2500")
    maps = read_texts({**MAPS, "site.toml": site})
    (warning,) = maps.warnings
    assert warning.startswith("line PS0001 needs 10 s for its 5 s cycle: all its intervals are 2.0 times as long")
    (dtu,) = maps.dtus
    fast = {unit.unit: unit.groups[0].interval_seconds for unit in dtu.plan.units}
    assert fast[1] == pytest.approx(2 * fast[2])
    assert 9.5 < fast[2] < 10.5
    assert STATION.warnings == ()
    assert plan_line({}, 1.0, 9600).load == 0


def test_counts_bits_and_numbered_names() -> None:
    relay = model(RELAY)
    names = [point.key for point in relay.groups["fast"].points]
    assert names == [f"relay_{n}" for n in range(1, 9)] + [f"input_{n}" for n in range(1, 5)]
    assert relay.point("relay_3").label == ("Relay 3", "继电器3")
    assert relay.point("relay_3").text[1].zh == "吸合"
    flags = model(METER + '\n[[point]]\nkey = "flag"\nname = { en = "F", zh = "标" }\naddress = 0x20\nbit = 4\ncount = 3\n')
    assert [(flags.point(f"flag_{n}").address, flags.point(f"flag_{n}").format.bit) for n in (1, 2, 3)] == [
        (32, 4),
        (32, 5),
        (32, 6),
    ]


def test_a_version_changes_with_its_group_alone() -> None:
    old, new = model(METER), model(METER.replace('unit = "Hz"', 'unit = "kHz"'))
    assert old.groups["fast"].version != new.groups["fast"].version
    assert old.groups["slow"].version == new.groups["slow"].version
    assert model(METER).groups["fast"].version == old.groups["fast"].version


ERRORS = [
    ("meter", "address = 0x0003", "addres = 0x0003", 33, "point[1].address: is missing"),
    ("meter", 'unit = "Hz"', 'unit = "Hz"\ncolour = 1', 0, "colour: there is no such key"),
    ("meter", 'key = "current_a"', 'key = "Current"', 0, "point[1].key: 'Current' is no text like"),
    ("meter", 'key = "current_a"', 'key = "voltage_a"', 0, "there is a point voltage_a already"),
    ("meter", 'key = "current_a"', 'key = "model"', 0, "model is a word of every reading"),
    ("meter", "retries = 1", "retries = 9", 0, "limits.retries: 9 is no whole number from 0 to 2"),
    ("meter", "max_registers = 64", "max_registers = 126", 0, "limits.max_registers"),
    ("meter", "max_registers = 64", "max_register = 64", 0, "limits.max_register: there is no such key"),
    ("meter", "schema = 1", "schema = 2", 1, "schema: 2 is no whole number from 1 to 1"),
    ("meter", 'scale = "0.01"\nunit = "Hz"', 'scale = "0,01"\nunit = "Hz"', 0, "scale: '0,01' is no decimal number"),
    ("meter", 'type = "s32"', 'type = "s33"', 0, "type: 's33' is none of"),
    ("meter", 'order = "CDAB"', 'order = "CDBA"', 0, "order: 'CDBA' is none of"),
    ("meter", 'group = "slow"', 'group = "slwo"', 0, "group: 'slwo' is none of fast, slow, once"),
    ("meter", "valid = [0, 500]", "valid = [500, 0]", 0, "valid: 500 is more than 0"),
    ("meter", "address = 0x0100\ngroup", "address = 0x10000\ngroup", 0, "address: 65536 is no whole number"),
    ("meter", 'readback = "ct_ratio"', 'readback = "ct"', 0, "command[0].readback: there is no point ct"),
    ("meter", "function = 6 ", "function = 7 ", 0, "command[0].function: 7 is none of 5, 6, 15, 16"),
    ("meter", "interval_s = 10 ", "interval = 10 ", 0, "groups.fast.interval_s: is missing"),
    ("relay", "count = 4", "count = 0", 0, "count: 0 is no whole number"),
    ("relay", 'type = "bit"\ncount = 4', 'type = "u16"\ncount = 4', 0, "'u16' is none for coils, inputs and bits"),
    ("relay", "0 = {", "off = {", 0, "off: is no whole number"),
    ("site", "unit = 2", "unit = 1", 0, "dtu[0].slave[1].unit: there is a unit 1 on this line already"),
    ("site", "unit = 2", "unit = 248", 0, "dtu[0].slave[1].unit: 248 is no whole number from 1 to 247"),
    ("meter", "min = 1", 'effect = "query"', 0, "command[0].effect: 'query' is none of actuate, configure"),
    ("meter", "min = 1", 'confirm = "yes"', 0, "command[0].confirm: "),
    ("site", '"demo-relay-8"', '"demo-relay-9"', 0, "dtu[0].slave[1].model: 'demo-relay-9' is none of"),
    ("site", '{ ascii = "PS0001" }', '{ ascii = "PS0001", hex = "00" }', 0, "dtu[0].registration: needs one of"),
    ("site", '{ ascii = "PS0001" }', '{ hex = "0g" }', 0, "dtu[0].registration.hex: '0g' is no hex"),
    ("site", '{ ascii = "PS0001" }', '{ imei = "123" }', 0, "dtu[0].registration.imei"),
    ("site", '{ ascii = "PS0001" }', '{ pattern = "PS.*" }', 0, "dtu[0].registration.pattern: '*' is no part of a pattern"),
    ("site", '{ ascii = "PS0001" }', '{ pattern = "P{60}" }', 0, "may match more than 56 characters"),
    ("site", 'framing = "rtu"', 'framing = "tcp"', 0, "dtu[0].framing: 'tcp' is none of rtu, mbap"),
    ("site", 'id = "PS0001"', 'id = "PS/1"', 0, "dtu[0].id"),
]


@pytest.mark.parametrize(("name", "old", "new", "line", "text"), ERRORS, ids=[error[4] for error in ERRORS])
def test_a_mistake_is_told_with_file_line_and_key(name: str, old: str, new: str, line: int, text: str) -> None:
    good = MAPS[f"{name}.toml"]
    assert old in good
    bad = good.replace(old, new, 1)
    with pytest.raises(MapError) as caught:
        read_texts({**MAPS, f"{name}.toml": bad})
    said = str(caught.value)
    assert said.startswith(f"{name}.toml:"), said
    assert text in said
    number = int(said.split(":")[1])
    key = said.split(": ")[1].split(".")[-1].split("[")[0]
    shown = bad.splitlines()[number - 1]
    assert key in shown or "is missing" in said, (said, shown)
    assert not line or number == line


def test_lines_are_those_of_the_key() -> None:
    with pytest.raises(MapError) as caught:
        read_texts({**MAPS, "meter.toml": METER.replace('unit = "Hz"', 'units = "Hz"')})
    wanted = METER.replace('unit = "Hz"', 'units = "Hz"').splitlines().index('units = "Hz"') + 1
    assert str(caught.value).startswith(f"meter.toml:{wanted}: point[6].units: there is no such key")


def test_maps_come_from_a_folder_or_from_tables(tmp_path: Path) -> None:
    for name, text in MAPS.items():
        (tmp_path / name).write_text(text, "utf-8")
    from_folder = MODBUS.configure({"maps": str(tmp_path)})
    from_tables = MODBUS.configure({"maps": {name: tomllib.loads(text) for name, text in MAPS.items()}})
    assert planned(from_folder) == planned(from_tables) == EXPECTED
    assert [dict(one.models) for one in (from_folder, from_tables)].count(dict(STATION.models)) >= 1
    assert MODBUS.configure({}) is MODBUS


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"folder": "x"}, "folder: Modbus has no such option"),
        ({"maps": 3}, "maps: 3 is no folder"),
        ({"maps": "/nowhere/at/all"}, "maps: there is no folder"),
        ({"maps": {"a.toml": {"schema": 1}}}, "a.toml: file: is neither a model's map"),
        ({"maps": {"a.toml": 7}}, "a.toml: file: is neither"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MODBUS.configure(options)


def test_an_empty_folder_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no \*.toml"):
        MODBUS.configure({"maps": str(tmp_path)})
    (tmp_path / "a.toml").write_text("a = ", "utf-8")
    with pytest.raises(ValueError, match=r"a\.toml: Invalid value"):
        MODBUS.configure({"maps": str(tmp_path)})


def test_two_of_a_kind_are_refused() -> None:
    with pytest.raises(MapError, match="there is a model demo-meter-3p already"):
        read_texts({"a.toml": METER, "b.toml": METER})
    with pytest.raises(MapError, match="two with the id PS0001"):
        read_texts({**MAPS, "other.toml": SITE})
    with pytest.raises(MapError, match="PS0001 and PS0002 have the same registration"):
        read_texts({**MAPS, "other.toml": SITE.replace('id = "PS0001"', 'id = "PS0002"')})


def test_the_demo_knows_its_simulated_dtus() -> None:
    assert MODBUS.simulated_identity(0) == "SIM000000"
    assert MODBUS.simulated_identity(123456) == "SIM123456"
    assert demo().dtu("SIM000001") is not None
    assert demo().dtu("SIM00001") is None
    assert STATION.simulated_identity(7) == "PS0001"
