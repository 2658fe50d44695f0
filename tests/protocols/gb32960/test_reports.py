from __future__ import annotations

from typing import Any

import pytest

from protocols.gb32960 import GB32960
from protocols.gb32960.datum import to_gcj02, to_wgs84
from tests.protocols.gb32960.frames import (
    ALARMS,
    BODIES,
    CUSTOM,
    ENGINE,
    MOTORS,
    POSITION,
    REPORT,
    TEMPERATURES,
    TIME,
    VEHICLE,
    VOLTAGES,
    decoded,
    only,
    told,
    up,
)

ABNORMAL_VEHICLE = bytes.fromhex("01 fefefe fffe fffffffe fffe fffe fe fe 0e fffe fe fe")
INVALID_VEHICLE = bytes.fromhex("01 ffffff ffff ffffffff ffff ffff ff ff 0e ffff ff ff")
MEASURED = [
    *("vehicle_state", "charge_state", "run_mode", "speed_kmh", "odometer_km", "total_voltage_v", "total_current_a"),
    *("soc_percent", "dcdc_state", "insulation_kohm", "accelerator_percent", "brake_percent"),
]


@pytest.mark.parametrize(("body", "why"), [(ABNORMAL_VEHICLE, "abnormal"), (INVALID_VEHICLE, "invalid")])
def test_what_is_no_number_is_none_and_said_to_be(body: bytes, why: str) -> None:
    report = told(body)
    assert report.speed_kmh is None
    assert all(report.values[name] is None for name in MEASURED if name != "speed_kmh")
    assert report.values[why] == MEASURED
    assert {"abnormal", "invalid", "out_of_range"} & report.values.keys() == {why}
    assert "ignition" not in report.values
    assert "braking" not in report.values


def test_report_and_its_reissue_are_one() -> None:
    live, again = told(*BODIES), told(*BODIES, command=0x03)
    assert (live.kind, live.digest) == (again.kind, again.digest)
    assert again.values == {**live.values, "reissued": True}


@pytest.mark.parametrize(
    ("gear", "word"),
    [(0x00, "neutral"), (0x01, "gear_1"), (0x0C, "gear_12"), (0x0D, "reverse"), (0x2E, "drive"), (0xCF, "park")],
)
def test_gear(gear: int, word: str) -> None:
    body = bytearray(VEHICLE)
    body[16] = gear
    assert told(bytes(body)).values["gear"] == word


def test_gear_of_2025_may_be_invalid() -> None:
    body = bytes.fromhex("01 010301020b0001e24017e876934c01 ae 09c4")
    report = told(body, start=b"$$")
    assert (report.values["gear"], report.values["invalid"]) == (None, ["gear"])
    assert report.values["driving_force"] is True


@pytest.mark.parametrize(
    ("brake", "percent", "braking"), [(0, 0, False), (1, 1, True), (100, 100, True), (101, None, True), (0xFE, None, None)]
)
def test_brake(brake: int, percent: int | None, braking: bool | None) -> None:
    values = told(VEHICLE[:-1] + bytes((brake,))).values
    assert (values["brake_percent"], values.get("braking")) == (percent, braking)


@pytest.mark.parametrize(
    ("state", "ignition", "word"), [(1, True, "started"), (2, False, "off"), (3, None, "other"), (7, None, 7), (0xFF, None, None)]
)
def test_ignition(state: int, ignition: bool | None, word: str | int | None) -> None:
    values = told(bytes((0x01, state)) + VEHICLE[2:]).values
    assert (values.get("ignition"), values["vehicle_state"]) == (ignition, word)


@pytest.mark.parametrize(("state", "charging"), [(1, True), (2, True), (3, False), (4, False), (0xFE, None)])
def test_charging(state: int, charging: bool | None) -> None:
    assert told(VEHICLE[:2] + bytes((state,)) + VEHICLE[3:]).values.get("charging") is charging


def test_numbers_beyond_what_the_standard_allows_are_kept_and_marked() -> None:
    body = bytearray(VEHICLE)
    body[4:6] = (2201).to_bytes(2, "big")
    body[14] = 101
    report = told(bytes(body))
    assert (report.speed_kmh, report.values["soc_percent"]) == (220.1, 101)
    assert report.values["out_of_range"] == ["speed_kmh", "soc_percent"]
    body[4:6], body[14] = (2200).to_bytes(2, "big"), 100
    assert "out_of_range" not in told(bytes(body)).values


def position(status: int, longitude: int, latitude: int) -> bytes:
    return b"\x05" + bytes((status,)) + longitude.to_bytes(4, "big") + latitude.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("body", "expected", "fix"),
    [
        (position(0, 121473701, 31230416), (31.230416, 121.473701), True),
        (position(2, 121473701, 31230416), (-31.230416, 121.473701), True),
        (position(4, 121473701, 31230416), (31.230416, -121.473701), True),
        (position(7, 121473701, 31230416), (-31.230416, -121.473701), False),
        (position(2, 121473701, 0), (0.0, 121.473701), True),
        (position(0, 0, 0), (None, None), False),
        (position(0, 0xFFFFFFFF, 0xFFFFFFFF), (None, None), False),
        (position(0, 121473701, 0xFFFFFFFE), (None, None), False),
    ],
)
def test_position(body: bytes, expected: tuple[Any, Any], fix: bool) -> None:
    report = told(body)
    assert (report.latitude, report.longitude) == expected
    assert str(report.latitude) != "-0.0"
    assert report.values["fix"] is fix
    assert report.is_position == (fix and expected[0] is not None)


def test_position_beyond_the_globe_is_told_and_marked() -> None:
    report = told(position(0, 181_000_000, 91_000_000))
    assert (report.latitude, report.longitude, report.is_position) == (91.0, 181.0, False)
    assert report.values["out_of_range"] == ["longitude", "latitude"]


def test_datum_of_2016_is_the_operators_word() -> None:
    shifted = told(POSITION, protocol=GB32960.configure({"datum": "gcj02"}))
    assert shifted.values["datum"] == "gcj02"
    assert (shifted.latitude, shifted.longitude) == to_wgs84(31.230416, 121.473701)
    assert "datum" not in told(POSITION).values


@pytest.mark.parametrize(("datum", "word"), [(1, None), (2, "gcj02"), (3, "other"), (9, 9), (0xFF, None)])
def test_datum_of_2025_stands_in_the_body(datum: int, word: str | int | None) -> None:
    report = told(POSITION[:2] + bytes((datum,)) + POSITION[2:], start=b"$$")
    assert report.values.get("datum") == word
    is_moved = (report.latitude, report.longitude) != (31.230416, 121.473701)
    assert is_moved == (datum == 2)


@pytest.mark.parametrize("place", [(31.2304, 121.4737), (39.9087, 116.3975), (22.5431, 114.0579), (43.82, 87.61)])
def test_datum_there_and_back(place: tuple[float, float]) -> None:
    shifted = to_gcj02(*place)
    assert 0.0005 < abs(shifted[0] - place[0]) + abs(shifted[1] - place[1]) < 0.02
    assert to_wgs84(*shifted) == pytest.approx(place, abs=1.1e-6)


def test_datum_outside_china_is_one() -> None:
    assert to_wgs84(52.52, 13.405) == (52.52, 13.405)


def test_counts_that_are_missing_are_followed_by_no_list() -> None:
    report = told(b"\x02\xff", b"\x08\xfe", b"\x09\x01\x01\xff\xfe", ENGINE)
    assert report.values["motors"] == report.values["pack_voltages"] == []
    assert report.values["pack_temperatures"] == [{"pack": 1, "temperatures_c": []}]
    assert report.values["invalid"] == ["motors_count", "engine.consumption_l_100km"]
    assert report.values["abnormal"] == ["pack_voltages_count", "pack_temperatures[0].temperatures_c_count"]


def test_runs_of_missing_cells_are_told_in_a_few_words() -> None:
    cells = bytes.fromhex("ffff ffff 0fee fffe ffff ffff")
    (pack,) = (report := told(bytes.fromhex("08 01 01 17e8 2873 0006 0001 06") + cells)).values["pack_voltages"]
    assert pack["cell_voltages_v"] == [None, None, 4.078, None, None, None]
    assert report.values["invalid"] == [
        "pack_voltages[0].cell_voltages_v[0..1]",
        "pack_voltages[0].cell_voltages_v[4..5]",
    ]
    assert report.values["abnormal"] == ["pack_voltages[0].cell_voltages_v[3]"]


def test_cells_split_over_frames_say_where_they_begin() -> None:
    parts = [bytes.fromhex(f"08 01 01 17e8 2873 012c {first:04x} 02 0fee 0ffa") for first in (1, 201)]
    first, second = (told(part) for part in parts)
    assert first.time == second.time
    assert first.digest != second.digest
    assert [one.values["pack_voltages"][0]["first_cell"] for one in (first, second)] == [1, 201]


def test_bodies_of_a_type_are_all_kept() -> None:
    bad_motor = bytes.fromhex("02 01 0201ff5e8853fc5f17e32864")
    other = VEHICLE[:5] + b"\x01" + VEHICLE[6:]
    report = told(
        VEHICLE, MOTORS, VOLTAGES, other, bad_motor, VOLTAGES, TEMPERATURES, TEMPERATURES, POSITION, POSITION, CUSTOM, CUSTOM
    )
    values = report.values
    assert [motor["motor"] for motor in values["motors"]] == [1, 2]
    assert values["abnormal"] == ["motors[0].controller_temperature_c"]
    assert values["invalid"] == [
        "pack_voltages[0].cell_voltages_v[3]",
        "motors[1].controller_temperature_c",
        "pack_voltages[1].cell_voltages_v[3]",
    ]
    assert (len(values["pack_voltages"]), len(values["pack_temperatures"]), len(values["custom"])) == (2, 2, 2)
    assert [again["type"] for again in values["repeated"]] == ["vehicle", "position"]
    assert (report.speed_kmh, values["repeated"][0]["speed_kmh"]) == (52.3, 51.3)


def test_alarms_without_a_name_stay_in_the_word() -> None:
    report = told(bytes.fromhex("07 01 80040001 00 00 00 00"))
    assert report.alarms == ["temperature_difference", "storage_overcharge"]
    assert report.values["alarm_flags"] == 0x80040001
    assert "storage_faults" not in report.values


def test_alarms_of_2025_have_levels_of_their_own() -> None:
    report = told(bytes.fromhex("06 04 90800000 00 00 00 00 02 17 04 1c ff"), start=b"$$")
    assert report.alarms == ["thermal_event"]
    assert report.values["alarm_levels"] == {"thermal_event": 4, "bit_28": None}
    assert report.values["invalid"] == ["alarm_levels[1].level"]


def test_all_named_alarms() -> None:
    assert len(told(bytes.fromhex("07 00 0007ffff 00 00 00 00")).alarms) == 19
    assert len(told(bytes.fromhex("06 00 0fffffff 00 00 00 00 00"), start=b"$$").alarms) == 28


@pytest.mark.parametrize("id", [0x0A, 0x2F, 0x30, 0x7F, 0x80, 0xFE])
def test_body_in_no_table_is_kept_if_its_length_fits(id: int) -> None:
    report = told(VEHICLE, bytes((id, 0, 2, 0xAA, 0xBB)), ALARMS)
    assert report.values["custom"] == [{"type": f"0x{id:02X}", "raw": "aabb"}]
    assert report.values["alarm_level"] == 2


@pytest.mark.parametrize("id", [0x0A, 0x30, 0x80, 0xFE])
@pytest.mark.parametrize("rest", [b"", b"\x00", b"\x01\x00abc", b"\x00\x01abc"])
def test_body_in_no_table_whose_length_does_not_fit_is_kept_as_the_rest(id: int, rest: bytes) -> None:
    bodies = bytes((id,)) + rest
    found = decoded(VEHICLE, bodies)
    assert found.error is not None
    assert found.error.path.startswith("bodies[1]")
    (report,) = found.reports
    assert report.values["odometer_km"] == 12345.6
    assert report.values["unread"] == bodies.hex()
    assert "custom" not in report.values


def test_body_that_is_cut_is_told_by_its_field() -> None:
    found = decoded(VEHICLE, MOTORS[:-1])
    assert found.error is not None
    assert (found.error.cause, found.error.path) == ("truncated", "bodies[1].body.motors.bus_current_a")
    assert found.reports[0].values["unread"] == MOTORS[:-1].hex()


@pytest.mark.parametrize("bodies", [VEHICLE + ALARMS, POSITION + VEHICLE, b"".join(BODIES)])
def test_report_without_a_time_is_no_report(bodies: bytes) -> None:
    found = GB32960.decode(only(up(0x02, bodies)))
    assert found.reports == []
    assert found.error is not None
    assert found.error.path == "time"


def test_report_of_an_impossible_time_is_one_of_no_time() -> None:
    report = told(VEHICLE, time=b"\x1a\x0d\x05\x0e\x1e\x2d")
    assert report.time is None
    assert (report.values["device_time"], report.values["soc_percent"]) == ("1a0d050e1e2d", 76)


def test_report_of_nothing_but_its_time() -> None:
    report = told()
    assert (report.body, report.values, report.alarms) == (TIME, {}, [])


def test_same_types_are_other_bodies_in_the_other_edition() -> None:
    assert decoded(*BODIES, start=b"$$").error is not None
    hydrogen = told(bytes.fromhex("03 0041 01 1388 02 015e 03 01 50 5a"), start=b"$$").values["fuel_cell"]
    assert hydrogen == {
        "hydrogen_temperature_max_c": 25,
        "hydrogen_temperature_max_probe": 1,
        "hydrogen_concentration_max_percent": 0.5,
        "hydrogen_concentration_max_sensor": 2,
        "hydrogen_pressure_max_mpa": 35.0,
        "hydrogen_pressure_max_sensor": 3,
        "high_voltage_dcdc_state": "working",
        "hydrogen_left_percent": 80,
        "high_voltage_dcdc_temperature_c": 50,
    }


def test_batteries_stacks_and_capacitors_of_2025() -> None:
    values = told(
        bytes.fromhex("04 0320"),
        bytes.fromhex("07 01 01 17e8 7693 0002 0fee ffff"),
        bytes.fromhex("08 01 01 0002 4244"),
        bytes.fromhex("30 01 01 0c80 01c2 07d0 0834 43 0001 5a"),
        bytes.fromhex("31 01 0140 7530 0001 0a8c 0001 41"),
        bytes.fromhex("31 02 0140 7530 0000 0000"),
        bytes.fromhex("32 01 0002 0a8c 01 0003 0a00 01 0004 43 01 0005 41"),
        start=b"$$",
    ).values
    assert values["engine"] == {"speed_rpm": 800}
    assert values["pack_voltages"] == [{"pack": 1, "voltage_v": 612.0, "current_a": 35.5, "cell_voltages_v": [4.078, None]}]
    assert values["pack_temperatures"] == [{"pack": 1, "temperatures_c": [26, 28]}]
    assert values["fuel_cell_stacks"] == [
        {
            "stack": 1,
            "voltage_v": 320.0,
            "current_a": 45.0,
            "hydrogen_pressure_kpa": 100.0,
            "air_pressure_kpa": 110.0,
            "air_temperature_c": 27,
            "coolant_temperatures_c": [50],
        }
    ]
    assert values["super_capacitors"] == [
        {"system": 1, "voltage_v": 32.0, "current_a": 0.0, "cell_voltages_v": [2.7], "temperatures_c": [25]},
        {"system": 2, "voltage_v": 32.0, "current_a": 0.0, "cell_voltages_v": [], "temperatures_c": []},
    ]
    extremes = values["super_capacitor_extremes"]
    assert (extremes["voltage_max_cell"], extremes["voltage_max_v"], extremes["temperature_min_c"]) == (2, 2.7, 25)
    assert values["invalid"] == ["pack_voltages[0].cell_voltages_v[1]"]


def test_login_of_2025_has_the_packs_of_each_system() -> None:
    codes = b"".join(f"PACK{number:020d}".encode() for number in range(3))
    body = TIME + b"\0\x01" + b"8" * 20 + b"\x02\x01\x02" + codes
    (report,) = GB32960.decode(only(up(0x01, body, start=b"$$"))).reports
    assert report.values["pack_counts"] == [1, 2]
    assert report.values["pack_codes"] == [f"PACK{number:020d}" for number in range(3)]


def test_login_without_codes() -> None:
    body = TIME + b"\0\x01" + b"8" * 20
    for tail, codes in ((b"\x02\x00", ["", ""]), (b"\xff\xff", []), (b"\xff\x02", []), (b"\x02\xff", []), (b"\x00\x18", [])):
        found = GB32960.decode(only(up(0x01, body + tail)))
        assert found.error is None
        assert found.reports[0].values["pack_codes"] == codes


def test_reports_of_one_moment_are_told_apart_by_their_bytes() -> None:
    assert told(VEHICLE).digest != told(ALARMS).digest
    assert told(*BODIES).body == REPORT
