"""What codecs make of commands before these leave, and what leaves then."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Send
from protocols.gb32960 import GB32960
from protocols.gt06 import GT06
from protocols.jt808 import JT808
from protocols.jt808.header import Header, frame
from protocols.modbus import MODBUS
from protocols.native import NATIVE
from protocols.registry import PROTOCOLS
from tests.protocols.commands import ASKED_AT
from tests.protocols.declared_samples import SAMPLES

HEADS = {
    "gt06": b"\x78\0\0\0",
    "gb32960": b"##\x07\xfe" + b"LZZSMEV0000000001" + b"\x01\0\0",
    "jt808": bytes.fromhex("0002 0000 013800000000 0005"),
    "native": b"\x01\x02\x00",
}


def prepared(protocol: Any, kind: int, body: bytes, number: int = 0x01020304) -> Any:
    return protocol.codec("X").prepare(HEADS[protocol.name], kind, body, number, ASKED_AT)


def test_gt06_marks_a_command_with_its_number() -> None:
    assert prepared(GT06, 0x80, bytes.fromhex("06 00000000 4142")).sequence == 0x01020304
    assert bytes.fromhex("06 01020304 4142") in prepared(GT06, 0x80, bytes.fromhex("06 00000000 4142")).data
    marked = prepared(GT06, 0x80, bytes.fromhex("06 00000007 4142"))
    assert marked.sequence == 7
    assert bytes.fromhex("06 00000007 4142") in marked.data
    assert prepared(GT06, 0x80, bytes.fromhex("04 00000000"), 1 << 32 | 5).sequence == 5
    assert prepared(GT06, 0x8017, bytes(8)).sequence is None


def test_native_commands_have_their_number_for_an_id() -> None:
    assert prepared(NATIVE, 0x87, bytes.fromhex("00000000 01 61")).sequence == 0x01020304
    assert bytes.fromhex("01020304 01 61") in prepared(NATIVE, 0x87, bytes.fromhex("00000000 01 61")).data
    assert prepared(NATIVE, 0x87, bytes.fromhex("00000009 01 61")).sequence == 9


def test_gb32960_fills_in_a_time_that_is_left_out_and_no_other() -> None:
    left_out = prepared(GB32960, 0x80, bytes(6) + b"\1\2").data
    assert left_out[24:32] == bytes.fromhex("1a 09 01 10 00 00 01 02"), "Beijing time"
    told = prepared(GB32960, 0x80, bytes.fromhex("1a 01 02 03 04 05 00")).data
    assert told[24:31] == bytes.fromhex("1a 01 02 03 04 05 00")
    with pytest.raises(ValueError, match="time: left out, and the platform's own clock says 1970-01-01"):
        GB32960.codec("X").prepare(HEADS["gb32960"], 0x82, bytes(6) + b"\3", 1, datetime(1970, 1, 1, tzinfo=UTC))


def test_jt808_numbers_what_is_prepared_and_keeps_only_what_is_launched() -> None:
    codec = JT808.codec()
    head = HEADS["jt808"]
    short = [codec.prepare(head, 0x8104, b"", 99, ASKED_AT) for _ in range(2)]
    assert [one.sequence for one in short] == [0, 1]
    long = codec.prepare(head, 0x8103, bytes(1500), 99, ASKED_AT)
    assert long.sequence is None, "terminals differ in which piece they answer"
    request = _request(2, (2,))
    assert [event for event in codec.receive(request, 0.0) if isinstance(event, Send)] == []
    assert codec.launch(long, 0.0) == [Send(long.data)]
    (again,) = [event for event in codec.receive(request, 0.0) if isinstance(event, Send)]
    assert again.data in long.data
    with pytest.raises(ValueError, match="no header has 1 bytes"):
        codec.prepare(b"#", 0x8104, b"", 1, ASKED_AT)


def _request(original: int, numbers: tuple[int, ...]) -> bytes:
    body = b"".join(number.to_bytes(2, "big") for number in (original, len(numbers), *numbers))
    return frame(Header(0x0005, "013800000000", 9), body)


def test_modbus_lets_a_command_leave_when_the_line_is_free_and_not_before_it_is_launched() -> None:
    identity = MODBUS.simulated_identity(0)
    codec = MODBUS.codec(identity)
    unit, command = next(
        (number, command)
        for number, one in codec._line.units.items()
        for command in one.plan.model.commands.values()
        if command.alike == 1 and command.function == 6
    )
    body = MODBUS.build("write_register", {"unit": unit, "command": command.key, "value": 1})
    told = codec.prepare(b"", 6, body, 1, ASKED_AT)
    assert told.sequence is None
    assert told.body == body
    frames = []
    for second in range(3):
        frames += [event.data for event in codec.wake(float(second)) if isinstance(event, Send)]
    assert told.data not in frames
    assert codec.launch(told, 3.0) == []
    assert MODBUS.codec("PS-nobody").launch(told, 0.0) == [], "of a line that has gone nothing leaves"


KINDS = st.integers(0, 0xFFFF) | st.sampled_from(sorted({kind for protocol in PROTOCOLS.values() for kind in protocol.messages}))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from([*PROTOCOLS.values(), *SAMPLES]), st.binary(max_size=40), KINDS, st.binary(max_size=1200), st.booleans())
def test_whatever_is_to_leave_is_prepared_or_refused_in_words(
    protocol: Any, junk: bytes, kind: int, body: bytes, is_good: bool
) -> None:
    head = HEADS.get(protocol.name, junk) if is_good else junk
    codec = protocol.codec(protocol.simulated_identity(0))
    try:
        told = codec.prepare(head, kind, body, 1 << 40, ASKED_AT)
    except ValueError:
        return
    assert told.kind == kind
    assert told.data
    codec.launch(told, 0.0)
