"""Parameters and control: what the platform sends, and what it hears."""

from __future__ import annotations

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from protocols.gb32960 import GB32960
from protocols.gb32960.parameters import PARAMETERS, TABLE_2016, TABLE_2025
from tests.protocols.gb32960.frames import MOMENT, TIME, only, up

NOW = "2026-03-05T14:30:45+08:00"
EVERYTHING = {
    "store_period_ms": 60000,
    "report_period_s": 600,
    "alarm_report_period_ms": 1000,
    "domain_bytes": 6,
    "domain": "ev.com",
    "port": 32960,
    "hardware_version": "HW1.0",
    "firmware_version": "1.2",
    "heartbeat_period_s": 240,
    "terminal_timeout_s": 600,
    "platform_timeout_s": 1,
    "login_pause_min": 30,
    "public_domain_bytes": 1,
    "public_domain": "x",
    "public_port": 65531,
    "sampling": "on",
}


def test_every_parameter_is_set_and_told() -> None:
    body = GB32960.build("set_parameters", {"time": NOW, "parameters": EVERYTHING})
    assert body.hex() == (
        "1a03050e1e2d 10 01ea60 020258 0303e8 0406 0565762e636f6d 0680c0 0748 57312e30 08312e320000 09f0 0a0258 0b0001 0c1e 0d01 "
        "0e78 0ffffb 1001"
    ).replace(" ", "")
    (report,) = GB32960.decode(only(up(0x80, body, flag=0x01))).reports
    assert report.time == MOMENT
    assert report.values == {"count": 16, "parameters": EVERYTHING, "result": "success"}
    assert set(EVERYTHING) == {row[0].name for row in TABLE_2016.values()}


def test_two_parameters_are_shorter_since_2025() -> None:
    fields = {"time": NOW, "parameters": {"report_period_s": 30, "alarm_report_period_s": 1}}
    assert GB32960.build("set_parameters", fields, "2025") == TIME + bytes.fromhex("02 021e 0301")
    assert TABLE_2016.keys() == TABLE_2025.keys()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"domain": "ev.com"}, "domain of 6 bytes needs a domain_bytes of 6 before it"),
        ({"domain_bytes": 5, "domain": "ev.com"}, "domain of 6 bytes needs a domain_bytes of 6 before it"),
        ({"domain": "ev.com", "domain_bytes": 6}, "domain of 6 bytes needs a domain_bytes of 6 before it"),
        ({"public_domain": "x", "domain_bytes": 1}, "public_domain of 1 bytes needs a public_domain_bytes of 1 before it"),
        ({"heartbeat_period_s": 256}, "parameters.heartbeat_period_s: 256 is no number from 0 to 255 s"),
        ({"hardware_version": "123456"}, "parameters.hardware_version: '123456' takes 6 bytes, where there are 5"),
        ({"sampling": "maybe"}, "parameters.sampling: 'maybe' is none of on, off"),
        ({"colour": "red"}, "parameters.colour: there is no such item"),
    ],
)
def test_what_cannot_be_set_is_said(parameters: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        GB32960.build("set_parameters", {"time": NOW, "parameters": parameters})


@pytest.mark.parametrize("tail", ["11 00", "80 aa bb", "05 61", "09", "06 80"])
def test_from_a_parameter_in_no_table_on_the_bytes_are_kept(tail: str) -> None:
    body = TIME + bytes.fromhex("02 091e") + bytes.fromhex(tail)
    data = up(0x80, body, flag=0x01)
    found = GB32960.decode(only(data))
    assert found.error is not None
    assert (found.error.cause, found.error.path) == ("truncated", "parameters[1]")
    shown = found.reports[0].values["parameters"]
    assert shown == {"heartbeat_period_s": 30, "trailing": bytes.fromhex(tail).hex()}
    assert sum(bool(leaf.error) for leaf in GB32960.explain(data).leaves()) == 1
    assert PARAMETERS["2016"].build(PARAMETERS["2016"].parse(body)) == body


def test_lengths_may_stand_anywhere_before_their_texts() -> None:
    body = TIME + bytes.fromhex("05 0402 0d01 0e62 09f0 056161")
    values = GB32960.decode(only(up(0x80, body, flag=0x01))).reports[0].values["parameters"]
    assert (values["domain"], values["public_domain"]) == ("aa", "b")


@given(st.binary(max_size=60))
def test_any_parameters_come_back(data: bytes) -> None:
    for layout in PARAMETERS.values():
        body = TIME + b"\x01" + data
        assert layout.build(layout.parse(body)) == body


def test_explanation_divides_parameters() -> None:
    tree = GB32960.explain(up(0x80, TIME + bytes.fromhex("02 0402 056162"), flag=0x01))
    shown = {field.name: field.value for _, field in tree.walk()}
    assert (shown["domain_bytes"], shown["domain"]) == (2, "ab")
    assert "length" in shown
    assert [leaf.value for leaf in tree.leaves() if leaf.name == "id"] == ["0x04", "0x05"]


@pytest.mark.parametrize("command", [0x80, 0x81, 0x82])
@pytest.mark.parametrize(("flag", "result"), [(0x01, "success"), (0x02, "error"), (0x03, "vin_duplicate"), (0x1F, 0x1F)])
@pytest.mark.parametrize("body", [b"", TIME, TIME + b"\x02\x02\x04"])
@pytest.mark.parametrize("start", [b"##", b"$$"])
def test_answers_of_any_length_tell_their_result(command: int, flag: int, result: str | int, body: bytes, start: bytes) -> None:
    if (command, flag) == (0x80, 0x01):
        body = body[:6]
    message = only(up(command, body, flag=flag, start=start))
    found = GB32960.decode(message)
    assert found.error is None
    (report,) = found.reports
    assert report.values["result"] == result
    assert report.time == (MOMENT if body else None)
    assert message.kind in GB32960.messages[command].answered_by


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ({"command": "switch_off"}, "02"),
        ({"command": "reset"}, "03"),
        ({"command": "factory_settings"}, "04"),
        ({"command": "disconnect"}, "05"),
        ({"command": "warn", "level": 3, "text": "停车"}, "06 03 cda3b3b5"),
        ({"command": "warn", "level": "invalid", "text": ""}, "06 ff"),
        ({"command": "open_sampling"}, "07"),
        ({"command": "upgrade", "upgrade": "613b62"}, "01 613b62"),
        ({"command": 0x80, "extra": "0102"}, "80 0102"),
    ],
)
def test_control(fields: dict[str, object], data: str) -> None:
    body = TIME + bytes.fromhex(data)
    assert GB32960.build("control", {"time": NOW, **fields}) == body
    (report,) = GB32960.decode(only(up(0x82, body))).reports
    assert report.values.items() >= {name: value for name, value in fields.items() if name != "upgrade"}.items()
    assert "upgrade" not in report.values


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"command": "dance"}, "control: command: 'dance' is none of upgrade, switch_off"),
        ({"command": "warn", "text": "x"}, "control: level: missing, as the other fields say"),
        ({"command": "reset", "text": "x"}, "control: text: 'x' has no place"),
        ({"command": "warn", "level": 254, "text": "x"}, "level: 254 is no number from 0 to 253, nor abnormal or invalid"),
    ],
)
def test_wrong_control_is_refused_with_a_reason(fields: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        GB32960.build("control", {"time": NOW, **fields})


def test_reports_are_built_from_fields_too() -> None:
    bodies = [
        {"type": "engine", "body": {"state": "running", "speed_rpm": 800, "consumption_l_100km": "invalid"}},
        {"type": "pack_temperatures", "body": {"pack_temperatures": [{"pack": 1, "temperatures_c": [20, "abnormal"]}]}},
        {"type": 0x80, "body": "0102"},
    ]
    body = GB32960.build("report", {"time": NOW, "bodies": bodies})
    assert body == TIME + bytes.fromhex("04 01 0320 ffff 09 01 01 0002 3cfe 80 0002 0102")
    with pytest.raises(ValueError, match=r"bodies\[0\]\.body\.speed_rpm: 65534 is no number from 0 to 65533 r/min, nor abnormal"):
        GB32960.build("report", {"time": NOW, "bodies": [{"type": "engine", "body": {**bodies[0]["body"], "speed_rpm": 65534}}]})


def test_query_of_parameters_that_are_in_no_table() -> None:
    body = GB32960.build("query_parameters", {"time": NOW, "ids": ["sampling", 0x80]})
    assert body == TIME + bytes.fromhex("02 10 80")
    with pytest.raises(ConstructError):
        GB32960.messages[0x80].layouts["2016"].parse(TIME + b"\x02\x10")
