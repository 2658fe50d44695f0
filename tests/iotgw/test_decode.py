from __future__ import annotations

import json

import pytest

from iotgw.decode import decode_line
from protocols.registry import PROTOCOLS
from tests.protocols.captures import captures

JT808 = PROTOCOLS["jt808"]
HEARTBEAT = "7e000200000123456789017fff0a7e"
LOCATION = "7e0200001c0123456789010000000004000000080007203b7d0202633df70138000300632410012359591c7e"


def decode(text: str) -> dict[str, object]:
    line = decode_line(JT808, text)
    assert json.loads(json.dumps(line)) == line
    return line


def test_location_line_says_everything() -> None:
    line = decode(LOCATION)
    (report,) = line.pop("reports")
    values = report.pop("values")
    assert line == {
        "ok": True,
        "identity": "12345678901",
        "kind": "location",
        "sequence": 0,
        "ack": "7e80010005012345678901000000000200000e7e",
    }
    assert report == {
        "kind": "location",
        "time": "2024-10-01T15:59:59Z",
        "latitude": 119.552894,
        "longitude": 40.058359,
        "altitude_m": 312.0,
        "speed_kmh": 0.3,
        "course_deg": 99.0,
        "alarms": ["tts_fault"],
    }
    assert values["circuit_cut"] is True


@pytest.mark.parametrize(
    "text",
    [
        HEARTBEAT.upper(),
        "0x" + HEARTBEAT,
        " ".join(HEARTBEAT),
        ":".join(HEARTBEAT[at : at + 2] for at in range(0, 30, 2)) + "\n",
        "0x7E 0x00 0x02 0x00,0x00" + HEARTBEAT[10:],
    ],
)
def test_hex_may_be_written_as_people_write_it(text: str) -> None:
    assert decode(text) == decode(HEARTBEAT)
    assert decode(text)["ack"] == "7e8001000501234567890100007fff0002008e7e"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("", "empty", "no bytes"),
        ("  \n", "empty", "no bytes"),
        ("7e00zz7e", "hex", "'z' is no hex digit"),
        ("7e0", "hex", "no whole bytes"),
        ("7e7e", "no-frame", "no frame"),
        ("7e010040530100", "cut", "does not end"),
        ("0002000001", "cut", "does not end"),
        (HEARTBEAT * 2, "frames", "2 frames"),
        (HEARTBEAT + "00", "cut", "beside a good frame"),
        (HEARTBEAT[:-4] + "0b7e", "checksum", "check byte"),
        ("7e01017e", "header", "too short"),
        ("7e" + "00" * 5000 + "7e", "oversized", "too many bytes"),
        ("7e0801200500123456789002de001a00022808000102537e", "sub-packet", "part of a longer message"),
        ("7e0def00000123456789017fffea7e", "unknown-kind", "no message 0x0DEF"),
    ],
)
def test_what_is_no_message_is_said_in_words(text: str, kind: str, words: str) -> None:
    line = decode(text)
    assert (line["ok"], set(line)) == (False, {"ok", "error"})
    error = line["error"]
    assert (error["kind"], error["path"]) == (kind, "")
    assert words in error["text"]


def frame(body: str) -> str:
    """A 2013 frame of a terminal, with its check byte; nothing in it needs escaping."""
    data = bytes.fromhex(body)
    check = 0
    for byte in data:
        check ^= byte
    assert 0x7D not in data + bytes([check])
    assert 0x7E not in data + bytes([check])
    return "7e" + data.hex() + f"{check:02x}7e"


def test_half_a_batch_is_shown_with_its_error() -> None:
    location = "000000000000000301dc1300073df660000c0168005a260301200000"
    line = decode(frame("0704002f 013800000001 0001 0003 00 001c" + location + "001c" + location[:28]))
    assert line["ok"] is True
    assert line["kind"] == "location_batch"
    assert [report["kind"] for report in line["reports"]] == ["location"]
    assert line["error"] == {"kind": "truncated", "path": "items[1].length", "text": "28 > 14 left"}


def test_body_without_any_report_is_an_error_with_its_path() -> None:
    line = decode(frame("02000004 013800000001 0001 00000000"))
    assert line == {"ok": False, "error": {"kind": "truncated", "path": "status", "text": "4 > 0 left"}}


def test_platform_s_own_frames_are_shown_and_not_answered() -> None:
    line = decode("7e8001000501234567890100007fff0200008e7e")
    assert (line["ok"], line["kind"], line["ack"]) == (True, "platform_general_response", None)
    assert line["reports"][0]["values"] == {"answered_sequence": 0x7FFF, "answered_kind": 0x0200, "result": "success"}
    assert "12345678901" not in json.dumps(decode("7e8100000e01234567890100000000003132333435363738393031377e")["reports"])


def test_lines_do_not_know_of_each_other() -> None:
    assert decode(HEARTBEAT) == decode(HEARTBEAT)
    first = "7e0801200500123456789002de001a00022808000102537e"
    assert decode(first)["ok"] is decode(first)["ok"] is False


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_capture_is_decoded_alone(name: str) -> None:
    for capture in captures(name):
        line = decode_line(PROTOCOLS[name], capture["hex"])
        assert line["ok"], (capture["id"], line)
        assert line["kind"] == capture["kind"]
        assert json.loads(json.dumps(line)) == line


def test_who_has_logged_in_is_told_or_not_known() -> None:
    position = "787826221903070e0509c90286d5740500d2643e191302d4052b6701f4a30100010012d6870102f2890d0a"
    assert decode_line(PROTOCOLS["gt06"], position)["identity"] is None
    assert decode_line(PROTOCOLS["gt06"], position, "490154203237518")["identity"] == "490154203237518"
