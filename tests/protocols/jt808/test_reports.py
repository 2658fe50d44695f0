from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

import pytest

from protocols import Decoded, Message, Report
from protocols.jt808 import JT808
from protocols.jt808.location import LOCATION_2013, LOCATION_2019
from tests.protocols.jt808.frames import LOCATION_BODY, only, up


def location(
    alarms: int = 0,
    status: int = 3,
    *,
    altitude: int = 12,
    course: int = 90,
    time: str = "260301200000",
    items: str = "",
    new: bool = False,
) -> Report:
    body = struct.pack(">IIIIHHH", alarms, status, 31_200_000, 121_500_000, altitude, 360, course) + bytes.fromhex(time + items)
    header = {"phone": "00000000013800000001", "version": 1} if new else {}
    decoded = JT808.decode(only(up(0x0200, body, **header)))
    assert decoded.error is None
    (report,) = decoded.reports
    json.dumps(report.values)
    layout = LOCATION_2019 if new else LOCATION_2013
    assert layout.build(layout.parse(body)) == body
    assert report.body == body
    return report


def decode(id: int, body: bytes | str, **header: int) -> Decoded:
    return JT808.decode(only(up(id, bytes.fromhex(body) if isinstance(body, str) else body, **header)))


def test_location() -> None:
    report = location()
    assert (report.kind, report.time) == ("location", datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert (report.latitude, report.longitude, report.altitude_m) == (31.2, 121.5, 12.0)
    assert (report.speed_kmh, report.course_deg, report.alarms) == (36.0, 90.0, [])
    assert report.is_position
    assert location().digest == report.digest != location(status=2).digest


@pytest.mark.parametrize(("status", "signs"), [(3, (1, 1)), (7, (-1, 1)), (11, (1, -1)), (15, (-1, -1))])
def test_hemispheres_are_signs(status: int, signs: tuple[int, int]) -> None:
    report = location(status=status)
    assert (report.latitude, report.longitude) == (31.2 * signs[0], 121.5 * signs[1])
    assert not {"south", "west"} & set(report.values)


def test_zero_has_no_sign() -> None:
    body = bytes(4) + (15).to_bytes(4, "big") + bytes(14) + bytes.fromhex("260301200000")
    (report,) = decode(0x0200, body).reports
    assert (str(report.latitude), str(report.longitude)) == ("0.0", "0.0")


@pytest.mark.parametrize(("raw", "altitude"), [(0, 0.0), (8848, 8848.0), (0xFFD8, -40.0)])
def test_altitude_may_be_below_the_sea(raw: int, altitude: float) -> None:
    assert location(altitude=raw).altitude_m == altitude


@pytest.mark.parametrize(("raw", "course"), [(0, 0.0), (359, 359.0), (360, 0.0), (361, None), (65535, None)])
def test_course_is_within_the_circle_or_unknown(raw: int, course: float | None) -> None:
    assert location(course=raw).course_deg == course


@pytest.mark.parametrize("time", ["000000000000", "26030120000a", "261301000000"])
def test_time_that_is_none_is_kept_raw(time: str) -> None:
    report = location(time=time)
    assert report.time is None
    assert report.values["device_time"] == time
    assert "device_time" not in location().values


def test_status_bits_have_names_and_the_word_is_kept() -> None:
    report = location(status=0x003FFF33)
    names = [name for name, value in report.values.items() if value is True]
    doors = [f"door_{number}_open" for number in range(1, 6)]
    used = ["gps_used", "beidou_used", "glonass_used", "galileo_used"]
    assert names == [
        *("ignition", "fix", "out_of_operation", "coordinates_encrypted", "fuel_cut", "circuit_cut", "doors_locked"),
        *doors,
        *used,
    ]
    assert (report.values["load"], report.values["status"]) == ("full", 0x003FFF33)
    assert location(status=0x100).values["load"] == "half"
    assert location(status=0).values["fix"] is False
    assert not location(status=0).is_position


def test_bits_of_2019_have_their_names_under_a_header_of_2019_only() -> None:
    new, old = location(0x80038008, 0x4000C3, new=True), location(0x80038008, 0x4000C3)
    assert new.alarms == ["dangerous_driving", "forbidden_driving", "tyre_pressure_warning", "right_turn_blind_zone"]
    assert old.alarms == ["danger_warning", "illegal_door_opening"]
    assert new.values["alarm_flags"] == old.values["alarm_flags"] == 0x80038008
    assert [new.values[name] for name in ("moving", "lane_departure_warning", "forward_collision_warning")] == [True] * 3
    assert "moving" not in old.values


def test_alarms_are_the_names_of_the_bits_set() -> None:
    assert location(0x183).alarms == ["emergency", "overspeed", "power_low", "power_off"]
    assert len(location(0xFFFFFFFF).alarms) == 29
    assert len(location(0xFFFFFFFF, new=True).alarms) == 31


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        ("0104000000cc", "odometer_km", 20.4),
        ("020201d4", "fuel_l", 46.8),
        ("03020214", "recorder_speed_kmh", 53.2),
        ("04020007", "alarm_event_id", 7),
        ("051e" + "37" * 30, "tyre_pressures", "37" * 30),
        ("06020019", "compartment_temperature_c", 25),
        ("06028005", "compartment_temperature_c", -5),
        ("0602fffb", "compartment_temperature_c", -5),
        ("110100", "overspeed_place", {"place": "none"}),
        ("11050400000042", "overspeed_place", {"place": "segment", "area_id": 66}),
        ("1206040000002a01", "area_crossed", {"place": "route", "area_id": 42, "direction": "out"}),
        ("12064d0000002a4d", "area_crossed", {"place": 77, "area_id": 42, "direction": 77}),
        ("130700000058005801", "segment_driven", {"segment_id": 88, "time_s": 88, "result": "too_long"}),
        ("140400000041", "video_alarms", ["signal_lost", "recording_full"]),
        ("150480000001", "video_lost", ["channel_1", "channel_32"]),
        ("160400000002", "video_masked", ["channel_2"]),
        ("17029001", "storage_faults", ["main_1", "backup_1", "backup_4"]),
        ("18020006", "abnormal_driving", {"behaviours": ["phone", "smoking"]}),
        ("1803080132", "abnormal_driving", {"behaviours": ["fatigue", "custom_1"], "fatigue_percent": 50}),
        ("250400004001", "vehicle_signals", ["low_beam", "clutch"]),
        ("2a020003", "io_status", ["deep_sleep", "sleep"]),
        ("2b0400010002", "analog", {"ad1": 1, "ad0": 2}),
        ("30011e", "signal", 30),
        ("31010c", "satellites", 12),
    ],
)
def test_item(item: str, name: str, value: object) -> None:
    values = location(items=item).values
    assert values[name] == value
    assert not {"items", "trailing"} & set(values)


def test_items_without_a_name_are_kept_raw_and_in_order() -> None:
    values = location(items="e102abcd" + "0602 0001" + "060101" + "30011e" + "30011f" + "e100").values
    assert values["compartment_temperature_c"] == 1
    assert values["signal"] == 30
    assert values["items"] == [
        {"id": "0xE1", "raw": "abcd"},
        {"id": "0x06", "raw": "01"},
        {"id": "0x30", "raw": "1f"},
        {"id": "0xE1", "raw": ""},
    ]


@pytest.mark.parametrize(
    ("tail", "trailing"), [("0104aabb", "0104aabb"), ("01", "01"), ("0000", None), ("00", None), ("000000", None)]
)
def test_items_cut_off_are_told_and_padding_is_not(tail: str, trailing: str | None) -> None:
    values = location(items="30011e" + tail).values
    assert values["signal"] == 30
    assert values.get("trailing") == trailing
    assert "items" not in values


def batch(count: int, *bodies: bytes, tail: str = "") -> Decoded:
    items = b"".join(len(body).to_bytes(2, "big") + body for body in bodies)
    return decode(0x0704, count.to_bytes(2, "big") + b"\x01" + items + bytes.fromhex(tail))


def test_batch_gives_the_reports_that_single_locations_give() -> None:
    single = decode(0x0200, LOCATION_BODY)
    other = LOCATION_BODY[:-1] + b"\x01"
    decoded = batch(2, LOCATION_BODY, other)
    assert decoded.error is None
    assert [report.body for report in decoded.reports] == [LOCATION_BODY, other]
    assert decoded.reports[0] == single.reports[0]
    assert decoded.reports[0].digest == single.reports[0].digest


def test_batch_under_a_header_of_2019_has_the_names_of_2019() -> None:
    body = bytes.fromhex("00000008") + LOCATION_BODY[4:]
    decoded = decode(0x0704, b"\0\1\0\0\x1c" + body, phone="00000000013800000001", version=1)
    assert decoded.reports[0].alarms == ["dangerous_driving"]


@pytest.mark.parametrize(
    ("count", "bodies", "tail", "cause", "path", "text"),
    [
        (3, 2, "001c" + "00" * 14, "truncated", "items[2].length", "28 > 14 left"),
        (3, 2, "00", "truncated", "items[2].length", "2 > 1 left"),
        (3, 2, "", "count", "count", "3 announced, 2 there"),
        (1, 2, "", "count", "count", "30 bytes behind the 1 announced"),
        (2, 2, "ffff", "count", "count", "2 bytes behind the 2 announced"),
    ],
)
def test_broken_batch_gives_what_is_good_and_says_where_it_breaks(
    count: int, bodies: int, tail: str, cause: str, path: str, text: str
) -> None:
    decoded = batch(count, *[LOCATION_BODY] * bodies, tail=tail)
    assert len(decoded.reports) == min(count, bodies)
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.path, decoded.error.text) == (cause, path, text)


@pytest.mark.parametrize("there", [0, 2])
def test_batch_that_announces_none_gives_what_is_there(there: int) -> None:
    decoded = batch(0, *[LOCATION_BODY] * there)
    assert [report.body for report in decoded.reports] == [LOCATION_BODY] * there
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.text) == ("count", f"none announced, {there} there")


def test_short_location_in_a_batch_costs_only_itself() -> None:
    decoded = batch(3, LOCATION_BODY, LOCATION_BODY[:25], LOCATION_BODY)
    assert len(decoded.reports) == 2
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.path, decoded.error.text) == ("truncated", "items[1].time", "6 > 3 left")


@pytest.mark.parametrize(
    ("id", "body", "cause", "path", "text"),
    [
        (0x1234, "00", "unknown-kind", "", "no message 0x1234"),
        (0x0200, LOCATION_BODY[:27].hex(), "truncated", "time", "6 > 5 left"),
        (0x0200, "", "truncated", "alarm_flags", "4 > 0 left"),
        (0x0100, "001f0073", "truncated", "manufacturer_id", "5 > 0 left"),
        (0x0001, "007b01c8", "truncated", "result", "1 > 0 left"),
        (0x0704, "0001", "truncated", "type", "1 > 0 left"),
    ],
)
def test_what_cannot_be_decoded_is_told(id: int, body: str, cause: str, path: str, text: str) -> None:
    decoded = decode(id, body)
    assert decoded.reports == []
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.path, decoded.error.text) == (cause, path, text)


@pytest.mark.parametrize("encryption", [0b001, 0b010, 0b100])
def test_encrypted_body_is_left_alone(encryption: int) -> None:
    error = decode(0x0200, LOCATION_BODY, encryption=encryption).error
    assert error is not None
    assert error.cause == "encrypted"


def test_header_that_is_none_of_ours_is_told() -> None:
    error = JT808.decode(Message("1", 0x0200, 1, b"head", LOCATION_BODY)).error
    assert error is not None
    assert error.cause == "header"


@pytest.mark.parametrize("id", [0x0002, 0x0003])
def test_empty_bodies_give_a_report_and_keep_what_vendors_add(id: int) -> None:
    (report,) = decode(id, "").reports
    assert (report.kind, report.time, report.values) == (JT808.kind_name(id), None, {})
    assert decode(id, "640a").reports[0].values == {"extra": "640a"}


def test_general_response() -> None:
    (report,) = decode(0x0001, "007b820303aa").reports
    assert report.values == {"answered_sequence": 123, "answered_kind": 0x8203, "result": "not_supported", "extra": "aa"}


PLATE = "测A1234".encode("gbk")
MAKER, NUMBER = b"\0\x1f\0\x73", b"7654321"


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param(MAKER + b"cd\0\0\0" + b"www.808." + NUMBER + b"\1" + PLATE, "www.808.", id="2011"),
        pytest.param(MAKER + b"cd\0\0\0" + b"www.808.com".ljust(20, b"\0") + NUMBER + b"\1" + PLATE, "www.808.com", id="2013"),
        pytest.param(MAKER + b"cd\0\0\0" + b"model   " + NUMBER + b"\2" + PLATE * 3, "model", id="2011, long plate"),
        pytest.param(
            MAKER + b"cd\0\0\0" + b"model   " + NUMBER + b"\2" + PLATE + PLATE[:4] + b"\1", "model", id="2011, colour in the plate"
        ),
        pytest.param(MAKER + b"cd\0\0\0" + b"m".ljust(20, b"\0") + NUMBER + b"\7" + PLATE, "m", id="2013, colour of no table"),
        pytest.param(MAKER + b"cd\0\0\0" + b"m".rjust(20, b"\0") + NUMBER + b"\0", "m", id="2013, no plate"),
    ],
)
@pytest.mark.parametrize("header", [{}, {"phone": "00000000013800000001", "version": 1}], ids=["2013", "2019"])
def test_registration_of_older_editions(body: bytes, model: str, header: dict[str, int]) -> None:
    (report,) = decode(0x0100, body, **header).reports
    assert (report.values["manufacturer_id"], report.values["model"], report.values["terminal_id"]) == ("cd", model, "7654321")


def test_registration_of_2019() -> None:
    body = MAKER + b"cd".ljust(11, b"\0") + b"big".ljust(30, b"\0") + NUMBER.ljust(30, b"\0") + b"\x5d" + "测A12345".encode()
    (report,) = decode(0x0100, body, phone="00000000013800000001", version=1).reports
    assert report.values == {
        "province_id": 31,
        "city_id": 115,
        "manufacturer_id": "cd",
        "model": "big",
        "terminal_id": "7654321",
        "plate_colour": "yellow_green",
        "plate": "测A12345",
    }


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"\6secret" + b"123456789012345" + b"3.7.15".ljust(20, b"\0"), {"imei": "123456789012345", "software": "3.7.15"}),
        (b"\6secret" + b"123456789012345", {"imei": "123456789012345"}),
        (b"\6secret", {}),
        (b"secret", {}),
        (b"", {}),
    ],
)
def test_authentication_shows_everything_but_the_code(body: bytes, values: dict[str, str]) -> None:
    (report,) = decode(0x0102, body, phone="00000000013800000001", version=1).reports
    assert report.values == values


def test_registration_answer_does_not_show_the_code() -> None:
    (report,) = decode(0x8100, b"\0\7\0secret").reports
    assert report.values == {"answered_sequence": 7, "result": "success"}
