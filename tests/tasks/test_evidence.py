"""Facts and strangers as they travel, between gateways of different releases too."""

from __future__ import annotations

import msgpack
import pytest

from tasks.contract import (
    BadPayloadError,
    Facts,
    FactsWanted,
    Stranger,
    pack_facts,
    pack_facts_wanted,
    pack_stranger,
    read_facts,
    read_stranger,
    stranger_field,
    unpack_facts_wanted,
)

FACTS = Facts("gw", 5, 6808, "192.0.2.7:1", 1, 2, 3, 4, {"checksum": 2}, 6, 7, "location", ack_seconds=0.5, is_broker_away=True)
STRANGER = Stranger("jt808", "7", "gw", 6808, "192.0.2.7:1", "closed.peer", b"\x7e\xff", 1, {"checksum": 2}, 9)


def test_they_come_out_as_they_went_in():
    assert read_facts(b"2 " + pack_facts(FACTS)) == FACTS
    assert read_facts(b"0 " + pack_facts(Facts())) == Facts()
    assert read_stranger(b"4 17 " + pack_stranger(STRANGER)) == STRANGER._replace(first_ms=4, times=17)


def test_what_another_release_adds_is_passed_over_and_what_it_lacks_is_as_by_default():
    assert read_facts(b"2 " + msgpack.packb({"gateway": "gw", "later": [1]})) == Facts("gw")
    assert read_stranger(b"1 1 " + msgpack.packb({"later": 1})) == Stranger(first_ms=1)


@pytest.mark.parametrize("data", [b"", b"2 ", b"2 \xff", b"2 " + msgpack.packb([1]), b"2 " + msgpack.packb({"gateway": 1}), b"x"])
def test_what_is_none_is_said_to_be_none(data: bytes):
    with pytest.raises(BadPayloadError):
        read_facts(data)
    with pytest.raises(BadPayloadError):
        read_stranger(b"1 " + data)


@pytest.mark.parametrize("data", [b"", b"\xff", msgpack.packb(1), msgpack.packb([["a"]])])
def test_devices_that_are_wanted(data: bytes):
    wanted = [FactsWanted("jt808", "7"), FactsWanted("gt06", "é/8")]
    assert unpack_facts_wanted(pack_facts_wanted(wanted)) == wanted
    with pytest.raises(BadPayloadError):
        unpack_facts_wanted(data)


def test_who_comes_again_has_one_place():
    assert stranger_field(STRANGER) == "jt808/7"
    nobody = STRANGER._replace(identity="")
    assert stranger_field(nobody) == stranger_field(nobody._replace(peer="192.0.2.7:2")) == "jt808@192.0.2.7"
    assert stranger_field(nobody._replace(peer="2001:db8::1:443")) == "jt808@2001:db8::1"
