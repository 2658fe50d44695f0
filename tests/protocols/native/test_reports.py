from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import Decoded, Message, Report
from protocols.catalogue import CATALOGUE
from protocols.compiler import compile
from protocols.native import NATIVE
from protocols.native.channels import CHANNELS, NUMBERS
from protocols.native.fields import FIRST_TIME, Real
from protocols.native.messages import MOMENT
from tests.protocols.native.frames import HELLO_FIELDS, NOON, NOON_MS, TOKEN, body, hello, moment, only, reading, readings, up


def decode(*moments: Any) -> Decoded:
    return NATIVE.decode(only(readings(*moments)))


def one(*given: Any, stamp: Any = NOON) -> Report:
    decoded = decode(moment(stamp, *given))
    assert decoded.error is None
    (report,) = decoded.reports
    return report


def fault(decoded: Decoded) -> tuple[str, str]:
    assert decoded.error is not None
    return decoded.error.cause, decoded.error.path


def point(**changes: Any) -> dict[str, Any]:
    return {"latitude": 31.2304, "longitude": -121.4737, "altitude": -1.25, "speed": 36.5, "course": 359.99, **changes}


def test_readings_of_all_types() -> None:
    report = one(
        reading(1, "point", point()),
        reading(2, "f32", 21.3),
        reading(4, "f64", 1013.252525),
        reading(82, "true"),
        reading(80, "false"),
        reading(48, "i8", -71),
        reading(49, "i16", -300),
        reading(50, "i32", 70_000),
        reading(37, "i64", 1 << 40),
        reading(112, "text", "温度"),
        reading(200, "bytes", b"\0\xff"),
    )
    assert (report.kind, report.time, report.latitude, report.longitude) == ("reading", NOON, 31.2304, -121.4737)
    assert (report.altitude_m, report.speed_kmh, report.course_deg, report.is_position) == (-1.25, 36.5, 359.99, True)
    assert report.values == {
        **{"fix": True, "temperature_c": 21.3, "pressure_hpa": 1013.252525, "door_open": True, "ignition": False},
        **{"signal_dbm": -71, "uptime_s": -300, "memory_free_bytes": 70_000, "energy_kwh": 1 << 40},
        **{"message": "温度", "channel_200": "00ff"},
    }


def test_a_moment_is_recognised_whatever_it_came_with() -> None:
    first, second = moment(NOON, reading(2, "f32", 1.5)), moment(NOON_MS + 1, reading(2, "f32", 1.5))
    together = decode(first, second).reports
    alone = decode(second).reports
    assert together[1].digest == alone[0].digest != together[0].digest
    assert together[1].body == compile(MOMENT).build(second)
    assert len(together) == 2


@pytest.mark.parametrize(
    ("stamp", "time", "values"),
    [
        (NOON_MS, NOON, {}),
        (NOON_MS + 7, NOON.replace(microsecond=7000), {}),
        (0, None, {}),
        (41, None, {"number": 41}),
        (FIRST_TIME - 1, None, {"number": FIRST_TIME - 1}),
        (FIRST_TIME, datetime(1970, 2, 19, 17, 2, 47, 296000, tzinfo=UTC), {}),
        ((1 << 64) - 1, None, {"device_time": "ffffffffffffffff"}),
    ],
)
def test_stamps_are_times_or_numbers(stamp: int, time: datetime | None, values: dict[str, Any]) -> None:
    report = one(stamp=stamp)
    assert (report.time, report.values) == (time, values)


def test_alarms_are_those_that_are_said_to_be() -> None:
    report = one(reading(NUMBERS["power_low"], "true"), reading(NUMBERS["smoke"], "false"), reading(NUMBERS["ignition"], "true"))
    assert report.alarms == ["power_low"]
    assert report.values == {"power_low": True, "smoke": False, "ignition": True}


def test_what_a_point_does_not_know_is_left_out() -> None:
    unknown = {"latitude": -(1 << 31) / 1e7, "longitude": 0, "altitude": -(1 << 31) / 100, "speed": 6553.5, "course": 655.35}
    report = one(reading(1, "point", unknown))
    assert report.values == {"fix": False}
    assert (report.latitude, report.longitude, report.altitude_m, report.speed_kmh, report.course_deg) == (None,) * 5
    assert not report.is_position
    report = one(reading(1, "point", point(longitude=180.0000001)))
    assert (report.values, report.latitude) == ({"fix": False}, None)
    report = one(reading(150, "point", {**unknown, "latitude": -90, "longitude": 180}))
    assert report.values == {"channel_150": {"latitude": -90, "longitude": 180}}
    assert report.latitude is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_what_is_no_number_becomes_none(type: str, number: float) -> None:
    raw = struct.pack(">f" if type == "f32" else ">d", number)
    assert one(reading(2, type, raw), reading(3, "i8", 1)).values == {"humidity_percent": 1}


@given(st.binary(min_size=4, max_size=4))
def test_a_single_is_the_shortest_number_it_stands_for_and_the_same_bytes_again(raw: bytes) -> None:
    field = Real(4)
    number = field.parse(raw)
    assert field.build(number) == raw
    if isinstance(number, float):
        assert struct.pack(">f", number) == raw
        shorter = float(f"{number:.5g}")
        assert number in (shorter, float(f"{number:.6g}")) or abs(shorter) > 3.4e38 or struct.pack(">f", shorter) != raw


@given(st.floats(1e-6, 1e6).map(lambda number: float(f"{number:.6g}")))
def test_six_digits_survive_a_single(number: float) -> None:
    assert Real(4).parse(Real(4).build(number)) == number


def test_six_digits_survive_where_seven_would_not() -> None:
    """Above 2^33 two singles are 1,024 apart: of some, seven digits stand for a number nearer than the one that was meant."""
    numbers = [float(f"{digits}e4") for digits in range(858_994, 1_000_000, 97)]
    assert [Real(4).parse(Real(4).build(number)) for number in numbers] == numbers


def test_own_channels_are_called_as_the_link_has_said() -> None:
    entries = [(128, "lid_angle_deg"), (129, "Lid"), (5, "mine"), (130, "temperature_c"), (131, "fix"), (128, "second")]
    names = body("describe", channels=[{"channel": channel, "name": name, "unit": ""} for channel, name in entries])
    message = only(
        readings(moment(NOON, *(reading(channel, "i8", channel - 128) for channel in range(128, 133)), reading(2, "i8", 9)))
    )
    report = NATIVE.decode(message._replace(head=message.head + names)).reports[0]
    assert report.values == {
        **{"lid_angle_deg": 0, "channel_129": 1, "temperature_c": 2, "channel_131": 3, "channel_132": 4},
        # The second of one name keeps its number, so that neither is lost.
        "channel_2": 9,
    }


def test_what_own_channels_are_measured_in_comes_with_their_readings() -> None:
    told = [(128, "lid_angle_deg", "°"), (129, "weight", "斤"), (130, "lid_open", "")]
    names = body("describe", channels=[{"channel": channel, "name": name, "unit": unit} for channel, name, unit in told])
    message = only(readings(moment(NOON, reading(128, "i8", 1), reading(130, "true"), reading(2, "i8", 9))))
    report = NATIVE.decode(message._replace(head=message.head + names)).reports[0]
    assert report.values == {"lid_angle_deg": 1, "lid_open": True, "temperature_c": 9}
    assert report.units == {"lid_angle_deg": "°"}


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ([(128, "lid_deg"), (128, "other_deg")], "channels[1]"),
        ([(127, "lid_deg")], "channels[0]"),
        ([(128, "Lid")], "channels[0]"),
        ([(128, "x" * 33)], "channels[0]"),
        ([(128, "")], "channels[0]"),
        ([(128, "fix")], "channels[0]"),
    ],
)
def test_names_that_cannot_be_are_told_of(entries: list[tuple[int, str]], path: str) -> None:
    names = body("describe", channels=[{"channel": channel, "name": name, "unit": "°"} for channel, name in entries])
    decoded = NATIVE.decode(only(up("describe", names)))
    assert fault(decoded) == ("value", path)
    assert len(decoded.reports) == 1
    cut = NATIVE.decode(only(up("describe", names[:-1])))
    assert fault(cut)[0] == "truncated"


def test_a_description_is_a_report_with_units() -> None:
    names = body("describe", channels=[{"channel": 128, "name": "lid_angle_deg", "unit": "°"}])
    (report,) = NATIVE.decode(only(up("describe", names))).reports
    assert report.values == {"channels": [{"channel": 128, "name": "lid_angle_deg", "unit": "°"}]}


@pytest.mark.parametrize(
    ("bad", "cause", "path"),
    [
        (moment(NOON, reading(2, "text", "warm")), "value", "moments[1].readings[0].type"),
        (moment(NOON, reading(1, "i8", 1)), "value", "moments[1].readings[0].type"),
        (moment(NOON, reading(3, "i8", 1), reading(82, "i8", 1)), "value", "moments[1].readings[1].type"),
        (moment(NOON, reading(3, "i8", 1), reading(3, "i8", 1)), "repeated", "moments[1].readings[1].channel"),
    ],
)
def test_a_moment_that_cannot_be_costs_no_other(bad: Any, cause: str, path: str) -> None:
    good = moment(NOON, reading(2, "i8", 20))
    decoded = decode(good, bad, good)
    assert fault(decoded) == (cause, path)
    assert [report.values for report in decoded.reports] == [{"temperature_c": 20}] * 2


def test_a_moment_cut_at_any_byte_is_no_report_in_half() -> None:
    raw = compile(MOMENT).build(moment(NOON, reading(2, "f32", 21.5), reading(112, "text", "ok"), reading(1, "point", point())))
    edges = {8, 8 + 6, 8 + 6 + 6, len(raw)}
    for size in range(len(raw) + 1):
        payload = size.to_bytes(2, "big") + raw[:size]
        decoded = NATIVE.decode(only(up("readings", payload)))
        assert len(decoded.reports) == (size in edges), size
        assert (decoded.error is None) is (size in edges)
        trailing = NATIVE.decode(only(up("readings", len(raw).to_bytes(2, "big") + raw[:size])))
        assert (trailing.error is None) is (size == len(raw))


def test_unknown_types_are_errors_and_not_guesses() -> None:
    payload = (8 + 3).to_bytes(2, "big") + NOON_MS.to_bytes(8, "big") + bytes((2, 0x0B, 1))
    decoded = NATIVE.decode(only(up("readings", payload)))
    assert fault(decoded) == ("truncated", "moments[0].readings[0]")
    assert decoded.reports == []


def test_no_token_gets_into_rows_explanations_or_values() -> None:
    (message,) = NATIVE.codec().receive(hello(), 0.0)
    assert isinstance(message, Message)
    assert TOKEN in message.body
    (report,) = NATIVE.decode(message).reports
    assert report.values == {name: HELLO_FIELDS[name] for name in ("version", "payload", "identity", "model", "software")}
    assert report.body == body("hello", **{**HELLO_FIELDS, "token": b""})
    leaves = [leaf for leaf in NATIVE.explain(hello()).leaves() if TOKEN in leaf.raw]
    assert [(leaf.is_secret, leaf.value) for leaf in leaves] == [(True, None)]


def test_files_are_reports_of_their_own_time() -> None:
    begin = NATIVE.decode(only(up("file_begin", body("file_begin", file=NOON, content="image", size=5, name="a.jpg")))).reports[0]
    data = NATIVE.decode(only(up("file_data", body("file_data", file=NOON, offset=3, data=b"\xff\xd8")))).reports[0]
    end = NATIVE.decode(only(up("file_end", body("file_end", file=NOON, size=5, crc32=9)))).reports[0]
    assert begin.values == {"file": NOON_MS, "content": "image", "size": 5, "name": "a.jpg"}
    assert data.values == {"file": NOON_MS, "offset": 3, "size": 2}
    assert data.body[12:] == b"\xff\xd8"
    assert end.values == {"file": NOON_MS, "size": 5, "crc32": 9}
    assert begin.time == data.time == end.time == NOON
    other = NATIVE.decode(only(up("file_data", body("file_data", file=7, offset=3, data=b"\xff\xd8")))).reports[0]
    assert (other.time, other.values["file"]) == (None, 7)
    assert other.digest != data.digest


def test_results_say_of_what_and_how_it_went() -> None:
    returned = [
        {"name": name, "type": type, "value": value}
        for name, type, value in (("on", "true", None), ("t", "f32", 0.1), ("on", "false", None))
    ]
    payload = body("result", stamp=NOON, answered="command", id=7, status="done", returned=returned)
    (report,) = NATIVE.decode(only(up("result", payload))).reports
    assert report.time == NOON
    assert report.values == {"answered": "command", "id": 7, "status": "done", "returned": {"on": True, "t": 0.1}}
    cut = NATIVE.decode(only(up("result", payload[:-1])))
    assert fault(cut) == ("truncated", "returned[2]")
    assert cut.reports[0].values["returned"] == {"on": True, "t": 0.1}


def test_time_says_what_the_devices_clock_was() -> None:
    (report,) = NATIVE.decode(only(up("time", body("time", clock=NOON)))).reports
    assert (report.time, report.values) == (NOON, {})


def test_a_head_of_somebody_elses_is_an_error() -> None:
    decoded = NATIVE.decode(Message("x", 3, 1, b"\x01", b""))
    assert fault(decoded)[0] == "truncated"


def test_channels_have_names_that_cannot_clash() -> None:
    assert len({channel.name for channel in CHANNELS.values()}) == len(CHANNELS)
    assert all(0 < number < 128 for number in CHANNELS)
    assert all(channel.chinese and channel.english for channel in CHANNELS.values())


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        ("command", {"id": 1, "name": "x", "arguments": {"a": None}}, "command: arguments.a: None is neither"),
        ("command", {"id": 1, "name": "x", "arguments": {"a": 1 << 63}}, "does not fit 64 bits"),
        ("command", {"id": 1, "name": "x", "arguments": [1]}, "is no values by name"),
        ("command", {"id": -1, "name": "x"}, "command: id: -1"),
        ("command", {"id": 1, "name": "x" * 256}, "command: name: "),
        ("command", {"id": 1, "name": "x", "arguments": {"y" * 256: 1}}, "too long"),
        ("command", {"id": 1}, "command: name: missing"),
        ("offer", {"file": 1, "name": "x", "version": "1"}, "offer: size: missing"),
        ("fly", {}, "there is no message 'fly'"),
    ],
)
def test_what_cannot_be_built_is_named(kind: str, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NATIVE.build(kind, fields)
    with pytest.raises(ValueError, match="no layout '1999'"):
        NATIVE.build("ping", {}, "1999")


def test_arguments_travel_in_the_smallest_type() -> None:
    built = NATIVE.build("command", {"id": 1, "name": "x", "arguments": {"a": -128, "b": 128, "c": 1 << 31, "d": 0.1, "e": b"\1"}})
    arguments = NATIVE.messages[0x87].layouts["2026 version 1"].parse(built).arguments
    assert [argument.type for argument in arguments] == ["i8", "i16", "i64", "f64", "bytes"]


def test_channels_agree_with_the_catalogue() -> None:
    shared = [channel for channel in CHANNELS.values() if channel.name in CATALOGUE]
    assert len(shared) > 20
    assert [channel.name for channel in shared if CATALOGUE[channel.name].unit != channel.unit] == []


def test_pieces_of_a_file_say_where_they_belong() -> None:
    fields = {"file": NOON, "extra": b""}
    begin = body("file_begin", content="image", size=0, name="../a.jpg", **fields)
    data = body("file_data", file=NOON, offset=4000, data=b"picture")
    end = body("file_end", size=4007, crc32=7, **fields)
    found = []
    for kind, payload in (("file_begin", begin), ("file_data", data), ("file_end", end)):
        (report,) = NATIVE.decode(only(up(kind, payload))).reports
        assert report.piece is not None
        assert report.piece.file == str(NOON_MS)
        found.append(report.piece)
        assert report.body[report.piece.data_at :][: report.piece.data_size] == (b"picture" if kind == "file_data" else b"")
    assert [(piece.kind, piece.name, piece.offset) for piece in found] == [
        ("photo", "../a.jpg", 0),
        (None, "", 4000),
        (None, "", 0),
    ]
    assert [(piece.size, piece.crc32, piece.is_last) for piece in found] == [(None, None, False)] * 2 + [(4007, 7, True)]
