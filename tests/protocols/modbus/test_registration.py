from __future__ import annotations

import pytest

from protocols import Malformed, Message, Outcome
from protocols.modbus import MODBUS
from protocols.modbus.registration import exact, pattern
from tests.protocols.modbus.station import NOON, SITE, STATION, protocol


def several(*registrations: str, beat: str = "www.usr.cn"):  # type: ignore[no-untyped-def]
    """A site of DTUs with these registrations, called D1, D2 and so on."""
    entry = SITE[: SITE.index("  [[dtu.slave]]")]
    entries = [
        entry.replace('id = "PS0001" ', f'id = "D{n}" ').replace('{ ascii = "PS0001" }', text).replace("www.usr.cn", beat)
        for n, text in enumerate(registrations, 1)
    ]
    return protocol(site="".join(entries))


def named(one, *chunks: bytes, is_quiet: bool = False):  # type: ignore[no-untyped-def]
    codec = one.codec()
    events = [event for chunk in chunks for event in codec.receive(chunk, 0.0)]
    if is_quiet and codec.deadline is not None:
        events += codec.wake(codec.deadline)
    return [event.identity if isinstance(event, Message) else event.cause for event in events]


def test_a_registration_is_a_message_and_nothing_is_answered() -> None:
    codec = STATION.codec()
    (message,) = codec.receive(b"PS0001", 5.0)
    assert isinstance(message, Message)
    assert (message.identity, STATION.kind_name(message.kind), message.body) == ("PS0001", "registration", b"PS0001")
    assert codec.deadline is None
    assert codec.ack(message, Outcome.STORED, NOON) == b""
    assert codec.deadline == 5.0
    assert STATION.decode(message).reports[0].values == {"packet": "505330303031", "text": "PS0001"}


def test_refused_it_is_never_polled() -> None:
    codec = STATION.codec()
    (message,) = codec.receive(b"PS0001", 5.0)
    assert codec.ack(message, Outcome.REFUSED, NOON) == b""
    assert codec.deadline is None
    assert codec.wake(1000.0) == []


@pytest.mark.parametrize("data", [b"PS0001", b"PS0001\r\n", b"\r\n\0 PS0001", b"PS0001www.usr.cn", b"PS0001PS0001"], ids=repr)
def test_it_is_found_however_reads_end(data: bytes) -> None:
    assert named(STATION, data) == ["PS0001"]
    assert named(STATION, *(data[at : at + 1] for at in range(len(data)))) == ["PS0001"]
    for cut in range(1, len(data)):
        assert named(STATION, data[:cut], data[cut:]) == ["PS0001"]


def test_words_of_the_modem_before_it_are_passed_over() -> None:
    assert named(STATION, b"CONNECT\r\nPS0001") == ["garbage", "PS0001"]
    assert named(STATION, b"PS00", b"PS0001") == ["garbage", "PS0001"]


@pytest.mark.parametrize(
    ("text", "data", "identity"),
    [
        ('{ hex = "AA0131333930303030313233340D" }', bytes.fromhex("AA0131333930303030313233340D"), "D1"),
        ('{ imei = "860123456789012" }', b"860123456789012", "D1"),
        ('{ iccid = "89860012345678901234" }', b"89860012345678901234\r\n", "D1"),
        ('{ pattern = "PS[0-9]{4}" }', b"PS0042", "PS0042"),
        ('{ pattern = "[0-9]{15}" }', b"860123456789012", "860123456789012"),
    ],
)
def test_every_kind_of_rule(text: str, data: bytes, identity: str) -> None:
    assert named(several(text), data) == [identity]
    assert named(several(text), data[:-1].rstrip() if data.endswith(b"\n") else data[:-1]) in ([], [identity])


def test_the_longest_wins_and_is_waited_for() -> None:
    both = several('{ ascii = "PS1" }', '{ ascii = "PS12" }')
    assert named(both, b"PS1") == []
    assert named(both, b"PS1", b"2") == ["D2"]
    assert named(both, b"PS13") == ["D1"]
    assert named(both, b"PS1", is_quiet=True) == ["D1"]
    mixed = several('{ pattern = "PS[0-9]{1,3}" }', '{ ascii = "PS12" }')
    assert named(mixed, b"PS12", is_quiet=True) == ["D2"]
    assert named(mixed, b"PS123") == ["PS123"]
    assert named(mixed, b"PS1", is_quiet=True) == ["PS1"]


def test_a_heartbeat_that_is_the_name_of_a_dtu_names_it_and_another_does_not() -> None:
    assert named(several('{ ascii = "XYZ" }', beat="D1"), b"D1") == ["D1"]
    assert named(STATION, b"www.usr.cn", is_quiet=True) == []
    codec = STATION.codec()
    assert codec.receive(b"www.usr.cn", 0.0) == []
    assert codec.wake(0.5) == []
    assert [event.identity for event in codec.receive(b"PS0001", 1.0)] == ["PS0001"]  # type: ignore[union-attr]


def test_who_is_not_in_the_site_is_told_with_its_bytes() -> None:
    codec = STATION.codec()
    assert codec.receive(b"NOBODY", 0.0) == []
    assert codec.deadline == 0.5
    assert codec.wake(0.5) == [Malformed("unidentified", b"NOBODY")]
    assert codec.deadline is None
    assert [event.cause for event in codec.receive(b"x" * 5000, 1.0)] == ["unidentified"]  # type: ignore[union-attr]
    assert codec.end() == []


@pytest.mark.parametrize(("data", "cause"), [(b"PS00", ["cut"]), (b"NO", ["unidentified"]), (b"\r\n", []), (b"", [])])
def test_the_end_tells_what_was_begun(data: bytes, cause: list[str]) -> None:
    codec = STATION.codec()
    codec.receive(data, 0.0)
    assert [event.cause for event in codec.end()] == cause  # type: ignore[union-attr]


def test_an_identity_given_is_a_dtu_that_has_registered() -> None:
    for identity in ("SIM000042", "SIM000042/1"):
        codec = MODBUS.codec(identity)
        assert codec.deadline == 0.0


@pytest.mark.parametrize("hex_text", ["110306ae415652434049ad", "000100000009110306ae4156524340"], ids=["rtu", "mbap"])
def test_of_an_identity_in_no_map_frames_are_looked_at_and_nothing_is_asked(hex_text: str) -> None:
    codec = MODBUS.codec("XYZ")
    (message,) = codec.receive(bytes.fromhex(hex_text), 0.0)
    assert (message.identity, MODBUS.kind_name(message.kind)) == ("XYZ", "unasked_frame")  # type: ignore[union-attr]
    (report,) = MODBUS.decode(message).reports  # type: ignore[arg-type]
    assert report.values["registers"] == [0xAE41, 0x5652, 0x4340]
    assert codec.deadline is None


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("SIM[0-9]{6}", ["SIM000000", "SIM999999"], ["SIM00000", "SIM00000A", "sim000000", "XSIM000000"]),
        ("A?B", ["B", "AB"], ["AAB", "A"]),
        ("[A-C]{2,3}x", ["ABx", "ABCx"], ["Ax", "ABCAx", "ABD"]),
        (r"\d{2}\.\d", ["12.3"], ["12x3"]),
        ("..", ["ab", "~!"], ["a/", "a b"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("测", [], []),
    ],
)
def test_patterns(text: str, good: list[str], bad: list[str]) -> None:
    if not good:
        with pytest.raises(ValueError, match=r"."):
            pattern(text)
        return
    rule = pattern(text)
    for one in good:
        assert rule.match(one.encode(), 0).end == len(one), one
        assert rule.match(b"zz" + one.encode(), 2).end == len(one) + 2
        assert all(rule.match(one[:cut].encode(), 0).may_grow for cut in range(len(one)))
    for one in bad:
        assert rule.match(one.encode(), 0).end != len(one), one
    assert {rule.match(rule.example(n), 0).end for n in range(50)} == {len(rule.example(0))}


@pytest.mark.parametrize("text", ["", "a*", "a+", "(a)", "a|b", "a{0,3}", "[0-9]{65}", "a{3,2}", "[9-0]", "a/b", "^a", "[", "a{2"])
def test_patterns_without_an_end_or_a_meaning_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        pattern(text)


def test_an_exact_rule_matches_itself_alone() -> None:
    rule = exact(b"AB", "AB")
    assert rule.match(b"AB", 0) == (2, False)
    assert rule.match(b"A", 0) == (0, True)
    assert rule.match(b"AC", 0) == (0, False)
