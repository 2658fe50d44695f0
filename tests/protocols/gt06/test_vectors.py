"""The frames of gt06_server's own tests: each that is well formed, in the direction it goes.

Of six, four are strict. The fifth, a heartbeat, and the sixth, which begins with it, have a wrong length and a wrong
check: a strict link drops them, and a lenient one takes them (the vendor's own document has the heartbeat like that).
"""

from __future__ import annotations

from protocols import Malformed, Message, Outcome
from protocols.gt06 import GT06
from tests.protocols.gt06.frames import NOW

UP = {
    "78780d01012345678901234500018cdd0d0a": ("login", 1),
    "78781f120b081d112e10cc027ac7eb0c46584900148f01cc00287d001fb8000373770d0a": ("location_local", 3),
    "787825160b0b0f0e241dcf027ac8870c4657e60014020901cc00287d001f726506040101003656a40d0a": ("alarm_local", 54),
}
ACK = "787805010001d9dc0d0a"
WRONG_HEARTBEAT = bytes.fromhex("787808134b040300010011061f0d0a")
SEVERAL = WRONG_HEARTBEAT + bytes.fromhex(list(UP)[2])


def test_all_three_of_the_device_and_the_one_of_the_server() -> None:
    codec = GT06.codec()
    opened = [event for raw in UP for event in codec.receive(bytes.fromhex(raw), 0.0)]
    assert [(GT06.kind_name(each.kind), each.sequence) for each in opened] == list(UP.values())
    assert {each.identity for each in opened} == {"123456789012345"}
    assert codec.ack(opened[0], Outcome.STORED, NOW).hex() == ACK
    for each in opened:
        assert GT06.decode(each).error is None


def test_the_wrong_heartbeat_is_dropped_by_a_strict_link_and_costs_no_other() -> None:
    codec = GT06.codec("123456789012345")
    events = codec.receive(SEVERAL, 0.0)
    assert [GT06.kind_name(each.kind) for each in events if isinstance(each, Message)] == ["alarm_local"]
    assert isinstance(events[0], Malformed)


def test_the_wrong_heartbeat_is_taken_by_a_lenient_link() -> None:
    codec = GT06.configure({"check": "lenient"}).codec("123456789012345")
    heartbeat, alarm = codec.receive(SEVERAL, 0.0)
    assert (GT06.kind_name(heartbeat.kind), heartbeat.sequence) == ("heartbeat", 17)
    assert GT06.kind_name(alarm.kind) == "alarm_local"
    values = GT06.decode(heartbeat).reports[0].values
    assert (values["oil_cut"], values["gps_tracking"], values["charging"]) == (False, True, False)
    assert (values["ignition"], values["armed"], values["alarm_state"]) == (True, True, "vibration")
    assert (values["voltage_level"], values["signal"]) == (4, 3)
