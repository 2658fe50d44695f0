"""What devices show to prove who they are, and how it is kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from construct import Const, Int8ub, Struct

from protocols import Credential, Message, Outcome
from protocols.checksum import crc16_modbus
from protocols.credential import SALT_BYTES, fits, seal
from protocols.declared import Check, DeclaredProtocol, Frame, Uplink
from protocols.fields import BCD, Secret, Text
from protocols.gb32960 import GB32960
from protocols.jt808 import JT808
from protocols.jt808.terminal_management import (
    AUTHENTICATE,
    AUTHENTICATION_2013,
    REGISTER,
    REGISTER_RESPONSE,
    REGISTRATION_2013,
    REGISTRATION_ACCEPTED,
)
from protocols.native import NATIVE
from protocols.registry import PROTOCOLS
from tests.protocols.gb32960 import frames as gb32960
from tests.protocols.jt808 import frames as jt808
from tests.protocols.native import frames as native

SALT = bytes(range(SALT_BYTES))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_only_what_was_sealed_fits() -> None:
    sealed = seal("s3cret", SALT)
    assert "s3cret" not in sealed
    assert fits("s3cret", sealed)
    assert not fits("s3cret ", sealed)
    assert not fits("", sealed)
    assert sealed != seal("s3cret", SALT[::-1]), "the same credential of two devices does not look the same"


@pytest.mark.parametrize("sealed", ["", "s3cret", "blake2b", "blake2b:00:11", f"blake2b:{'zz' * SALT_BYTES}:", "later:00:11"])
@pytest.mark.parametrize("shown", ["", "s3cret", "\ud800"])
def test_nothing_fits_what_was_never_sealed(sealed: str, shown: str) -> None:
    assert not fits(shown, sealed)


def test_a_salt_has_its_length() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        seal("s3cret", b"short")


def test_the_longest_credential_that_is_kept_fits_its_column() -> None:
    from store.models import CREDENTIAL_LENGTH

    assert len(seal("x" * 10_000, SALT)) <= CREDENTIAL_LENGTH


def test_a_terminal_shows_its_authentication_code() -> None:
    def shown(code: str) -> Credential | None:
        return JT808.credential(jt808.only(jt808.up(AUTHENTICATE, AUTHENTICATION_2013.build({"code": code}))))

    assert shown("7f3a") == Credential("7f3a")
    assert shown("7f3a\0\0") == Credential("7f3a"), "some pad it"
    assert shown("") is None
    assert JT808.credential(jt808.only(jt808.up(AUTHENTICATE, b""))) is None
    assert JT808.credential(jt808.only(jt808.up(0x0200, jt808.LOCATION_BODY))) is None


def test_a_terminal_s_own_id_is_what_it_shows_at_registration_and_the_code_it_is_given() -> None:
    fields = {
        "province_id": 31, "city_id": 115, "manufacturer_id": "MAKER", "model": "M1", "terminal_id": "id00003",
        "plate_colour": "blue", "plate": "测A00001",
    }  # fmt: skip
    codec = JT808.with_credentials().codec()
    (message,) = codec.receive(jt808.up(REGISTER, REGISTRATION_2013.build(fields)), 0.0)
    assert isinstance(message, Message)
    assert JT808.credential(message) == Credential("id00003")
    answer = jt808.only(codec.ack(message, Outcome.STORED, NOON))
    assert answer.kind == REGISTER_RESPONSE
    assert REGISTRATION_ACCEPTED.parse(answer.body).code == "id00003"
    answer = jt808.only(JT808.codec().ack(message, Outcome.STORED, NOON))
    assert REGISTRATION_ACCEPTED.parse(answer.body).code == jt808.IDENTITY, "where nobody asks for it, its number will do"
    refused = jt808.only(codec.ack(message, Outcome.REFUSED, NOON))
    assert REGISTRATION_ACCEPTED.parse(refused.body).code == ""
    (nameless,) = codec.receive(jt808.up(REGISTER, REGISTRATION_2013.build({**fields, "terminal_id": ""})), 0.0)
    assert isinstance(nameless, Message)
    assert JT808.credential(nameless) is None


@pytest.mark.parametrize("protocol", [JT808, JT808.with_credentials()], ids=["by its number", "by its credential"])
def test_a_terminal_that_was_let_in_by_its_code_is_told_that_it_is_the_right_one(protocol) -> None:
    codec = protocol.codec()
    (message,) = codec.receive(jt808.up(AUTHENTICATE, AUTHENTICATION_2013.build({"code": "7f3a"})), 0.0)
    result = jt808.only(codec.ack(message, Outcome.STORED, NOON)).body[-1]
    assert result == (1 if protocol is JT808 else 0)
    assert jt808.only(codec.ack(message, Outcome.REFUSED, NOON)).body[-1] == 1


@pytest.mark.parametrize(("token", "shown"), [(b"k9", Credential("k9")), (b"\xff\x00", Credential("ff00")), (b"", None)])
def test_a_board_shows_its_token(token: bytes, shown: Credential | None) -> None:
    (message,) = NATIVE.codec().receive(native.hello(token=token), 0.0)
    assert isinstance(message, Message)
    assert NATIVE.credential(message) == shown
    assert NATIVE.credential(message._replace(body=message.body[:4])) is None
    assert NATIVE.credential(message._replace(kind=0x03)) is None


def test_a_vehicle_shows_its_card_and_a_platform_its_password_for_all_it_brings() -> None:
    vehicle = gb32960.only(gb32960.up(0x01, gb32960.TIME + b"\0\1" + b"89860000000000000001" + b"\1\0"))
    assert GB32960.credential(vehicle) == Credential("89860000000000000001")
    login = gb32960.TIME + b"\0\1" + b"fleet".ljust(12, b"\0") + b"s3cret".ljust(20, b"\0") + b"\1"
    platform = gb32960.only(gb32960.up(0x05, login))
    assert GB32960.credential(platform) == Credential("fleet:s3cret", vouches=True)
    assert GB32960.credential(platform._replace(body=b"\0")) is None
    encrypted = platform.head[:21] + b"\2" + platform.head[22:]
    assert GB32960.credential(platform._replace(head=encrypted)) is None


def test_a_declared_protocol_has_it_in_a_field_of_this_name() -> None:
    header = Struct(
        "mark" / Const(b"TG") * "Mark", "length" / Int8ub * "Length", "identity" / BCD(4) * "Number", "kind" / Int8ub * "Kind"
    )
    key = "credential" / Secret(Text(8)) * "Key"
    messages = [Uplink(1, "hello", "Hello", Struct(key)), Uplink(2, "alive", "Alive")]
    protocol = DeclaredProtocol("keyed", "Keyed", 7, Frame(header, Check(crc16_modbus, Int8ub * "Sum")), messages)
    assert protocol.has_credentials
    hello = Message("00000001", 1, 0, b"", b"s3cret\0\0")
    assert protocol.credential(hello) == Credential("s3cret")
    assert protocol.credential(hello._replace(kind=2)) is None
    assert protocol.credential(hello._replace(body=bytes(8))) is None
    assert protocol.credential(hello._replace(body=b"s")) is None
    assert not DeclaredProtocol("plain", "Plain", 7, protocol.frame, messages[1:]).has_credentials


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_a_simulated_device_shows_something_where_there_is_something_to_show(protocol) -> None:
    terminal = protocol.terminal(protocol.simulated_identity(0))
    events = protocol.codec().receive(terminal.connect(jt808.HERE), 0.0)
    shown = [protocol.credential(event) for event in events if isinstance(event, Message)]
    assert any(shown) is protocol.has_credentials
