"""Declared protocols: what becomes of their fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from construct import Int8ub, Struct

from protocols import DecodeError, Message
from protocols.declared import DeclaredProtocol, Frame, Uplink
from protocols.fields import Scaled, Secret
from tests.protocols.declarations import differences
from tests.protocols.declared_frames import (
    FRAMES,
    HELLO,
    LEVEL,
    POSITION,
    SMALL,
    WEIGHTS,
    causes,
    each_protocol,
    only,
    receive,
    sealed,
    small,
)
from tests.protocols.declared_samples import ALPHA, BETA, GAMMA


def test_header_and_body_become_one_report():
    message = only(ALPHA, sealed(LEVEL))
    assert (message.identity, message.kind, message.sequence) == ("20240007", 2, 5)
    decoded = ALPHA.decode(message)
    assert decoded.error is None
    (report,) = decoded.reports
    assert (report.kind, report.time) == ("level", datetime.fromtimestamp(0x6A1D7A07, UTC))
    assert report.values == {"signal": 20, "level_m": -0.3, "flow": "invalid", "ignition": True, "mode": 2, "battery_v": 3.9}
    assert report.alarms == ["high_water", "power_low"]
    assert report.body == message.head + message.body


def test_a_login_gives_the_link_its_identity():
    assert causes(receive(BETA, sealed(WEIGHTS), identity="")) == ["unidentified"]
    hello, weights = receive(BETA, sealed(HELLO), sealed(WEIGHTS), identity="")
    assert isinstance(hello, Message)
    assert isinstance(weights, Message)
    assert hello.identity == weights.identity == "SN7"
    (report,) = BETA.decode(hello).reports
    assert report.values == {}, "the identity is the device's name, the password nobody's business"


def test_a_login_that_names_nobody_is_none():
    nameless = bytearray(sealed(HELLO))
    nameless[3:9] = bytes(6)
    assert causes(receive(BETA, sealed(nameless.hex()), identity="")) == ["unidentified"]
    short = sealed("7e 01 01 534e37 00 7e")
    assert causes(receive(BETA, short, identity="")) == ["unidentified"]
    unprintable = bytearray(sealed(HELLO))
    unprintable[3] = 7
    assert causes(receive(BETA, sealed(unprintable.hex()), identity="")) == ["unidentified"]


def test_each_record_is_a_report():
    message = only(BETA, sealed(WEIGHTS))
    decoded = BETA.decode(message)
    assert decoded.error is None
    assert [report.time for report in decoded.reports] == [
        datetime(2026, 6, 1, 12, 30, 15, tzinfo=UTC),
        datetime(2026, 6, 1, 12, 31, 15, tzinfo=UTC),
    ]
    assert [report.values for report in decoded.reports] == [{"hive": 125, "weight_kg": 50.0}, {"hive": 125, "weight_kg": 50.03}]
    assert [report.body.hex() for report in decoded.reports] == ["2606012030151388", "260601203115138b"]


def test_a_record_that_is_cut_costs_no_other():
    message = only(BETA, sealed(WEIGHTS))
    decoded = BETA.decode(message._replace(body=message.body[:-1]))
    assert len(decoded.reports) == 1
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.path) == ("truncated", "records[1]")


def test_records_with_lengths_are_read_one_by_one():
    one = only(GAMMA, sealed(POSITION)).body
    decoded = GAMMA.decode(Message("a", 0x11, 1, only(GAMMA, sealed(POSITION)).head, b"\x16" + one + b"\x02ab" + b"\x16" + one))
    assert [report.body for report in decoded.reports] == [one, one]
    assert decoded.error is not None
    assert (decoded.error.cause, decoded.error.path) == ("truncated", "records[1].time")


def test_a_position_has_its_own_places():
    (report,) = GAMMA.decode(only(GAMMA, sealed(POSITION))).reports
    assert (report.latitude, report.longitude) == (31.25, -121.5)
    assert (report.altitude_m, report.speed_kmh, report.course_deg) == (12.0, 33.0, 270.0)
    assert report.values == {"fix": True, "moving": True, "odometer_km": 812.4}


def test_zeros_without_a_fix_are_no_position():
    message = only(GAMMA, sealed(POSITION))
    without = message.body[:4] + b"\0" + bytes(8) + message.body[13:]
    (report,) = GAMMA.decode(message._replace(body=without)).reports
    assert (report.latitude, report.longitude) == (None, None)
    (kept,) = GAMMA.decode(message._replace(body=message.body[:4] + b"\0" + message.body[5:])).reports
    assert (kept.latitude, kept.is_position) == (31.25, False)


def test_a_clock_that_was_never_set_is_no_time():
    message = only(GAMMA, sealed(POSITION))
    (report,) = GAMMA.decode(message._replace(body=bytes(4) + message.body[4:])).reports
    assert report.time is None
    assert report.values["device_time"] == 0


def test_bits_without_a_name_are_kept():
    message = only(ALPHA, sealed(LEVEL))
    (report,) = ALPHA.decode(message._replace(body=message.body[:3] + b"\xf1\x03" + message.body[5:])).reports
    assert (report.values["status"], report.values["alarms"]) == (0xF1, 0x03)
    assert report.alarms == ["high_water"]


def test_bytes_behind_the_declared_ones_are_kept():
    message = only(GAMMA, sealed(POSITION))
    (report,) = GAMMA.decode(message._replace(body=message.body + b"\x01\x02")).reports
    assert report.values["extra"] == "0102"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"kind": 0x77}, "unknown-kind"),
        ({"body": b"\x01"}, "truncated"),
        ({"head": b""}, "header"),
        ({"head": b"XX" + bytes(13)}, "value"),
    ],
)
def test_what_cannot_be_decoded_says_why(change: dict[str, Any], cause: str):
    decoded = ALPHA.decode(only(ALPHA, sealed(LEVEL))._replace(**change))
    assert decoded.reports == []
    assert isinstance(decoded.error, DecodeError)
    assert decoded.error.cause == cause


def test_names_of_the_envelope_are_plain_ones_in_a_body():
    (report,) = GAMMA.decode(Message("a", 0x90, 1, bytes(11), b"\x00\x05\x10")).reports
    assert report.values == {"sequence": 5, "kind": 16}


def test_fields_within_fields_have_their_places_too():
    where = Struct("latitude" / Scaled(Int8ub, 1, "°") * "Latitude", "depth_m" / Scaled(Int8ub, 10, "m") * "Depth")
    protocol = small(
        Frame(SMALL), Uplink(1, "dive", "Dive", Struct("where" / where * "Where", "secret" / Secret(Int8ub) * "Secret"))
    )
    (report,) = protocol.decode(Message("7", 1, 0, b"S\x03\x07\x01", b"\x1f\x19\x05")).reports
    assert report.latitude == 31.0
    assert report.values == {"depth_m": 2.5}


@each_protocol
def test_declarations_are_compiled_as_construct_reads_them(protocol: DeclaredProtocol):
    bodies = [only(protocol_, frame).body for protocol_, frame in FRAMES] + [bytes(40), b"\xff" * 40]
    for layout in (*protocol.headers.values(), *(layout for row in protocol.messages.values() for layout in row.layouts.values())):
        for body in bodies:
            for data in (body, body[:-1], body[1:]):
                assert list(differences(layout, data)) == []
