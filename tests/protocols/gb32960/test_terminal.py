from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from protocols import Acked, Made, Message, Outcome, Send
from protocols.gb32960 import GB32960
from protocols.gb32960.terminal import MAX_AWAITED, GB32960Terminal
from protocols.report import Report, digest
from protocols.terminal import Moment
from tests.protocols.commands import sent_down
from tests.protocols.gb32960.frames import NOON, TIME, only, up

VIN = GB32960.simulated_identity(7)


def moment(seconds: float = 0, km: float = 0.0, speed: float = 60.0) -> Moment:
    return Moment(NOON + timedelta(seconds=seconds), 31.23, 121.47, 12.0, speed, 90.0, km)


class Talk:
    """A terminal and a platform that answers it at once."""

    def __init__(self, terminal: GB32960Terminal | None = None, **options: Any) -> None:
        self.terminal = terminal or GB32960.terminal(VIN)
        self.protocol = GB32960.configure(options)
        self.codec = self.protocol.codec()
        self.messages: list[Message] = []
        self.acked: list[int] = []

    def say(self, data: bytes, outcome: Outcome = Outcome.STORED) -> Talk:
        while data:
            came = [event for event in self.codec.receive(data, 0.0) if isinstance(event, Message)]
            self.messages += came
            acks = b"".join(self.codec.ack(message, outcome, NOON) for message in came)
            data = self.hear(acks)
        return self

    def hear(self, data: bytes) -> bytes:
        events = self.terminal.receive(data)
        self.acked += [event.sequence for event in events if isinstance(event, Acked)]
        return b"".join(event.data for event in events if isinstance(event, Send))

    def command(self, name: str, **fields: Any) -> list[Report]:
        """What the terminal answers a command with."""
        kind = next(row.id for row in GB32960.messages.values() if row.name == name)
        body = GB32960.build(name, {"time": NOON.isoformat(), **fields})
        answer = self.hear(sent_down(self.codec, self.messages[-1].head, kind, body))
        before = len(self.messages)
        self.say(answer)
        return [report for message in self.messages[before:] for report in GB32960.decode(message).reports]

    @property
    def names(self) -> list[str]:
        return [GB32960.kind_name(message.kind) for message in self.messages]


def online(**options: Any) -> Talk:
    talk = Talk(**options)
    return talk.say(talk.terminal.connect())


def sent(terminal: GB32960Terminal, waiting: Sequence[Made]) -> bytes:
    data, count = terminal.send(waiting)
    assert count == len(waiting)
    return data


def test_it_asks_for_the_time_and_logs_in() -> None:
    talk = online()
    assert talk.names == ["time_sync", "vehicle_login"]
    assert talk.terminal.is_online
    (login,) = GB32960.decode(talk.messages[1]).reports
    assert login.time == NOON
    assert login.values["login_serial"] == 1
    assert (len(login.values["iccid"]), len(login.values["pack_codes"][0])) == (20, 24)
    assert talk.messages[0].identity == VIN == talk.terminal.identity


@pytest.mark.parametrize("options", [{}, {"answer": "echo"}])
def test_reports_are_stored_as_made_and_acked(options: dict[str, str]) -> None:
    talk = online(**options)
    made = [talk.terminal.report(moment(seconds))[0] for seconds in range(3)]
    talk.say(sent(talk.terminal, made))
    assert talk.names[2:] == ["report"] * 3
    for message, one in zip(talk.messages[2:], made, strict=True):
        found = GB32960.decode(message)
        assert found.error is None
        assert found.reports[0].digest == digest(one.kind, one.body)
    assert talk.acked == [one.sequence for one in made]


def test_what_was_not_acked_is_reissued_and_stored_as_the_same() -> None:
    talk = online()
    made = talk.terminal.report(moment())
    live = only(sent(talk.terminal, made))
    new = Talk(talk.terminal)
    new.say(talk.terminal.connect())
    assert new.names == ["vehicle_login"]
    again = sent(talk.terminal, made)
    new.say(again)
    assert new.names == ["vehicle_login", "reissue"]
    assert GB32960.decode(only(again)).reports[0].digest == GB32960.decode(live).reports[0].digest
    assert new.acked == [made[0].sequence]


def test_what_was_made_without_a_link_is_reissued_and_the_next_one_is_live() -> None:
    terminal = GB32960.terminal(VIN)
    late = terminal.report(moment())
    talk = Talk(terminal).say(terminal.connect())
    # It knows what time it is from the moment it was shown.
    assert talk.names == ["vehicle_login"]
    live = terminal.report(moment(10))
    talk.say(sent(terminal, [*late, *live]))
    assert talk.names[1:] == ["reissue", "report"]
    assert talk.acked == [0, 1]


def test_sent_again_on_the_same_link_it_is_a_reissue_and_acked_once() -> None:
    talk = online()
    made = talk.terminal.report(moment())
    first, second = sent(talk.terminal, made), sent(talk.terminal, made)
    talk.say(first + second)
    assert talk.names[2:] == ["report", "reissue"]
    assert talk.acked == [0]


def test_two_reports_of_one_second_are_acked_one_by_one() -> None:
    talk = online()
    made = [*talk.terminal.report(moment(0.1)), *talk.terminal.report(moment(0.9))]
    data = sent(talk.terminal, made)
    assert talk.say(data[: len(data) // 2]).acked == [0]
    assert talk.say(data[len(data) // 2 :]).acked == [0, 1]


def test_offline_it_sends_nothing() -> None:
    terminal = GB32960.terminal(VIN)
    made = terminal.report(moment())
    assert terminal.send(made) == (b"", 0)
    assert terminal.heartbeat() == b""
    talk = Talk(terminal).say(terminal.connect(), Outcome.REFUSED)
    assert not terminal.is_online
    assert talk.names == ["vehicle_login"]
    assert terminal.send(made) == (b"", 0)


def test_refused_by_2025s_word_it_stays_out() -> None:
    terminal = GB32960.terminal(VIN)
    terminal.report(moment())
    login = only(terminal.connect())
    assert terminal.receive(up(0x01, login.body[:6], VIN, flag=0x04)) == []
    assert not terminal.is_online


def test_refused_report_is_not_acked() -> None:
    talk = online()
    talk.say(sent(talk.terminal, talk.terminal.report(moment())), Outcome.REFUSED)
    made = talk.terminal.report(moment(1))
    data = sent(talk.terminal, made)
    assert talk.hear(up(0x02, only(data).body[:6], VIN, flag=0x02)) == b""
    assert talk.acked == []
    assert talk.hear(up(0x02, only(data).body[:6], VIN, flag=0x01)) == b""
    assert talk.acked == [1]


def test_serial_counts_the_logins_of_a_day_in_beijing() -> None:
    terminal, serials = GB32960.terminal(VIN), []
    # 23:59:58 and 00:00:02 there.
    for at in (datetime(2026, 3, 1, 15, 59, second, tzinfo=NOON.tzinfo) for second in (50, 58)):
        terminal.report(moment()._replace(time=at))
        serials.append(GB32960.decode(only(terminal.connect())).reports[0].values["login_serial"])
    terminal.report(moment()._replace(time=datetime(2026, 3, 1, 16, 0, 2, tzinfo=NOON.tzinfo)))
    serials.append(GB32960.decode(only(terminal.connect())).reports[0].values["login_serial"])
    assert serials == [1, 2, 1]


def test_same_moment_of_the_same_car_is_told_in_the_same_bytes() -> None:
    one, other, another = (GB32960.terminal(GB32960.simulated_identity(number)) for number in (1, 1, 2))
    assert one.report(moment()) == other.report(moment())
    assert one.report(moment(1))[0].body != another.report(moment())[0].body


def drive(minutes: int, vin: str = VIN) -> list[Report]:
    terminal, reports = GB32960.terminal(vin), []
    for minute in range(minutes):
        made = terminal.report(moment(60 * minute, float(minute), 0.0 if minute % 10 == 0 else 40.0 + minute % 80))
        found = GB32960.decode(only(up(0x02, made[0].body)))
        assert found.error is None
        reports += found.reports
    return reports


def test_a_drive_is_believable() -> None:
    reports = drive(300)
    values = [report.values for report in reports]
    assert not any({"abnormal", "invalid", "out_of_range", "unread"} & told.keys() for told in values)
    odometers = [told["odometer_km"] for told in values]
    assert odometers == sorted(odometers)
    assert odometers[-1] - odometers[0] == pytest.approx(299, abs=0.2)
    socs = [told["soc_percent"] for told in values]
    assert all(15 <= soc <= 96 for soc in socs)
    assert sum(later > earlier for earlier, later in pairwise(socs)) <= 1
    assert socs[0] != socs[60]
    for report, told in zip(reports, values, strict=True):
        cells, (pack,) = told["pack_voltages"][0]["cell_voltages_v"], told["pack_voltages"]
        assert len(cells) == pack["cell_total"] == 96
        assert all(3.0 < cell < 4.3 for cell in cells)
        assert told["total_voltage_v"] == pytest.approx(sum(cells), abs=0.06)
        assert (told["extremes"]["voltage_max_v"], told["extremes"]["voltage_min_v"]) == (max(cells), min(cells))
        assert cells[told["extremes"]["voltage_max_cell"] - 1] == max(cells)
        assert all(0 < degrees < 70 for degrees in told["pack_temperatures"][0]["temperatures_c"])
        assert (told["motors"][0]["speed_rpm"] == 0) == (report.speed_kmh == 0)
        assert (told["gear"] == "park") == (report.speed_kmh == 0)
        assert (report.latitude, report.longitude, told["fix"]) == (31.23, 121.47, True)
        assert bool(report.alarms) == (told["alarm_level"] > 0)
    assert {told["motors"][0]["state"] for told in values} == {"ready", "consuming", "generating"}


def test_alarms_come_now_and_then() -> None:
    alarms = [report.alarms for number in range(6) for report in drive(120, GB32960.simulated_identity(number))]
    some = [name for names in alarms for name in names if name != "soc_low"]
    assert 1 <= len(some) <= len(alarms) // 20
    assert len(set(some)) > 1


def test_southern_and_western_places() -> None:
    made = GB32960.terminal(VIN).report(moment()._replace(latitude=-33.9, longitude=-70.6))
    (report,) = GB32960.decode(only(up(0x02, made[0].body))).reports
    assert (report.latitude, report.longitude) == (-33.9, -70.6)


def test_it_tells_its_parameters() -> None:
    talk = online()
    (report,) = talk.command("query_parameters", ids=["domain", "heartbeat_period_s", "sampling", 0x77])
    assert report.kind == "parameters"
    assert report.values["parameters"] == {
        "domain_bytes": 14,
        "domain": "ev.example.com",
        "heartbeat_period_s": 60,
        "sampling": "off",
    }


def test_it_takes_parameters_and_keeps_them() -> None:
    talk = online()
    (report,) = talk.command("set_parameters", parameters={"heartbeat_period_s": 15, "domain_bytes": 2, "domain": "xy"})
    assert (report.kind, report.values["result"]) == ("parameters_set", "success")
    assert talk.terminal.heartbeat_seconds == 15.0
    again = Talk(talk.terminal).say(talk.terminal.connect())
    assert again.command("query_parameters", ids=["domain"])[0].values["parameters"]["domain"] == "xy"


@pytest.mark.parametrize(
    "parameters",
    [
        {"heartbeat_period_s": 30, "report_period_s": 601},
        {"heartbeat_period_s": 0},
        {"heartbeat_period_s": 30, "hardware_version": "X"},
        {"heartbeat_period_s": 30, "0x80": b"\x01"},
    ],
)
def test_it_refuses_all_parameters_if_one_is_wrong(parameters: dict[str, Any]) -> None:
    talk = online()
    (report,) = talk.command("set_parameters", parameters=parameters)
    assert report.values["result"] == "error"
    assert talk.terminal.heartbeat_seconds == 60.0


@pytest.mark.parametrize("command", ["upgrade", "switch_off", "reset", "factory_settings", "disconnect", "warn", "open_sampling"])
def test_it_obeys(command: str) -> None:
    talk = online()
    talk.command("set_parameters", parameters={"heartbeat_period_s": 15})
    more = {"warn": {"level": 1, "text": "SERVICE"}, "upgrade": {"upgrade": "3b"}}.get(command, {})
    reports = talk.command("control", command=command, **more)
    assert (reports[0].kind, reports[0].values["result"]) == ("controlled", "success")
    begins_anew = command in ("reset", "factory_settings")
    assert [report.kind for report in reports[1:]] == ["vehicle_login"] * begins_anew
    assert talk.terminal.is_online == (command not in ("switch_off", "disconnect"))
    assert talk.terminal.heartbeat_seconds == (60.0 if command == "factory_settings" else 15.0)
    assert talk.terminal.parameters["sampling"] == ("on" if command == "open_sampling" else "off")


@pytest.mark.parametrize(
    ("command", "body"), [(0x82, TIME + b"\x80"), (0x82, TIME), (0x80, TIME), (0x81, TIME), (0x80, TIME + b"\x05")]
)
def test_what_it_does_not_understand_it_answers_with_an_error(command: int, body: bytes) -> None:
    (answer,) = GB32960.terminal(VIN).receive(up(command, body, VIN))
    assert isinstance(answer, Send)
    assert only(answer.data).head[2:4] == bytes((command, 0x02))


@pytest.mark.parametrize(
    "data",
    [
        b"junk",
        up(0x82, TIME + b"\x03", "LZZTEST0000000009"),
        up(0x55, TIME, VIN),
        up(0x02, TIME, VIN, flag=0x01),
        up(0x08, b"\xff" * 6, VIN, flag=0x01),
        up(0x08, b"", VIN, flag=0x01),
        up(0x08, TIME, VIN, flag=0x02),
        up(0x82, TIME + b"\x03", VIN)[:-1] + b"\x00",
    ],
)
def test_what_means_nothing_to_it_changes_nothing(data: bytes) -> None:
    talk = online()
    assert talk.terminal.receive(data) == []
    assert talk.terminal.is_online
    fresh = GB32960.terminal(VIN)
    assert fresh.receive(data) == []


def test_answers_may_come_in_any_pieces() -> None:
    talk = online()
    made = talk.terminal.report(moment())
    ack = talk.codec.ack(only(sent(talk.terminal, made)), Outcome.STORED, NOON)
    assert [event for byte in ack for event in talk.terminal.receive(bytes([byte]))] == [Acked(0)]


def test_half_an_answer_of_the_old_link_is_not_ended_by_the_new_one() -> None:
    talk = online()
    ack = talk.codec.ack(only(sent(talk.terminal, talk.terminal.report(moment()))), Outcome.STORED, NOON)
    talk.terminal.receive(ack[:-1])
    login = talk.terminal.connect()
    assert talk.terminal.receive(ack[-1:]) == []
    talk.say(login)
    assert talk.terminal.is_online


def test_late_ack_of_the_old_link_acks_nothing() -> None:
    talk = online()
    ack = talk.codec.ack(only(sent(talk.terminal, talk.terminal.report(moment()))), Outcome.STORED, NOON)
    talk.say(talk.terminal.connect())
    assert talk.terminal.receive(ack) == []


def test_what_it_waits_for_is_bounded_to_the_newest() -> None:
    talk = online()
    made = [Made(number, "report", (1000 + number).to_bytes(6, "big")) for number in range(MAX_AWAITED + 10)]
    sent(talk.terminal, made)
    acks = b"".join(up(0x02, one.body, VIN, flag=0x01) for one in (made[0], made[9], made[10], made[-1]))
    talk.hear(acks)
    assert talk.acked == [10, MAX_AWAITED + 9]


def test_heartbeat_is_one_and_answered() -> None:
    talk = online()
    talk.say(talk.terminal.heartbeat())
    assert talk.names[-1] == "heartbeat"


def test_simulated_cars_have_names_of_their_own() -> None:
    names = {GB32960.simulated_identity(number) for number in (0, 1, 2, 999_999, 10**9)}
    assert len(names) == 5
    assert all(len(name) == 17 and not set(name) & set("IOQ") for name in names)
    assert all(GB32960.terminal(name).identity == name for name in names)
