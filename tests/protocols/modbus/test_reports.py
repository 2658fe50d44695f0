from __future__ import annotations

import json

import pytest

from protocols import Message, Outcome
from protocols.body import read
from protocols.compiler import compile
from protocols.modbus import MODBUS, kinds
from protocols.modbus.messages import MESSAGES
from protocols.modbus.planner import Block
from protocols.modbus.reading import ANSWERED, READING, REFUSED, SILENT, Result, head, reading_body
from tests.protocols.modbus.station import METER, NOON, POLLS, STATION, exchanges, protocol
from tests.protocols.test_explain import check_cover

FAST = exchanges(POLLS)[2][1][3:-2]
GROUP = STATION.models["demo-meter-3p"].groups["fast"]
HEAD = head(STATION.models["demo-meter-3p"], "fast", GROUP.version)


def reading(*results: Result, given: bytes = HEAD) -> Message:
    return Message("PS0001/1", kinds.READING, 1, given, reading_body(list(results)))


GOOD = reading(Result(Block(3, 0, 11), ANSWERED, 0, FAST))


def test_body_is_parsed_and_built_the_same_compiled_or_not() -> None:
    body = reading_body(
        [Result(Block(3, 0, 11), ANSWERED, 0, FAST), Result(Block(3, 9, 1), REFUSED, 2), Result(Block(1, 1, 1), SILENT)]
    )
    assert compile(READING).parse(body) == READING.parse(body)
    assert READING.build(READING.parse(body)) == body
    assert [block.exception for block in read(READING, body).blocks] == ["none", "illegal_data_address", "none"]


def test_the_digest_is_of_the_answers_alone() -> None:
    (report,) = STATION.decode(GOOD).reports
    assert (report.kind, report.body, report.time) == ("reading", GOOD.body, None)
    (again,) = STATION.decode(GOOD._replace(sequence=9)).reports
    assert again.digest == report.digest
    json.dumps(report.values)


def test_points_without_a_value_say_why() -> None:
    bad = bytearray(FAST)
    bad[0:2], bad[16:20] = b"\x13\x89", b"\x7f\xff\xff\xff"
    values = STATION.decode(reading(Result(Block(3, 0, 11), ANSWERED, 0, bytes(bad)))).reports[0].values
    assert values["missing"] == {"voltage_a": "out_of_range", "power": "invalid"}
    assert "voltage_a" not in values
    silent = (
        STATION.decode(reading(Result(Block(3, 0, 6), ANSWERED, 0, FAST[:12]), Result(Block(3, 6, 4), SILENT))).reports[0].values
    )
    assert silent["missing"] == {"frequency": "no_answer", "power": "no_answer", "power_factor": "not_read"}
    refused = STATION.decode(reading(Result(Block(3, 0, 11), REFUSED, 0x77))).reports[0].values
    assert set(refused["missing"].values()) == {"exception_119"}
    short = STATION.decode(reading(Result(Block(3, 0, 11), ANSWERED, 0, FAST[:-2]))).reports[0].values
    assert set(short["missing"].values()) == {"length"}


def test_a_map_that_is_missing_is_named_and_a_new_one_reads_it() -> None:
    unknown = reading(Result(Block(3, 0, 11), ANSWERED, 0, FAST), given=HEAD.replace(b"demo-meter-3p", b"demo-meter-4p"))
    error = STATION.decode(unknown).error
    assert error is not None
    assert (error.cause, error.path, error.text) == (
        "unknown-model",
        "model",
        "there is no map of demo-meter-4p in the folder of maps",
    )
    added = protocol(more=METER.replace("demo-meter-3p", "demo-meter-4p"))
    assert added.decode(unknown).error is None
    gone = STATION.decode(GOOD._replace(head=HEAD.replace(b"\x04fast", b"\x04fats")))
    assert gone.error is not None
    assert gone.error.cause == "unknown-group"


def test_a_mended_map_reads_old_readings_and_says_that_it_is_another() -> None:
    mended = protocol(meter=METER.replace('scale = "0.01"\nunit = "Hz"', 'scale = "0.02"\nunit = "Hz"'))
    values = mended.decode(GOOD).reports[0].values
    assert (values["frequency"], values["map_changed"]) == (99.96, True)
    assert "map_changed" not in STATION.decode(GOOD).reports[0].values


def test_a_cut_reading_keeps_what_is_whole() -> None:
    whole = reading(Result(Block(3, 0, 6), ANSWERED, 0, FAST[:12]), Result(Block(3, 6, 5), ANSWERED, 0, FAST[12:]))
    for cut in range(len(whole.body)):
        decoded = STATION.decode(whole._replace(body=whole.body[:cut]))
        is_between = cut in (0, 8 + 12)
        assert (decoded.error is None) == is_between, cut
        if decoded.error:
            assert decoded.error.path in ("blocks[0]", "blocks[1]")
        assert ("voltage_a" in decoded.reports[0].values) == (cut >= 20)


@pytest.mark.parametrize("kind", [0x63, 0x1FF])
def test_an_unknown_kind_is_an_error(kind: int) -> None:
    error = STATION.decode(Message("PS0001", kind, 0, b"", b"")).error
    assert error is not None
    assert error.cause == "unknown-kind"


@pytest.mark.parametrize(("body", "cause"), [("0141 0102", "unknown-function"), ("0105 00", "truncated"), ("01", "truncated")])
def test_a_strange_frame_that_makes_no_sense_is_an_error(body: str, cause: str) -> None:
    error = STATION.decode(Message("PS0001", kinds.UNASKED_FRAME, 1, b"", bytes.fromhex(body))).error
    assert error is not None
    assert error.cause == cause


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_no_body_and_no_head_raises(kind: int) -> None:
    for size in (*range(12), 40, 255):
        for fill in (b"\0", b"\xff", b"\1\3", b"\2\x2b\x0e"):
            data = (fill * size)[:size]
            for given in (b"", HEAD, HEAD[:-1], data):
                STATION.decode(Message("PS0001/1", kind, 1, given, data))


@pytest.mark.parametrize("frame", [frame for pair in exchanges(POLLS) for frame in pair], ids=bytes.hex)
def test_explanation_covers_good_cut_and_damaged_frames(frame: bytes) -> None:
    tree = STATION.explain(frame)
    check_cover(tree, frame)
    assert not tree.error
    assert [leaf.name for leaf in tree.leaves() if leaf.error] == []
    assert list(tree.leaves())[-1].name == "check"
    for cut in range(len(frame)):
        check_cover(STATION.explain(frame[:cut]), frame[:cut])
        assert STATION.explain(frame[:cut]).error
    for bit in range(8 * len(frame)):
        bad = bytearray(frame)
        bad[bit // 8] ^= 1 << bit % 8
        found = STATION.explain(bytes(bad))
        check_cover(found, bytes(bad))
        assert [leaf.name for leaf in found.leaves() if leaf.error][-1:] == ["check"]
    behind = STATION.explain(frame + b"junk")
    check_cover(behind, frame + b"junk")
    assert list(behind.leaves())[-1].error


def test_explanation_of_what_a_dtu_says_by_itself_and_of_mbap() -> None:
    assert [leaf.name for leaf in STATION.explain(b"PS0001").leaves()] == ["packet"]
    assert [leaf.name for leaf in STATION.explain(b"www.usr.cn").leaves()] == ["heartbeat"]
    tree = STATION.explain(bytes.fromhex("0007 0000 0005 01 03 02 00c8"))
    assert not tree.error
    assert {leaf.name: leaf.value for leaf in tree.leaves()}["transaction"] == 7
    assert STATION.explain(b"").error


def test_acks_are_silent_whatever_they_are_for() -> None:
    codec = MODBUS.codec("SIM000001")
    for kind in MESSAGES:
        for outcome in Outcome:
            assert codec.ack(Message("SIM000001/1", kind, 3, b"", b""), outcome, NOON) == b""
    assert MODBUS.codec().ack(GOOD, Outcome.STORED, NOON) == b""
