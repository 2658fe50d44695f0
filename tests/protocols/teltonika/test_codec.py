from __future__ import annotations

import pytest

from protocols import Message, Outcome, Send
from protocols.teltonika import TELTONIKA
from protocols.teltonika.commands import CODEC_12_COMMAND, CODEC_14_COMMAND
from tests.protocols.commands import ASKED_AT, sent_down
from tests.protocols.teltonika.frames import (
    EMPTY,
    EVENT,
    GETVER,
    GETVER_14,
    IMEI,
    INPUTS,
    LOGIN,
    NACK_14,
    NOON,
    OK_14,
    PING_13,
    TWO_RECORDS,
    only,
    packed,
)

OTHER = bytes.fromhex("000f") + b"862259588834290"


def ack(data: bytes, outcome: Outcome = Outcome.STORED) -> bytes:
    return TELTONIKA.codec(IMEI).ack(only(data), outcome, NOON)


def command(text: str = "getver", name: str = "codec_12_command", **fields: object) -> tuple[bytes, int, bytes]:
    row = next(row for row in TELTONIKA.messages.values() if row.name == name)
    return b"", row.id, TELTONIKA.build(name, {"text": text, **fields})


def test_login_is_a_message_and_answered_in_one_byte() -> None:
    codec = TELTONIKA.codec()
    (login,) = codec.receive(LOGIN, 0.0)
    assert login == Message(IMEI, 0, 0, b"", LOGIN)
    assert codec.ack(login, Outcome.STORED, NOON) == b"\x01"
    assert codec.ack(login, Outcome.QUARANTINED, NOON) == b"\x01"
    assert codec.ack(login, Outcome.REFUSED, NOON) == b"\x00"


def test_the_device_of_a_link_is_the_one_that_has_logged_in_last() -> None:
    codec = TELTONIKA.codec()
    events = codec.receive(LOGIN + EVENT + OTHER + EVENT, 0.0)
    assert [event.identity for event in events] == [IMEI, IMEI, "862259588834290", "862259588834290"]


@pytest.mark.parametrize(("data", "count"), [(EVENT, "00000001"), (TWO_RECORDS, "00000002"), (EMPTY, "00000000")])
def test_records_are_acked_by_their_number_all_or_none(data: bytes, count: str) -> None:
    assert ack(data).hex() == count
    assert ack(data, Outcome.QUARANTINED).hex() == count
    assert ack(data, Outcome.REFUSED) == b""


def test_records_that_cannot_be_decoded_are_acked_for_the_device_to_go_on() -> None:
    data = packed("08 02" + "ab" * 40 + "02")
    decoded = TELTONIKA.decode(only(data))
    assert decoded.error is not None
    assert decoded.reports == []
    assert ack(data, Outcome.QUARANTINED).hex() == "00000002"


@pytest.mark.parametrize("data", [INPUTS, OK_14, NACK_14, PING_13, GETVER, packed("0f0100"), packed("ff0101"), packed("040101")])
def test_answers_to_commands_and_unknown_codecs_have_no_ack(data: bytes) -> None:
    assert [ack(data, outcome) for outcome in Outcome] == [b""] * len(Outcome)


def test_pings_are_nothing() -> None:
    codec = TELTONIKA.codec()
    assert codec.receive(b"\xff", 0.0) == []
    assert codec.receive(b"\xff" + LOGIN + b"\xff\xff", 0.0)[0].body == LOGIN
    assert codec.end() == []


def test_commands_are_the_documented_frames() -> None:
    assert sent_down(TELTONIKA.codec(IMEI), *command()) == GETVER
    assert sent_down(TELTONIKA.codec(IMEI), *command(name="codec_14_command")) == GETVER_14
    assert sent_down(TELTONIKA.codec(IMEI), *command(name="codec_14_command", imei=IMEI)) == GETVER_14


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (0x08, b"", "0x08 is no command"),
        (0x0C, b"", "0x0C is no command"),
        (CODEC_14_COMMAND, command(name="codec_14_command", imei="862259588834290")[2], "imei: 0862259588834290 is not"),
    ],
)
def test_what_the_device_would_not_take_is_refused(kind: int, body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sent_down(TELTONIKA.codec(IMEI), b"", kind, body)


def test_what_is_prepared_leaves_only_when_it_is_launched() -> None:
    codec = TELTONIKA.codec(IMEI)
    prepared = [codec.prepare(*command(name=name), 7, ASKED_AT) for name in ("codec_12_command", "codec_14_command")]
    assert [(one.kind, one.data, one.sequence) for one in prepared] == [
        (CODEC_12_COMMAND, GETVER, None),
        (CODEC_14_COMMAND, GETVER_14, None),
    ]
    assert codec.deadline is None
    assert [codec.launch(one, 1.0) for one in prepared] == [[Send(GETVER)], [Send(GETVER_14)]]


def test_limit_of_packets_is_an_option() -> None:
    longer = packed(f"0c 01 06 {5000:08x} {'41' * 5000} 01")
    assert isinstance(TELTONIKA.codec(IMEI).receive(longer, 0.0)[0], Message)
    assert TELTONIKA.configure({"packet_limit_bytes": 4096}).codec(IMEI).receive(longer, 0.0)[0].cause == "oversized"
