"""What reports are made of bodies, layout by layout."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from protocols.gt06 import GT06
from tests.protocols.gt06.frames import CELL, CELL_4G, IMEI, STATUS, TIME_GPS, WIDE_CELL, error, long, message, report, short

TIME = "1903070E0600"
AT = datetime(2025, 3, 7, 14, 6, tzinfo=UTC)
CELLS = "01A8 02" + "1A2B0CDE003C" + "000000000000" * 6 + "05"
CELLS_4G = "81A8 0002" + "00001A2B 000000000ABCDEF1 3C" + "00" * 13 * 6 + "FF"
OWNER = "0490154203237518"
PHONE = "3133383030303030303031" + "00" * 10


@pytest.mark.parametrize("cell", [CELL, WIDE_CELL])
@pytest.mark.parametrize("type", [0x12, 0x22, 0x2D])
@pytest.mark.parametrize(
    ("tail", "values"),
    [
        ("", {}),
        ("010301", {"ignition": True, "upload": "ignition_change", "delivery": "stored"}),
        ("00002260", {"odometer_km": 8.8}),
        ("000E00 00002260", {"ignition": False, "upload": "still_interval", "delivery": "live", "odometer_km": 8.8}),
        ("0102", {"extra": "0102"}),
        ("022099", {"acc": 2, "upload": 0x20, "delivery": 0x99}),
    ],
)
def test_the_tail_of_a_position_is_told_by_its_size(type: int, cell: str, tail: str, values: dict[str, object]) -> None:
    found = report(short(type, f"{TIME_GPS} {cell} {tail}"))
    assert (found.time, found.latitude, found.longitude) == (AT, 25.2048, 55.2708)
    assert (found.speed_kmh, found.course_deg, found.altitude_m) == (0.0, 90.0, None)
    own = {"mcc": 424, "mnc": 2, "lac": 6699, "cell_id": 843505}
    assert found.values == {**own, "satellites": 12, "fix": True, "differential": False, **values}


@pytest.mark.parametrize(("tail", "odometer"), [("", None), ("010300", None), ("010300 00002260", 8.8), ("00002260", 8.8)])
def test_positions_with_4g_cells(tail: str, odometer: float | None) -> None:
    for cell in (CELL_4G, CELL_4G.replace("01A8 02", "81A8 0002")):
        found = report(short(0xA0, f"{TIME_GPS} {cell} {tail}"))
        assert (found.values["mcc"], found.values["mnc"], found.values["cell_id"]) == (424, 2, 180150001)
        assert found.values.get("odometer_km") == odometer
        assert "extra" not in found.values


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("1D2C", (True, False, None, 25.2048, -55.2708, 300.0)),
        ("0000", (False, False, None, -25.2048, 55.2708, 0.0)),
        ("3568", (True, True, None, 25.2048, 55.2708, 0.0)),
        ("D45A", (True, False, True, 25.2048, 55.2708, 90.0)),
        ("545A", (True, False, False, 25.2048, 55.2708, 90.0)),
        ("945A", (True, False, None, 25.2048, 55.2708, 90.0)),
        ("1569", (True, False, None, 25.2048, 55.2708, None)),
        ("17FF", (True, True, None, 25.2048, 55.2708, None)),
    ],
)
def test_the_course_word(word: str, expected: tuple[object, ...]) -> None:
    found = report(short(0x22, f"{TIME_GPS[:-4]}{word} {CELL}"))
    differential = bool(int(word, 16) & 0x2000)
    ignition = found.values.get("ignition")
    assert (found.values["fix"], found.values["differential"], ignition) == (expected[0], differential, expected[2])
    assert (found.latitude, found.longitude, found.course_deg) == expected[3:]


def test_zeros_without_a_fix_are_no_place_and_with_one_they_are() -> None:
    nowhere = short(0x22, f"{TIME} C0 00000000 00000000 00 0000 {CELL}")
    assert (report(nowhere).latitude, report(nowhere).longitude) == (None, None)
    equator = report(short(0x22, f"{TIME} C4 00000000 00000000 00 1800 {CELL}"))
    assert (str(equator.latitude), str(equator.longitude)) == ("0.0", "0.0")


def test_a_cell_of_zeros_is_none() -> None:
    found = report(short(0x22, f"{TIME_GPS} 0000 00 0000 000000"))
    assert found.values == {"satellites": 12, "fix": True, "differential": False}
    assert report(short(0x22, f"{TIME_GPS} 01CC 00 0000 000000")).values["lac"] == 0


@pytest.mark.parametrize("raw", ["000000000000", "190D07000000", "1902 1E 000000", "640101000000"])
def test_a_time_that_is_none_is_kept_as_it_came(raw: str) -> None:
    found = report(short(0x22, f"{raw} {TIME_GPS[13:]} {CELL}"))
    assert found.time is None
    assert found.values["device_time"] == bytes.fromhex(raw).hex()


@pytest.mark.parametrize(("zone", "hour"), [("3201", 6), ("2122", 8), ("14AA", 17), ("0000", 14)])
def test_old_types_tell_local_time_and_new_ones_utc(zone: str, hour: int) -> None:
    codec = GT06.codec()
    codec.receive(short(0x01, f"{OWNER} 3608 {zone}"), 0.0)
    for type, content, is_local in (
        (0x10, f"{TIME_GPS}", True),
        (0x11, f"{TIME} {CELL}", True),
        (0x12, f"{TIME_GPS} {CELL}", True),
        (0x16, f"{TIME_GPS} 09 {CELL} {STATUS}", True),
        (0x18, f"{TIME} {CELLS} 0002", True),
        (0x1A, f"{TIME_GPS} {PHONE} 0002", True),
        (0x1E, f"{TIME_GPS} {CELLS} 0002", True),
        (0x22, f"{TIME_GPS} {CELL}", False),
        (0x26, f"{TIME_GPS} 09 {CELL} {STATUS}", False),
        (0x28, f"{TIME} {CELLS} 0002", False),
        (0x2A, f"{TIME_GPS} {PHONE} 0002", False),
        (0xA0, f"{TIME_GPS} {CELL_4G}", False),
    ):
        (opened,) = codec.receive(short(type, content), 0.0)
        found = report(opened)
        assert found.time is not None
        assert (found.time.hour, found.kind) == (hour if is_local else 14, GT06.kind_name(type))


def test_the_operators_zone_counts_where_the_login_tells_none() -> None:
    codec = GT06.configure({"zone": "+08:00"}).codec()
    codec.receive(short(0x01, OWNER), 0.0)
    found = report(codec.receive(short(0x12, f"{TIME_GPS} {CELL}"), 0.0)[0])
    assert found.time == datetime(2025, 3, 7, 6, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "alarms", "code"),
    [
        ("44 05 03 02 02", ["power_off"], 2),
        ("65 06 04 00 01", ["emergency"], 0),
        ("65 06 04 01 01", ["emergency"], 1),
        ("4C 06 04 06 02", ["overspeed", "vibration"], 6),
        ("44 06 04 00 02", [], 0),
        ("44 06 04 25 02", ["tamper"], 0x25),
        ("44 06 04 30 02", ["harsh_braking"], 0x30),
        ("44 06 04 29 02", ["harsh_acceleration"], 0x29),
        ("44 06 04 53 02", ["alarm_53"], 0x53),
        ("44 06 04 07 12", ["alarm_107"], 0x107),
        ("44 06 04 FE 02", ["ignition_on"], 0xFE),
    ],
)
def test_alarms_keep_their_number_beside_their_word(status: str, alarms: list[str], code: int) -> None:
    for type, content in ((0x26, f"{TIME_GPS} 09 {CELL} {status}"), (0x19, f"{CELL} {status}"), (0xA5, f"{CELL_4G} {status}")):
        found = report(short(type, content))
        assert (found.alarms, found.values["alarm_code"]) == (alarms, code)
        assert found.values["language"] == int(status[-1])


@pytest.mark.parametrize(
    ("type", "content", "extra"),
    [
        (0x26, f"{TIME_GPS} 09 {CELL} {STATUS}", {}),
        (0x26, f"{TIME_GPS} 08 {CELL} {STATUS}", {"lbs_length": 8}),
        (0x26, f"{TIME_GPS} 0A {WIDE_CELL} {STATUS}", {}),
        (0x26, f"{TIME_GPS} 09 {CELL} {STATUS} 00002260", {"odometer_km": 8.8}),
        (0x26, f"{TIME_GPS} 00 {STATUS}", {"lbs_length": 0}),
        (0x26, f"{TIME_GPS} 0B {CELL} ABCD {STATUS}", {"lbs_extra": "abcd", "cell_id": 843505}),
        (0x26, f"{TIME_GPS} 0D {CELL} 01020304 {STATUS}", {"lbs_extra": "01020304", "odometer_km": None}),
        (0x27, f"{TIME_GPS} 0C {WIDE_CELL} ABCD {STATUS} 03", {"lbs_extra": "abcd", "fence": 3}),
        (0x16, f"{TIME_GPS} 09 {CELL} {STATUS} 0102030405060708", {"extra": "0102030405060708"}),
        (0x27, f"{TIME_GPS} 09 {CELL} {STATUS} 01", {"fence": 1}),
        (0x27, f"{TIME_GPS} 0A {WIDE_CELL} {STATUS} 01", {"fence": 1}),
        (0x27, f"{TIME_GPS} 09 {CELL} {STATUS} 00002260 FF", {"fence": 255, "odometer_km": 8.8}),
        (0xA3, f"{TIME_GPS} 10 {CELL_4G} {STATUS}", {"cell_id": 180150001}),
        (0xA4, f"{TIME_GPS} 10 {CELL_4G} {STATUS} 02", {"fence": 2}),
        (0x32, f"{TIME_GPS} 0A 01A8 0002 1A2B 0000CDEF {STATUS}", {"cell_id": 0xCDEF}),
        (0x32, f"{TIME_GPS} 0A 01A8 0002 1A2B 0000CDEF {STATUS} FFF6", {"cell_id": 0xCDEF}),
    ],
)
def test_alarms_by_size(type: int, content: str, extra: dict[str, object]) -> None:
    found = report(short(type, content))
    assert (found.alarms, found.is_event) == (["power_off"], True)
    assert (found.values["voltage_level"], found.values["signal"]) == (5, 3)
    assert {name: found.values.get(name) for name in extra} == extra
    assert found.altitude_m == (-10.0 if content.endswith("FFF6") else None)


@pytest.mark.parametrize(
    "frame",
    [
        short(0x16, f"{TIME_GPS} {CELL} 44 04EF 03 02"),
        short(0x16, f"{TIME_GPS} 0A 01A8 02 1A2B 0000CDEF {STATUS}"),
        short(0x22, f"{TIME_GPS} 01A8 02 1A2B 0000CDEF 010300" + "00" * 12),
        short(0xA3, f"{TIME_GPS} 00"),
        short(0x24, f"{TIME_GPS}" + "00" * 23),
        short(0xA2, f"{TIME_GPS}" + "00" * 41),
        short(0x95, f"{TIME_GPS} 61"),
        short(0x32, f"{TIME_GPS} 61"),
        short(0x38, f"{TIME_GPS} 61"),
        long(0x32, f"{TIME_GPS} 61"),
        long(0x33, f"{TIME_GPS} 61"),
        short(0x25, f"{TIME_GPS} 61"),
    ],
    ids=lambda data: data.hex()[:10],
)
def test_vendors_tails_leave_the_position_good(frame: bytes) -> None:
    decoded = GT06.decode(message(frame))
    if message(frame).kind == 0xA3:
        assert decoded.error is not None
        return
    (found,) = decoded.reports
    assert (found.latitude, found.longitude, found.time) == (25.2048, 55.2708, AT)
    assert found.alarms == []
    assert "extra" in found.values
    assert "mcc" not in found.values


def test_devices_with_their_identity_in_a_position() -> None:
    owned = report(short(0x12, f"{OWNER} {TIME_GPS} {CELL}"))
    assert (owned.latitude, owned.values["imei"], owned.time) == (25.2048, IMEI, AT)
    driver = report(short(0x22, f"01 {OWNER} 1903070E0700 {TIME_GPS}" + "00" * 22))
    assert (driver.latitude, driver.values["imei"], driver.time, driver.values["source"]) == (25.2048, IMEI, AT, 1)
    ibutton = report(short(0x61, f"{OWNER} 0102"))
    assert (ibutton.values["imei"], ibutton.values["raw"]) == (IMEI, "0102")
    tail = report(short(0x12, f"{TIME_GPS} {CELL} 0102030405060708"))
    assert (tail.latitude, tail.values["extra"]) == (25.2048, "0102030405060708")


@pytest.mark.parametrize(
    ("frame", "values"),
    [
        (short(0x10, f"{TIME_GPS}"), {"fix": True}),
        (short(0x10, f"{TIME_GPS} 0002"), {"word": 2}),
        (short(0x11, f"{TIME} {CELL}"), {"cell_id": 843505}),
        (short(0x11, f"{TIME} {CELL} 0001"), {"language": 1}),
        (short(0x11, f"{TIME} {WIDE_CELL} 0001"), {"mnc": 2, "language": 1}),
        (short(0x11, f"{TIME_GPS} 01A8 0002 1A2B 0000CDEF"), {"fix": True, "cell_id": 0xCDEF}),
        (short(0x17, f"{TIME_GPS} {CELL} 0102030405060708 01"), {"rfid": "0102030405060708", "is_valid": 1}),
        (short(0x17, f"{CELL} {PHONE} 0002"), {"phone": "13800000001", "alarm_language": 2}),
        (short(0xA7, f"{CELL_4G} {PHONE} 0002"), {"phone": "13800000001", "cell_id": 180150001}),
        (short(0x2A, f"{TIME_GPS} {PHONE} 0002"), {"phone": "13800000001", "fix": True}),
        (short(0x31, f"{TIME_GPS} 01A8 0002 1A2B 0000CDEF 010001 00002260 FFF6"), {"odometer_km": 8.8, "delivery": "stored"}),
        (
            short(0x37, f"{TIME_GPS} {CELL} 010001 0027 02 04EF 002E 04 00002260 003B 02 00FA 0099 01 05"),
            {"external_v": 12.63, "odometer_km": 8.8, "accuracy_m": 2.5, "items": [{"id": "0x0099", "raw": "05"}]},
        ),
        (long(0x38, f"{TIME_GPS} 01 00 02 01A8 02 1A2B 0CDEF1 3C"), {"upload": "distance", "cell_kind": 2, "cell_id": 843505}),
        (
            long(0x38, f"{TIME_GPS} 01 00 03 01A8 02 00001A2B 000000000ABCDEF1 003C 002E 04 00002260"),
            {"rssi": 60, "cell_id": 180150001, "odometer_km": 8.8, "lac": 6699},
        ),
        (short(0x94, "04EF"), {"external_v": 12.63}),
        (long(0x9B, "04 4142"), {"device": 4, "data": "4142"}),
        (long(0x9C, "01 02 4142"), {"module": 1, "data": "4142"}),
        (short(0x9C, "01 09 4142"), {"raw": "01094142"}),
        (short(0x1F, "1903070E0600 0001"), {"raw": "1903070e06000001"}),
        (short(0x14, "0102"), {"raw": "0102"}),
        (short(0xF3, ""), {"raw": ""}),
        (short(0x69, "0102"), {"raw": "0102"}),
        (short(0x17, f"{CELL} {PHONE} 0002 05"), {"extra": "05"}),
    ],
    ids=lambda data: data.hex()[:8] if isinstance(data, bytes) else "",
)
def test_values(frame: bytes, values: dict[str, object]) -> None:
    found = report(frame).values
    assert {name: found.get(name) for name in values} == values


def test_altitude_where_a_form_has_one() -> None:
    assert report(short(0x31, f"{TIME_GPS} 01A8 0002 1A2B 0000CDEF 010001 00002260 FFF6")).altitude_m == -10.0


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (short(0x18, f"{TIME} {CELLS} 0002"), [{"lac": 6699, "cell_id": 843264, "rssi": 60}]),
        (short(0xA1, f"{TIME} {CELLS_4G} 0002"), [{"lac": 6699, "cell_id": 180150001, "rssi": 60}]),
        (short(0x1E, f"{TIME_GPS} {CELLS} 0002"), [{"lac": 6699, "cell_id": 843264, "rssi": 60}]),
    ],
)
def test_of_seven_cells_those_that_are(frame: bytes, expected: list[dict[str, int]]) -> None:
    found = report(frame)
    assert (found.values["cells"], found.time) == (expected, AT)
    assert found.values.get("timing_advance") == (None if found.kind == "cells_4g" else 5)


def test_no_cells_at_all() -> None:
    found = report(short(0x28, f"{TIME} 0000 00" + "00" * 42 + "FF 0002"))
    assert found.values == {"language": 2}


@pytest.mark.parametrize(("type", "cells"), [(0x2C, CELLS), (0xA2, CELLS_4G)])
@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("00", []),
        ("02 02000000000A2D 00000000000000", [{"mac": "02:00:00:00:00:0a", "level": 45}]),
        ("01 02000000000A2D 05 486F6D6531", [{"mac": "02:00:00:00:00:0a", "level": 45, "ssid": "Home1"}]),
        ("01 02000000000A2D 00", [{"mac": "02:00:00:00:00:0a", "level": 45, "ssid": ""}]),
    ],
)
def test_access_points_with_and_without_names(type: int, cells: str, points: str, expected: list[object]) -> None:
    found = report(short(type, f"{TIME} {cells} {points}"))
    assert found.values["access_points"] == expected
    assert "extra" not in found.values


def test_access_points_that_end_nowhere_keep_their_tail() -> None:
    found = report(short(0x2C, f"{TIME} {CELLS} 01 02000000000A2D 0548"))
    assert (len(found.values["access_points"]), found.values["extra"]) == (1, "0548")
    assert error(short(0x2C, f"{TIME} {CELLS} 03 02000000000A2D")).cause == "truncated"


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("46 06 04 0002", {"voltage_level": 6, "signal": 4, "port": 2}),
        ("46 64 1F 0002", {"battery_percent": 100, "signal": 31}),
        ("46 07 1F 0002", {"battery_percent": 7}),
        ("46 00 00 0002", {"voltage_level": 0, "signal": 0}),
        ("46 FA 00 0002", {"voltage_level": 250}),
        ("C6 06 04 0002 010203", {"oil_cut": True, "extra": "06040002010203"}),
    ],
)
def test_heartbeats_never_alarm(content: str, values: dict[str, object]) -> None:
    found = report(short(0x13, content))
    assert {name: found.values.get(name) for name in values} == values
    assert (found.alarms, found.time) == ([], None)
    assert report(short(0x13, "66 06 04 0102")).values["alarm_state"] == "emergency"
    assert report(short(0x13, "66 06 04 0102")).alarms == []


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("00 04EF", {"subtype": "power", "external_v": 12.63}),
        ("00 04", {"subtype": "power", "data": "04"}),
        ("01 0405", {"subtype": 1, "data": "0405"}),
        ("04 414C4D313D37353B535441313D34303B4459443D3031", {"settings": {"ALM1": "75", "STA1": "40", "DYD": "01"}}),
        ("05 03", {"door": ["open", "high"]}),
        ("05 1903070E0600 01", {"door": ["open"]}),
        ("06 010203", {"subtype": 6, "data": "010203"}),
        ("08 4F4B", {"text": "OK"}),
        ("09 03 02 1E1F 03 1E1F20 01 00 01 05 00", {"gps_state": "fix_3d", "gps_used": [30, 31], "beidou_seen": [5]}),
        ("0B 01", {"network": "lte"}),
        ("0B 04EF", {"voltage_v": 12.63}),
        ("0D 2141494F494C2C31", {"text": "!AIOIL,1"}),
        ("0D 1903070E0600 2141494F494C", {"text": "!AIOIL"}),
        ("1B 41424344", {"text": "ABCD"}),
        ("1B 02 01 01020304 05 03", {"data": "02010102030405" + "03"}),
        ("1E FFFFFFCE 00000258", {"temperature_c": -5.0, "humidity_percent": 60.0}),
    ],
)
def test_information(content: str, values: dict[str, object]) -> None:
    found = report(long(0x94, content))
    assert {name: found.values.get(name) for name in values} == values
    assert found.time == (AT if TIME in content else None)


def test_replies_to_commands() -> None:
    assert report(long(0x21, "00000001 01 4F4B")).values == {"flag": 1, "encoding": "ascii", "text": "OK"}
    assert report(long(0x21, "00000001 02 00410042")).values["text"] == "AB"
    assert report(long(0x21, "00000001 02 004100")).values["text"] == "004100"
    assert report(long(0x21, "00000001 07 4142")).values == {"flag": 1, "encoding": 7, "text": "4142"}
    assert report(short(0x15, "06 00000001 4F4B 0002")).values == {"flag": 1, "text": "OK", "language": 2}
    padded = report(short(0x15, "00 00000001 4F4B000000 0002")).values
    assert padded == {"length": 0, "flag": 1, "text": "OK", "language": 2}
    assert report(short(0x15, "00 00000001 01")).values["raw"] == "01"
    assert error(short(0x15, "20 00000001 4F4B 0002")).cause == "truncated"


def test_modules() -> None:
    found = report(short(0x36, f"{STATUS} 0027 02 04EF")).values
    assert found["modules"] == [{"id": 0x27, "value": "04ef"}]
    assert "modules" in report(short(0x36, f"{STATUS} 0027 04 0002 0304")).values
    found = report(long(0x39, f"{STATUS} 0027 02 04EF"))
    assert (found.alarms, found.is_event) == (["power_off"], False)
    assert report(long(0x36, f"{STATUS} 0027 09 04EF")).values == {"raw": "44050302020027" + "0904ef"}
    for lengths in ("0027 02", "0027 0002"):
        timed = report(short(0xF1, f"67CAFD48 {lengths} 04EF"))
        assert (timed.time, timed.values) == (AT, {"modules": [{"id": 0x27, "value": "04ef"}]})
    unset = report(short(0xF2, "00000000"))
    assert (unset.time, unset.values) == (None, {"modules": [], "device_time": "00000000"})
    assert report(short(0xF2, "67CAFD")).values == {"raw": "67cafd"}
    decoded = GT06.decode(message(long(0x70, "0001 0002 ABCD 0002 0009 01")))
    assert decoded.reports[0].values["items"] == [{"id": "0x0001", "raw": "abcd"}]
    assert (decoded.error.cause, decoded.error.path) == ("truncated", "items[1]") if decoded.error else False


def test_files_by_kind_and_check() -> None:
    head = "00 00000100 00 ABCD 00000040 0003 414243"
    part = report(long(0x8D, f"{head} 1903070E0600")).values
    assert (part["file"], part["size_bytes"], part["check"], part["offset"]) == ("monitoring", 256, "abcd", 64)
    assert (part["part_bytes"], part["flag"], "data" in part) == (3, "2025-03-07T14:06:00Z", False)
    md5 = "01 00000100 01" + "AB" * 16 + "00000040 0003 414243 0105"
    assert report(long(0x8D, md5)).values["flag"] == 0x105
    for odd in (head, f"{head} 1903070E060001", f"07{head[2:]} 1903070E0600", "00"):
        assert list(report(long(0x8D, odd)).values) == ["raw"]


@pytest.mark.parametrize("frame", [short(0x05, "01"), short(0xA6, ""), long(0x22, TIME_GPS), long(0x01, OWNER)])
def test_what_nobody_knows_goes_to_quarantine(frame: bytes) -> None:
    assert error(frame).cause == "unknown-kind"


@pytest.mark.parametrize("type", [0x10, 0x12, 0x16, 0x1E, 0x22, 0x26, 0x27, 0x28, 0x2C, 0xA0, 0xA3, 0xA4, 0xA5])
def test_a_body_too_short_is_an_error(type: int) -> None:
    found = error(short(type, "190307"))
    assert found.cause == "truncated"
    assert found.path


def test_a_head_of_another_protocol_is_an_error() -> None:
    found = GT06.decode(message(short(0x13, "4606040002"))._replace(head=b"abc"))
    assert found.error is not None
    assert found.error.cause == "header"


def test_the_same_report_has_the_same_digest() -> None:
    first, again = report(short(0x22, f"{TIME_GPS} {CELL}", 5)), report(short(0x22, f"{TIME_GPS} {CELL}", 9))
    assert first.digest == again.digest
    assert report(short(0x12, f"{TIME_GPS} {CELL}")).digest != first.digest
