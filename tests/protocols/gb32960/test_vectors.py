"""What the captures' source says of each field of its frames and of single bodies.

Left out of what the source has:

- the fields of bodies 0x80, 0x81 and 0x82 (parser.test/11 to 13, one body each in realtimeReport/2, reissueReport/1 and
  /2): they are one fleet's own, under ids that other fleets use for other things. They stay raw;
- that realtimeReport/1 be wrong because of the length of such a body: every length in it fits;
- the clock in the answer to a time sync.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from protocols import Outcome
from protocols.gb32960 import GB32960, bodies_2016
from protocols.gb32960.measures import Notes, fields
from protocols.gb32960.session import PLATFORM_LOGIN_BODY
from tests.protocols.captures import Capture, captures
from tests.protocols.gb32960.frames import NOON, decoded, only, told, up

FRAMES = captures("gb32960")
BODIES = captures("gb32960_bodies")
TOLD = [capture for capture in FRAMES if "fields" in capture]
IDS = {"VEHICLE": 1, "MOTOR": 2, "LOCATION": 5, "EXTREME": 6, "ALARM": 7, "RESS_VOLTAGE": 8, "RESS_TEMPERATURE": 9}
OWN = {"CUSTOM_EXT": 0x80, "TEN_SECONDS": 0x81, "ADAS": 0x82}
LOGINS = {"vehicleLogin": 0x01, "platformLogin": 0x05, "logout": 0x04}
WORDS = {
    "ON": {"status": "started", "dcStatus": "working"},
    "UNCHARGED": {"chargeStatus": "not_charging"},
    "ELECTRIC": {"mode": "electric"},
    "CONSUMPTION": {"status": "consuming"},
    "D": {"shift": "drive"},
}
ALARMS = {
    "tempDiff": "temperature_difference",
    "batteryTempOver": "battery_over_temperature",
    "ressVolOver": "storage_over_voltage",
    "ressVolLow": "storage_under_voltage",
    "socLow": "soc_low",
    "batteryOver": "cell_over_voltage",
    "batteryLow": "cell_under_voltage",
    "socOver": "soc_high",
    "socJump": "soc_jump",
    "ressNotMatch": "storage_mismatch",
    "batteryBadConsistency": "cell_inconsistency",
    "insulation": "insulation_fault",
    "dcdcTemp": "dcdc_temperature",
    "brake": "brake_system",
    "dcdcStatus": "dcdc_fault",
    "motorControlTemp": "motor_controller_temperature",
    "highVolMuteStatus": "high_voltage_interlock",
    "motorTemp": "motor_temperature",
    "ressChargeOver": "storage_overcharge",
}


def vehicle(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "vehicle_state": WORDS[item["status"]]["status"],
        "charge_state": WORDS[item["chargeStatus"]]["chargeStatus"],
        "run_mode": WORDS[item["mode"]]["mode"],
        "odometer_km": item["mileage"],
        "total_voltage_v": item["voltage"],
        "total_current_a": item["current"],
        "soc_percent": round(item["soc"] * 100),
        "dcdc_state": WORDS[item["dcStatus"]]["dcStatus"],
        "gear": WORDS[item["shift"]]["shift"],
        "insulation_kohm": item["resistance"],
        "accelerator_percent": round(item["aptv"] * 100),
        # 101 % is no travel, but the word that the brake is on.
        "brake_percent": None if item["brake"] == 1.01 else round(item["brake"] * 100),
        "braking": item["brake"] > 0,
    }


def motor(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "motor": item["no"],
        "state": WORDS[item["status"]]["status"],
        "controller_temperature_c": item["controlTemp"],
        "speed_rpm": item["speed"],
        "torque_nm": item["torque"],
        "temperature_c": item["temp"],
        "input_voltage_v": item["voltage"],
        "bus_current_a": item["current"],
    }


def extremes(item: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{ours}_{end}_{part}": item[end + theirs + rest]
        for ours, theirs, parts in (
            ("voltage", "Voltage", {"pack": "SubSysNo", "cell": "SingNo", "v": ""}),
            ("temperature", "Ntc", {"pack": "SubSysNo", "probe": "No", "c": ""}),
        )
        for end in ("max", "min")
        for part, rest in parts.items()
    }


def voltages(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "pack": pack["no"],
            "voltage_v": pack["voltage"],
            "current_a": pack["current"],
            "cell_total": pack["batteryCount"],
            "first_cell": pack["frameStartBatteryNo"],
            "cell_voltages_v": pack["batteryVols"],
        }
        for pack in item["subSystems"]
    ]


def check(report: Any, item: dict[str, Any]) -> None:
    """Whether a report has what the source says of one body."""
    values = report.values
    match item["type"]:
        case "VEHICLE":
            assert values.items() >= vehicle(item).items()
            assert report.speed_kmh == item["speed"]
        case "MOTOR":
            assert values["motors"] == [motor(one) for one in item["motors"]]
            assert len(values["motors"]) == item["count"]
        case "LOCATION":
            assert (report.latitude, report.longitude, values["fix"]) == (item["lat"], item["lng"], item["state"] == 0)
        case "EXTREME":
            assert values["extremes"] == extremes(item)
        case "ALARM":
            assert values["alarm_level"] == item["maxLevel"]
            assert report.alarms == [ours for theirs, ours in ALARMS.items() if item["uas"][theirs]]
            assert not any(item[name] for name in ("ressList", "mortorList", "engineList", "otherList"))
            assert not {"storage_faults", "motor_faults", "engine_faults", "other_faults"} & values.keys()
        case "RESS_VOLTAGE":
            assert values["pack_voltages"] == voltages(item)
        case "RESS_TEMPERATURE":
            assert values["pack_temperatures"] == [
                {"pack": pack["no"], "temperatures_c": pack["temps"]} for pack in item["subSystems"]
            ]
        case own:
            raws = [body["type"] for body in values.get("custom", [])] + [f"0x{values.get('unread', '')[:2]}"]
            assert f"0x{OWN[own]:02X}" in raws


def login(item: dict[str, Any]) -> dict[str, Any]:
    names = {"sn": "login_serial", "iccid": "iccid", "subSysNm": "pack_count", "subSysNmLen": "code_bytes"}
    names |= {"subSysSn": "pack_codes", "username": "username"}
    return {names[name]: value for name, value in item.items() if name in names}


def test_nothing_is_lost_of_what_the_source_has() -> None:
    assert (len(FRAMES), len(TOLD), len(BODIES)) == (12, 7, 13)
    assert sum("reply" in capture for capture in FRAMES) == 7
    assert sum(capture["body"] in IDS for capture in BODIES) == 7
    assert sum(capture["body"] in LOGINS for capture in BODIES) == 3
    assert sum(capture["body"] in OWN for capture in BODIES) == 3


@pytest.mark.parametrize("capture", TOLD, ids=[capture["id"] for capture in TOLD])
def test_frames(capture: Capture) -> None:
    expected, message = capture["fields"], only(capture["frame"])
    (report,) = GB32960.decode(message).reports
    assert report.time == datetime.fromisoformat(expected["body"]["at"])
    if "vin" in expected:
        assert (message.identity, len(message.body)) == (expected["vin"], expected["length"])
        assert (expected["flag"], expected["encrypt"]) == ("COMMAND", "NONE")
    assert report.values.items() >= login(expected["body"]).items()
    items = expected["body"].get("items", [])
    for item in items:
        check(report, item)
    if "reply" in capture:
        assert GB32960.codec().ack(message, Outcome.STORED, NOON).hex() == capture["reply"]


@pytest.mark.parametrize("capture", BODIES, ids=[capture["id"] for capture in BODIES])
def test_bodies(capture: Capture) -> None:
    kind, raw, expected = capture["body"], capture["frame"], capture["fields"]
    if kind in LOGINS:
        found = GB32960.decode(only(up(LOGINS[kind], raw)))
        assert found.error is None
        assert found.reports[0].time == datetime.fromisoformat(expected["at"])
        assert found.reports[0].values.items() >= login(expected).items()
        if "password" in expected:
            assert PLATFORM_LOGIN_BODY.parse(raw).password == expected["password"]
    elif kind in IDS:
        # Behind two of them the source has bytes of the body that came next.
        size = len(bodies_2016.BODIES[IDS[kind]].layout.build(bodies_2016.BODIES[IDS[kind]].layout.parse(raw)))
        check(told(bytes((IDS[kind],)) + raw[:size]), {"type": kind, **expected})
    else:
        body = bytes((OWN[kind],)) + raw
        kept = decoded(body).reports[0].values
        has_length = kind == "CUSTOM_EXT"
        assert kept == ({"custom": [{"type": "0x80", "raw": raw[2:].hex()}]} if has_length else {"unread": body.hex()})


def test_fields_are_told_without_a_report_too() -> None:
    notes = Notes()
    layout = bodies_2016.BODIES[4].layout
    assert fields(layout, layout.parse(bytes.fromhex("01fffeffff")), "engine", notes)["state"] == "running"
    assert notes.paths == {"abnormal": ["engine.speed_rpm"], "invalid": ["engine.consumption_l_100km"]}
