"""docs/native.md says what the code does: its tables, its frames, and the device that it prints whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from protocols import Message, Outcome
from protocols.checksum import crc16_x25
from protocols.native import NATIVE
from protocols.native.channels import CHANNELS, TYPES
from protocols.native.frame import MARK, MAX_PAYLOAD_BYTES, frame
from protocols.native.messages import (
    ACK_RESULTS,
    CHUNK,
    COMMAND,
    FILE_KINDS,
    MAX_IDENTITY_BYTES,
    MAX_NAMES_BYTES,
    MESSAGES,
    OFFER,
    PONG,
    STATUSES,
    WELCOME_RESULTS,
)
from protocols.native.options import Options
from tests.protocols.commands import sent_down
from tests.protocols.native.frames import NOON, NOON_MS, body, hello, moment, offered, online, reading, readings, up
from tests.protocols.native.platform import Platform

PAGE = (Path(__file__).parents[3] / "docs/native.md").read_text("utf-8")
MAX_LINES = 200
PICTURE = bytes.fromhex("ffd8ffd9")


def answered(data: bytes, outcome: Outcome = Outcome.STORED) -> bytes:
    codec = online()
    (message,) = codec.receive(data, 0.0)
    assert isinstance(message, Message)
    return codec.ack(message, outcome, NOON)


def sent(kind: int, payload: bytes) -> bytes:
    return sent_down(online(), bytes.fromhex("010200"), kind, payload)


READINGS = readings(
    moment(
        NOON, reading(1, "point", {"latitude": 31.2304, "longitude": 121.4737, "altitude": 12.5, "speed": 0.0, "course": 655.35})
    ),
    moment(NOON, reading(2, "f32", 21.5), reading(3, "i8", 48), reading(82, "true"), reading(128, "i16", 300)),
    sequence=2,
)
COMMANDED = NATIVE.build("command", {"id": 7, "name": "relay", "arguments": {"on": True}})
OFFERED = offered(5, b"12345678", "1.3.0")
RETURNED = [{"name": "on", "type": "true", "value": None}]
FRAMES: dict[str, bytes] = {
    "hello": hello(0, payload=1024, token=b"secret"),
    "welcome": answered(hello(0)),
    "welcome_refused": answered(hello(0), Outcome.REFUSED),
    "describe": up("describe", body("describe", channels=[{"channel": 128, "name": "lid_angle_deg", "unit": "°"}]), 1),
    "readings": READINGS,
    "ack": answered(READINGS),
    "file_begin": up("file_begin", body("file_begin", file=NOON_MS, content="image", size=len(PICTURE), name="a.jpg"), 3),
    "file_data": up("file_data", body("file_data", file=NOON_MS, offset=0, data=PICTURE), 4),
    "file_end": up("file_end", body("file_end", file=NOON_MS, size=len(PICTURE), crc32=crc32(PICTURE)), 5),
    "time": up("time", body("time", clock=NOON_MS - 250), 6),
    "time_answer": answered(up("time", body("time", clock=NOON_MS - 250), 6)),
    "ping": up("ping", b"", 7),
    "pong": frame(PONG, 7, b""),
    "command": sent(COMMAND, COMMANDED),
    "result": up("result", body("result", stamp=NOON, answered="command", id=7, status="done", returned=RETURNED), 8),
    "offer": sent(OFFER, OFFERED),
    "get": up("get", body("get", file=5, offset=0, length=1016), 9),
    "chunk": frame(CHUNK, 9, bytes.fromhex("00000005 00000000") + b"12345678"),
    "bye": up("bye", b"", 10),
}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table behind a heading."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def listed(name: str) -> dict[int, str]:
    """Numbers and words of a list such as "`content`: 0 data, 1 image"."""
    found = re.search(rf"`{name}`: (.*?)\.\s", PAGE, re.S)
    assert found, name
    return {int(number): word for number, word in re.findall(r"(\d+) (\w+)", found[1])}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_what_the_platform_makes_and_takes(name: str) -> None:
    (shown,) = re.findall(rf"```frame {name}\n(.*?)```", PAGE, re.S)
    assert bytes.fromhex(shown) == FRAMES[name]
    tree = NATIVE.explain(FRAMES[name])
    assert not [leaf.error for leaf in tree.leaves() if leaf.error]
    assert not tree.error


def test_every_frame_of_the_page_is_held() -> None:
    assert set(re.findall(r"```frame (\w+)", PAGE)) == set(FRAMES)
    assert {frame[2] for frame in FRAMES.values()} == set(MESSAGES)


def test_messages_are_all_there() -> None:
    rows = table("## Messages")
    assert {int(row[0], 16): row[1] for row in rows} == {id: row.name.upper() for id, row in MESSAGES.items()}
    assert {int(row[0], 16): row[2] for row in rows} == {id: row.direction.value for id, row in MESSAGES.items()}


def test_values_and_channels_are_all_there() -> None:
    assert {int(row[0], 16): row[1] for row in table("### Values")} == {id: option.name for id, option in TYPES.items()}
    assert {int(row[0]): (row[1], row[2], row[3]) for row in table("### Channels")} == {
        number: (channel.name, channel.takes.value, channel.unit or "-") for number, channel in CHANNELS.items()
    }


def test_lists_are_all_there() -> None:
    assert listed("content") == {id: option.name for id, option in FILE_KINDS.items()}
    assert listed("status") == {id: option.name for id, option in STATUSES.items()}
    assert listed("ACK.result") == {id: option.name for id, option in ACK_RESULTS.items()}
    assert listed("WELCOME.result") == {id: option.name for id, option in WELCOME_RESULTS.items()}


def test_payloads_have_the_fields_that_are_declared() -> None:
    for row in MESSAGES.values():
        names = [field.name for field in next(iter(row.layouts.values())).subcons if field.name not in ("extra", "data")]
        section = PAGE.split(f"\n### {row.name.upper()}")[1].split("\n#")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.M)[: len(names)] == names, row.name


def test_limits_are_told() -> None:
    options = Options()
    for told in (
        f"{MAX_PAYLOAD_BYTES:,} bytes",
        f"{MAX_IDENTITY_BYTES} bytes",
        f"{MAX_NAMES_BYTES} bytes",
        f"{options.payload_bytes:,} unless",
        f"{options.window} unless",
        f"{options.keep_alive_seconds} unless",
        MARK.hex(" ").upper(),
        f"{crc16_x25(b'123456789'):04X}",
        f"port {NATIVE.port}",
    ):
        assert told in PAGE, told


def device() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    return str(code)


def test_a_device_takes_less_than_200_lines() -> None:
    assert len(device().splitlines()) <= MAX_LINES


def test_the_device_of_the_page_works() -> None:
    names: dict[str, Any] = {}
    exec(device(), names)
    names["ANSWER_SECONDS"] = 0.3
    done: list[tuple[str, dict[str, Any]]] = []
    with Platform() as platform:
        platform.damaged = {"readings"}
        platform.cut = {"file_data": 3}
        platform.down = {"bye": [], "file_end": [("command", COMMANDED)]}
        board = names["Device"]("127.0.0.1", platform.port, "board-1", b"secret", lambda name, body: done.append((name, body)) or 0)
        board.run([{2: 21.5, 82: True, 112: "ok", 48: -71}], [(1_772_366_400_000, "a.bin", bytes(range(256)) * 20)])
    assert platform.files() == {NOON_MS: bytes(range(256)) * 20}
    (report,) = platform.of("reading")
    assert report.values == {"temperature_c": 21.5, "door_open": True, "message": "ok", "signal_dbm": -71}
    assert platform.links == 2
    assert [name for name, _ in done] == ["relay"]
    assert platform.of("result")[0].values["status"] == "done"
    assert platform.of("bye")
