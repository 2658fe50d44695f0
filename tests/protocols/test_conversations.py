"""Every protocol's simulated device against its codec: what is acked is what is stored."""

from __future__ import annotations

import pytest

from protocols import DeviceProtocol, Made, Malformed, Outcome, Send
from protocols.registry import PROTOCOLS
from protocols.report import digest
from tests.conversation import Conversation

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
MINUTE = 60.0


def drive(conversation: Conversation, minutes: int = 3) -> None:
    """Report every five seconds, and be polled meanwhile by a platform that polls."""
    for _ in range(12 * minutes):
        conversation.send(conversation.report())
        conversation.pass_time(5)


def check_acked(conversation: Conversation) -> None:
    """Every ack is of a report that is stored, once, under the digest that a ledger has."""
    stored = [(identity, report.kind, report.digest) for identity, report in conversation.stored]
    assert len(set(conversation.acked)) == len(conversation.acked), "an ack counts once"
    for sequence in conversation.acked:
        made = conversation.made[sequence]
        wanted = (made.identity or conversation.terminal.identity, made.kind, digest(made.kind, made.body))
        assert stored.count(wanted) == 1, wanted


@each_protocol
def test_a_device_is_let_in_and_what_it_reports_is_stored_and_acked(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    assert conversation.terminal.is_online
    drive(conversation)
    assert conversation.malformed == []
    assert conversation.errors == []
    assert len(conversation.acked) >= 3
    check_acked(conversation)
    owed = {sequence for sequence, made in conversation.made.items() if made.is_answered}
    assert set(conversation.acked) == owed


@each_protocol
def test_reports_have_a_place_or_values(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    drive(conversation)
    assert any(report.is_position or len(report.values) > 3 for _, report in conversation.stored)
    positions = [report for _, report in conversation.stored if report.is_position]
    for report in positions:
        assert report.latitude == pytest.approx(31.2, abs=0.01)
        assert report.longitude == pytest.approx(121.5, abs=0.1)
    for _, report in conversation.stored:
        assert report.time is None or abs((report.time - conversation.time).total_seconds()) < 10 * MINUTE


@each_protocol
def test_a_refused_device_stays_outside_and_nothing_is_acked(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol, outcome=Outcome.REFUSED)
    drive(conversation, minutes=1)
    assert conversation.acked == []
    assert not any(made.is_answered and conversation.terminal.send([made])[1] for made in conversation.report())


@each_protocol
def test_what_was_lost_with_a_link_is_sent_again_and_is_the_same_report(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    kept: list[Made] = []
    for _ in range(20):
        conversation.pass_time(1)
        kept += [made for made in conversation.report() if made.is_answered]
    conversation.terminal.send(kept)  # Nobody hears it.
    conversation.connect()
    assert conversation.terminal.is_online
    for _ in range(len(kept)):
        conversation.send([made for made in kept if made.sequence not in conversation.acked])
    assert set(conversation.acked) >= {made.sequence for made in kept}
    check_acked(conversation)


@each_protocol
def test_half_an_answer_of_the_old_link_is_not_ended_by_the_new_one(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    codec = protocol.codec()
    down = b""
    for event in codec.receive(conversation.terminal.connect(), 0.0):
        if not isinstance(event, Malformed):
            down += event.data if isinstance(event, Send) else codec.ack(event, Outcome.STORED, conversation.time)
    conversation.terminal.receive(down[:-1])
    conversation.connect()
    assert conversation.terminal.is_online
    drive(conversation)
    assert conversation.malformed == []
    check_acked(conversation)


@each_protocol
def test_heartbeats_are_understood(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    for _ in range(3):
        conversation.talk(conversation.terminal.heartbeat())
    assert conversation.malformed == []
    assert conversation.errors == []
    assert conversation.terminal.is_online


@each_protocol
def test_noise_changes_nothing_for_the_device(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    for noise in (b"\x00", b"\xff" * 40, b"junk~junk", bytes(range(256))):
        conversation.terminal.receive(noise)
    conversation.connect()
    drive(conversation)
    check_acked(conversation)
    assert conversation.acked or not any(made.is_answered for made in conversation.made.values())


@each_protocol
def test_the_same_bytes_in_any_pieces_mean_the_same(protocol: DeviceProtocol) -> None:
    conversation = Conversation(protocol)
    device = conversation.terminal
    reports = device.send([made for _ in range(3) for made in conversation.report()])[0]
    for identity, data in (("", protocol.terminal(device.identity).connect()), (device.identity, reports)):
        whole, pieces = protocol.codec(identity), protocol.codec(identity)
        expected = list(whole.receive(data, 0.0))
        assert [event for byte in data for event in pieces.receive(bytes([byte]), 0.0)] == expected
