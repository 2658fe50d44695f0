from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from protocols import Acked, Camera, FileResult, FileStatus, Made, Message, Moment, Outcome, Send, Wanted
from protocols.native import NATIVE
from protocols.native.codec import NativeCodec
from protocols.native.frame import frame
from protocols.native.messages import COMMAND, DATA_HEAD_BYTES, OFFER
from protocols.native.terminal import NativeTerminal
from protocols.picture import jpeg
from protocols.report import Report, digest
from tests.protocols.commands import sent_down
from tests.protocols.native.frames import HERE, NOON, offer, offered

IDENTITY = NATIVE.simulated_identity(3)
HEAD = bytes.fromhex("010ff0")
FIRMWARE = bytes(range(256)) * 50
OFFER_OF_IT = offer(5, FIRMWARE, "2.0")


class Talk:
    """Both ends of a link, and what the platform has stored."""

    def __init__(self, terminal: NativeTerminal, codec: NativeCodec | None = None) -> None:
        self.terminal, self.codec = terminal, codec or NATIVE.codec()
        self.stored: list[Report] = []
        self.made: list[Made] = []
        self.acked: list[int] = []

    def up(self, data: bytes, outcome: Outcome = Outcome.STORED) -> list[str]:
        """Let both talk until neither has anything to say: the kinds of message that the platform got."""
        kinds = []
        while data:
            down = b""
            for event in self.codec.receive(data, 0.0):
                if isinstance(event, Wanted):
                    (event,) = self.codec.hand_out(event, FIRMWARE[event.offset : event.offset + event.length], 0.0)
                assert isinstance(event, (Message, Send))
                if isinstance(event, Send):
                    down += event.data
                    continue
                kinds.append(NATIVE.kind_name(event.kind))
                decoded = NATIVE.decode(event)
                assert decoded.error is None
                self.stored += decoded.reports
                down += self.codec.ack(event, outcome, NOON)
            data = self.down(down)
        return kinds

    def down(self, data: bytes) -> bytes:
        sent = b""
        for event in self.terminal.receive(data):
            if isinstance(event, Send):
                sent += event.data
            elif isinstance(event, Acked):
                self.acked.append(event.sequence)
            else:
                self.made.append(event)
        return sent

    def send(self, waiting: Sequence[Made]) -> int:
        """Let it send as much as it will, acks included; how many messages that took."""
        messages, waiting = 0, list(waiting)
        while waiting:
            data, count = self.terminal.send(waiting)
            if not count:
                break
            messages += len(self.up(data))
            waiting = waiting[count:]
        return messages

    def offer(self) -> bytes:
        """Offer the firmware; what the device says at once."""
        (event,) = self.codec.offer(HEAD, OFFER_OF_IT, 0.0)
        assert isinstance(event, Send)
        return self.down(event.data)

    def command(self, name: str, **arguments: object) -> dict[str, object]:
        body = NATIVE.build("command", {"id": len(self.stored), "name": name, "arguments": arguments})
        self.up(self.down(sent_down(self.codec, HEAD, COMMAND, body)))
        assert self.stored[-1].kind == "result"
        return self.stored[-1].values


@pytest.fixture
def talk() -> Talk:
    talk = Talk(NATIVE.terminal(IDENTITY))
    assert talk.up(talk.terminal.connect()) == ["hello", "describe"]
    assert talk.terminal.is_online
    return talk


def later(seconds: float) -> Moment:
    return HERE._replace(time=NOON + timedelta(seconds=seconds))


def test_reports_are_stored_as_they_were_made(talk: Talk) -> None:
    made = [*talk.terminal.report(HERE), *talk.terminal.photo(HERE)]
    talk.send(made)
    stored = {report.digest for report in talk.stored}
    assert all(digest(one.kind, one.body) in stored for one in made)
    assert talk.acked == [one.sequence for one in made]
    (reading,) = [report for report in talk.stored if report.kind == "reading"]
    assert (reading.time, reading.latitude, reading.longitude, reading.altitude_m) == (NOON, 31.2304, 121.4737, 12.5)
    assert (reading.speed_kmh, reading.course_deg, reading.values["odometer_km"]) == (36.0, 90.0, 1234.567)
    assert {"temperature_c", "humidity_percent", "battery_v", "door_open", "lid_angle_deg"} <= set(reading.values)


def test_a_photo_is_a_whole_file_in_reports_of_its_own(talk: Talk) -> None:
    assert isinstance(talk.terminal, Camera)
    made = talk.terminal.photo(HERE)
    assert [one.kind for one in made] == ["file_begin", *["file_data"] * (len(made) - 2), "file_end"]
    data = b"".join(one.body[DATA_HEAD_BYTES:] for one in made if one.kind == "file_data")
    assert data.startswith(b"\xff\xd8\xff\xe0")
    assert data.endswith(b"\xff\xd9")
    again = talk.terminal.photo(HERE)
    assert not {one.body for one in made} & {one.body for one in again}


def test_readings_share_frames_and_frames_the_window(talk: Talk) -> None:
    made = [one for second in range(60) for one in talk.terminal.report(later(second))]
    assert talk.send(made) < 10
    assert talk.acked == [one.sequence for one in made]
    photos = [one for _ in range(10) for one in talk.terminal.photo(HERE)]
    data, count = talk.terminal.send(photos)
    assert count == 8
    assert talk.terminal.send(photos[count:]) == (b"", 0)
    # Sent again, what waited too long for its ack, it has room again.
    assert talk.terminal.send(photos[:4])[1] == 4
    assert data


def test_over_another_link_the_same_reports_leave_again(talk: Talk) -> None:
    made = [*talk.terminal.report(HERE), *talk.terminal.photo(HERE)]
    lost, count = talk.terminal.send(made)
    assert lost
    assert count == len(made)
    assert talk.terminal.connect()
    assert talk.terminal.send(made) == (b"", 0)
    other = Talk(talk.terminal)
    other.up(talk.terminal.connect())
    other.send(made)
    assert other.acked == [one.sequence for one in made]
    assert [report.digest for report in other.stored[2:]] == [digest(one.kind, one.body) for one in made]


def test_refused_it_is_not_online(talk: Talk) -> None:
    made = talk.terminal.report(HERE)
    talk.up(talk.terminal.send(made)[0], Outcome.REFUSED)
    assert (talk.acked, talk.terminal.is_online) == ([], False)
    refused = Talk(NATIVE.terminal(IDENTITY))
    refused.up(refused.terminal.connect(), Outcome.REFUSED)
    assert not refused.terminal.is_online
    assert refused.terminal.send(made) == (b"", 0)


def test_what_was_stored_unread_is_not_sent_again(talk: Talk) -> None:
    made = talk.terminal.report(HERE)
    talk.up(talk.terminal.send(made)[0], Outcome.QUARANTINED)
    assert talk.acked == [made[0].sequence]


def test_only_the_answer_to_its_own_hello_lets_it_in() -> None:
    talk = Talk(NATIVE.terminal(IDENTITY))
    (message,) = talk.codec.receive(talk.terminal.connect(), 0.0)
    assert talk.down(talk.codec.ack(message._replace(sequence=message.sequence + 1), Outcome.STORED, NOON)) == b""
    assert not talk.terminal.is_online


def test_commands_are_obeyed(talk: Talk) -> None:
    talk.send(talk.terminal.report(HERE))
    assert talk.command("relay", on=True) | {"id": 0} == {
        "answered": "command",
        "id": 0,
        "status": "done",
        "returned": {"on": True},
    }
    assert talk.command("relay")["status"] == "wrong"
    assert talk.command("fly")["status"] == "unknown"
    returned = talk.command("read")["returned"]
    assert isinstance(returned, dict)
    assert returned["relay_on"] is True
    assert talk.command("photo")["status"] == "done"
    assert [one.kind for one in talk.terminal.report(later(1))][:2] == ["reading", "file_begin"]
    assert [one.kind for one in talk.terminal.report(later(2))] == ["reading"]
    assert [digest(one.kind, one.body) for one in talk.made] == [report.digest for report in talk.stored if report.kind == "result"]
    assert talk.acked[-5:] == [one.sequence for one in talk.made]


def test_a_command_that_comes_again_is_not_done_again(talk: Talk) -> None:
    body = NATIVE.build("command", {"id": 1, "name": "photo"})
    for _ in range(2):
        talk.up(talk.down(sent_down(talk.codec, HEAD, COMMAND, body)))
    assert len({report.digest for report in talk.stored if report.kind == "result"}) == 1
    assert [one.kind for one in talk.terminal.report(HERE)].count("file_begin") == 1


def test_firmware_is_loaded_and_told_with_the_next_login(talk: Talk) -> None:
    talk.up(talk.offer())
    result = talk.stored[-1]
    assert (result.kind, result.values["answered"], result.values["status"]) == ("result", "offer", "done")
    assert talk.terminal.firmware == FIRMWARE
    assert result.file_result == FileResult(5, FileStatus.DONE)
    again = Talk(talk.terminal)
    again.up(talk.terminal.connect())
    assert again.stored[0].values["software"] == "2.0"


def test_firmware_goes_on_where_it_was(talk: Talk) -> None:
    asked = talk.offer()
    (wanted,) = talk.codec.receive(asked, 0.0)
    assert isinstance(wanted, Wanted)
    (chunk,) = talk.codec.hand_out(wanted, FIRMWARE[: wanted.length], 0.0)
    assert isinstance(chunk, Send)
    talk.down(chunk.data)
    assert talk.down(chunk.data) == b"", "the same bytes a second time"
    other = Talk(talk.terminal)
    other.up(talk.terminal.connect())
    asked = other.offer()
    assert int.from_bytes(asked[7 + 4 : 7 + 8], "big") > 0
    other.up(asked)
    assert other.stored[-1].values["status"] == "done"


def test_bytes_that_do_not_come_are_asked_for_again_with_a_heartbeat(talk: Talk) -> None:
    asked = talk.offer()
    assert len(talk.terminal.heartbeat()) == 9, "they may be on their way"
    again = talk.terminal.heartbeat()
    assert again[9:][7:-2] == asked[7:-2]
    talk.up(again)
    assert talk.terminal.firmware == FIRMWARE
    assert len(talk.terminal.heartbeat()) == 9
    talk.offer()
    talk.terminal.heartbeat()
    talk.terminal.connect()
    assert len(talk.terminal.heartbeat()) == 9, "on another link it waits for the offer"


def test_firmware_with_another_check_is_damaged(talk: Talk) -> None:
    wire = bytearray(offered(5, FIRMWARE, "2.0"))
    wire[11] ^= 1
    talk.up(talk.down(frame(OFFER, 1, bytes(wire))))
    assert talk.stored[-1].values["status"] == "damaged"
    assert talk.terminal.software == "1.0.0"
    too_long = NATIVE.build("offer", {"file": 6, "size": 1 << 30, "crc32": 0, "name": "", "version": ""})
    talk.up(talk.down(frame(OFFER, 1, too_long)))
    assert talk.stored[-1].values["status"] == "wrong"


def test_garbage_and_frames_that_mean_nothing_change_nothing(talk: Talk) -> None:
    for data in (
        b"junk",
        frame(0x80, 9, b""),
        frame(0x80, 999, b"\0"),
        frame(COMMAND, 1, b"\0"),
        frame(0x8A, 1, b""),
        frame(0x88, 1, b""),
    ):
        assert talk.terminal.receive(data) == []
    assert talk.terminal.is_online
    assert talk.up(talk.terminal.heartbeat()) == []


def test_sensors_are_believable_and_the_same_for_the_same_moment() -> None:
    first, second = NATIVE.terminal(IDENTITY), NATIVE.terminal(IDENTITY)
    other = NATIVE.terminal(NATIVE.simulated_identity(4))
    assert first.report(HERE)[0].body == second.report(HERE)[0].body != other.report(HERE)[0].body
    talk = Talk(first)
    talk.up(first.connect())
    talk.send([one for minute in range(0, 48 * 60, 5) for one in first.report(later(60 * minute))])
    values = [report.values for report in talk.stored if report.kind == "reading"]
    assert all(10 < one["temperature_c"] < 30 and 3.2 < one["battery_v"] < 4.3 for one in values)
    assert 0 < sum(one["door_open"] for one in values) < len(values) / 2
    assert 0 < sum("battery_low" in report.alarms for report in talk.stored) < len(values) / 4


def test_identities() -> None:
    assert NATIVE.simulated_identity(0) != NATIVE.simulated_identity(1)
    for wrong in ("", "x" * 65, "a\nb"):
        with pytest.raises(ValueError, match="no identity"):
            NATIVE.terminal(wrong)


def test_a_picture_is_what_its_blocks_are() -> None:
    """Read back bit by bit: the mean of each block, as the standard decodes it."""
    greys = [[0, 255, 128], [127, 1, 254]]
    data = jpeg(greys)
    at, found = 2, {}
    while data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        found.setdefault(data[at + 1], data[at + 4 : at + 2 + size])
        at += 2 + size
    at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    assert found[0xC0][1:5] == bytes((0, 16, 0, 24))
    assert len(found[0xDB]) == 65
    bits = "".join(f"{byte:08b}" for byte in data[at:-2].replace(b"\xff\0", b"\xff"))
    means, before = [], 0
    for _ in range(6):
        category, bits = int(bits[:4], 2), bits[4:]
        low, end = int(bits[:category] or "0", 2), bits[category]
        assert end == "0"
        before += low if not category or low >> category - 1 else low - (1 << category) + 1
        means.append(before + 128)
        bits = bits[category + 1 :]
    assert means == [grey for row in greys for grey in row]
    assert set(bits) <= {"1"}
    assert len(bits) < 8
