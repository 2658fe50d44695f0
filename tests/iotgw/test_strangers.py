"""Strangers: known by their first bytes, by every listener's codec alike, and never a device taken for one.

| fault case | test |
| --- | --- |
| an HTTP, TLS, SSH, SMB, RDP, Redis... probe on each listener | test_a_stranger_is_closed_at_once_on_every_listener |
| the same, a byte at a time | test_a_stranger_that_sends_byte_by_byte_is_known_too |
| real devices' frames | test_no_real_frame_is_taken_for_a_stranger, test_no_simulated_device_is_taken_for_a_stranger |
| a protocol that looks like one | test_what_the_codec_takes_is_right, test_a_protocol_may_do_without |
| a device that talks like a stranger later | test_only_first_bytes_are_looked_at |
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iotgw.strangers import KINDS, LONGEST, recognise
from protocols import Message
from protocols.registry import PROTOCOLS
from tests.iotgw.fakes import House, LineCodec, LineProtocol

CAPTURES = Path(__file__).resolve().parents[1] / "captures"

CLIENT_HELLO = bytes.fromhex("16030102000100 01fc0303".replace(" ", "")) + bytes(range(32)) + b"\x20" + bytes(400)
PROBES = [
    ("http", b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nAccept: */*\r\n\r\n"),
    ("http", b"GET http://example.com/ HTTP/1.0\r\n\r\n"),
    ("http", b"POST /boaform/admin/formLogin HTTP/1.1\r\nHost: x\r\n\r\nusername=admin"),
    ("http", b"OPTIONS * HTTP/1.0\r\n\r\n"),
    ("http", b"CONNECT example.com:443 HTTP/1.1\r\n\r\n"),
    ("http", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("tls", CLIENT_HELLO),
    ("tls", bytes.fromhex("160300006a010000660300")),
    ("tls", bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0".replace("010002", "010301"))),
    ("ssh", b"SSH-2.0-Go\r\n"),
    ("ssh", b"SSH-1.99-OpenSSH_9.6\r\n"),
    ("smb", bytes.fromhex("00000085ff534d4272000000001853c8000000000000000000000000fffe0000")),
    ("smb", bytes.fromhex("000000ecfe534d42400000000000000000000000")),
    ("rdp", bytes.fromhex("0300002b26e00000000000436f6f6b69653a206d737473686173683d61646d696e0d0a0100080003000000")),
    ("rdp", bytes.fromhex("030000130ee000000000000100080003000000")),
    ("redis", b"*1\r\n$4\r\nINFO\r\n"),
    ("redis", b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$4\r\n/tmp\r\n"),
    ("postgresql", bytes.fromhex("0000000804d2162f")),
    ("postgresql", b"\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"),
    ("mqtt", b"\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06zgrab2"),
    ("mqtt", b"\x10\xa7\x01\x00\x04MQTT\x05\xc2\x00\x3c" + b"a" * 150),
    ("sip", b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n\r\n"),
    ("rtsp", b"OPTIONS rtsp://192.0.2.1:7700/ RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    ("adb", b"CNXN\x00\x00\x00\x01\x00\x10\x00\x00\x07\x00\x00\x00"),
    ("java", b"JDWP-Handshake"),
    ("java", b"JRMI\x00\x02\x4b"),
    ("proxy", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 6808\r\n"),
    ("proxy", bytes.fromhex("0d0a0d0a000d0a515549540a2111000cc0000207c00002011267 1a98".replace(" ", ""))),
]
IDS = [f"{kind}-{number}" for number, (kind, _) in enumerate(PROBES)]


def captured() -> list[tuple[str, str, bytes]]:
    found = []
    for path in sorted(CAPTURES.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            frames = row["hex"] if isinstance(row.get("hex"), list) else [row.get("hex", "")]
            found += [(path.name, row.get("id", ""), bytes.fromhex(frame)) for frame in frames if frame]
    return found


@pytest.mark.parametrize(("kind", "probe"), PROBES, ids=IDS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_stranger_is_closed_at_once_on_every_listener(name, kind, probe):
    house = House(PROTOCOLS[name])
    link, transport = house.connect()
    link.dataReceived(probe)
    assert transport.disconnecting
    assert house.statistics[f"strangers.{kind}"] == 1
    assert house.statistics["messages"] == 0
    assert transport.value() == b"", "a stranger gets no answer"
    transport.finish()
    assert house.statistics["links.closed.stranger"] == 1
    assert house.gateway.links == 0


@pytest.mark.parametrize(("kind", "probe"), PROBES, ids=IDS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_stranger_that_sends_byte_by_byte_is_known_too(name, kind, probe):
    house = House(PROTOCOLS[name], malformed_in_a_row=1000)
    link, transport = house.connect()
    for at in range(LONGEST):
        link.dataReceived(probe[at : at + 1])
    assert transport.disconnecting
    assert house.statistics[f"strangers.{kind}"] == 1


def test_each_kind_has_a_probe():
    assert {kind for kind, _ in PROBES} == set(KINDS)


def test_no_codec_makes_a_message_of_a_probe():
    """None of them needs its right of way."""
    for protocol in PROTOCOLS.values():
        for _, probe in PROBES:
            codec = protocol.codec()
            events = [*codec.receive(probe, 0.0), *codec.wake(100.0), *codec.end()]
            assert not [event for event in events if isinstance(event, Message)]


def test_no_real_frame_is_taken_for_a_stranger():
    frames = captured()
    assert len(frames) > 200
    assert {name for name, _, _ in frames} == {path.name for path in CAPTURES.glob("*.jsonl")}
    taken = [(name, id, recognise(frame[:LONGEST])) for name, id, frame in frames if recognise(frame[:LONGEST])]
    assert taken == []


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_simulated_device_is_taken_for_a_stranger(name):
    house = House(PROTOCOLS[name])
    link, transport = house.connect()
    first = PROTOCOLS[name].terminal(PROTOCOLS[name].simulated_identity(3)).connect()
    assert first
    for byte in first:
        link.dataReceived(bytes([byte]))
    house.pass_time(2)
    assert not transport.disconnecting
    assert house.statistics["messages"] == 1


class WebProtocol(LineProtocol):
    """Lines that look like HTTP: ``GET / text`` is a message, anything else is malformed, and half of it nothing yet."""

    def codec(self, identity: str = "") -> LineCodec:
        return WebCodec()


class WebCodec(LineCodec):
    def _event(self, line):
        return Message("web", 1, 1, b"", line) if line.startswith(b"GET / ") else super()._event(line)


def test_what_the_codec_takes_is_right():
    house = House(WebProtocol())
    link, transport = house.connect()
    house.say(link, "GET / HTTP/1.1")
    house.say(link, "GET / HTTP/1.1")
    assert not transport.disconnecting
    assert house.statistics["messages"] == 2
    other, other_transport = house.connect()
    house.say(other, "POST / HTTP/1.1")
    assert other_transport.disconnecting
    assert house.statistics["strangers.http"] == 1
    assert house.statistics["malformed.line"] == 0, "a stranger's bytes are not a device's bad ones"


def test_a_protocol_may_do_without():
    house = House(WebProtocol(), close_strangers={"line": False})
    link, transport = house.connect()
    link.dataReceived(b"GET / HT")
    link.dataReceived(b"TP/1.1\n")
    house.clock.advance(0)
    assert not transport.disconnecting
    assert house.statistics["messages"] == 1


def test_only_first_bytes_are_looked_at():
    house = House()
    link, transport = house.connect()
    house.say(link, "dev 1 a")
    house.say(link, "GET / HTTP/1.1")
    assert not transport.disconnecting, "a device that sent a message is none"
    late, late_transport = house.connect()
    late.dataReceived(b"x" * LONGEST)
    late.dataReceived(b"\nGET / HTTP/1.1\n")
    assert not late_transport.disconnecting
    assert late._first is None, "nothing is kept of it"


@pytest.mark.parametrize(
    "words", [b"CONNECT 115200\r\n", b"+++ATH0\r\n", b"\xff", b"\xfe", b"www.usr.cn", b"\x00" * 16, b"GETTING READY", b"*HQ,1234"]
)
def test_what_modems_and_devices_say_before_their_first_frame_is_no_stranger_s(words):
    assert recognise(words) is None
