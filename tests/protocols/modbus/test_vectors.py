"""Frames of public projects, both directions.

24 lines, 20 strict: 5 answers (modbus-serial 4, goburrow 1) and 15 requests. Left out are the four with a wrong CRC: two
streams with bytes around a frame, which ``test_stream`` reads as such, and two requests whose CRC is not that of the
bytes before it, which no unit would answer. Of three strict requests the source says that its own server, which lacks
those addresses, refuses them (exception 04): here the refusal is read as their answer. The reply to one has a wrong CRC
on purpose, and is none.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocols.modbus import MODBUS
from protocols.modbus.frame import FRAMINGS, Asked, seal
from protocols.modbus.pdu import layout, read_request
from tests.protocols.captures import FOLDER
from tests.protocols.modbus.station import request

RTU = FRAMINGS["rtu"]
VECTORS: list[dict[str, Any]] = [
    {"id": "modbus-serial/serverserial.test/1", "hex": "01050001ff00ddfa", "reply": "01050001ff00ddfa"},
    {"id": "modbus-serial/serverserial.test/4", "hex": "0101000007f9fe78", "reply": "0181044193"},
    {"id": "modbus-serial/serverserial.test/5", "hex": "010300000080446a", "reply": "01830440f3"},
    {"id": "modbus-serial/serverserial.test/6", "hex": "010400000080f1aa", "reply": "01840442c3"},
    {"id": "modbus-serial/serverserial.test/7", "hex": "04050001ff00ddaf", "reply": "04050001ff00ddaf"},
    {"id": "modbus-serial/test/1", "hex": "0103000800038409", "reply": "010306002a00800005f958"},
    {"id": "modbus-serial/test/2", "hex": "03030008000385eb", "bad": "030306002a00800005e138"},
    {"id": "goburrow-modbus/rtuclient_test/1", "hex": "01035000001854c0", "size": 53},
    {"id": "goburrow-modbus/rtuclient_test/3", "hex": "0401000a000ddd98", "size": 7},
    {"id": "goburrow-modbus/rtuclient_test/4", "hex": "0402000a000d9998", "size": 7},
    {"id": "goburrow-modbus/rtuclient_test/5", "hex": "010300000002c40b", "size": 9},
    {"id": "goburrow-modbus/rtuclient_test/6", "hex": "110500acff004e8b", "size": 8},
    {"id": "goburrow-modbus/rtuclient_test/7", "hex": "1106000100039a9b", "size": 8},
    {"id": "goburrow-modbus/rtuclient_test/8", "hex": "110f0013000a02cd01bf0b", "size": 8},
    {"id": "goburrow-modbus/rtuclient_test/9", "hex": "11100001000204000a0102c6f0", "size": 8},
]
UP = [json.loads(line) for line in (FOLDER / "modbus.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_requests_are_built_and_their_answers_found(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    one = request(frame)
    assert seal(bytes((one.unit,)) + one.pdu) == frame
    declared, word = layout(one.pdu) or (None, "")
    assert declared is not None
    assert word == "request" or one.function in (5, 6)
    assert declared.build(declared.parse(one.data)) == one.data
    if "bad" in vector:
        assert RTU.answer_at(bytearray.fromhex(vector["bad"]), 0, Asked(one, frame)) == 0
        return
    if "size" in vector:
        assert one.longest_answer + 3 == vector["size"]
        return
    reply = bytes.fromhex(vector["reply"])
    assert RTU.answer_at(bytearray(reply), 0, Asked(one, frame)) == len(reply)


def test_goburrow_reads_a_frame_by_its_pdu() -> None:
    frame = bytes.fromhex("01108a000003aa10")
    assert RTU.is_frame(frame)
    assert RTU.unframed(frame) == bytes.fromhex("01108a000003")


def test_counts_hold() -> None:
    projects = [capture for capture in UP if capture["source"] != "own"]
    assert (len(VECTORS), len(projects)) == (15, 5)
    assert read_request(1, 3, 0x5000, 0x18).pdu == bytes.fromhex("0350000018")


@pytest.mark.parametrize("capture", UP, ids=[capture["id"] for capture in UP])
def test_a_frame_nobody_asked_for_is_told_as_it_came(capture: dict[str, Any]) -> None:
    frame = bytes.fromhex(capture["hex"])
    codec = MODBUS.codec(capture["identity"])
    (message,) = codec.receive(frame, 0.0)
    assert (message.identity, message.sequence, message.body) == (capture["identity"], 1, frame[:-2])  # type: ignore[union-attr]
    assert MODBUS.kind_name(message.kind) == capture["kind"]  # type: ignore[union-attr]
    decoded = MODBUS.decode(message)  # type: ignore[arg-type]
    assert decoded.error is None
    assert capture["values"].items() <= decoded.reports[0].values.items()
    for cut in range(1, len(frame)):
        parts = MODBUS.codec(capture["identity"])
        assert [*parts.receive(frame[:cut], 0.0), *parts.receive(frame[cut:], 0.0)] == [message]
