from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from protocols import Acked, Made, Message, Moment, Outcome, Send
from protocols.report import Report, digest
from protocols.teltonika import TELTONIKA
from protocols.teltonika.codec import TeltonikaCodec
from protocols.teltonika.stream import frame
from protocols.teltonika.terminal import MAX_PACKET_BYTES, MAX_RECORDS, TeltonikaTerminal
from tests.protocols.commands import sent_down
from tests.protocols.teltonika.frames import IMEI, NOON, only

CODECS = {"codec_8": 0, "codec_8_extended": 1, "codec_16": 9}
each_codec = pytest.mark.parametrize("number", CODECS.values(), ids=list(CODECS))


def talk(terminal: TeltonikaTerminal, codec: TeltonikaCodec, data: bytes, outcome: Outcome = Outcome.STORED) -> list[int]:
    """Hand what the device sends to the platform, and its acks back; the reports that are acked."""
    acked = []
    for event in codec.receive(data, 0.0):
        assert isinstance(event, Message), event
        for answer in terminal.receive(codec.ack(event, outcome, NOON)):
            assert isinstance(answer, Acked)
            acked.append(answer.sequence)
    return acked


def online(number: int = 0) -> tuple[TeltonikaTerminal, TeltonikaCodec]:
    terminal, codec = TELTONIKA.terminal(TELTONIKA.simulated_identity(number)), TELTONIKA.codec()
    assert talk(terminal, codec, terminal.connect()) == []
    assert terminal.is_online
    return terminal, codec


def drive(terminal: TeltonikaTerminal, count: int, speed_kmh: float = 50.0) -> list[Made]:
    moments = [
        Moment(NOON + timedelta(seconds=5 * step), 31.2 + step / 1000, -121.5, 40.0, speed_kmh, 359.6, 12 + step / 10)
        for step in range(count)
    ]
    return [made for moment in moments for made in terminal.report(moment)]


def stored(terminal: TeltonikaTerminal, data: bytes) -> list[Report]:
    (message,) = TELTONIKA.codec(terminal.identity).receive(data, 0.0)
    decoded = TELTONIKA.decode(message)
    assert decoded.error is None
    return decoded.reports


@each_codec
def test_reports_are_stored_as_they_were_made(number: int) -> None:
    terminal, _ = online(number)
    made = drive(terminal, 3)
    data, count = terminal.send(made)
    reports = stored(terminal, data)
    assert count == 3
    assert [(report.kind, report.body) for report in reports] == [(one.kind, one.body) for one in made]
    assert [report.digest for report in reports] == [digest(one.kind, one.body) for one in made]
    assert CODECS[made[0].kind] == number
    first = reports[0]
    assert (first.time, first.latitude, first.longitude, first.altitude_m) == (NOON, 31.2, -121.5, 40.0)
    assert (first.speed_kmh, first.course_deg, first.is_position) == (50.0, 0.0, True)
    assert first.values.items() >= {"ignition": True, "moving": True, "trip_odometer_km": 12.0, "gnss_status": "fix"}.items()
    assert 13 < first.values["external_v"] < 15
    assert 3.9 < first.values["battery_v"] < 4.2
    assert 0 <= first.values["battery_percent"] <= 100
    assert 0 <= first.values["signal"] <= 5
    assert reports[2].values["odometer_km"] - first.values["odometer_km"] == pytest.approx(0.2)
    assert "announced_properties" not in first.values
    assert "repeated" not in first.values


def test_the_same_moment_gives_the_same_report() -> None:
    one, two = (online(3)[0] for _ in range(2))
    assert [made.body for made in drive(one, 5)] == [made.body for made in drive(two, 5)]
    assert [made.body for made in drive(one, 5)] != [made.body for made in drive(online(5)[0], 5)]


def test_events_now_and_then() -> None:
    terminal, _ = online()
    driven = drive(terminal, 400)
    events = [report for made in driven for report in stored(terminal, terminal_packet(terminal, made)) if "event" in report.values]
    assert 1 <= len(events) < 40
    assert all(report.values["priority"] == "high" and report.alarms[0].startswith("harsh_") for report in events)
    fast = stored(terminal, terminal_packet(terminal, drive(terminal, 1, 120.0)[0]))[0]
    assert (fast.alarms, fast.values["overspeed_kmh"]) == (["overspeed"], 120)
    stop = stored(terminal, terminal_packet(terminal, drive(terminal, 1, 0.0)[0]))[0]
    assert (stop.values["event"], stop.values["ignition"]) == ("ignition", False)


def terminal_packet(terminal: TeltonikaTerminal, made: Made) -> bytes:
    return frame(bytes([terminal.device.codec_id]) + made.body)


@each_codec
def test_one_packet_is_under_way_and_bounded(number: int) -> None:
    terminal, codec = online(number)
    made, acked = drive(terminal, 60), []
    waiting: Sequence[Made] = made
    while waiting:
        data, count = terminal.send(waiting)
        assert 0 < count <= MAX_RECORDS
        assert len(data) <= MAX_PACKET_BYTES
        assert terminal.send(waiting[count:]) == (b"", 0)
        acked += talk(terminal, codec, data)
        waiting = waiting[count:]
    assert acked == [one.sequence for one in made]
    assert len({one.sequence for one in made}) == 60


def test_nothing_leaves_before_the_login_is_answered() -> None:
    terminal = TELTONIKA.terminal(IMEI)
    made = drive(terminal, 2)
    assert terminal.send(made) == (b"", 0)
    terminal.connect()
    assert terminal.send(made) == (b"", 0)
    assert terminal.receive(b"\x01") == []
    assert terminal.send(made)[1] == 2
    assert terminal.send([]) == (b"", 0)


def test_refused_it_stays_outside_until_the_next_link() -> None:
    terminal, codec = TELTONIKA.terminal(IMEI), TELTONIKA.codec()
    assert talk(terminal, codec, terminal.connect(), Outcome.REFUSED) == []
    assert not terminal.is_online
    assert terminal.send(drive(terminal, 1)) == (b"", 0)
    assert talk(terminal, TELTONIKA.codec(), terminal.connect()) == []
    assert terminal.is_online


@pytest.mark.parametrize("wrong", [0, 1, 4, 7, 2**32 - 1])
def test_a_wrong_count_acks_nothing_and_all_is_sent_again(wrong: int) -> None:
    terminal, codec = online()
    made = drive(terminal, 3)
    data, _ = terminal.send(made)
    assert terminal.receive(wrong.to_bytes(4, "big")) == []
    again, count = terminal.send(made)
    assert (again, count) == (data, 3)
    assert talk(terminal, codec, again) == [one.sequence for one in made]


def test_without_an_ack_the_packet_leaves_again_when_its_reports_wait_again() -> None:
    terminal, codec = online()
    made = drive(terminal, 4)
    first, _ = terminal.send(made[:3])
    assert terminal.send(made[3:]) == (b"", 0)
    again, count = terminal.send(made)
    assert count == 4
    assert [report.digest for report in stored(terminal, again)][:3] == [report.digest for report in stored(terminal, first)]
    assert talk(terminal, codec, again) == [one.sequence for one in made]


def test_an_ack_counts_once_and_only_on_its_own_link() -> None:
    terminal, codec = online()
    made = drive(terminal, 2)
    data, _ = terminal.send(made)
    ack = codec.ack(*codec.receive(data, 0.0), Outcome.STORED, NOON)
    login = terminal.connect()
    assert terminal.send(made) == (b"", 0)
    talk(terminal, TELTONIKA.codec(), login)
    assert terminal.receive(ack) == []
    again, count = terminal.send(made)
    assert (again, count) == (data, 2)
    assert terminal.receive(ack + ack) == [Acked(one.sequence) for one in made]


def test_refused_records_are_not_acked() -> None:
    terminal, codec = online()
    data, _ = terminal.send(drive(terminal, 1))
    assert talk(terminal, codec, data, Outcome.REFUSED) == []


def ask(
    terminal: TeltonikaTerminal, text: str, name: str = "codec_12_command", identity: str = "", **fields: object
) -> dict[str, object]:
    """What the device says to a command, as the platform reads it."""
    codec = TELTONIKA.codec(identity or terminal.identity)
    kind = next(row.id for row in TELTONIKA.messages.values() if row.name == name)
    (event,) = terminal.receive(sent_down(codec, b"", kind, TELTONIKA.build(name, {"text": text, **fields})))
    assert isinstance(event, Send)
    return TELTONIKA.decode(only(event.data)).reports[0].values


def test_commands_are_answered() -> None:
    terminal, _ = online()
    made = drive(terminal, 1)
    imei = terminal.identity
    assert ask(terminal, "getver")["text"].startswith("Ver:")
    assert ask(terminal, "getver", "codec_14_command") == {
        "type": "response",
        "imei": imei,
        "text": ask(terminal, "getver")["text"],
    }
    assert "Lat:31.200000" in ask(terminal, "getgps")["text"]
    assert ask(terminal, "setdigout 1?") == {"type": "response", "text": "DOUTS are set to:10 TMOs are: 0 0"}
    assert ask(terminal, "getio")["text"] == "DI1:1 DI2:0 DI3:0 AIN1:0 AIN2:0 DO1:1 DO2:0"
    assert ask(terminal, "setparam 1000:5;1001:6")["text"] == "New value 1000:5;1001:6"
    assert ask(terminal, "getparam 1001")["text"] == "Param ID:1001 Val:6"
    assert ask(terminal, "setparam nonsense")["text"] == "Param error: nonsense"
    assert ask(terminal, "odoset:500000")["text"] == "Total odometer set to 500000"
    assert ask(terminal, "readio 16")["text"] == "IO ID:16 Value:500000"
    assert ask(terminal, "readio 9999")["text"] == "IO ID:9999 Error"
    assert ask(terminal, "dance")["text"] == "Unknown command: dance"
    for text in ("getinfo", "getstatus", "getimeiccid", "deleterecords", "cpureset", "odoset:x", "readio x"):
        assert ask(terminal, text)["type"] == "response"
    (after,) = drive(terminal, 1)
    assert stored(terminal, terminal_packet(terminal, after))[0].values["digital_output_1"] is True
    assert stored(terminal, terminal_packet(terminal, made[0]))[0].values["digital_output_1"] is False


def test_a_command_for_another_device_is_not_executed() -> None:
    terminal, _ = online()
    other = "862259588834290"
    told = ask(terminal, "setdigout 1", "codec_14_command", other)
    assert told == {"type": "nack", "imei": terminal.identity, "text": ""}
    assert terminal.device.outputs == [False, False]


def test_acks_and_commands_may_come_in_any_pieces() -> None:
    terminal, _ = online()
    made = drive(terminal, 2)
    terminal.send(made)
    codec = TELTONIKA.codec(terminal.identity)
    command = sent_down(codec, b"", 0x0C05, TELTONIKA.build("codec_12_command", {"text": "getver"}))
    stream = bytes((0, 0, 0, 2)) + command + bytes(4) + bytes((0, 0, 0, 7)) + command
    whole = online()[0]
    whole.send(drive(whole, 2))
    expected = whole.receive(stream)
    assert [type(event) for event in expected] == [Acked, Acked, Send, Send]
    assert [event for byte in stream for event in terminal.receive(bytes((byte,)))] == expected


@pytest.mark.parametrize(
    "data",
    [
        frame(bytes.fromhex("0c 01 05 00000001 41 01"))[:-1] + b"\0",
        frame(bytes.fromhex("0c 01 06 00000001 41 01")),
        frame(bytes.fromhex("0c 01 05 00000009 41 01")),
        frame(bytes.fromhex("0801020304050607")),
        frame(bytes.fromhex("0e 01 05 00000001 41 01")),
    ],
)
def test_what_means_nothing_to_it_changes_nothing(data: bytes) -> None:
    terminal, codec = online()
    assert terminal.receive(data) == []
    made = drive(terminal, 1)
    assert talk(terminal, codec, terminal.send(made)[0]) == [made[0].sequence]


def test_it_holds_little_of_what_the_platform_sends() -> None:
    terminal, _ = online()
    for _ in range(40):
        terminal.receive(bytes.fromhex("00000000 7fffffff") + bytes(1000))
        assert len(terminal._held) <= 17 << 10


def test_heartbeat_is_a_ping() -> None:
    terminal, codec = online()
    assert terminal.heartbeat() == b"\xff"
    assert codec.receive(terminal.heartbeat(), 0.0) == []


def test_simulated_devices_have_imeis_with_a_check_digit() -> None:
    assert TELTONIKA.simulated_identity(0) == TELTONIKA.simulated_identity(0)
    imeis = [TELTONIKA.simulated_identity(number) for number in range(200)]
    assert len(set(imeis)) == 200
    for imei in (*imeis, IMEI):
        digits = [int(digit) for digit in imei]
        total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
        assert (len(imei), total % 10) == (15, 0)
    for wrong in ("", "12345", "49015420323751x", "４９０１５４２０３２３７５１８"):
        with pytest.raises(ValueError, match="is no IMEI"):
            TELTONIKA.terminal(wrong)


def test_a_packet_may_be_as_long_as_devices_send_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, _ = online()
    made = drive(terminal, 3)
    length = len(terminal.send(made[:2])[0])
    for limit, count in ((length, 2), (length - 1, 1)):
        monkeypatch.setattr("protocols.teltonika.terminal.MAX_PACKET_BYTES", limit)
        assert terminal.send(made)[1] == count
