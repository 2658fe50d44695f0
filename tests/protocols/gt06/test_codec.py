"""The platform's end of a link: logging in, answers, commands, and what strangers send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import Malformed, Message, Outcome
from protocols.gt06 import GT06
from protocols.gt06.codec import has_check_digit, identity_of
from protocols.gt06.frame import minutes_east, zone_word
from protocols.gt06.messages import MESSAGES
from tests.protocols.commands import sent_down
from tests.protocols.gt06.frames import CELL, IMEI, NOW, STATUS, TIME_GPS, answer, long, message, short

LOGIN = short(0x01, "0490154203237518 3608 2122", 1)
OTHER_LOGIN = short(0x01, "0123456789012345", 2)
HEARTBEAT = short(0x13, "4606040002")


def test_nothing_is_known_of_the_device_before_its_login() -> None:
    codec = GT06.codec()
    assert codec.receive(HEARTBEAT, 0.0) == [Malformed("unidentified", HEARTBEAT)]
    login, heartbeat = codec.receive(LOGIN + HEARTBEAT, 0.0)
    assert login.identity == heartbeat.identity == IMEI
    assert heartbeat.head == bytes.fromhex("78 00 2122")


def test_a_second_login_begins_another_session() -> None:
    codec = GT06.codec()
    events = codec.receive(LOGIN + HEARTBEAT + OTHER_LOGIN + HEARTBEAT, 0.0)
    assert [event.identity for event in events] == [IMEI, IMEI, "123456789012345", "123456789012345"]
    assert events[3].head == bytes.fromhex("78 00 0000")


def test_a_login_too_short_for_an_identity_is_none() -> None:
    assert GT06.codec().receive(short(0x01, "0490154203"), 0.0)[0].cause == "length"


@pytest.mark.parametrize(
    ("terminal_id", "identity"),
    [("0490154203237518", IMEI), ("1490154203237518", "1490154203237518"), ("049015420323751A", "049015420323751A")],
)
def test_the_identity_is_the_imei_or_what_came_instead(terminal_id: str, identity: str) -> None:
    assert identity_of(bytes.fromhex(terminal_id)) == identity


def test_check_digits() -> None:
    assert has_check_digit(IMEI)
    assert not has_check_digit("490154203237517")
    assert not has_check_digit("49015420323751")


@pytest.mark.parametrize(
    ("word", "minutes"), [(0x3201, 480), (0x2122, 330), (0x14AA, -210), (0x0000, 0), (0x3C10, None), (0x5DC0, None)]
)
def test_zones(word: int, minutes: int | None) -> None:
    assert minutes_east(word) == minutes
    if minutes is not None:
        assert int.from_bytes(zone_word(minutes), "big") == word & ~0b11


def test_a_login_with_an_impossible_zone_leaves_the_operators() -> None:
    codec = GT06.configure({"zone": "+08:00"}).codec()
    (login,) = codec.receive(short(0x01, "0490154203237518 3608 FFF1"), 0.0)
    assert login.head[-2:] == zone_word(480)


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        (short(0x01, "0490154203237518"), short(0x01)),
        (short(0x13, "4606040002"), short(0x13)),
        (short(0x23, "460190030002"), short(0x23)),
        (short(0x16, f"{TIME_GPS} 09 {CELL} {STATUS}"), short(0x16)),
        (short(0x19, f"{CELL} {STATUS}"), short(0x19)),
        (short(0x26, f"{TIME_GPS} 09 {CELL} {STATUS}"), short(0x26)),
        (short(0x27, f"{TIME_GPS} 09 {CELL} {STATUS} FF"), short(0x27)),
        (short(0xA3), short(0xA3)),
        (short(0xA4), short(0xA4)),
        (short(0xA5), short(0xA5)),
        (short(0x95), short(0x95)),
        (short(0x8A), short(0x8A, "1903070E061E")),
        (long(0x70), short(0x70)),
        (short(0xF1), short(0xF1)),
        (long(0xF2), short(0xF2)),
        (long(0x40), short(0x40)),
        (short(0x36, STATUS), short(0x36)),
        (long(0x36), short(0x36)),
        (long(0x39), short(0x39)),
        (long(0x32), long(0x32)),
        (long(0x33), long(0x33)),
        (long(0x41), long(0x41)),
        (short(0x32), short(0x32)),
        *((short(type), b"") for type in (0x10, 0x12, 0x15, 0x17, 0x1A, 0x22, 0x28, 0x2A, 0x33, 0x34, 0xA0, 0xA1, 0xA7, 0x05)),
        *((long(type), b"") for type in (0x21, 0x8D, 0x94, 0x9B, 0x9C)),
    ],
    ids=lambda data: data.hex()[:10],
)
def test_answers_byte_for_byte(frame: bytes, reply: bytes) -> None:
    assert answer(frame) == reply.hex()
    assert answer(frame, outcome=Outcome.REFUSED) == ""


def test_with_ack_all_everything_is_answered_but_answers() -> None:
    eager = GT06.configure({"ack": "all"})
    for row in MESSAGES.values():
        if row.direction.value == "up" and row.id not in (0x08, 0x35, 0x36):
            form = long if row.id > 0xFF else short
            expected = row.id & 0xFF not in (0x15, 0x21, 0x81, 0x82, 0x94, 0x9B)
            content = "0490154203237518" if row.id == 0x01 else ""
            assert bool(answer(form(row.id & 0xFF, content), eager)) == expected, row.name
    assert answer(short(0x22), eager) == short(0x22).hex()
    assert answer(short(0x05), eager) == short(0x05).hex()


def test_the_time_is_told_in_utc() -> None:
    codec, request = GT06.codec(IMEI), message(short(0x8A))
    beijing = datetime(2025, 3, 7, 22, 6, 30, tzinfo=timezone(timedelta(hours=8)))
    assert codec.ack(request, Outcome.STORED, beijing) == codec.ack(request, Outcome.STORED, NOW)


@pytest.mark.parametrize("year", [1970, 1999, 2100])
def test_a_clock_that_is_not_set_sets_no_other(year: int) -> None:
    codec, request = GT06.codec(IMEI), message(short(0x8A))
    assert codec.ack(request, Outcome.STORED, datetime(year, 1, 1, tzinfo=UTC)) == b""
    assert codec.ack(message(HEARTBEAT), Outcome.STORED, datetime(year, 1, 1, tzinfo=UTC)) != b""


def test_commands_are_numbered_from_one_and_carry_a_mark() -> None:
    codec = GT06.codec(IMEI)
    head = message(HEARTBEAT).head
    body = GT06.build("command", {"command": {"flag": 1, "text": "STATUS#"}, "language": 2})
    assert sent_down(codec, head, 0x80, body) == short(0x80, "0B 00000001 53544154555323 0002", 1)
    assert sent_down(codec, head, 0x80, body)[-6:-4] == b"\0\2"
    bare = GT06.build("command", {"command": {"flag": 1, "text": "STATUS#"}}, "bare")
    assert sent_down(codec, head, 0x80, bare) == short(0x80, "0B 00000001 53544154555323", 3)


def test_what_cannot_be_sent_is_refused() -> None:
    codec, head = GT06.codec(IMEI), message(HEARTBEAT).head
    with pytest.raises(ValueError, match="251"):
        sent_down(codec, head, 0x80, bytes(251))
    with pytest.raises(ValueError, match="0x22"):
        sent_down(codec, head, 0x22, b"")
    with pytest.raises(ValueError, match="dialect"):
        sent_down(codec, bytes(4), 0x80, b"")
    assert sent_down(codec, head, 0x80, b"")[-6:-4] == b"\0\1"


def test_addresses_are_built_in_both_languages() -> None:
    text = {"word": "ADDRESS", "address": "深圳", "phone": "13800000001"}
    body = GT06.build("address", {"content": {"flag": 1, "text": text}})
    assert (
        body == bytes((len(body) - 1,)) + b"\0\0\0\1ADDRESS&&" + "深圳".encode("utf-16-be") + b"&&13800000001" + b"0" * 10 + b"##"
    )
    assert sent_down(GT06.codec(IMEI), b"\x78\0\0\0", 0x8017, body)[:4] == b"\x78\x78" + bytes((len(body) + 5, 0x17))
    english = {"content": {"flag": 1, "text": {**text, "address": "Shenzhen"}}}
    assert GT06.build("address_english", english)[0] == len(GT06.build("address_english", english)) - 1
    assert GT06.build("address_english", english, "long length")[:2] == b"\0\x2e"
    assert sent_down(GT06.codec(IMEI), b"\x78\0\0\0", 0xF997, b"").startswith(b"\x79\x79\0\x05\x97")


@pytest.mark.parametrize(("type", "size", "at"), [(0x61, 30, 0), (0x12, 34, 0), (0x22, 55, 1), (0x22, 73, 1), (0x25, 55, 1)])
def test_few_devices_say_who_they_are_in_other_frames(type: int, size: int, at: int) -> None:
    claimed = bytes(at) + bytes.fromhex("0" + IMEI)
    (found,) = GT06.codec().receive(short(type, (claimed + bytes(size - len(claimed))).hex()), 0.0)
    assert isinstance(found, Message)
    assert found.identity == IMEI
    wrong = bytes(at) + bytes.fromhex("0490154203237517")
    (found,) = GT06.codec().receive(short(type, (wrong + bytes(size - len(wrong))).hex()), 0.0)
    assert found.cause == "unidentified"


def test_an_answer_needs_a_head_of_ours() -> None:
    assert GT06.codec(IMEI).ack(message(HEARTBEAT)._replace(head=b""), Outcome.STORED, NOW) == b""


@given(st.binary(max_size=400), st.integers(1, 40), st.sampled_from(["strict", "lenient"]))
def test_whatever_comes_nothing_raises_and_little_is_held(data: bytes, step: int, check: str) -> None:
    codec = GT06.configure({"check": check}).codec()
    for stream in (data, b"\x78\x78" + data, LOGIN + data):
        for at in range(0, len(stream), step):
            for event in codec.receive(stream[at : at + step], 0.0):
                assert isinstance(event, (Message, Malformed))
    codec.end()


@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=120), st.binary(max_size=5))
def test_no_body_makes_decoding_raise(kind: int, body: bytes, head: bytes) -> None:
    for given_head in (bytes.fromhex("78002122"), bytes.fromhex("00030000"), head):
        GT06.decode(Message(IMEI, kind, 1, given_head, body))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ack": "some"}, "^ack: 'some' is none of needed, all"),
        ({"check": True}, "^check: True"),
        ({"zone": "8"}, "^zone: '8' is no time zone"),
        ({"zone": "+15:00"}, "^zone"),
        ({"geocoder": "x"}, "^geocoder: GT06 has no such option"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        GT06.configure(options)


def test_options_change_a_copy() -> None:
    lenient = GT06.configure({"check": "lenient", "zone": "-03:30"})
    bad = HEARTBEAT[:-4] + b"\0\0\r\n"
    assert isinstance(lenient.codec(IMEI).receive(bad, 0.0)[0], Message)
    assert lenient.codec(IMEI).receive(HEARTBEAT, 0.0)[0].head[-2:] == zone_word(-210)
    assert GT06.codec(IMEI).receive(bad, 0.0)[0].cause == "checksum"
