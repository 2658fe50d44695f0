"""What devices' messages say of commands: of which, how it went, and why not."""

from __future__ import annotations

from typing import Any

import pytest
from construct import Int8ub, Int16ub, Struct

from protocols import Answer, AnswersName, AnswerStatus, Message, Send
from protocols.declared import DeclaredProtocol, Downlink, Frame, Uplink
from protocols.fields import Choice, Option
from protocols.gb32960 import GB32960
from protocols.gt06 import GT06
from protocols.jt808 import JT808
from protocols.modbus.reading import COMMAND_RESULT
from protocols.native import NATIVE
from protocols.registry import PROTOCOLS
from protocols.teltonika import TELTONIKA
from tests.protocols.commands import ASKED_AT
from tests.protocols.gb32960.frames import up as gb
from tests.protocols.gt06.frames import long, short
from tests.protocols.jt808.frames import LOCATION_BODY, up
from tests.protocols.modbus.station import STATION
from tests.protocols.native.frames import up as native
from tests.protocols.teltonika.frames import EVENT, GETVER, INPUTS, NACK_14, OK_14, packed

ACCEPTED, DONE, FAILED = AnswerStatus.ACCEPTED, AnswerStatus.DONE, AnswerStatus.FAILED
LOCATION = LOCATION_BODY.hex()
PICTURE = LOCATION + "ffd8ffd9"


def answer(protocol: Any, frame: bytes) -> Answer | None:
    (event,) = protocol.codec("490154203237518").receive(frame, 0.0)
    assert isinstance(event, Message), event
    (report,) = protocol.decode(event).reports
    found: Answer | None = report.answer
    return found


@pytest.mark.parametrize(
    ("id", "body", "expected"),
    [
        (0x0001, "002a 8103 00", Answer((0x8103,), DONE, 42)),
        (0x0001, "002a 8103 01", Answer((0x8103,), FAILED, 42, "failure")),
        (0x0001, "002a 8103 02", Answer((0x8103,), FAILED, 42, "message_wrong")),
        (0x0001, "002a 8500 03", Answer((0x8500,), FAILED, 42, "not_supported")),
        (0x0001, "002a 8103 09", Answer((0x8103,), FAILED, 42, "result_9")),
        (0x0001, "002a 8801 00", Answer((0x8801,), ACCEPTED, 42)),
        (0x0001, "002a 8104 00", Answer((0x8104,), ACCEPTED, 42)),
        (0x0001, "002a 8f00 00", Answer((0x8F00,), DONE, 42)),
        (0x0104, "002a 01 00000001 04 0000001e", Answer((0x8104, 0x8106), DONE, 42)),
        (0x0107, "0001" + "41" * 5 + "42" * 20 + "43" * 7 + "12" * 10 + "0131 0132 0101", Answer((0x8107,), DONE)),
        (0x0201, "002a" + LOCATION, Answer((0x8201,), DONE, 42)),
        (0x0201, LOCATION, Answer((0x8201,), DONE)),
        (0x0302, "002a 02", Answer((0x8302,), DONE, 42)),
        (0x0500, "002a" + LOCATION, Answer((0x8500,), DONE, 42)),
        (0x0700, "002a 08 00", Answer((0x8700,), DONE, 42)),
        (0x0802, "002a 0000", Answer((0x8802,), DONE, 42)),
        (0x0805, "002a 00 0001 00000007", Answer((0x8801,), DONE, 42)),
        (0x0805, "002a 01", Answer((0x8801,), FAILED, 42, "failure")),
        (0x0805, "002a 02", Answer((0x8801,), FAILED, 42, "channel_unsupported")),
        (0x0801, "00000007 00 00 01 01" + PICTURE, Answer((0x8803, 0x8805), DONE)),
        (0x0801, "00000007 00 00 00 01" + PICTURE, Answer((0x8803, 0x8805, 0x8801), DONE)),
        (0x1206, "002a 01", Answer((0x9206,), FAILED, 42, "failure")),
        (0x0108, "00 00", None),
        (0x0002, "", None),
        (0x0200, LOCATION, None),
    ],
)
def test_jt808_terminals_name_the_command_by_its_number(id: int, body: str, expected: Answer | None) -> None:
    assert answer(JT808, up(id, bytes.fromhex(body))) == expected


REPLIED = Answer((0x80,), DONE, 0x01020304)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (long(0x21, "01020304 01 4f4b"), REPLIED),
        (long(0x21, "01020304 02 4e00"), REPLIED),
        (short(0x15, "06 01020304 4f4b 0002"), REPLIED),
        (short(0x15, "00 01020304 4f4b 000000 0002"), REPLIED),
        (short(0x15, "06 00000000 4f4b 0002"), Answer((0x80,), DONE)),
        (short(0x15, "0e 00000000 3c49434349443a38393e 0001"), None),
        (short(0x13, "44 05 03 02 02"), None),
    ],
    ids=["21", "21 in UTF-16", "15", "15 padded", "no mark", "unasked", "heartbeat"],
)
def test_gt06_devices_give_the_mark_back(frame: bytes, expected: Answer | None) -> None:
    assert answer(GT06, frame) == expected


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (INPUTS, Answer((0x0C05,), DONE)),
        (OK_14, Answer((0x0E05,), DONE)),
        (NACK_14, Answer((0x0E05,), FAILED, None, "imei_mismatch")),
        (packed("0c 01 06 0000000f 556e6b6e6f776e20636f6d6d616e64 01"), Answer((0x0C05,), FAILED, None, "unknown_command")),
        (packed("0c 01 0d 00000002 0102 01"), None),
        (packed("0d 01 06 0000000a 67cafd48 50494e470d0a 01"), None),
        (GETVER, None),
        (EVENT, None),
    ],
    ids=["12", "14", "14 nack", "12 unknown", "camera", "13", "command", "records"],
)
def test_teltonika_devices_answer_whatever_is_under_way(frame: bytes, expected: Answer | None) -> None:
    assert answer(TELTONIKA, frame) == expected


@pytest.mark.parametrize(
    ("command", "flag", "expected"),
    [
        (0x80, 1, Answer((0x80,), DONE)),
        (0x81, 1, Answer((0x81,), DONE)),
        (0x82, 2, Answer((0x82,), FAILED, None, "error")),
        (0x82, 9, Answer((0x82,), FAILED, None, "result_9")),
        (0x0B, 1, None),
    ],
)
def test_gb32960_terminals_answer_by_a_flag(command: int, flag: int, expected: Answer | None) -> None:
    assert answer(GB32960, gb(command, bytes.fromhex("1a0901100000"), flag=flag)) == expected


@pytest.mark.parametrize(
    ("state", "exception", "status", "reason"),
    [
        ("confirmed", "none", DONE, ""),
        ("accepted", "none", DONE, ""),
        ("answered", "none", DONE, ""),
        ("different", "none", FAILED, "different"),
        ("refused", 2, FAILED, "illegal_data_address"),
        ("unknown", "none", FAILED, "unknown"),
        ("expired", "none", FAILED, "expired"),
        (77, "none", FAILED, "state_77"),
    ],
)
def test_modbus_lines_tell_the_outcome_of_a_function(state: Any, exception: Any, status: AnswerStatus, reason: str) -> None:
    given = STATION.build("write_coil", {"unit": 2, "command": "switch_relay", "n": 2, "value": True})
    fields = {"state": state, "exception": exception, "answer": b"\1\1\0", "function": 5, "request": given}
    result = Message("PS0001/2", 0x105, 1, b"", COMMAND_RESULT.build(fields))
    (report,) = STATION.decode(result).reports
    assert report.answer == Answer((5,), status, None, reason)


@pytest.mark.parametrize(
    ("answered", "status", "expected"),
    [
        (0x87, 0, Answer((0x87,), DONE, 7)),
        *((0x87, code, Answer((0x87,), FAILED, 7, word)) for code, word in enumerate(("failed", "unknown", "wrong", "busy"), 1)),
        (0x87, 99, Answer((0x87,), FAILED, 7, "status_99")),
        (0x8B, 0, None),
    ],
)
def test_native_devices_tell_the_id(answered: int, status: int, expected: Answer | None) -> None:
    frame = native("result", bytes(8) + bytes((answered,)) + bytes.fromhex("00000007") + bytes((status,)))
    assert answer(NATIVE, frame) == expected


RESULT = Choice(Int8ub, {0: Option("success", "Success"), 1: Option("jammed", "Jammed")})
HEADER = Struct(
    "mark" / Int8ub * "Mark", "length" / Int8ub * "Bytes of the body", "identity" / Int16ub * "Number", "kind" / Int8ub * "Kind"
)


def gate(*messages: Any) -> DeclaredProtocol:
    commands = [
        Downlink(0x81, "open", "Open", answered_by=("taken", "moved")),
        Downlink(0x82, "shut", "Shut", answered_by=("moved",)),
    ]
    return DeclaredProtocol("gate", "Gate", 7200, Frame(HEADER), [Uplink(0x03, "alive", "Alive"), *commands, *messages])


def told(protocol: DeclaredProtocol, kind: int, body: str = "") -> Answer | None:
    raw = bytes.fromhex(body)
    return answer(protocol, bytes((0, len(raw), 0, 1, kind)) + raw)


def test_declared_devices_answer_by_the_names_of_their_fields() -> None:
    numbered = Struct(
        "answered_sequence" / Int16ub * "Of the command",
        "answered_kind" / Int8ub * "Of the command",
        "result" / RESULT * "Result",
    )
    named = gate(Uplink(0x01, "taken", "Taken", numbered), Uplink(0x02, "moved", "Moved", numbered))
    assert named.answers_name is AnswersName.SEQUENCE
    assert told(named, 0x01, "0009 81 00") == Answer((0x81,), ACCEPTED, 9)
    assert told(named, 0x02, "0009 82 00") == Answer((0x82,), DONE, 9)
    assert told(named, 0x02, "0009 82 01") == Answer((0x82,), FAILED, 9, "jammed")
    assert told(named, 0x02, "0009 82 07") == Answer((0x82,), FAILED, 9, "result_7")
    assert told(named, 0x02, "0009 55 00") is None
    assert told(named, 0x03) is None


def test_declared_answers_without_such_fields_are_done_by_coming() -> None:
    bare = gate(Uplink(0x01, "taken", "Taken"), Uplink(0x02, "moved", "Moved", Struct("result" / Int8ub * "Result")))
    assert bare.answers_name is AnswersName.NOTHING, "one message answers two commands"
    assert told(bare, 0x01) == Answer((0x81,), ACCEPTED)
    assert told(bare, 0x02, "00") == Answer((0x81, 0x82), DONE)
    assert told(bare, 0x02, "05") == Answer((0x81, 0x82), FAILED, None, "result_5")
    kind = Struct("answered_kind" / Int8ub * "Of the command")
    assert gate(Uplink(0x01, "taken", "Taken"), Uplink(0x02, "moved", "Moved", kind)).answers_name is AnswersName.KIND


def test_simulated_declared_devices_answer_so_too() -> None:
    numbered = Struct("answered_sequence" / Int16ub * "Of the command", "result" / RESULT * "Result")
    header = Struct(
        *("mark" / Int8ub * "Mark", "length" / Int8ub * "Bytes of the body", "identity" / Int16ub * "Number"),
        *("sequence" / Int16ub * "Number of the message", "kind" / Int8ub * "Kind"),
    )
    protocol = DeclaredProtocol(
        "lift",
        "Lift",
        7202,
        Frame(header),
        [Uplink(1, "moved", "Moved", numbered), Downlink(0x81, "up", "Up", answered_by=("moved",))],
    )
    terminal, codec = protocol.terminal("1"), protocol.codec()
    terminal.connect()
    head = bytes((0, 0, 0, 1, 0, 0, 1))
    for sequence in range(3):
        prepared = codec.prepare(head, 0x81, b"", 5, ASKED_AT)
        assert prepared.sequence == sequence
        (answered,) = terminal.receive(prepared.data)
        assert isinstance(answered, Send)
        assert answer(protocol, answered.data) == Answer((0x81,), DONE, sequence)
    assert [done.number for done in terminal.executed.times()] == [0, 1, 2]


def test_each_protocol_says_by_what_its_answers_name_a_command() -> None:
    assert {name: protocol.answers_name.value for name, protocol in PROTOCOLS.items()} == {
        "jt808": "sequence",
        "gt06": "sequence",
        "teltonika": "nothing",
        "gb32960": "kind",
        "modbus": "kind",
        "native": "sequence",
    }
