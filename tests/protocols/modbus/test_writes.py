from __future__ import annotations

from typing import Any

import pytest

from protocols.modbus import kinds
from tests.protocols.commands import sent_down
from tests.protocols.modbus.station import OTHERS, POLLS, RELAY, STATION, WRITES, Link, exchanges, lines, protocol, rtu

SAID = [frame for _, frame in lines(WRITES)]
RELAY_ON, RELAY_READ, RELAY_SEEN = SAID[0], rtu("0201 0001 0001"), rtu("02 01 01 01")
RELAY_UNSEEN = rtu("02 01 01 00")
RATIO, RATIO_READ, RATIO_SEEN = SAID[4], SAID[6], SAID[7]
PULSE, PULSED = SAID[8], SAID[9]
ON = {"unit": 2, "command": "switch_relay", "n": 2, "value": True}
SET = {"unit": 1, "command": "set_ct_ratio", "value": 200}
SHORT_PULSE = {"unit": 2, "command": "pulse_relay", "n": 3, "value": 2.5}


def give(link: Link, kind: str, fields: dict[str, Any]) -> None:
    body = link.protocol.build(kind, fields)
    row = next(row for row in link.protocol.messages.values() if row.name == kind)
    assert sent_down(link.codec, b"", row.id, body, now=link.now) == b""


def commanded(kind: str, fields: dict[str, Any], protocol: Any = STATION) -> Link:
    """A link with a command waiting, whose polls have been answered so far."""
    link = Link(protocol)
    link.play(dict(exchanges(POLLS)), 3)
    give(link, kind, fields)
    return link


def result(link: Link) -> dict[str, Any]:
    (values,) = link.values("command_result")
    return values


def test_a_relay_is_switched_and_read_back() -> None:
    link = commanded("write_coil", ON)
    assert link.next_request() == RELAY_ON
    link.receive(RELAY_ON)
    accepted = link.now
    assert link.next_request() == RELAY_READ
    assert link.now - accepted == pytest.approx(0.2)
    link.receive(RELAY_SEEN)
    assert result(link) == {
        **{"unit": 2, "command": "switch_relay", "n": 2, "address": 1, "value": "on"},
        **{"state": "confirmed", "function": 5, "written": 1, "read_back": True},
    }
    assert link.of("command_result")[0].identity == "PS0001/2"


def test_a_register_is_set_and_read_back() -> None:
    link = commanded("write_register", SET)
    assert link.next_request() == RATIO
    link.receive(RATIO)
    assert link.next_request() == RATIO_READ
    link.receive(RATIO_SEEN)
    found = result(link)
    assert (found["state"], found["written"], found["read_back"]) == ("confirmed", 200, 200)


def test_a_pulse_is_accepted_and_never_sent_twice() -> None:
    link = commanded("write_registers", SHORT_PULSE)
    assert link.next_request() == PULSE
    link.receive(PULSED)
    found = result(link)
    assert (found["state"], found["written"]) == ("accepted", 2.5)
    lost = commanded("write_registers", SHORT_PULSE)
    assert lost.next_request() == PULSE
    assert PULSE not in lost.play(dict(exchanges(POLLS)), 60)
    assert result(lost)["state"] == "unknown"


def test_read_back_otherwise_it_is_different() -> None:
    link = commanded("write_coil", ON)
    link.next_request()
    link.receive(RELAY_ON)
    link.next_request()
    link.receive(RELAY_UNSEEN)
    assert (result(link)["state"], result(link)["read_back"]) == ("different", False)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 0x0C])
def test_an_exception_is_a_refusal(code: int) -> None:
    link = commanded("write_coil", ON)
    link.next_request()
    link.receive(rtu(f"0285{code:02x}"))
    assert result(link)["state"] == "refused"
    assert result(link)["exception"]


def test_busy_is_not_done_and_sent_again_acknowledged_is_read_back_later() -> None:
    link = commanded("write_registers", SHORT_PULSE)
    link.next_request()
    link.receive(rtu("029006"))
    at, answers = link.now, dict(exchanges(POLLS))
    while (frame := link.next_request()) != PULSE:
        link.receive(answers[frame])
    assert 1.0 <= link.now - at < 1.5
    link.receive(rtu("029006"))
    assert result(link)["state"] == "refused"
    slow = commanded("write_register", SET)
    slow.next_request()
    slow.receive(rtu("018605"))
    at = slow.now
    while (frame := slow.next_request()) != RATIO_READ:
        slow.receive(answers[frame])
    assert slow.now - at >= 5
    slow.receive(RATIO_SEEN)
    assert result(slow)["state"] == "confirmed"


def test_a_write_that_timed_out_and_was_done() -> None:
    link = commanded("write_coil", ON)
    link.next_request()
    assert link.next_request() == RELAY_READ, "read back first"
    link.receive(RELAY_SEEN)
    assert result(link)["state"] == "confirmed"


def test_a_write_that_timed_out_and_was_not_done_is_sent_again_if_it_may_be() -> None:
    link = commanded("write_coil", ON)
    assert link.next_request() == RELAY_ON
    assert link.next_request() == RELAY_READ
    link.receive(RELAY_UNSEEN)
    assert link.next_request() == RELAY_ON
    link.receive(RELAY_ON)
    assert link.next_request() == RELAY_READ
    link.receive(RELAY_SEEN)
    assert result(link)["state"] == "confirmed"
    once = protocol(relay=RELAY.replace("repeatable = true", "repeatable = false"))
    other = commanded("write_coil", ON, once)
    other.next_request()
    other.next_request()
    other.receive(RELAY_UNSEEN)
    assert result(other)["state"] == "different"


def test_it_is_sent_twice_at_most() -> None:
    link = commanded("write_coil", ON)
    sent = 0
    for _ in range(20):
        frame = link.next_request(20)
        sent += frame == RELAY_ON
        if frame == RELAY_READ:
            link.receive(RELAY_UNSEEN)
        if link.of("command_result"):
            break
    assert sent == 2
    assert result(link)["state"] == "different"


def test_without_any_answer_it_is_unknown_and_without_a_read_back_accepted() -> None:
    link = commanded("write_coil", ON)
    while not link.of("command_result"):
        link.next_request(5)
    assert result(link)["state"] == "unknown"
    taken = commanded("write_coil", ON)
    taken.next_request()
    taken.receive(RELAY_ON)
    while not taken.of("command_result"):
        taken.next_request(5)
    assert result(taken)["state"] == "accepted"


def test_on_an_echoing_line_the_echo_is_not_taken_for_the_answer() -> None:
    echoing = {frame: frame + answer for frame, answer in exchanges(POLLS)}
    link = Link()
    link.play(echoing, 20)
    give(link, "write_registers", SHORT_PULSE)
    link.next_request()
    link.receive(PULSE + PULSED)
    assert result(link)["state"] == "accepted"
    give(link, "write_coil", ON)
    assert link.next_request() == RELAY_ON
    link.receive(RELAY_ON)
    assert link.next_request(1) == b"", "the second is waited for"
    link.receive(RELAY_ON)
    assert link.next_request() == RELAY_READ


def test_commands_go_before_polls_and_one_after_the_other() -> None:
    link = commanded("write_coil", ON)
    give(link, "write_registers", SHORT_PULSE)
    assert link.next_request() == RELAY_ON
    link.receive(RELAY_ON)
    assert link.next_request() == PULSE, "while the relay settles"
    link.receive(PULSED)
    assert link.next_request() == RELAY_READ


def test_a_command_expires_while_the_line_is_held_up() -> None:
    slow = protocol(relay=RELAY.replace("timeout_ms = 800", "timeout_ms = 50000"))
    link = Link(slow)
    while link.next_request()[0] != 2:
        pass
    give(link, "write_coil", ON)
    assert link.next_request(40) == b""
    assert result(link)["state"] == "expired"
    assert RELAY_ON not in link.play({}, 200)


def test_what_could_not_be_done_is_refused_at_once() -> None:
    codec = STATION.codec()
    body = STATION.build("write_coil", ON)
    with pytest.raises(ValueError, match="has not registered"):
        sent_down(codec, b"", 5, body)
    codec.receive(b"PS0001", 0.0)
    with pytest.raises(ValueError, match="not stored yet"):
        sent_down(codec, b"", 5, body)
    link = Link()
    for kind, wrong, text in (
        (5, STATION.build("write_coil", {**ON, "unit": 9}), "unit: 9 is none of 1, 2"),
        (5, STATION.build("write_coil", {**ON, "unit": 1}), "unit 1 is, has no 'switch_relay'"),
        (6, body, "has no 'switch_relay' with function 6"),
        (5, body[:-1], "expected 2, found 1"),
        (5, body + b"\0", "bytes behind the command"),
        (0x63, body, "no command 0x63"),
        (5, STATION.build("write_coil", {**ON, "address": 7, "value": "on"}), "address: 7 is not what switch_relay"),
    ):
        with pytest.raises(ValueError, match=text):
            sent_down(link.codec, b"", kind, wrong, now=link.now)
    for _ in range(16):
        give(link, "write_coil", ON)
    with pytest.raises(ValueError, match="16 commands are waiting"):
        give(link, "write_coil", ON)
    link.play({}, 400)
    with pytest.raises(ValueError, match="unit: 2 is offline"):
        give(link, "write_coil", ON)


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("write_register", {**SET, "value": 0}, "value: 0 is not from 1 to 1000"),
        ("write_register", {**SET, "value": 1001}, "value: 1001 is not from 1 to 1000"),
        ("write_register", {**SET, "value": 1.5}, "value: 1.5 is no step of 1"),
        ("write_register", {**SET, "value": "on"}, "value: 'on' is no number"),
        ("write_register", {**SET, "value": True}, "value: True is no number"),
        ("write_register", {**SET, "value": float("nan")}, "value: nan is not from"),
        ("write_register", {**SET, "value": [1, 2]}, "value: 2 values, where there are 1"),
        ("write_register", {**SET, "unit": 300}, "unit: 300 is no whole number"),
        ("write_register", {**SET, "command": "set_ct"}, "command: 'set_ct' is none of set_ct_ratio"),
        ("write_register", {**SET, "colour": 1}, "colour: there is no such field"),
        ("write_register", {**SET, "model": "x"}, "model: 'x' is none of"),
        ("write_register", {**SET, "n": 2}, "n: 2, there are 1 to 1"),
        ("write_coil", SET, "command: set_ct_ratio is a write_register"),
        ("write_coil", {**ON, "n": 9}, "n: 9, there are 1 to 8"),
        ("write_coil", {"unit": 2, "command": "switch_relay", "value": True}, "n: missing"),
        ("write_coil", {**ON, "value": 2}, "value: 2 is neither on"),
        ("write_registers", {**SHORT_PULSE, "value": 0.05}, "value: 0.05 is not from 0.1 to 60 s"),
        ("write_registers", {**SHORT_PULSE, "value": 2.55}, "value: 2.55 is no step of 0.1 s"),
        ("write_registers", {"unit": 2, "command": "pulse_relay", "n": 1}, "value: missing"),
    ],
)
def test_wrong_values_never_leave(kind: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        STATION.build(kind, fields)
    assert str(caught.value).startswith(kind)


@pytest.mark.parametrize(("asked", "answer"), exchanges(OTHERS)[:6], ids=[asked.hex() for asked, _ in exchanges(OTHERS)[:6]])
def test_requests_that_no_map_describes_are_sent_once(asked: bytes, answer: bytes) -> None:
    """Every function of the table goes both ways."""
    from protocols.modbus.pdu import REQUESTS

    link = Link()
    link.play(dict(exchanges(POLLS)), 3)
    fields = {name: value for name, value in REQUESTS[asked[1]].parse(asked[2:-2]).items() if name != "_io"}
    unit = asked[0] if asked[0] in (1, 2) else 1
    name = STATION.kind_name(asked[1])
    give(link, name, {"unit": unit, **fields})
    assert link.next_request() == rtu(bytes((unit, *asked[1:-2])).hex())
    link.receive(rtu(bytes((unit, *answer[1:-2])).hex()))
    found = result(link)
    assert found["state"] == ("answered" if name.startswith("read") and asked[1] != 0x17 else "accepted")
    assert link.protocol.decode(link.of("command_result")[0]._replace(kind=kinds.COMMAND_RESULT)).error is None


def test_a_request_with_impossible_counts_is_refused() -> None:
    link = Link()
    for kind, fields in (
        ("read_holding_registers", {"unit": 1, "address": 0, "quantity": 126}),
        ("read_coils", {"unit": 1, "address": 0, "quantity": 0}),
        ("write_registers", {"unit": 1, "address": 0, "quantity": 2, "registers": b"\0\0"}),
        ("write_coils", {"unit": 1, "address": 0, "quantity": 9, "bits": b"\0"}),
    ):
        with pytest.raises(ValueError, match=r"quantity|registers|bits"):
            give(link, kind, fields)
