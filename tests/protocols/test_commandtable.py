"""Every command of every protocol: built from values, explained again, and told in both languages; garbage is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from construct import Const, Int8ub, Int16ub, Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import CommandRule, Effect, Message, Moment
from protocols.command import CommandKind
from protocols.commandtable import RAW, build, commands_of, shown
from protocols.declared import DeclaredProtocol, Downlink, Frame, Uplink
from protocols.declared.believable import Scene, believable
from protocols.fields import Scaled
from protocols.modbus.reading import HEAD, NO_VERSION
from protocols.registry import PROTOCOLS
from tests.protocols.commands import ASKED_AT
from tests.protocols.declared_samples import SAMPLES
from tests.protocols.modbus.station import METER as METER_MAP
from tests.protocols.modbus.station import protocol as modbus_station

CHINESE = re.compile("[\u4e00-\u9fff]")
SCENE = Scene("13800000001", Moment(datetime(2026, 9, 1, 8, tzinfo=UTC), 31.2, 121.5))
RELAY = HEAD.build({"model": "demo-relay-8", "group": "", "version": NO_VERSION})
METER = HEAD.build({"model": "demo-meter-3p", "group": "", "version": NO_VERSION})
HEADS: dict[str, tuple[bytes, ...]] = {
    "jt808": (bytes.fromhex("0002 0000 013800000001 0005"), bytes.fromhex("0002 4000 01 00000000013800000001 0005")),
    "gt06": (b"\x78\0\0\0",),
    "teltonika": (b"",),
    "gb32960": tuple(start + b"\x07\xfe" + b"LZZSMEV0000000001" + b"\x01\0\0" for start in (b"##", b"$$")),
    "modbus": (RELAY, METER),
    "native": (b"\x01\x10\x00",),
}
FORMS: dict[str, dict[str, Any]] = {
    "command": {"text": "STATUS#"},
    "codec_12_command": {"text": "getver"},
    "codec_14_command": {"text": "getver"},
    "switch_relay": {"n": 2, "value": True},
    "pulse_relay": {"n": 3, "value": 2.5},
    "set_ct_ratio": {"value": 200},
    "set_parameters": {"parameters": {"heartbeat_interval_s": 60, "main_address": "10.0.0.1", "0x0000F364": "0102"}},
    "query_parameters": {"ids": ["report_period_s", "firmware_version"]},
    "control": {"command": "warn", "level": 2, "text": "A"},
    "read_identification": {"transport": 14, "read_code": "basic", "object": "vendor"},
}
"""Of commands that are given in a form of their own."""


def unit_of(head: bytes) -> str:
    return MODBUS_DTU + ("/2" if head == RELAY else "/1")


MODBUS_DTU = PROTOCOLS["modbus"].simulated_identity(0)


def identity_of(name: str, head: bytes) -> str:
    return unit_of(head) if name == "modbus" else PROTOCOLS[name].simulated_identity(0)


def each() -> Iterator[Any]:
    for name in PROTOCOLS:
        for head in HEADS[name]:
            for command in commands_of(PROTOCOLS[name], head).values():
                yield pytest.param(name, head, command, id=f"{name} {command.name} {head.hex()[:12]}")


EACH = list(each())


def example(protocol: Any, command: CommandKind, head: bytes) -> dict[str, Any]:
    """Values that an operator might give."""
    if command.name == RAW:
        return {"kind": next(one.kind for one in commands_of(protocol, head).values()), "body": "00"}
    if protocol.name == "native":
        return {"name": "relay", "arguments": {"on": True, "level": 7, "text": "a"}}
    if protocol.name == "gb32960" and command.name == "set_parameters":
        return {"parameters": {"report_period_s": 30, "domain_bytes": 3, "domain": "a.b", "port": 32960}}
    if command.name in FORMS and (protocol.name, command.name) != ("jt808", "query_parameters"):
        return FORMS[command.name]
    if protocol.name == "modbus":
        return modbus_request(command.name)
    row = protocol.messages[command.kind]
    edition = protocol.edition_of(head)
    known = [name for name in row.layouts if name.split()[0] <= edition] or list(row.layouts)
    newest = max(name.split()[0] for name in known)
    layout = row.layouts[next(name for name in known if name.split()[0] == newest)]
    values = believable(layout, SCENE, {"number": "10086"})
    return {name: value for name, value in values.items() if name not in ("extra", *command.rule.defaults)}


def modbus_request(name: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"address": 1}
    if name.startswith("read_"):
        fields |= {"quantity": 1}
    if name == "read_write_registers":
        fields |= {"write_address": 1, "write_quantity": 1, "registers": "0007"}
    return fields | {
        "write_coil": {"value": "on"},
        "write_register": {"value": 7},
        "write_coils": {"quantity": 3, "bits": "07"},
        "write_registers": {"quantity": 1, "registers": "0007"},
        "mask_write_register": {"and_mask": 0xFFF0, "or_mask": 5},
    }.get(name, {})


@pytest.mark.parametrize(("name", "head", "command"), EACH)
def test_every_command_is_built_from_values_and_read_again(name: str, head: bytes, command: CommandKind) -> None:
    protocol = PROTOCOLS[name]
    identity = identity_of(name, head)
    fields = example(protocol, command, head)
    built = build(protocol, command.name, fields, identity, head)
    if command.name == RAW:
        assert (built.kind, built.body, built.rule.effect) == (fields["kind"], b"\0", Effect.RAW)
        return
    assert built.kind == command.kind
    codec = protocol.codec(MODBUS_DTU if name == "modbus" else identity)
    prepared = codec.prepare(head, built.kind, built.body, 7, ASKED_AT)
    assert prepared.data
    if not (name == "modbus" or prepared.body):
        explained = protocol.explain(prepared.data)
        assert [field.error for _, field in explained.walk() if field.error] == []
    # Here a header says which command it is of.
    told = prepared.data[:24] if name == "gb32960" else head
    decoded = protocol.decode(Message(identity, built.kind, 0, told, prepared.body or built.body))
    assert decoded.error is None
    (report,) = decoded.reports
    assert report.kind == protocol.kind_name(built.kind)
    assert report.answer is None


@pytest.mark.parametrize(("name", "head", "command"), EACH)
def test_every_command_is_told_in_both_languages(name: str, head: bytes, command: CommandKind) -> None:
    told = json.loads(json.dumps(shown(command)))
    assert re.fullmatch("[a-z][a-z0-9_]*", command.name)
    assert told["effect"] in ("query", "configure", "actuate", "raw")
    assert told["effect"] != "query" or command.rule.is_repeatable, "what only reads does no harm twice"
    assert 10 <= told["answer_seconds"] <= 4000
    assert command.answered_by or command.name == RAW
    for text in (told, *told["fields"], *(word for field in told["fields"] for word in field["words"])):
        assert text["english"] or text is not told, text
        assert text["chinese"] == "" or CHINESE.search(text["chinese"]) or text["english"] == "", text
        assert text["english"] or text["chinese"], text
    assert CHINESE.search(told["chinese"])
    for field in told["fields"]:
        assert CHINESE.search(field["chinese"]), field["name"]
        assert not field["name"].endswith((".length", "count", "extra"))


def test_what_answers_is_no_command() -> None:
    names = {name: set(commands_of(protocol)) for name, protocol in PROTOCOLS.items()}
    down = {
        name: {row.name for row in protocol.messages.values() if row.direction.value == "down"} - names[name]
        for name, protocol in PROTOCOLS.items()
    }
    assert down == {
        "jt808": {
            "platform_general_response",
            "platform_sub_packet_request",
            "server_time",
            "register_response",
            "upgrade_package",
            "multimedia_response",
            "live_video_status",
            "file_uploaded_response",
        },
        "gt06": {"time", "address", "address_english", "photo_request"},
        "teltonika": set(),
        "gb32960": {"activation_answer"},
        "modbus": set(),
        "native": {"ack", "welcome", "chunk", "time_answer", "pong", "offer"},
    }
    up = {
        name: {row.name for row in protocol.messages.values() if row.direction.value == "up"}
        for name, protocol in PROTOCOLS.items()
    }
    assert not any(up[name] & names[name] for name in PROTOCOLS)


QUERY, CONFIGURE, ACTUATE = Effect.QUERY, Effect.CONFIGURE, Effect.ACTUATE


@pytest.mark.parametrize(
    ("name", "command", "fields", "effect", "is_twice", "is_repeatable"),
    [
        ("jt808", "query_location", {}, QUERY, False, True),
        ("jt808", "set_parameters", {"parameters": {"heartbeat_interval_s": 60}}, CONFIGURE, False, True),
        ("jt808", "set_parameters", {"parameters": {"main_address": "10.0.0.1"}}, CONFIGURE, True, True),
        ("jt808", "set_parameters", {"parameters": {"0x00000013": "31"}}, CONFIGURE, True, True),
        ("jt808", "terminal_control", {"command": "reset"}, ACTUATE, False, False),
        ("jt808", "terminal_control", {"command": 4}, ACTUATE, False, False),
        *(
            ("jt808", "terminal_control", {"command": word}, ACTUATE, True, False)
            for word in ("upgrade", "connect", "power_off", "factory_reset", "close_data", "close_wireless", 3, 100)
        ),
        ("jt808", "vehicle_control", {"flags": ["lock_doors"]}, ACTUATE, False, False),
        ("jt808", "vehicle_control", {"flags": 0}, ACTUATE, False, False),
        ("jt808", "vehicle_control", {"flags": 0x80}, ACTUATE, True, False),
        ("jt808", "set_circles", {"setting": "append", "areas": []}, CONFIGURE, False, False),
        ("jt808", "set_circles", {"setting": "update", "areas": []}, CONFIGURE, False, True),
        ("jt808", "upload_single_multimedia", {"media_id": 7, "deletion": "keep"}, QUERY, False, True),
        ("jt808", "upload_single_multimedia", {"media_id": 7, "deletion": "delete"}, ACTUATE, False, False),
        ("gt06", "command", {"text": "STATUS#"}, QUERY, False, True),
        ("gt06", "command", {"text": "timer,10#"}, CONFIGURE, False, True),
        ("gt06", "command", {"text": "RELAY,0#"}, ACTUATE, False, False),
        ("gt06", "command", {"text": "RELAY,1#"}, ACTUATE, True, False),
        ("gt06", "command", {"text": "DYD,123456#"}, ACTUATE, True, False),
        ("gt06", "command", {"text": "SERVER,1,example.org,5023,0#"}, ACTUATE, True, False),
        ("gt06", "command", {"text": "FACTORY#"}, ACTUATE, True, False),
        ("teltonika", "codec_12_command", {"text": "getver"}, QUERY, False, True),
        ("teltonika", "codec_12_command", {"text": "setparam 1000:5;1001:7"}, CONFIGURE, False, True),
        ("teltonika", "codec_12_command", {"text": "setparam 1000:5;2004:example.org"}, CONFIGURE, True, True),
        ("teltonika", "codec_12_command", {"text": "setparam"}, CONFIGURE, True, True),
        ("teltonika", "codec_12_command", {"text": "cpureset"}, ACTUATE, False, False),
        ("teltonika", "codec_12_command", {"text": "setdigout 1"}, ACTUATE, True, False),
        ("teltonika", "codec_14_command", {"text": "odoset:1000"}, CONFIGURE, False, True),
        ("gb32960", "control", {"command": "reset"}, ACTUATE, False, False),
        *(
            ("gb32960", "control", {"command": word}, ACTUATE, True, False)
            for word in ("switch_off", "factory_settings", "disconnect", 2, 0x80)
        ),
        ("gb32960", "set_parameters", {"parameters": {"report_period_s": 10}}, CONFIGURE, False, True),
        ("gb32960", "set_parameters", {"parameters": {"port": 10}}, CONFIGURE, True, True),
        ("modbus", "switch_relay", {"unit": 2, "n": 1, "value": True}, ACTUATE, False, True),
        ("modbus", "pulse_relay", {"unit": 2, "n": 1, "value": 1.5}, ACTUATE, False, False),
        ("modbus", "write_coil", {"unit": 2, "address": 1, "value": "on"}, ACTUATE, True, False),
        ("modbus", "read_coils", {"unit": 2, "address": 1, "quantity": 1}, QUERY, False, True),
        ("native", "command", {"name": "relay", "arguments": {"on": True}}, ACTUATE, False, False),
        ("jt808", RAW, {"kind": "0x8201", "body": ""}, Effect.RAW, True, False),
    ],
)  # fmt: skip
def test_what_a_command_does_goes_by_its_fields(
    name: str, command: str, fields: dict[str, Any], effect: Effect, is_twice: bool, is_repeatable: bool
) -> None:
    rule = build(PROTOCOLS[name], command, fields).rule
    assert (rule.effect, rule.is_confirmed_twice, rule.is_repeatable) == (effect, is_twice, is_repeatable)


def test_fields_go_by_the_edition_of_the_device() -> None:
    jt808 = PROTOCOLS["jt808"]
    old, new = ([field.name for field in commands_of(jt808, head)["text_message"].fields] for head in HEADS["jt808"])
    assert (old, new) == (["flags", "text"], ["flags", "text_type", "text"])
    bodies = [build(jt808, "text_message", {"text": "A"}, "", head).body.hex() for head in HEADS["jt808"]]
    assert bodies == ["0c41", "0c0141"]
    periods = [build(PROTOCOLS["gb32960"], "set_parameters", SLOWER, "", head).body.hex() for head in HEADS["gb32960"]]
    assert periods == ["000000000000" + "01" + "02001e", "000000000000" + "01" + "021e"]
    assert build(jt808, "query_areas", {"kind": "circle", "ids": []}, "", HEADS["jt808"][0]).body.hex() == "0100000000"


SLOWER = {"parameters": {"report_period_s": 30}}


def test_what_may_be_left_out_is_said_and_filled_in() -> None:
    shot = commands_of(PROTOCOLS["jt808"])["camera_shot"]
    assert [field.name for field in shot.fields if field.is_needed] == ["channel", "command"]
    assert build(PROTOCOLS["jt808"], "camera_shot", {"channel": 1, "command": 1}).body.hex() == "010001000000020580404080"
    conditions = {field.name: field.condition for field in commands_of(PROTOCOLS["jt808"])["set_events"].fields}
    assert conditions["events"] == "if setting != 'delete_all'"
    assert build(PROTOCOLS["gt06"], "command", {"text": "RESET#"}).body.hex() == "0a 00000000 524553455423 0002".replace(" ", "")
    assert build(PROTOCOLS["gt06"], "command", {"text": "A#", "language": 1}).body.hex() == "0600000000412300" + "01"


def test_modbus_commands_are_those_of_the_unit() -> None:
    modbus = PROTOCOLS["modbus"]
    assert "switch_relay" in commands_of(modbus, RELAY)
    assert "switch_relay" not in commands_of(modbus, METER)
    assert {"switch_relay", "set_ct_ratio"} <= set(commands_of(modbus))
    told = {field.name: field.type for field in commands_of(modbus, RELAY)["pulse_relay"].fields}
    assert told == {"unit": "u8", "n": "1 to 8", "value": "number, at least 0.1, at most 60"}
    body = build(modbus, "switch_relay", {"n": 2, "value": True}, unit_of(RELAY), RELAY).body
    assert body == build(modbus, "switch_relay", {"unit": 2, "n": 2, "value": True}).body
    with pytest.raises(ValueError, match="switch_relay: unit: 3, where this device's is 2"):
        build(modbus, "switch_relay", {"unit": 3, "n": 2, "value": True}, unit_of(RELAY), RELAY)
    with pytest.raises(ValueError, match="value: 99 is not from"):
        build(modbus, "pulse_relay", {"n": 2, "value": 99}, unit_of(RELAY), RELAY)
    with pytest.raises(ValueError, match="unit: missing"):
        build(modbus, "switch_relay", {"n": 2, "value": True})


def test_maps_say_what_their_commands_do() -> None:
    said = modbus_station(meter=METER_MAP.replace("repeatable = true", 'repeatable = true\neffect = "configure"\nconfirm = true'))
    rule = build(said, "set_ct_ratio", {"value": 200}, "PS0001/1").rule
    assert (rule.effect, rule.is_confirmed_twice, rule.is_repeatable) == (CONFIGURE, True, True)
    silent = build(modbus_station(), "set_ct_ratio", {"value": 200}, "PS0001/1").rule
    assert (silent.effect, silent.is_confirmed_twice) == (ACTUATE, False)
    assert rule.answer_seconds == 60 + 30, "it may wait for its turn before it is sent"


@pytest.mark.parametrize(
    ("name", "command", "fields", "text"),
    [
        ("jt808", "self_destruct", {}, "there is no command 'self_destruct'"),
        ("jt808", "platform_general_response", {}, "there is no command 'platform_general_response'"),
        ("jt808", "location", {}, "there is no command 'location'"),
        ("jt808", "camera_shot", {"command": 1}, "channel: missing: Channel"),
        ("jt808", "camera_shot", {"channel": 256, "command": 1}, "channel: 256 is no whole number from 0 to 255"),
        ("jt808", "query_location", {"x": 1}, "x: there is no such field"),
        ("gb32960", "control", {"command": "explode"}, "command: 'explode' is none of"),
        ("gt06", "command", {}, "command: missing"),
        ("gt06", "command", {"text": "Ω"}, "'Ω' cannot be written in ascii"),
        ("teltonika", "codec_12_command", {"text": "é"}, "text: 'é' is not all ASCII"),
        ("native", "command", {"name": "a", "arguments": 5}, "arguments: 5 is no values by name"),
        ("jt808", RAW, {"kind": "x"}, "kind: 'x' is no id from 0 to 0xFFFF"),
        ("jt808", RAW, {"kind": 1, "body": "zz"}, "body: 'zz' is no bytes in hex"),
        ("jt808", RAW, {"kind": 1, "body": "00" * 65537}, "at most 65536"),
        ("jt808", RAW, {"kind": 1, "text": "a"}, "text: there is no such field, but kind, body"),
    ],
)
def test_errors_say_what_may_be(name: str, command: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        build(PROTOCOLS[name], command, fields)


KEYS = sorted(
    {
        field.name.partition("[")[0].partition(".")[0]
        for p in PROTOCOLS.values()
        for c in commands_of(p).values()
        for field in c.fields
    }
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=4)
GARBAGE = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
GOOD = [(*param.values, example(PROTOCOLS[param.values[0]], param.values[2], param.values[1])) for param in EACH]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_garbage_gives_value_errors_alone(data: st.DataObject) -> None:
    name, head, command, good = data.draw(st.sampled_from(GOOD))
    names = [field.name.partition("[")[0].partition(".")[0] for field in command.fields]
    replaced = data.draw(st.dictionaries(st.sampled_from(names or ["x"]), GARBAGE, max_size=3))
    fields = data.draw(st.sampled_from([replaced, {**good, **replaced}])) if names else data.draw(GARBAGE)
    with suppress(ValueError):
        build(PROTOCOLS[name], command.name, fields, identity_of(name, head), head)


def test_commands_of_other_packages_are_found_as_well() -> None:
    valve = Struct("opening_percent" / Scaled(Int8ub, 1, "%") * "Opening 开度")
    header = Struct(
        "mark" / Const(b"V") * "Mark",
        "length" / Int8ub * "Bytes of the body",
        "identity" / Int16ub * "Number",
        "kind" / Int8ub * "Kind",
    )
    shut = CommandRule(Effect.ACTUATE, is_repeatable=True, answer_seconds=20.0, is_confirmed_twice=True)
    protocol = DeclaredProtocol(
        "valve",
        "Valve",
        7201,
        Frame(header),
        [
            Uplink(1, "moved", "Moved"),
            Downlink(0x81, "open", "Open the valve 开阀", valve, answered_by=("moved",)),
            Downlink(0x82, "shut", "Shut the valve 关阀", answered_by=("moved",), command=shut),
            Downlink(0x83, "hush", "Be quiet", command=None),
        ],
    )
    found = commands_of(protocol)
    assert list(found) == ["open", "shut", RAW]
    assert found["open"].rule == CommandRule(Effect.ACTUATE)
    assert (found["open"].english, found["open"].chinese) == ("Open the valve", "开阀")
    assert [(field.name, field.unit, field.chinese) for field in found["open"].fields] == [("opening_percent", "%", "开度")]
    assert found["shut"].rule is shut
    assert build(protocol, "open", {"opening_percent": 40}).body == b"\x28"
    assert [sorted(commands_of(sample)) for sample in SAMPLES] == [[RAW], [RAW, "tare"], [RAW]]
