"""Frames worked out by hand, in both directions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from protocols import Outcome
from protocols.gb32960 import GB32960
from tests.protocols.commands import sent_down
from tests.protocols.gb32960.frames import MOMENT, NOON, REPORT, only, up
from tests.protocols.test_command_vectors import GB32960_FRAMES

ECHO = GB32960.configure({"answer": "echo"})
LOGIN = (
    "232301fe4c5a5a54455354303030303030303030310100361a03050e1e0f0001383938363031323334353637383930313233343501"
    "18544553545041434b3030303030303030303030303030303189"
)
LOGIN_ECHOED = (
    "232301014c5a5a54455354303030303030303030310100361a03050e1e0f0001383938363031323334353637383930313233343501"
    "18544553545041434b3030303030303030303030303030303176"
)
ANSWERED = {
    "login": (LOGIN, "232301014c5a5a54455354303030303030303030310100061a03050e1e0f5f"),
    "report": (up(0x02, REPORT).hex(), "232302014c5a5a54455354303030303030303030310100061a03050e1e2d7e"),
    "logout": (
        "232304fe4c5a5a54455354303030303030303030310100081a03050f02000001b8",
        "232304014c5a5a54455354303030303030303030310100061a03050f020048",
    ),
    "heartbeat": ("232307fe4c5a5a5445535430303030303030303031010000a3", "232307014c5a5a54455354303030303030303030310100005c"),
    "time sync": (
        "232308fe4c5a5a5445535430303030303030303031010000ac",
        "232308014c5a5a54455354303030303030303030310100061a03050e1f025a",
    ),
    "platform login": (
        "232305fe504c4154464f524d3030303030303030310100291a03050e1e0f0001666c65657475736572000000736563726574"
        "000000000000000000000000000001"
        "87",
        "23230501504c4154464f524d3030303030303030310100061a03050e1e0f2e",
    ),
    "login of 2025": (
        "242401fe4c5a5a544553543030303030303030303101004e1a03050e1e0f0001383938363031323334353637383930313233343501"
        "02544553545041434b303030303030303030303030303030"
        "31544553545041434b30303030303030303030303030303032e6",
        "242401014c5a5a54455354303030303030303030310100061a03050e1e0f5f",
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_comes_up_and_its_answer(name: str) -> None:
    frame, answer = map(bytes.fromhex, ANSWERED[name])
    time = datetime(2026, 3, 5, 6, 31, 2, tzinfo=UTC)
    assert GB32960.codec().ack(only(frame), Outcome.STORED, time) == answer
    assert GB32960.codec().ack(only(frame), Outcome.QUARANTINED, time) == answer
    found = GB32960.decode(only(frame))
    assert found.error is None
    assert not any(leaf.error for leaf in GB32960.explain(frame).leaves())


def test_answer_that_echoes() -> None:
    assert ECHO.codec().ack(only(bytes.fromhex(LOGIN)), Outcome.STORED, NOON).hex() == LOGIN_ECHOED


def test_answers_never_are_answered() -> None:
    for _, answer in ANSWERED.values():
        assert GB32960.codec().ack(only(bytes.fromhex(answer)), Outcome.STORED, NOON) == b""


@pytest.mark.parametrize("frame", GB32960_FRAMES)
def test_commands_are_made_from_fields(frame: str) -> None:
    name, fields = GB32960_FRAMES[frame]
    body = GB32960.build(name, {"time": "2026-03-05T14:32:00+08:00", **fields})
    kind = next(row.id for row in GB32960.messages.values() if row.name == name)
    assert sent_down(GB32960.codec(), only(up(0x07)).head, kind, body).hex() == frame
    # And what is made is read, by whoever looks at it.
    shown = GB32960.decode(only(bytes.fromhex(frame))).reports[0].values
    assert all(shown[name] == value for name, value in fields.items())
    assert not any(leaf.error for leaf in GB32960.explain(bytes.fromhex(frame)).leaves())


def test_answers_to_commands() -> None:
    told = only(
        bytes.fromhex("232380014c5a5a544553543030303030303030303101001a1a03050e20000402000a040b0565762e746573742e636f6d091e86")
    )
    assert GB32960.kind_name(told.kind) == "parameters"
    (report,) = GB32960.decode(told).reports
    assert report.time == datetime(2026, 3, 5, 6, 32, tzinfo=UTC)
    assert report.values == {
        "count": 4,
        "parameters": {"report_period_s": 10, "domain_bytes": 11, "domain": "ev.test.com", "heartbeat_period_s": 30},
        "result": "success",
    }
    for frame, kind in (
        ("232381014c5a5a54455354303030303030303030310100061a03050e2000ee", "parameters_set"),
        ("232382014c5a5a54455354303030303030303030310100061a03050e2000ed", "controlled"),
    ):
        message = only(bytes.fromhex(frame))
        assert GB32960.kind_name(message.kind) == kind
        assert GB32960.decode(message).reports[0].values == {"result": "success"}
        assert message.kind in GB32960.messages[message.kind & 0xFF].answered_by


def test_report_of_all_bodies() -> None:
    message = only(
        bytes.fromhex(
            "232302fe4c5a5a54455354303030303030303030310100901a03050e1e2d01010301020b0001e24017e828734c012e09c4230002010101fe5e8853"
            "fc5f17e32864030c8001c2006e0002696a028a01000c02015e010104020000ffff0500073d8aa501dc89d0060103100601010fee0102440101420702"
            "000008020100001234000001a000000108010117e8287300960001040fee0ffa1006ffff0901010002424480000301020351"
        )
    )
    assert message.body == REPORT
    (report,) = GB32960.decode(message).reports
    assert (report.kind, report.body, report.time, report.speed_kmh) == ("report", REPORT, MOMENT, 52.3)
    assert (report.latitude, report.longitude) == (31.230416, 121.473701)
    assert report.alarms == ["battery_over_temperature", "insulation_fault"]
    assert report.values == {
        "vehicle_state": "started",
        "ignition": True,
        "charge_state": "not_charging",
        "charging": False,
        "run_mode": "electric",
        "odometer_km": 12345.6,
        "total_voltage_v": 612.0,
        "total_current_a": 35.5,
        "soc_percent": 76,
        "dcdc_state": "working",
        "gear": "drive",
        "driving_force": True,
        "braking_force": False,
        "insulation_kohm": 2500,
        "accelerator_percent": 35,
        "brake_percent": 0,
        "braking": False,
        "motors": [
            {
                "motor": 1,
                "state": "consuming",
                "controller_temperature_c": None,
                "speed_rpm": 4200,
                "torque_nm": 150.0,
                "temperature_c": 55,
                "input_voltage_v": 611.5,
                "bus_current_a": 34.0,
            }
        ],
        "fuel_cell": {
            "voltage_v": 320.0,
            "current_a": 45.0,
            "consumption_kg_100km": 1.1,
            "temperatures_c": [65, 66],
            "hydrogen_temperature_max_c": 25.0,
            "hydrogen_temperature_max_probe": 1,
            "hydrogen_concentration_max_mg_kg": 12,
            "hydrogen_concentration_max_sensor": 2,
            "hydrogen_pressure_max_mpa": 35.0,
            "hydrogen_pressure_max_sensor": 1,
            "high_voltage_dcdc_state": "working",
        },
        "engine": {"state": "off", "speed_rpm": 0, "consumption_l_100km": None},
        "fix": True,
        "extremes": {
            "voltage_max_pack": 1,
            "voltage_max_cell": 3,
            "voltage_max_v": 4.102,
            "voltage_min_pack": 1,
            "voltage_min_cell": 1,
            "voltage_min_v": 4.078,
            "temperature_max_pack": 1,
            "temperature_max_probe": 2,
            "temperature_max_c": 28,
            "temperature_min_pack": 1,
            "temperature_min_probe": 1,
            "temperature_min_c": 26,
        },
        "alarm_level": 2,
        "alarm_flags": 0x802,
        "storage_faults": ["00001234"],
        "other_faults": ["A0000001"],
        "pack_voltages": [
            {
                "pack": 1,
                "voltage_v": 612.0,
                "current_a": 35.5,
                "cell_total": 150,
                "first_cell": 1,
                "cell_voltages_v": [4.078, 4.09, 4.102, None],
            }
        ],
        "pack_temperatures": [{"pack": 1, "temperatures_c": [26, 28]}],
        "custom": [{"type": "0x80", "raw": "010203"}],
        "abnormal": ["motors[0].controller_temperature_c"],
        "invalid": ["engine.consumption_l_100km", "pack_voltages[0].cell_voltages_v[3]"],
    }


def test_report_of_2025() -> None:
    message = only(
        bytes.fromhex(
            "242402fe4c5a5a54455354303030303030303030310100761a03050e1e2d01010301020b0001e24017e876934c010e09c4020101015f8d6800"
            "03131c5f050002073d9bd401dc8254ff010020101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f002030313233"
            "3435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4fa0"
        )
    )
    found = GB32960.decode(message)
    assert found.error is None
    (report,) = found.reports
    assert (report.kind, report.time, report.speed_kmh) == ("report", MOMENT, 52.3)
    # Of 31.2285 N, 121.4781 E in GCJ-02.
    assert (report.latitude, report.longitude) == pytest.approx((31.23044, 121.47356), abs=2e-5)
    values = report.values
    assert (values["odometer_km"], values["total_voltage_v"], values["total_current_a"]) == (12345.6, 612.0, 35.5)
    assert (values["gear"], values["driving_force"], values["datum"]) == ("drive", False, "gcj02")
    assert "brake_percent" not in values
    assert values["motors"] == [
        {
            "motor": 1,
            "state": "consuming",
            "controller_temperature_c": 55,
            "speed_rpm": 4200,
            "torque_nm": 150.0,
            "temperature_c": 55,
        }
    ]
    assert values["signature"] == {"kind": "sm2", "r": bytes(range(16, 48)).hex(), "s": bytes(range(48, 80)).hex()}
    assert "repeated" not in values
