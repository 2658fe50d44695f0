"""Commands from the names and values that operators give to the bytes that leave, as public projects and sheets have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from protocols import Send
from protocols.commandtable import build
from protocols.gb32960 import GB32960
from protocols.gt06 import GT06
from protocols.jt808 import JT808
from protocols.jt808.header import open_frame, read_header
from protocols.native import NATIVE
from protocols.teltonika import TELTONIKA
from tests.protocols.jt808.frames import only, up
from tests.protocols.modbus.station import POLLS, STATION, WRITES, Link, exchanges, lines

AT = datetime(2026, 3, 5, 6, 32, tzinfo=UTC)
BOTH_TIMES = {"start_time": "2020-07-07T19:23:59+08:00", "end_time": "2020-07-07T19:23:59+08:00"}

# go-jt808 (MIT), parse_test, with the values that it expects.
JT808_FRAMES: dict[str, tuple[str, dict[str, Any], str]] = {
    "TestParse/12": ("query_parameters", {}, "7e8104400001000000000144199999990003027e"),
    "TestParse/14": ("query_video_attributes", {}, "7e9003400001000000000144199999990003147e"),
    "TestParse/16": (
        "live_video",
        {"address": "123.123.123.123", "tcp_port": 772, "udp_port": 16582, "channel": 12, "data_type": 1, "stream": 0},
        "7e9101001712345678901200010f3132332e3132332e3132332e313233030440c60c0100a17e",
    ),
    "TestParse/18": (
        "live_video_control",
        {"channel": 8, "command": 1, "closed": 2, "stream": 3},
        "7e910240040112345678901234567890ffff08010203de7e",
    ),
    "TestParse/19": (
        "playback",
        {
            **{"address": "12.12.123.123", "tcp_port": 42937, "udp_port": 15468, "channel": 50, "media_type": 2, "stream": 0},
            **{"store": 0, "playback": 0, "speed": 0},
            **BOTH_TIMES,
        },
        "7e9201002412345678901200010d31322e31322e3132332e313233a7b93c6c320200000000200707192359200707192359617e",
    ),
    "TestParse/20": (
        "query_resources",
        {"channel": 231, "alarms": 0, "media_type": 155, "stream": 110, "store": 0, **BOTH_TIMES},
        "7e920500181234567890120001e720070719235920070719235900000000000000009b6e00167e",
    ),
    "TestParse/22": (
        "upload_files",
        {
            **{"address": "192.168.1.1", "port": 11053, "user": "username", "password": "password", "path": "/alarm_file"},
            **{"channel": 1, "start_time": "2020-07-26T00:00:00+08:00", "end_time": "2020-07-26T23:23:59+08:00"},
            **{"alarms": 0, "media_type": 0, "stream": 1, "store": 1, "conditions": 1},
        },
        "7e9206004512345678901200010b3139322e3136382e312e312b2d08757365726e616d650870617373776f72640b2f616c61726d5f"
        "66696c6501200726000000200726232359000000000000000000010101227e",
    ),
    "TestParse/24": ("file_upload_control", {"answered_sequence": 27133, "control": 2}, "7e92070003123456789012000169fd028b7e"),
    "TestParse/27": (
        "playback_control",
        {"channel": 17, "command": 1, "speed": 3, "time": "2020-07-07T19:23:59+08:00"},
        "7e920200091234567890120001110103200707192359427e",
    ),
    "TestParse/29": (
        "camera_shot",
        {
            **{"channel": 1, "command": 2, "interval_s": 3, "save": "store", "resolution": 4, "quality": 5},
            **{"brightness": 255, "contrast": 127, "saturation": 127, "chroma": 255},
        },
        "7e8801400c0100000000017299841738ffff0100020003010405ff7f7fff857e",
    ),
    "TestParse/34": (
        "upload_alarm_attachments",
        {
            **{"address": "47.104.97.169", "tcp_port": 8202, "udp_port": 8203},
            "alarm_flag": {
                **{"terminal_id": "7654321", "time": "2020-07-07T19:23:59+08:00"},
                **{"sequence": 1, "attachments": 1, "reserved": "01"},
            },
            **{"alarm_number": "ad72131579e54be0b0f737cfc72c5db8", "reserved": "00" * 16},
        },
        "7e9208005212345678901200010d34372e3130342e39372e313639200a200b37363534333231200707192359010101616437323133"
        "313537396535346265306230663733376366633732633564623800000000000000000000000000000000427e",
    ),
    "TestParse/41": (
        "text_message",
        {"flags": 0xFF, "text": "测试123@456#abc+结束"},
        "7e830000150012562569271108ffb2e2cad431323340343536236162632bbde1caf8507e",
    ),
    "TestParse/43": (
        "question",
        {
            "flags": 0xFF,
            "question": "123",
            "answers": [{"answer_id": 1, "content": "AA"}, {"answer_id": 2, "content": "B"}],
        },
        "7e8302000e001256256927001cff03313233010002414102000142327e",
    ),
    "TestParse/45": ("query_location", {}, "7e82010000001256256927000fa37e"),
    "TestParse/47": ("track_location", {"interval_s": 5, "validity_s": 600}, "7e820200060123456789017fff000500000258d17e"),
}


def sent(codec: Any, head: bytes, protocol: Any, name: str, fields: dict[str, Any], number: int = 1, identity: str = "") -> str:
    built = build(protocol, name, fields, identity, head)
    events = codec.launch(codec.prepare(head, built.kind, built.body, number, AT), 0.0)
    return b"".join(event.data for event in events if isinstance(event, Send)).hex()


@pytest.mark.parametrize(("name", "fields", "frame"), JT808_FRAMES.values(), ids=JT808_FRAMES.keys())
def test_jt808(name: str, fields: dict[str, Any], frame: str) -> None:
    opened = open_frame(bytes.fromhex(frame)[1:-1])
    assert isinstance(opened, tuple)
    header = read_header(opened[0])
    asked = only(up(0x0002, phone=header.phone, **({} if header.version is None else {"version": header.version})))
    codec = JT808.codec()
    codec._downlink._next = header.sequence
    assert sent(codec, asked.head, JT808, name, fields) == frame


# GT06's command with STATUS#, mark 1 and serial 7; made by hand from the vendor's table, checks computed apart.
GT06_STATUS = "7878 13 80 0B 00000001 53544154555323 0002 0007 55F7 0D0A"


def test_gt06() -> None:
    codec = GT06.codec("490154203237518")
    codec._serial = 6
    assert sent(codec, b"\x78\0\0\0", GT06, "command", {"text": "STATUS#"}, 1) == bytes.fromhex(GT06_STATUS).hex()


# alim-teltonika and aag-teltonika (MIT), and Teltonika's form of codec 14.
TELTONIKA_FRAMES = {
    "alim-teltonika/1": ("codec_12_command", "getinfo", "000000000000000f0c010500000007676574696e666f0100004312"),
    "aag-teltonika/Codec12EncoderTest/2": ("codec_12_command", "getvin", "000000000000000e0c01050000000667657476696e010000670a"),
    "alim-teltonika/3": (
        "codec_14_command",
        "getver",
        "00000000000000160e01050000000e0352093081452251676574766572010000d2c1",
    ),
}


@pytest.mark.parametrize(("name", "text", "frame"), TELTONIKA_FRAMES.values(), ids=TELTONIKA_FRAMES.keys())
def test_teltonika(name: str, text: str, frame: str) -> None:
    assert sent(TELTONIKA.codec("352093081452251"), b"", TELTONIKA, name, {"text": text}) == frame


# Made by hand from GB/T 32960.3-2016, annex B; the time is the platform's.
GB32960_FRAMES = {
    "232380fe4c5a5a544553543030303030303030303101000b1a03050e2000040204050913": (
        "query_parameters",
        {"ids": ["report_period_s", "domain_bytes", "domain", "heartbeat_period_s"]},
    ),
    "232381fe4c5a5a544553543030303030303030303101000c1a03050e20000202001e093c30": (
        "set_parameters",
        {"parameters": {"report_period_s": 30, "heartbeat_period_s": 60}},
    ),
    "232382fe4c5a5a54455354303030303030303030310100071a03050e20000310": ("control", {"command": "reset"}),
    "232382fe4c5a5a54455354303030303030303030310100131a03050e20000601534552564943452044554529": (
        "control",
        {"command": "warn", "level": 1, "text": "SERVICE DUE"},
    ),
}


@pytest.mark.parametrize("frame", GB32960_FRAMES)
def test_gb32960(frame: str) -> None:
    name, fields = GB32960_FRAMES[frame]
    head = bytes.fromhex(frame)[:24]
    assert sent(GB32960.codec(), head, GB32960, name, fields) == frame


# goburrow-modbus (BSD-3), rtuclient_test, on units of a line of our own.
MODBUS_FRAMES = {
    "rtuclient_test/1": ("read_holding_registers", {"address": 0x5000, "quantity": 0x18}, "01035000001854c0"),
    "rtuclient_test/5": ("read_holding_registers", {"address": 0, "quantity": 2}, "010300000002c40b"),
}


@pytest.mark.parametrize(("name", "fields", "frame"), MODBUS_FRAMES.values(), ids=MODBUS_FRAMES.keys())
def test_modbus_requests(name: str, fields: dict[str, Any], frame: str) -> None:
    link = Link(STATION)
    built = build(STATION, name, fields, "PS0001/1")
    assert link.codec.prepare(b"", built.kind, built.body, 1, AT).data.hex() == frame


def test_a_modbus_command_leaves_as_it_was_prepared_when_it_is_its_turn() -> None:
    link = Link(STATION)
    link.play(dict(exchanges(POLLS)), 3)
    built = build(STATION, "switch_relay", {"n": 2, "value": True}, "PS0001/2")
    prepared = link.codec.prepare(b"", built.kind, built.body, 1, AT)
    assert link.codec.launch(prepared, link.now) == []
    assert link.next_request() == prepared.data == lines(WRITES)[0][1]


def test_native() -> None:
    codec = NATIVE.codec("board-1")
    frame = sent(codec, b"\x01\x10\x00", NATIVE, "command", {"name": "relay", "arguments": {"on": True}}, 7)
    # The example of docs/native.md.
    assert frame == bytes.fromhex("10 A7 87 00 0E 00 00 00 00 00 07 05 72 65 6C 61 79 02 6F 6E 01 C6 F4").hex()
