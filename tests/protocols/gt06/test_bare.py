"""The dialect without serial number and check, and links on which lengths and checks cannot be trusted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import Malformed, Message, Outcome
from protocols.gt06 import GT06
from protocols.gt06.frame import MAX_FRAME_BYTES, bare_frame
from protocols.gt06.stops import StopSplitter, bare_size, told_size
from tests.protocols.gt06.frames import CELL, IMEI, NOW, TIME_GPS, long, report, short

LOGIN = bytes.fromhex("78780D01 0490154203237518 09 0D0A")
HEARTBEAT = bytes.fromhex("78780108 0D0A")
GPS = bytes.fromhex(f"78781210 {TIME_GPS} 0D0A")
STATUS = bytes.fromhex("78780713 1409032C5F 0D0A")
TIME = "250307140600"
WIFI = bytes.fromhex(f"78780269 {TIME} 020000000D0A2D 0200000000022E 02 01A8 02 1A2B CDEF 3C 1A2C CDF0 3D 0D0A")
CELLS = bytes.fromhex(f"78780017 {TIME} 01 01A8 02 0D0A CDEF 3C 0D0A")
STREAM = (LOGIN, HEARTBEAT, GPS, WIFI, STATUS, CELLS, HEARTBEAT)
NAMES = ["login", "heartbeat_bare", "gps", "wifi_bare", "heartbeat", "cell_address_request", "heartbeat_bare"]


def names(events: list[object]) -> list[str]:
    return [GT06.kind_name(event.kind) if isinstance(event, Message) else repr(event) for event in events]


def test_a_link_that_begins_with_the_bare_login_speaks_the_dialect() -> None:
    events = GT06.codec().receive(b"".join(STREAM), 0.0)
    assert names(events) == NAMES
    assert {event.identity for event in events} == {IMEI}
    for step in (1, 2, 3, 5, 13, 14, 15, 17):
        codec, data = GT06.codec(), b"".join(STREAM)
        assert [event for at in range(0, len(data), step) for event in codec.receive(data[at : at + step], 0.0)] == events, step


def test_a_bare_login_alone_is_taken_when_nothing_follows() -> None:
    codec = GT06.codec()
    assert codec.receive(LOGIN[:9], 5.0) == []
    assert codec.deadline is None
    assert codec.receive(LOGIN[9:], 5.5) == []
    assert codec.deadline == 6.5
    assert names(list(codec.wake(6.6))) == ["login"]
    assert codec.deadline is None
    assert names(list(codec.receive(HEARTBEAT, 7.0))) == ["heartbeat_bare"]
    assert codec.end() == []


def test_a_standard_login_with_stop_bits_in_the_same_place_is_none_of_it() -> None:
    imeis = (f"0{GT06.simulated_identity(number)}" for number in range(99))
    logins = (short(0x01, imei, serial) for imei in imeis for serial in range(0x0D, 0x10000, 0x100))
    login = next(login for login in logins if login[13:15] == b"\r\n")
    for cut in range(len(login)):
        codec = GT06.codec()
        events = [*codec.receive(login[:cut], 0.0), *codec.receive(login[cut:] + short(0x22, f"{TIME_GPS} {CELL}"), 0.0)]
        assert names(events) == ["login", "location"], cut
        assert events[0].sequence & 0xFF == 0x0D


def test_a_beginning_that_is_no_login_after_all() -> None:
    codec = GT06.codec()
    assert [event.cause for event in codec.receive(LOGIN + b"????", 0.0)] == ["stop"]
    assert names(list(codec.receive(b"?" + short(0x01, "0490154203237518") * 2, 0.0)))[-1] == "login"
    codec = GT06.codec()
    codec.receive(LOGIN[:10], 0.0)
    assert codec.end() == [Malformed("cut", LOGIN[:10])]
    assert list(GT06.codec().wake(1.0)) == []


def test_the_dialects_answers() -> None:
    codec = GT06.codec()
    answers = [codec.ack(event, Outcome.STORED, NOW).hex() for event in codec.receive(b"".join(STREAM), 0.0)]
    time = TIME_GPS[:12].lower()
    assert answers == [
        "787801010d0a",
        "",
        f"78780010{time}0d0a",
        f"78780069{TIME}0d0a",
        STATUS.hex(),
        f"78780017{TIME}0d0a",
        "",
    ]
    codec = GT06.codec()
    refused = [codec.ack(event, Outcome.REFUSED, NOW) for event in codec.receive(b"".join(STREAM), 0.0)]
    assert not any(refused)


def test_the_dialects_reports() -> None:
    login, heartbeat, gps, wifi, status, cells, _ = [report(event) for event in GT06.codec().receive(b"".join(STREAM), 0.0)]
    assert (login.values["imei"], login.values["version"]) == (IMEI, 9)
    assert heartbeat.values == {}
    assert (gps.latitude, gps.longitude) == (25.2048, 55.2708)
    assert wifi.time == cells.time == datetime(2025, 3, 7, 14, 6, tzinfo=UTC)
    assert [point["mac"] for point in wifi.values["access_points"]] == ["02:00:00:00:0d:0a", "02:00:00:00:00:02"]
    assert [cell["cell_id"] for cell in wifi.values["cells"]] == [0xCDEF, 0xCDF0]
    assert (wifi.values["mcc"], wifi.values["mnc"]) == (424, 2)
    assert cells.values["cells"] == [{"lac": 0x0D0A, "cell_id": 0xCDEF, "rssi": 60}]
    assert status.values == {"raw": "1409032c5f"}


def test_the_dialects_clock_is_the_operators() -> None:
    events = GT06.configure({"zone": "+08:00"}).codec().receive(b"".join(STREAM), 0.0)
    assert [report(event).time for event in events if event.kind in (0x10, 0x69)] == [datetime(2025, 3, 7, 6, 6, tzinfo=UTC)] * 2


def test_its_heartbeat_on_another_link_is_one() -> None:
    (found,) = GT06.codec(IMEI).receive(HEARTBEAT, 0.0)
    assert (GT06.kind_name(found.kind), found.sequence) == ("heartbeat_bare", 0)
    assert GT06.codec(IMEI).ack(found, Outcome.STORED, NOW) == b""


@pytest.mark.parametrize("size_of", [told_size, bare_size])
@given(st.binary(max_size=600), st.integers(1, 50))
def test_stop_bits_in_any_stream(size_of, data: bytes, step: int) -> None:  # type: ignore[no-untyped-def]
    splitter = StopSplitter(size_of, 64)
    found = [each for at in range(0, len(data), step) for each in splitter.feed(data[at : at + step])]
    assert len(splitter.pending) <= 64
    assert all(isinstance(each, Malformed) or each.endswith(b"\r\n") for each in found)


def test_a_lenient_link_takes_wrong_lengths_and_wrong_checks() -> None:
    good = [short(0x13, "4606040002"), long(0x94, "0004EF"), short(0x22, f"{TIME_GPS} {CELL}")]
    for frame in good:
        for at, wrong in ((2, 2), (-4, 0x55)):
            bad = bytearray(frame)
            bad[at + (at > 0 and frame[0] == 0x79)] ^= wrong
            codec = GT06.configure({"check": "lenient"}).codec(IMEI)
            events = codec.receive(bytes(bad) + good[0] * 20, 0.0)
            assert names(events)[0] == names(GT06.codec(IMEI).receive(frame, 0.0))[0]
            assert names(events)[-1] == "heartbeat"


def test_a_lenient_link_reports_garbage_once_and_bounds_what_never_ends() -> None:
    codec = GT06.configure({"check": "lenient"}).codec(IMEI)
    frame = short(0x13, "4606040002")
    events = [event for piece in (b"abc", b"def", frame, b"?" + frame) for event in codec.receive(piece, 0.0)]
    assert [event.cause for event in events if isinstance(event, Malformed)] == ["garbage", "garbage"]
    assert names(events).count("heartbeat") == 2
    endless = [event for _ in range(20) for event in codec.receive(b"\x79\x79\xff\xff" + bytes(1020), 0.0)]
    assert [event.cause for event in endless] == ["oversized"]
    assert len(codec.end()[0].raw) <= 256
    assert names(codec.receive(bytes(MAX_FRAME_BYTES) + frame * 2, 0.0))[-1] == "heartbeat"


def test_stop_bits_inside_a_frame_end_it_only_if_a_mark_follows() -> None:
    gps = bytes.fromhex(f"78781210 {TIME_GPS[:-2]} 0D0A 0D0A")
    assert names(GT06.codec().receive(LOGIN + gps + gps + HEARTBEAT, 0.0)) == ["login", "gps", "gps", "heartbeat_bare"]


def test_a_short_frame_of_a_lenient_link_is_malformed() -> None:
    codec = GT06.configure({"check": "lenient"}).codec(IMEI)
    assert [event.cause for event in codec.receive(bytes.fromhex("7878 01 13 0D0A") + b"\x78", 0.0)] == ["length"]


def test_frames_are_built() -> None:
    assert bare_frame(1, 8, b"") == HEARTBEAT
