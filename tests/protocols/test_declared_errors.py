"""What an author is told who declares a protocol wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from construct import Array, Const, GreedyBytes, Int8ub, Int16sb, Int16ub, Int32ub, Padding, PascalString, Struct, Switch, this

from protocols.checksum import xor
from protocols.declared import Answer, Answered, Check, DeclarationError, DeclaredProtocol, Downlink, Frame, Uplink
from protocols.fields import Scaled, Text, UnixTime
from protocols.framing import Escaping

MARK, LENGTH, KIND = "mark" / Const(b"X") * "Mark", "length" / Int8ub * "Length", "kind" / Int8ub * "Kind"
IDENTITY, SEQUENCE = "identity" / Int32ub * "Device", "sequence" / Int16ub * "Number"
HEADER = Struct(MARK, LENGTH, IDENTITY, SEQUENCE, KIND)
ANONYMOUS = Struct(MARK, LENGTH, KIND)
LEVEL = Uplink(2, "level", "Level", Struct("time" / UnixTime() * "When", "level_m" / Scaled(Int16sb, 100, "m") * "Level"))


def protocol(*messages: Uplink | Downlink, header: Struct = HEADER, **more: Any) -> DeclaredProtocol:
    return DeclaredProtocol("try", "Try", 7000, Frame(header, Check(xor, Int8ub * "Check")), messages or (LEVEL,), **more)


def body(*fields: Any) -> DeclaredProtocol:
    return protocol(Uplink(2, "level", "Level", Struct(*fields)))


def answered(**fields: Any) -> DeclaredProtocol:
    return protocol(answer=Answer(0x81, Struct("result" / Int8ub * "Result", "of" / Int8ub * "Message"), fields))


def test_what_is_right_passes():
    assert protocol().messages[2].name == "level"


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "field without text": (lambda: body("level" / Int8ub), "protocol try: message 0x02 level: level: no text: write"),
    "field without name": (lambda: body(Padding(2)), "message 0x02 level: a field of it has no name"),
    "inner field without text": (lambda: body("in" / Struct("a" / Int8ub) * "Inner"), "level: in.a: no text"),
    "field twice": (lambda: body("a" / Int8ub * "One", "a" / Int8ub * "Two"), "level: a: two fields have this name"),
    "switch without default": (
        lambda: body("a" / Int8ub * "One", "b" / Switch(this.a, {1: Int8ub}) * "Two"),
        "b: Switch without a default",
    ),
    "wrong unit": (lambda: body("odometer_km" / Scaled(Int8ub, 1, "m") * "Way"), "odometer_km: is in km everywhere"),
    "no unit": (lambda: body("latitude" / Int32ub * "Latitude"), "latitude: is in ° everywhere"),
    "time that is none": (lambda: body("time" / Int32ub * "When"), "time: has to be UnixTime, BcdTime or BinaryTime"),
    "alarms that are none": (lambda: body("alarms" / Int8ub * "Alarms"), "alarms: has to be Flags"),
    "records that are none": (lambda: body("records" / Int8ub * "Records"), "records: has to be a list of Structs"),
    "records of a fixed number": (
        lambda: body("time" / UnixTime() * "When", "records" / Array(2, Struct("a" / Int8ub * "A")) * "Records"),
        "message level: cannot be decoded: a list of one makes several reports",
    ),
    "message without text": (lambda: protocol(Uplink(2, "level", "")), "message 0x02 level: no text"),
    "message's name": (lambda: protocol(Uplink(2, "Level", "Level")), "message 0x02 Level: a name is of lower-case letters"),
    "kind twice": (lambda: protocol(LEVEL, Uplink(2, "other", "Other")), "message 0x02 other: level has this kind already"),
    "name twice": (lambda: protocol(LEVEL, Uplink(3, "level", "Other")), "message 0x03 level: another message has this name"),
    "kind too high": (lambda: protocol(Uplink(256, "level", "Level")), "the header's kind holds 0 to 0xFF"),
    "body that is no struct": (
        lambda: protocol(Uplink(2, "level", "Level", "a" / Int8ub)),  # type: ignore[arg-type]
        "a body is a Struct",
    ),
    "answered by nothing": (
        lambda: protocol(LEVEL, Downlink(9, "set", "Set", answered_by=("done",))),
        "message 0x09 set: answered_by 'done' is no message: use some of level, set",
    ),
    "login that is none": (lambda: protocol(login="hello"), "login: 'hello' is no message of the device's, which are level"),
    "heartbeat that is none": (lambda: protocol(heartbeat="beat"), "heartbeat: 'beat' is no message"),
    "nobody's header": (lambda: protocol(header=ANONYMOUS), "header: no field 'identity': add one, or name the message"),
    "nobody's login": (lambda: protocol(LEVEL, header=ANONYMOUS, login="level"), "message level: no field 'identity'"),
    "identity of odd type": (
        lambda: protocol(header=Struct(MARK, LENGTH, "identity" / Scaled(Int8ub, 1, "m") * "Id", KIND)),
        "identity: has to be a number, BCD, Text or Bytes",
    ),
    "header without text": (lambda: protocol(header=Struct(MARK, LENGTH, "identity" / Int8ub, KIND)), "header: identity: no text"),
    "no kind": (lambda: Frame(Struct(MARK, LENGTH)), "header: no field 'kind': add one"),
    "no length": (lambda: Frame(Struct(MARK, KIND)), "header: no field 'length': add one, or give the Frame a flag"),
    "header without a name": (lambda: Frame(Struct(Padding(1), KIND)), "header: the field at byte 0 needs a name"),
    "header that varies": (
        lambda: Frame(Struct(LENGTH, "to" / PascalString(Int8ub, "ascii") * "To", KIND)),
        "header: to has no fixed size: put it into the bodies",
    ),
    "signed length": (lambda: Frame(Struct("length" / Int16sb * "Length", KIND)), "header: length: has to be an unsigned number"),
    "length of odd type": (lambda: Frame(Struct("length" / Text(2) * "Length", KIND)), "length: has to be an unsigned number"),
    "counts": (lambda: Frame(HEADER, counts="all"), "counts 'all' is none of body, body and check, rest, frame"),
    "two flags": (lambda: Frame(HEADER, flag=b"\x7e\x7e"), "a flag is one byte"),
    "flag and stop": (lambda: Frame(HEADER, flag=b"\x7e", stop=b"\r"), "takes the place of a stop"),
    "another flag": (
        lambda: Frame(HEADER, flag=b"\x7f", escaping=Escaping(b"\x7d", b"\x7e", b"\x7d\x01", b"\x7d\x02")),
        "the escaping is for another flag",
    ),
    "check since nowhere": (lambda: Frame(HEADER, Check(xor, Int8ub, since="end")), "check: since 'end' is no field of the header"),
    "check of odd type": (lambda: Frame(HEADER, Check(xor, GreedyBytes)), "check: has to be an unsigned number"),
    "protocol's name": (lambda: DeclaredProtocol("Try", "Try", 1, Frame(HEADER), [LEVEL]), "name: a name is of lower-case letters"),
    "answer's unknown field": (lambda: answered(result=0, of=0, to=1), "answer ack: to: there is no such field, but result, of"),
    "answer's missing field": (lambda: answered(result=0), "answer ack: of: nothing says what it is filled with"),
    "answer's small field": (lambda: answered(result=0, of=Answered.SEQUENCE), "message level: cannot be answered"),
    "answer's odd value": (lambda: answered(result="good", of=0), "message level: cannot be answered"),
    "answer to nothing stored": (lambda: answered(result={1: "bad"}, of=0), "answer ack: result: has no value for Outcome.STORED"),
    "other down header": (
        lambda: protocol(down_frame=Frame(Struct(LENGTH, "to" / Int8ub * "To", KIND))),
        "header from the platform: to: the device's header has none to copy",
    ),
    "message too long": (
        lambda: protocol(Uplink(2, "level", "Level", Struct("time" / UnixTime() * "When", "a" / Text(2000) * "Text"))),
        "message level: cannot be made: ValueError: a body of 2004 bytes does not fit a frame of 1024",
    ),
}


@pytest.mark.parametrize(("declare", "told"), WRONG.values(), ids=list(WRONG))
def test_an_author_is_told(declare: Callable[[], object], told: str):
    with pytest.raises(DeclarationError) as raised:
        declare()
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
