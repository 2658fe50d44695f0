from __future__ import annotations

import pytest

from protocols import Message, Outcome, Send
from protocols.teltonika import TELTONIKA
from protocols.teltonika.codec import ANSWER_SECONDS, MAX_QUEUED, TeltonikaCodec
from protocols.teltonika.commands import CODEC_14_COMMAND
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
    assert TELTONIKA.codec(IMEI).send(*command()) == GETVER
    assert TELTONIKA.codec(IMEI).send(*command(name="codec_14_command")) == GETVER_14
    assert TELTONIKA.codec(IMEI).send(*command(name="codec_14_command", imei=IMEI)) == GETVER_14


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
        TELTONIKA.codec(IMEI).send(b"", kind, body)


def sent(codec: TeltonikaCodec, data: bytes, now: float) -> list[bytes]:
    return [event.data for event in codec.receive(data, now) if isinstance(event, Send)]


def test_one_command_is_under_way_and_the_next_follows_its_answer() -> None:
    codec = TELTONIKA.codec(IMEI)
    assert codec.deadline is None
    first, second, third = (codec.send(*command(text)) for text in ("getver", "getinfo", "getio"))
    assert (first, second, third) == (GETVER, b"", b"")
    assert sent(codec, EVENT + OK_14, 1.0) == []
    (second,) = sent(codec, INPUTS, 2.0)
    assert only(second).body == command("getinfo")[2]
    assert codec.deadline == 2.0 + ANSWER_SECONDS
    (third,) = sent(codec, INPUTS, 3.0)
    assert only(third).body == command("getio")[2]
    assert sent(codec, INPUTS, 4.0) == []
    assert codec.deadline is None
    assert codec.send(*command()) == GETVER


def test_commands_of_both_codecs_wait_for_answers_of_their_own() -> None:
    codec = TELTONIKA.codec(IMEI)
    assert codec.send(*command(name="codec_14_command")) == GETVER_14
    assert codec.send(*command()) == b""
    assert sent(codec, INPUTS, 1.0) == []
    assert sent(codec, NACK_14, 2.0) == [GETVER]


def test_without_an_answer_the_next_command_goes_after_a_while() -> None:
    codec = TELTONIKA.codec(IMEI)
    codec.receive(EVENT, 100.0)
    codec.send(*command())
    codec.send(*command("getinfo"))
    # It leaves long after the last bytes came: the wait begins when the codec is woken, at once.
    assert codec.deadline == 100.0
    assert codec.wake(500.0) == []
    assert codec.deadline == 500.0 + ANSWER_SECONDS
    assert codec.wake(499.0 + ANSWER_SECONDS) == []
    (event,) = codec.wake(500.0 + ANSWER_SECONDS)
    assert isinstance(event, Send)
    assert only(event.data).body == command("getinfo")[2]
    assert codec.wake(500.0 + 2 * ANSWER_SECONDS) == []
    assert codec.deadline is None


def test_waiting_commands_are_few() -> None:
    codec = TELTONIKA.codec(IMEI)
    for _ in range(MAX_QUEUED + 1):
        codec.send(*command())
    with pytest.raises(ValueError, match="wait for this device already"):
        codec.send(*command())


def test_limit_of_packets_is_an_option() -> None:
    longer = packed(f"0c 01 06 {5000:08x} {'41' * 5000} 01")
    assert isinstance(TELTONIKA.codec(IMEI).receive(longer, 0.0)[0], Message)
    assert TELTONIKA.configure({"packet_limit_bytes": 4096}).codec(IMEI).receive(longer, 0.0)[0].cause == "oversized"
