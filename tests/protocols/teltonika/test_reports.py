from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from protocols import DecodeError
from protocols.teltonika import TELTONIKA
from tests.protocols.teltonika.frames import (
    CODEC_16,
    EMPTY,
    EVENT,
    FIXED,
    FMB,
    GETVER,
    INPUTS,
    LOGIN,
    NACK_14,
    OK_14,
    PING_13,
    TWO_RECORDS,
    VARIABLE,
    only,
    packed,
    record,
)


def reports(data: bytes, protocol: Any = FMB) -> list[Any]:
    decoded = protocol.decode(only(data))
    assert decoded.error is None, decoded.error
    return decoded.reports


def error(data: bytes) -> DecodeError:
    decoded = FMB.decode(only(data))
    assert decoded.reports == []
    assert decoded.error is not None
    return decoded.error


def family(name: str) -> Any:
    return TELTONIKA.configure({"family": name})


def test_event_record() -> None:
    (report,) = reports(EVENT)
    assert report.kind == "codec_8"
    assert report.time == datetime(2024, 7, 3, 10, 48, 14, tzinfo=UTC)
    assert (report.latitude, report.longitude, report.altitude_m) == (42.373737, 42.373737, 731.0)
    assert (report.speed_kmh, report.course_deg) == (0.0, 262.0)
    assert report.values == {
        "fix": True,
        "satellites": 5,
        "priority": "high",
        "event": "ignition",
        "ignition": True,
        "moving": True,
        "digital_input_1": False,
        "external_v": 12.618,
        "battery_v": 4.145,
        "analog_input_1_v": 0.043,
    }


def test_two_records_of_the_south_west() -> None:
    first, second = reports(TWO_RECORDS)
    assert first.time == datetime(2025, 3, 7, 14, 5, 9, tzinfo=UTC)
    assert (first.latitude, first.longitude) == (-23.5505, -46.6333)
    assert first.is_position
    assert first.values.items() >= {"external_v": 13.847, "pdop": 1.4, "hdop": 0.8, "odometer_km": 1234.567}.items()
    assert first.values.items() >= {"signal": 4, "gnss_status": "fix", "gsm_operator": 72405}.items()
    assert "event" not in first.values
    assert second.time == datetime(2025, 3, 7, 14, 6, 11, 500_000, tzinfo=UTC)
    assert (second.latitude, second.longitude, second.speed_kmh) == (-23.5512, -46.6351, 0.0)
    assert not second.is_position
    assert second.values == {
        "fix": False,
        "satellites": 0,
        "priority": "high",
        "event": "ignition",
        "ignition": False,
        "ibutton": "D10000000A1B2C01",
    }


def test_values_that_tell_their_length() -> None:
    (report,) = reports(VARIABLE)
    assert report.kind == "codec_8_extended"
    assert report.values["event"] == "beacons"
    assert (report.values["ble_1_c"], report.values["odometer_km"], report.values["ble_1_custom"]) == (-18.5, 8.8, "")
    beacon = {"flags": 0x21, "ibeacon": {"uuid": "101112131415161718191a1b1c1d1e1f", "major": 1, "minor": 2}, "rssi_dbm": -60}
    assert report.values["beacons"] == {"part": 0x11, "beacons": [beacon]}


def test_codec_16() -> None:
    (report,) = reports(CODEC_16)
    assert report.values == {
        "fix": True,
        "satellites": 12,
        "priority": "high",
        "generation_type": "on_change",
        "event": "lte_cell",
        "ignition": True,
        "external_v": 12.63,
        "lte_cell": 180150001,
    }


def test_empty_packet_has_no_reports() -> None:
    assert reports(EMPTY) == []


def test_login_and_answers() -> None:
    assert reports(LOGIN)[0].values == {"imei": "490154203237518"}
    assert reports(GETVER)[0].values == {"type": "command", "text": "getver"}
    assert reports(INPUTS)[0].values == {"type": "response", "text": "DI1:1 DI2:0"}
    assert reports(OK_14)[0].values == {"type": "response", "imei": "490154203237518", "text": "OK"}
    assert reports(NACK_14)[0].values == {"type": "nack", "imei": "490154203237518", "text": ""}
    (ping,) = reports(PING_13)
    assert (ping.time, ping.values) == (datetime(2025, 3, 7, 14, 6, tzinfo=UTC), {"type": "response", "text": "PING\r\n"})


def test_what_is_no_text_is_given_in_hex() -> None:
    assert reports(packed("0c 01 0d 00000003 0141ff 01"))[0].values == {"type": "camera", "data": "0141ff"}
    assert reports(packed("0c 01 77 00000002 4100 01"))[0].values == {"type": 0x77, "data": "4100"}


def test_time_of_codec_13_has_eight_bytes_in_an_old_form() -> None:
    (report,) = reports(packed("0d 01 05 0000000c 0000019570ed6140 50494e47 01"))
    assert (report.time, report.values) == (datetime(2025, 3, 7, 14, 6, tzinfo=UTC), {"type": "command", "text": "PING"})
    (report,) = reports(packed("0d 01 05 00000008 67cafd48 50494e47 01"))
    assert report.time == datetime(2025, 3, 7, 14, 6, tzinfo=UTC)
    (report,) = reports(packed("0d 01 05 00000005 00000001 41 01"))
    assert (report.time, report.values["text"]) == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "A")
    (report,) = reports(packed("0d 01 06 00000008 00000000 50494e47 01"))
    assert report.time is None, "a clock that was never set"


def test_a_second_quantity_that_differs_is_not_minded_and_a_first_one_is() -> None:
    assert reports(packed("0c 01 06 00000002 4f4b 00"))[0].values["text"] == "OK"
    decoded = FMB.decode(only(packed("0c 02 06 00000002 4f4b 02")))
    assert (decoded.error.cause, decoded.error.path, len(decoded.reports)) == ("count", "quantity", 1)


@pytest.mark.parametrize(
    ("text", "cause", "path"),
    [
        ("ff 00 00", "unknown-kind", ""),
        ("08 01 00 01", "truncated", "records[0].time"),
        (f"08 01 {FIXED} 00 00 00 00 00 01", "truncated", "records[0].io_8[0].id"),
        (f"08 01 {FIXED} 00 01 01 ef 01", "truncated", "records[0].io_2"),
        (f"08 01 {FIXED} 00 00 00 00 00 00 00 01", "length", "records[1]"),
        (f"08 01 {FIXED} 00 00 00 00 00 00 {'00' * 17} 01", "length", "records[1]"),
        (f"08 02 {FIXED} 00 00 00 00 00 00 02", "truncated", "records[1].time"),
        (f"8e 01 {FIXED} 0000 0001 0000 0000 0000 0000 0001 0100 0009 aa 01", "truncated", "records[0].io_x[0].value"),
        ("0c 01 06 00000009 4f4b 01", "truncated", "content"),
        ("0e 01 06 00000002 4f4b 01", "truncated", "content.imei"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, cause: str, path: str) -> None:
    found = error(packed(text))
    assert (found.cause, found.path) == (cause, path)


def test_counts_that_differ_are_an_error_for_bytes_that_came_another_way() -> None:
    message = only(EVENT)
    decoded = FMB.decode(message._replace(body=message.body[:-1] + b"\5"))
    assert (decoded.error.cause, decoded.error.path, decoded.reports) == ("count", "count_again", [])
    assert FMB.decode(message._replace(body=b"")).error.cause == "truncated"
    assert FMB.decode(message._replace(body=b"\0")).error.cause == "truncated"


def test_one_broken_record_takes_the_others_with_it() -> None:
    cut = TWO_RECORDS[8:-7].hex()
    assert error(packed(cut + "02")).path == "records[1].io_8[0].value"


def test_without_a_fix_the_position_is_none_or_the_last() -> None:
    nowhere = record("00 00 00 00 00 00", fixed="0000019570ec9a08 00 00000000 00000000 0000 0000 00 0000")
    assert (nowhere.latitude, nowhere.longitude, nowhere.altitude_m, nowhere.values["fix"]) == (None, None, None, False)
    equator = record("00 00 00 00 00 00", fixed="0000019570ec9a08 00 00000000 f1f67a98 0000 0000 09 0000")
    assert (equator.latitude, equator.longitude, equator.is_position) == (-23.5505, 0.0, True)


@pytest.mark.parametrize(
    ("name", "io", "fix"),
    [
        ("fmb", "4501", True),
        ("fmb", "4500", False),
        ("fmb", "4502", False),
        ("fmb", "4503", False),
        ("fmb", "4504", True),
        ("fmb", "4702", True),
        ("common", "4502", False),
        ("fm6", "4502", True),
        ("fm6", "4702", False),
        ("fm6", "4703", True),
    ],
)
def test_the_receiver_says_whether_there_is_a_fix(name: str, io: str, fix: bool) -> None:
    assert record(f"00 01 01 {io} 00 00 00", family(name)).values["fix"] is fix


@pytest.mark.parametrize(
    ("fixed", "course"),
    [
        (FIXED.replace("0113 09", "0168 09"), 0.0),
        (FIXED.replace("0113 09", "0169 09"), None),
        (FIXED.replace("0113 09", "ffff 09"), None),
    ],
)
def test_course_beyond_the_circle(fixed: str, course: float | None) -> None:
    assert record("00 00 00 00 00 00", fixed=fixed).course_deg == course


def test_strange_fields_are_accepted() -> None:
    report = record("00 00 00 00 00 00", fixed="ffffffffffffffff 07 e43452b8 f1f67a98 ff38 0113 f8 003e")
    assert report.time is None
    assert report.values == {"fix": True, "satellites": 248, "priority": 7, "device_time": "ffffffffffffffff"}
    assert report.altitude_m == -200.0


def test_a_wrong_total_is_told_and_nothing_else() -> None:
    assert record("00 09 01 ef01 00 00 00").values["announced_properties"] == 9


def test_a_property_that_comes_twice_is_kept_in_order() -> None:
    values = record("ef 03 03 ef01 ef00 ef01 00 00 00").values
    assert (values["ignition"], values["event"]) == (True, "ignition")
    again = {"id": 239, "name": "ignition"}
    assert values["repeated"] == [{**again, "value": False}, {**again, "value": True}]


def test_unknown_properties_keep_number_and_size() -> None:
    values = record(
        "0bb8 0005 0001 0bb8 07 0001 0bb8 0102 0001 0bb8 00000003 0001 0bb8 0020000000000001 0001 0bb8 0002 abcd", codec="8e"
    ).values
    assert values["io_3000_u8"] == 7
    assert (values["io_3000_u16"], values["io_3000_u32"]) == (0x102, 3)
    assert (values["io_3000_u64"], values["io_3000_x"]) == ("0020000000000001", "abcd")


def test_an_event_without_its_property_is_told_by_number() -> None:
    assert record("0c 00 00 00 00 00").values["event"] == "io_12"


@pytest.mark.parametrize(
    ("name", "group", "id", "raw", "value"),
    [
        ("fmb", 2, 66, "3156", ("external_v", 12.63)),
        ("common", 2, 66, "3156", ("external_v", 12.63)),
        ("ft", 2, 66, "3156", ("io_66_u16", 0x3156)),
        ("ft", 4, 800, "00003156", ("external_v", 12.63)),
        ("fmb", 4, 800, "00003156", ("io_800_u32", 0x3156)),
        ("fmb", 2, 6, "03e8", ("analog_input_2_v", 1.0)),
        ("fm6", 2, 6, "ff38", ("dallas_5_c", -20.0)),
        ("fm6", 2, 10, "03e8", ("analog_input_2_v", 1.0)),
        ("old_fm", 2, 10, "03e8", ("analog_input_2_v", 1.0)),
        ("fmb", 2, 10, "03e8", ("io_10_u16", 1000)),
        ("fmb", 1, 10, "01", ("sd_card", True)),
        ("common", 1, 10, "01", ("io_10_u8", 1)),
        ("common", 4, 199, "00001388", ("trip_odometer_km", 5.0)),
        ("common", 4, 16, "00001388", ("io_16_u32", 5000)),
        ("fmb", 4, 16, "00001388", ("odometer_km", 5.0)),
        ("fm6", 4, 16, "00001388", ("can_odometer_counted_km", 5.0)),
        ("fm6", 4, 216, "00001388", ("odometer_km", 5.0)),
        ("fmb", 1, 216, "01", ("geofence_35", "entered")),
        ("fmb", 2, 205, "ffff", ("gsm_cell", 0xFFFF)),
        ("fm6", 4, 205, "00010000", ("gsm_cell", 0x10000)),
        ("fm6", 2, 205, "0001", ("io_205_u16", 1)),
        ("fmb", 1, 155, "02", ("geofence_1", "overspeed_end")),
        ("fmb", 1, 61, "01", ("geofence_6", "entered")),
        ("fmb", 1, 231, "00", ("geofence_50", "left")),
        ("ft", 1, 155, "01", ("io_155_u8", 1)),
        ("fm6", 1, 174, "01", ("geofence_20", True)),
        ("fmb", 2, 25, "f8c6", ("ble_1_c", -18.5)),
        ("fmb", 2, 25, "0bb8", ("ble_1_c", "not_found")),
        ("fmb", 2, 28, "7ffe", ("ble_4_c", "parse_failure")),
        ("fmb", 2, 86, "7fdd", ("ble_1_humidity_percent", "abnormal")),
        ("fmb", 2, 86, "01c7", ("ble_1_humidity_percent", 45.5)),
        ("ast", 2, 25, "f8c6", ("io_25_u16", 0xF8C6)),
        ("fmb", 4, 72, "ffffff38", ("dallas_1_c", -20.0)),
        ("fmb", 4, 72, "00000bb8", ("dallas_1_c", "not_connected")),
        ("fm6", 2, 72, "0352", ("dallas_1_c", "not_ready")),
        ("fmb", 1, 32, "d8", ("obd_coolant_c", -40)),
        ("fmb", 2, 90, "0900", ("can_doors", ["front_left", "rear_right"])),
        ("fmb", 2, 285, "0321", ("blood_alcohol", [0.2, 1])),
        ("fmb", 1, 254, "23", ("green_driving_value", 0.35)),
        ("fmb", 1, 237, "63", ("network_type", "unknown")),
        ("fmb", 1, 250, "07", ("trip", 7)),
        ("fmb", 1, 239, "05", ("ignition", 5)),
        ("fmb", 8, 78, "0000000000000000", ("ibutton", None)),
        ("fmb", 8, 11, "000000003544c87a", ("iccid_1", "893700218")),
        ("fmb", 8, 258, "0000ff9c00640001", ("eco_maximum", {"reserved": 0, "x_mg": -100, "y_mg": 100, "z_mg": 1})),
        ("fm6", 8, 231, "4142313233000000", ("plate_1", "AB123")),
        ("fm6", 1, 235, "37", ("vin_3", "7")),
        ("fmb", None, 256, "5756575a5a5a314a5a3357333836373532", ("vin", "WVWZZZ1JZ3W386752")),
        ("ast", None, 389, "01", ("button_click", "01")),
        ("fmb", None, 385, "11", ("beacons", {"part": 0x11, "beacons": []})),
        ("fmb", None, 385, "1121ff", ("beacons", "1121ff")),
        ("fmb", None, 385, "", ("beacons", "")),
        (
            "fmb",
            None,
            385,
            "1106" + "01" * 10 + "02" * 6 + "c4" + "0136" + "0019",
            (
                "beacons",
                {
                    "part": 0x11,
                    "beacons": [
                        {
                            "flags": 6,
                            "eddystone": {"namespace": "01" * 10, "instance": "02" * 6},
                            "rssi_dbm": -60,
                            "battery_v": 3.1,
                            "temperature": 25,
                        }
                    ],
                },
            ),
        ),
        (
            "fmb",
            None,
            548,
            "01 06 0001c4 070137",
            ("advanced_beacons", {"header": 1, "beacons": [{"rssi_dbm": -60, "humidity_percent": 55}]}),
        ),
        ("fmb", None, 548, "01 07 0001c4 070137", ("advanced_beacons", "01070001c4070137")),
        ("fmb", None, 548, "01 05 0001c4 0705", ("advanced_beacons", "01050001c40705")),
    ],
)
def test_properties(name: str, group: int | None, id: int, raw: str, value: tuple[str, object]) -> None:
    raw = raw.replace(" ", "")
    size = "" if group else f"{len(raw) // 2:04x}"
    one = f"0001 {id:04x} {size} {raw}"
    io = " ".join(one if group == told else "0000" for told in (1, 2, 4, 8, None))
    report = record(f"0000 0001 {io}", family(name), codec="8e")
    kept = {key: found for key, found in report.values.items() if key not in ("fix", "satellites", "priority")}
    assert kept == dict([value])


@pytest.mark.parametrize(
    ("io", "alarms"),
    [
        ("ec 01 01 ec01", ["emergency"]),
        ("00 01 01 ec00", []),
        ("00 01 01 f601", ["towing"]),
        ("00 01 01 f706", ["crash"]),
        ("00 01 01 f901", ["jamming"]),
        ("00 01 01 fc01", ["power_off"]),
        ("fd 02 02 fd01 fe20", ["harsh_acceleration"]),
        ("fd 01 01 fd02", ["harsh_braking"]),
        ("fd 01 01 fd03", ["harsh_cornering"]),
        ("ff 01 01 ff78", ["overspeed"]),
        ("00 01 01 ff78", []),
        ("00 03 03 f901 f601 fc01", ["towing", "jamming", "power_off"]),
    ],
)
def test_alarms(io: str, alarms: list[str]) -> None:
    found = record(f"{io} 00 00 00")
    assert (found.alarms, found.is_event) == (alarms, not io.startswith("00"))


def test_where_the_family_is_not_known_unplugged_is_only_a_number() -> None:
    report = record("00 01 01 fc01 00 00 00", TELTONIKA)
    assert (report.alarms, report.values["io_252_u8"]) == ([], 1)


def test_a_record_is_known_again_in_other_company() -> None:
    first, second = (body[2:-2] for body in (report.body.hex() for report in reports(TWO_RECORDS)))
    alone = reports(packed(f"08 01 {first} 01")), reports(packed(f"08 01 {second} 01"))
    swapped = reports(packed(f"08 02 {second} {first} 02"))
    digests = [report.digest for report in reports(TWO_RECORDS)]
    assert [found[0].digest for found in alone] == digests == [report.digest for report in reversed(swapped)]
