"""Both clients as programs of their own, against the codec behind a port: what is stored, what is acked, with faults."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from protocols.native import NATIVE
from protocols.native.sensors import Sensors
from tests.clients import NAMES, compiled, environment, example
from tests.protocols.native.frames import HERE, offered
from tests.protocols.native.platform import Platform

ANSWER_MS = 400
SECONDS = 20


@pytest.fixture(scope="session", params=NAMES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words that start a client."""
    return example(request.param, tmp_path_factory.mktemp("client"), ANSWER_MS)


class Run:
    """One run of a client to its end."""

    def __init__(self, client: list[str], folder: Path, platform: Platform, data: bytes, seconds: float = 0) -> None:
        self.state, path = folder / "state", folder / "picture.jpg"
        path.write_bytes(data)
        words = ["127.0.0.1", str(platform.port), "board-7", "k9-secret", str(path), str(self.state), str(seconds)]
        env = {**os.environ, **environment()}
        done = subprocess.run([*client, *words], capture_output=True, text=True, timeout=SECONDS, env=env)
        self.status, self.errors = done.returncode, done.stderr
        self.lines = done.stdout.splitlines()

    @property
    def firmware(self) -> bytes:
        return self.state.with_name("state.firmware").read_bytes()

    def count(self, word: str) -> int:
        return sum(line.split()[0] == word for line in self.lines)


def picture() -> bytes:
    return Sensors("board-7").picture(HERE)


def noise(size: int) -> bytes:
    return Random(size).randbytes(size)


def test_readings_of_all_types_time_and_an_image(client: list[str], tmp_path: Path) -> None:
    with Platform() as platform:
        run = Run(client, tmp_path, platform, picture())
    assert (run.status, run.errors) == (0, "")
    assert [NATIVE.kind_name(message.kind) for message in platform.messages][:4] == ["hello", "describe", "readings", "time"]
    first, second = platform.of("reading")
    assert (first.latitude, first.longitude, first.altitude_m) == (31.2304, 121.4737, 12.5)
    assert (first.speed_kmh, first.course_deg) == (36.0, 90.0)
    expected = {"temperature_c": 21.5, "pressure_hpa": 1013.25, "power_w": 2400, "signal_dbm": -71}
    assert first.values == {**expected, "fix": True, "door_open": True, "ignition": False, "message": "温度 ok"}
    assert second.values == {
        **{"uptime_s": 70_000, "processor_temperature_c": -5, "satellites": 3_000_000_000},
        **{"lid_angle_deg": 90, "channel_129": "00ff"},
    }
    assert first.time is not None
    assert second.time is not None
    assert 0 < (second.time - first.time).total_seconds() < 1
    assert list(platform.files().values()) == [picture()]
    (begin,), (end,) = platform.of("file_begin"), platform.of("file_end")
    assert begin.values["name"] == "picture.jpg"
    assert begin.values["size"] == end.values["size"] == len(picture())
    assert begin.time == end.time == platform.of("file_data")[0].time
    assert platform.of("bye")
    acked = len([message for message in platform.messages if NATIVE.kind_name(message.kind) not in ("hello", "describe")])
    assert run.count("ack") == acked
    assert not run.state.exists()
    assert (platform.repeated, platform.malformed) == (0, {})


def test_a_file_goes_on_where_it_was_after_the_link_was_lost(client: list[str], tmp_path: Path) -> None:
    data = noise(30_000)
    with Platform() as platform:
        platform.cut = {"file_data": 20}
        run = Run(client, tmp_path, platform, data)
    assert (run.status, platform.links) == (0, 2)
    assert list(platform.files().values()) == [data]
    assert len(platform.of("file_data")) == -(-len(data) // (1024 - 12))
    # Of a window of eight, at most, the acks were on their way.
    assert 1 <= platform.repeated <= 1 + 8
    offsets = [int(line.split()[2]) for line in run.lines if line.startswith("file ")]
    assert offsets[0] == 0 < offsets[1]


def test_a_file_goes_on_in_another_run(client: list[str], tmp_path: Path) -> None:
    """As a board does that has lost its power: all that is left is what it wrote down."""
    data = noise(20_000)
    with Platform() as platform:
        first = Run(client, tmp_path, platform, data)
        (stamp,) = platform.files()
        assert first.status == 0
        first.state.write_text(f"{stamp} {5 * 1012}")
        again = Run(client, tmp_path, platform, data)
        assert again.status == 0
    assert platform.files() == {stamp: data}
    assert [line for line in again.lines if line.startswith("file ")] == [f"file {stamp} {5 * 1012}"]
    # The same rows, however often they come: the file's beginning, what is left of it, and its end.
    assert len(platform.of("file_begin")) == len(platform.of("file_end")) == 1
    assert platform.repeated == 2 + len(range(5 * 1012, len(data), 1012))


def test_a_damaged_ack_is_none(client: list[str], tmp_path: Path) -> None:
    with Platform() as platform:
        platform.damaged = {"readings", "file_data"}
        run = Run(client, tmp_path, platform, noise(3_000))
    assert (run.status, platform.links) == (0, 1)
    kinds = [NATIVE.kind_name(message.kind) for message in platform.messages]
    assert kinds.count("readings") == 2
    assert kinds.count("file_data") == 3 + 1
    assert len(platform.of("reading")) == 2
    assert list(platform.files().values()) == [noise(3_000)]
    sent = [message for message in platform.messages if NATIVE.kind_name(message.kind) == "readings"]
    assert sent[0] == sent[1]


def test_readings_leave_again_over_the_next_link(client: list[str], tmp_path: Path) -> None:
    with Platform() as platform:
        platform.cut = {"readings": 1}
        run = Run(client, tmp_path, platform, picture())
    assert (run.status, platform.links) == (0, 2)
    assert len(platform.of("reading")) == platform.repeated == 2


def test_refused_it_ends(client: list[str], tmp_path: Path) -> None:
    with Platform() as platform:
        platform.refused = {"board-7"}
        run = Run(client, tmp_path, platform, picture())
    assert run.status == 2
    assert run.lines[-1].startswith("refused")
    assert platform.messages == []


def test_commands_are_done_once_and_answered_each_time(client: list[str], tmp_path: Path) -> None:
    arguments = {
        "on": True,
        "off": False,
        "a": -3,
        "b": -300,
        "h": 300,
        "c": -70_000,
        "d": 1 << 40,
        "e": 0.1,
        "f": "é",
        "g": b"\x00\x01",
    }
    command = NATIVE.build("command", {"id": 7, "name": "echo", "arguments": arguments})
    unknown = NATIVE.build("command", {"id": 8, "name": "fly", "arguments": {}})
    with Platform() as platform:
        platform.down = {"file_end": [("command", command), ("command", command), ("command", unknown)]}
        run = Run(client, tmp_path, platform, picture(), seconds=0.4)
    assert run.status == 0, run.errors
    results = platform.of("result")
    assert {report.values["id"]: report.values["status"] for report in results} == {7: "done", 8: "unknown"}
    assert results[0].values["returned"] == {**arguments, "g": "0001"}
    assert sum(line.startswith("command echo") for line in run.lines) == 1
    answers = [message for message in platform.messages if NATIVE.kind_name(message.kind) == "result"]
    assert len(answers) == 3


def test_firmware_goes_on_where_it_was_after_the_link_was_lost(client: list[str], tmp_path: Path) -> None:
    firmware = noise(40_000)
    with Platform() as platform:
        platform.shelf[12] = firmware
        platform.down = {"describe": [("offer", offered(12, firmware, "1.3.0"))]}
        platform.cut_chunks = 7
        run = Run(client, tmp_path, platform, picture(), seconds=0.4)
    assert (run.status, platform.links) == (0, 2), run.errors
    assert run.firmware == firmware
    # The first offer that finds the firmware whole is done without a chunk.
    (result,) = {(report.values["answered"], report.values["id"], report.values["status"]) for report in platform.of("result")}
    assert result == ("offer", 12, "done")
    starts = [int(line.split()[-1]) for line in run.lines if line.startswith("offer")]
    assert starts[0] == 0 < starts[1]
    chunks = [int(line.split()[1]) for line in run.lines if line.startswith("chunk")]
    assert sorted(set(chunks)) == chunks


def test_firmware_that_is_damaged_on_the_device_is_told_of(client: list[str], tmp_path: Path) -> None:
    firmware = noise(5_000)
    (tmp_path / "state.firmware").write_bytes(b"\0" * 1000)
    with Platform() as platform:
        platform.shelf[12] = firmware
        platform.down = {"describe": [("offer", offered(12, firmware, "1.3.0"))]}
        run = Run(client, tmp_path, platform, picture(), seconds=0.4)
    assert run.status == 0
    assert [report.values["status"] for report in platform.of("result")] == ["damaged"]
    assert "loaded False" in run.lines


MINIMAL = """
#define IOTGW_IMPLEMENTATION
#include "iotgw.h"
static int refuse(void *context, const uint8_t *data, size_t size) { (void)context; (void)data; (void)size; return -1; }
static uint32_t ticks(void *context) { (void)context; return 7; }
int main(void) {
    static uint8_t out[2000], in[100], many[1000];
    struct iotgw g;
    memset(&g, 0, sizeof g);
    g.out = out, g.out_size = sizeof out, g.in = in, g.in_size = sizeof in, g.send = refuse, g.ticks = ticks;
    if (iotgw_crc16((const uint8_t *)"123456789", 9) != 0x906E) return 1;
    if (iotgw_crc32(iotgw_crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5) != 0xCBF43926) return 2;
    /* What is longer than a payload, and what would leave no room to log in again, is dropped. */
    if (iotgw_begin(&g, IOTGW_READINGS)) return 3;
    iotgw_put(&g, many, sizeof many), iotgw_put(&g, many, sizeof many);
    if (iotgw_end(&g) != IOTGW_TOO_LONG || g.waiting || g.out_used) return 4;
    if (iotgw_begin(&g, IOTGW_READINGS)) return 5;
    iotgw_put(&g, many, sizeof many);
    if (iotgw_end(&g) != IOTGW_LOST || g.waiting != 1) return 6;
    g.window = 2;
    iotgw_open(&g, IOTGW_RESULT);
    iotgw_put(&g, many, 600);
    if (iotgw_end(&g) != IOTGW_TOO_LONG || g.waiting != 1) return 7;
    return 0;
}
"""


@pytest.mark.parametrize(
    "without", [(), ("-DIOTGW_NO_COMMANDS",), ("-DIOTGW_NO_DOWNLOADS",), ("-DIOTGW_NO_COMMANDS", "-DIOTGW_NO_DOWNLOADS")], ids=str
)
def test_the_header_by_itself(tmp_path: Path, without: tuple[str, ...]) -> None:
    source = tmp_path / "minimal.c"
    source.write_text(MINIMAL)
    assert subprocess.run(compiled(source, tmp_path / "minimal", *without)).returncode == 0
