from __future__ import annotations

from typing import Any

import pytest

from protocols import Message
from protocols.teltonika import TELTONIKA
from protocols.teltonika.messages import MESSAGES
from tests.protocols.teltonika.frames import EVENT, GETVER, GETVER_14, IMEI, only

ODOMETER = bytes.fromhex("01 0000019570ec9a08 00 e43452b8 f1f67a98 02f8 0113 09 003e 00 01 00 00 01 1000001388 00 01")


def odometer(protocol: Any, imei: str) -> str:
    decoded = protocol.decode(Message(imei, 0x08, 0, b"", ODOMETER))
    return next(name for name in decoded.reports[0].values if name not in ("fix", "satellites", "priority"))


def test_the_family_follows_from_the_imei_and_the_longest_prefix_decides() -> None:
    protocol = TELTONIKA.configure({"families": {"49": "fm6", "490154203237518": "fmb"}})
    assert odometer(TELTONIKA, IMEI) == "io_16_u32"
    assert odometer(protocol, IMEI) == "odometer_km"
    assert odometer(protocol, "490154203237500") == "can_odometer_counted_km"
    assert odometer(protocol, "862259588834290") == "io_16_u32"
    assert odometer(protocol.configure({"family": "fmb"}), "862259588834290") == "odometer_km"
    assert odometer(TELTONIKA, TELTONIKA.simulated_identity(7)) == "odometer_km"
    assert odometer(protocol, TELTONIKA.simulated_identity(7)) == "odometer_km"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 1}, "colour: Teltonika has no such option, but family"),
        ({"family": "fmc"}, "family: 'fmc' is no family, but common, fmb"),
        ({"family": []}, "family: "),
        ({"families": ["fmb"]}, "families: .* is no table"),
        ({"families": {"49x": "fmb"}}, "families: '49x' are no digits"),
        ({"families": {"49": "x"}}, "families.49: 'x' is no family"),
        ({"packet_limit_bytes": 100}, "packet_limit_bytes: 100 is no whole number from 2048 to 65536"),
        ({"packet_limit_bytes": True}, "packet_limit_bytes: True"),
        ({"packet_limit_bytes": "4096"}, "packet_limit_bytes: '4096'"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TELTONIKA.configure(options)


def test_commands_are_made_from_their_text_or_from_all_fields() -> None:
    assert TELTONIKA.build("codec_12_command", {"text": "getver"}) == only(GETVER).body
    assert TELTONIKA.build(0x0E05, {"imei": IMEI, "text": "getver"}) == only(GETVER_14).body
    around = {"quantity": 1, "type": "command", "quantity_again": 1}
    assert TELTONIKA.build("codec_12_command", {**around, "content": {"text": "676574766572"}}) == only(GETVER).body
    assert TELTONIKA.build("codec_12_command", {"type": "camera", "text": b"\x02\xff"}).hex() == "010d0000000202ff01"


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("codec_12_command", {}, "content.text: missing"),
        ("codec_12_command", {"text": "é"}, "text: 'é' is not all ASCII"),
        ("codec_12_command", {"text": 5}, "content.text: 5 is no bytes"),
        ("codec_12_command", {"text": "getver", "imei": IMEI}, "content.imei: there is no such field"),
        ("codec_14_command", {"text": "getver", "imei": "1" * 17}, "content.imei"),
        ("codec_99", {}, "there is no message 'codec_99'"),
    ],
)
def test_commands_that_cannot_be_are_refused(kind: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TELTONIKA.build(kind, fields)


def test_kinds_have_names() -> None:
    assert [TELTONIKA.kind_name(kind) for kind in (0, 0x08, 0x8E, 0x10, 0x0C, 0x0E05)] == [
        "login",
        "codec_8",
        "codec_8_extended",
        "codec_16",
        "codec_12",
        "codec_14_command",
    ]
    assert TELTONIKA.kind_name(0xFF) == "0xFF"
    assert not any(TELTONIKA.ends_session(kind) for kind in (*MESSAGES, 0xFF))
    assert {row.answered_by for row in MESSAGES.values() if row.direction.value == "down"} == {(0x0C,), (0x0E,)}


def test_a_link_may_be_opened_for_a_device_that_has_logged_in() -> None:
    assert TELTONIKA.codec(IMEI).receive(EVENT, 0.0)[0].identity == IMEI
