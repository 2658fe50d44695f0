from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import Malformed, Message, Outcome, Send
from protocols.gb32960 import GB32960
from protocols.gb32960.header import MAX_DATA_BYTES, close_frame, frame, unique_id
from tests.held import held_bytes
from tests.protocols.commands import sent_down
from tests.protocols.gb32960.frames import BODIES, MOMENT, NOON, REPORT, TIME, VIN, decoded, only, receive, up

PLATFORM = "PLATFORM000000001"
PLATFORM_LOGIN = TIME + b"\0\x01" + b"fleet".ljust(12, b"\0") + b"secret".ljust(20, b"\0") + b"\x01"
LOGIN = TIME + b"\0\x01" + b"8" * 20 + b"\0\0"


def ack(data: bytes, outcome: Outcome = Outcome.STORED, protocol=GB32960) -> bytes:
    return protocol.codec().ack(only(data), outcome, NOON)


def damaged(data: bytes, at: int = -2) -> bytes:
    bad = bytearray(data)
    bad[at] ^= 0x10
    return bytes(bad)


def test_codec_never_wants_to_be_woken() -> None:
    codec = GB32960.codec()
    assert codec.deadline is None
    assert codec.wake(1.0) == []


@pytest.mark.parametrize(
    ("id", "identity"),
    [
        (b"LZZTEST0000000001", VIN),
        (b"H8220650000000000", "H8220650000000000"),
        (b"ABC".ljust(17, b"\0"), "ABC"),
        (b"ABC".ljust(17), "ABC"),
        (b"  A C".rjust(17), "A C"),
        (bytes(17), None),
        (b" " * 17, None),
        (b"LZZ\x01EST0000000001", None),
        (b"LZZ\xb2\xe2ST0000000001", None),
    ],
)
def test_any_printable_id_is_taken_and_answered_as_it_came(id: bytes, identity: str | None) -> None:
    (event,) = receive(frame(b"##", 0x02, 0xFE, id, REPORT))
    if identity is None:
        assert isinstance(event, Malformed)
        assert event.cause == "header"
        return
    assert isinstance(event, Message)
    assert event.identity == identity
    assert GB32960.codec().ack(event, Outcome.STORED, NOON)[4:21] == id


@pytest.mark.parametrize("command", [0x09, 0x0C, 0x7F, 0xC0, 0xFD])
def test_unknown_command_is_kept_and_answered(command: int) -> None:
    data = up(command, TIME + b"xyz")
    assert ack(data) == up(command, TIME, flag=0x01)
    found = GB32960.decode(only(data))
    assert found.reports == []
    assert found.error is not None
    assert found.error.cause == "unknown-kind"


@pytest.mark.parametrize("command", [0x80, 0x81, 0x82, 0x83, 0xBF])
def test_commands_of_platforms_are_not_answered(command: int) -> None:
    assert ack(up(command, TIME)) == b""


def test_what_is_shorter_than_a_time_is_answered_with_what_there_is() -> None:
    assert ack(up(0x02, b"\x1a\x03")) == up(0x02, b"\x1a\x03", flag=0x01)
    assert ack(up(0x08), Outcome.STORED) == up(0x08, bytes.fromhex("1a03010c0000"), flag=0x01)


def test_impossible_time_is_answered_as_it_came() -> None:
    assert ack(up(0x02, b"\xff" * 9)) == up(0x02, b"\xff" * 6, flag=0x01)


@pytest.mark.parametrize("encryption", [0x02, 0x03, 0x04, 0x05, 0xFE, 0xFF, 0x00])
def test_encrypted_data_is_kept_and_answered_without_data(encryption: int) -> None:
    head = up(0x02, REPORT)[:24]
    data = close_frame(head[:21] + bytes((encryption,)) + head[22:], REPORT)
    message = only(data)
    assert message.body == REPORT
    found = GB32960.decode(message)
    assert found.reports == []
    assert found.error is not None
    assert found.error.cause == "encrypted"
    assert ack(data) == up(0x02, flag=0x01)
    echo = GB32960.configure({"answer": "echo"})
    assert ack(data, protocol=echo) == up(0x02, flag=0x01)
    assert "the data unit is encrypted" in [leaf.error for leaf in GB32960.explain(data).leaves()]


def test_head_of_another_protocol_is_no_message_of_ours() -> None:
    message = only(up(0x02, REPORT))._replace(head=b"\x02\x00")
    assert GB32960.codec().ack(message, Outcome.STORED, NOON) == b""
    found = GB32960.decode(message)
    assert found.error is not None
    assert found.error.cause == "header"


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_clock_that_is_not_set_sets_no_other(year: int) -> None:
    time = NOON.replace(year=year)
    assert GB32960.codec().ack(only(up(0x08)), Outcome.STORED, time) == b""
    assert GB32960.codec().ack(only(up(0x07)), Outcome.STORED, time) == up(0x07, flag=0x01)


@pytest.mark.parametrize("command", [0x01, 0x02, 0x03, 0x04, 0x07, 0x08])
def test_refused_vehicle_of_2016_hears_nothing(command: int) -> None:
    assert ack(up(command, LOGIN), Outcome.REFUSED) == b""


@pytest.mark.parametrize("command", [0x01, 0x02, 0x03, 0x04])
def test_refused_vehicle_of_2025_hears_that_it_is_unknown(command: int) -> None:
    assert ack(up(command, LOGIN, start=b"$$"), Outcome.REFUSED) == up(command, TIME, flag=0x04, start=b"$$")


def test_refused_platform_hears_of_an_error() -> None:
    for start in (b"##", b"$$"):
        refused = ack(up(0x05, PLATFORM_LOGIN, PLATFORM, start=start), Outcome.REFUSED)
        assert refused == up(0x05, TIME, PLATFORM, flag=0x02, start=start)


def test_platform_carries_vehicles_and_is_told_of_refused_ones() -> None:
    codec = GB32960.codec()
    vehicles = ["LZZTEST0000000001", "LZZTEST0000000002"]
    data = up(0x05, PLATFORM_LOGIN, PLATFORM) + b"".join(up(0x01, LOGIN, vin) + up(0x02, REPORT, vin) for vin in vehicles)
    messages = [event for event in codec.receive(data, 0.0) if isinstance(event, Message)]
    assert [message.identity for message in messages] == [PLATFORM, *(vin for vin in vehicles for _ in range(2))]
    assert codec.ack(messages[1], Outcome.REFUSED, NOON) == up(0x01, TIME, vehicles[0], flag=0x02)
    assert codec.ack(messages[2], Outcome.REFUSED, NOON) == b""
    assert codec.ack(messages[4], Outcome.STORED, NOON) == up(0x02, TIME, vehicles[1], flag=0x01)


def test_password_is_shown_nowhere() -> None:
    data = up(0x05, PLATFORM_LOGIN, PLATFORM)
    (report,) = GB32960.decode(only(data)).reports
    assert report.values == {"login_serial": 1, "username": "fleet", "encryption": "none"}
    secrets = [leaf for leaf in GB32960.explain(data).leaves() if leaf.is_secret]
    assert [(leaf.name, leaf.value) for leaf in secrets] == [("password", None)]


def test_damaged_report_is_asked_for_again_at_once() -> None:
    codec = GB32960.codec()
    codec.receive(up(0x01, LOGIN), 0.0)
    malformed, again = codec.receive(damaged(up(0x02, REPORT)), 0.0)
    assert isinstance(malformed, Malformed)
    assert malformed.cause == "checksum"
    assert again == Send(bytes.fromhex("232302024c5a5a54455354303030303030303030310100061a03050e1e2d7d"))
    assert [type(event) for event in codec.receive(up(0x02, REPORT), 0.0)] == [Message]


@pytest.mark.parametrize(
    "data",
    [
        up(0x02, REPORT, "LZZTEST0000000002"),
        up(0x02, REPORT, flag=0x01),
        up(0x07),
        up(0x80, TIME),
        up(0x80, TIME, flag=0x01),
    ],
    ids=["another vehicle's", "an answer", "a heartbeat", "a command", "an answer to one"],
)
def test_other_damaged_frames_are_dropped_in_silence(data: bytes) -> None:
    codec = GB32960.codec()
    codec.receive(up(0x01, LOGIN), 0.0)
    assert [type(event) for event in codec.receive(damaged(data, -1), 0.0)] == [Malformed]


def test_damaged_frame_of_a_stranger_is_not_answered() -> None:
    assert [type(event) for event in receive(damaged(up(0x02, REPORT)))] == [Malformed]
    codec = GB32960.codec(VIN)
    assert [type(event) for event in codec.receive(damaged(up(0x02, REPORT)), 0.0)] == [Malformed, Send]


def test_damaged_encrypted_report_is_asked_for_without_its_time() -> None:
    head = up(0x02, REPORT)[:24]
    data = close_frame(head[:21] + b"\x03" + head[22:], REPORT)
    codec = GB32960.codec(VIN)
    _, again = codec.receive(damaged(data), 0.0)
    assert again == Send(up(0x02, flag=0x02))


def test_by_annex_b_reports_are_not_answered_but_all_else_is() -> None:
    silent = GB32960.configure({"answers_reports": False})
    assert ack(up(0x02, REPORT), protocol=silent) == ack(up(0x03, REPORT), protocol=silent) == b""
    assert ack(up(0x01, LOGIN), protocol=silent) == up(0x01, TIME, flag=0x01)
    assert ack(up(0x07), protocol=silent) == up(0x07, flag=0x01)
    # Silence is not what it hears of damage.
    codec = silent.codec(VIN)
    assert [type(event) for event in codec.receive(damaged(up(0x02, REPORT)), 0.0)] == [Malformed, Send]


def test_echo_is_for_2016_only() -> None:
    echo = GB32960.configure({"answer": "echo"})
    assert ack(up(0x02, REPORT), protocol=echo) == up(0x02, REPORT, flag=0x01)
    assert ack(up(0x02, REPORT, start=b"$$"), protocol=echo) == up(0x02, TIME, flag=0x01, start=b"$$")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"answer": "none"}, "answer: 'none' is not time or echo"),
        ({"answers_reports": 1}, "answers_reports: 1 is not true or false"),
        ({"answers_reports": "no"}, "answers_reports: 'no' is not true or false"),
        ({"datum": "bd09"}, "datum: 'bd09' is not wgs84 or gcj02"),
        ({"frame_limit_bytes": 100}, "frame_limit_bytes: 100 is not 1024 to 65556"),
        ({"frame_limit_bytes": True}, "frame_limit_bytes: True is not 1024 to 65556"),
        ({"frame_limit_bytes": 2048.0}, "frame_limit_bytes: 2048.0 is not 1024 to 65556"),
        ({"speed": 1}, "speed: GB/T 32960 has no such option, but answer, answers_reports, datum, frame_limit_bytes"),
    ],
)
def test_wrong_options_are_refused_with_what_they_may_be(table: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match="^" + text + "$"):
        GB32960.configure(table)


def test_options_add_up_and_leave_the_protocol_alone() -> None:
    configured = GB32960.configure({"answer": "echo"}).configure({"frame_limit_bytes": 65556})
    assert (configured.options.answer, configured.options.frame_limit_bytes) == ("echo", 65556)
    assert GB32960.options.answer == "time"


def test_frames_longer_than_the_limit_are_not_waited_for() -> None:
    long = up(0x02, TIME + b"\x80\x20\x00" + bytes(0x2000))
    events = receive(long[:100])
    assert [event.cause for event in events if isinstance(event, Malformed)] == ["oversized"]
    roomy = GB32960.configure({"frame_limit_bytes": 65556}).codec()
    assert len(roomy.receive(long, 0.0)) == 1
    assert len(roomy.receive(up(0x02, bytes(MAX_DATA_BYTES)), 0.0)) == 1
    with pytest.raises(ValueError, match="65532 bytes does not fit"):
        up(0x02, bytes(MAX_DATA_BYTES + 1))


def test_both_editions_on_one_link_each_answered_with_its_mark() -> None:
    codec = GB32960.codec()
    data = up(0x02, REPORT) + up(0x07, start=b"$$") + up(0x07)
    acks = [codec.ack(event, Outcome.STORED, NOON)[:2] for event in codec.receive(data, 0.0) if isinstance(event, Message)]
    assert acks == [b"##", b"$$", b"##"]


def test_command_leaves_in_the_edition_of_the_device() -> None:
    head = only(up(0x07, start=b"$$")).head
    sent = sent_down(GB32960.codec(), head, 0x82, TIME + b"\x03")
    assert sent == up(0x82, TIME + b"\x03", start=b"$$")
    for kind in (0, 0x180, 0xFE):
        with pytest.raises(ValueError, match="is no command"):
            sent_down(GB32960.codec(), head, kind, b"")
    with pytest.raises(ValueError, match="no header has 1 bytes"):
        sent_down(GB32960.codec(), b"#", 0x80, b"")
    with pytest.raises(ValueError, match="does not fit a frame"):
        sent_down(GB32960.codec(), head, 0x80, bytes(65532))


def test_activation_is_answered_with_its_own_message() -> None:
    body = TIME + b"CHIP".ljust(16) + b"\0\x03key" + VIN.encode() + b"\x01\0\x01r\0\x01s"
    data = up(0x09, body, start=b"$$")
    assert ack(data) == up(0x0A, b"\x01\x00", flag=0x01, start=b"$$")
    (report,) = GB32960.decode(only(data)).reports
    assert report.time == MOMENT
    assert report.values == {
        "chip_id": "CHIP",
        "public_key": b"key".hex(),
        "vin": VIN,
        "signature": {"kind": "sm2", "r": "72", "s": "73"},
    }


def test_key_is_secret_and_answered_without_data() -> None:
    body = b"\x05\0\x10" + bytes(range(16)) + TIME + TIME
    data = up(0x0B, body, start=b"$$")
    assert ack(data) == up(0x0B, flag=0x01, start=b"$$")
    (report,) = GB32960.decode(only(data)).reports
    assert report.values["key_kind"] == "sm4"
    assert "key" not in report.values
    assert GB32960.decode(only(up(0x0B, flag=0x01, start=b"$$"))).reports[0].values == {"result": "success"}


def test_messages_of_2025_do_not_exist_in_2016() -> None:
    found = GB32960.decode(only(up(0x0B, bytes(40))))
    assert found.error is not None
    assert found.error.text == "edition 2016 has no message 0x0B"


def test_end_tells_of_a_frame_that_was_cut() -> None:
    codec = GB32960.codec()
    codec.receive(up(0x02, REPORT)[:-1], 0.0)
    assert [event.cause for event in codec.end() if isinstance(event, Malformed)] == ["cut"]
    assert GB32960.codec().end() == []


def test_every_cut_of_a_frame_is_no_message() -> None:
    data = up(0x02, REPORT)
    for cut in range(len(data)):
        assert receive(data[:cut]) == []


def test_every_cut_of_a_body_is_an_error_at_its_place_or_a_shorter_report() -> None:
    ends = list(accumulate((len(body) for body in BODIES), initial=6))
    for cut in range(len(REPORT)):
        found = decoded(REPORT[6:cut]) if cut >= 6 else GB32960.decode(only(up(0x02, REPORT[:cut])))
        if cut < 6:
            assert found.error is not None
            assert (found.reports, found.error.cause, found.error.path) == ([], "truncated", "time")
        else:
            assert len(found.reports) == 1
            assert found.reports[0].time == MOMENT
            assert found.error is None or found.error.path.startswith("bodies[")
    assert [cut for cut in range(6, len(REPORT) + 1) if decoded(REPORT[6:cut]).error is None] == ends


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(b"##"), st.just(up(0x07)), st.just(up(0x02, REPORT)[:50])), max_size=12))
def test_garbage_neither_raises_nor_stays(chunks: list[bytes]) -> None:
    codec = GB32960.codec(VIN)
    for chunk in chunks:
        for event in codec.receive(chunk, 0.0):
            if isinstance(event, Message):
                GB32960.decode(event)
                codec.ack(event, Outcome.STORED, NOON)
    assert held_bytes(codec) <= 9000
    codec.end()


@given(
    st.binary(max_size=400), st.integers(0, 255), st.sampled_from([0x01, 0x02, 0x1F, 0xFE, 0xFF]), st.sampled_from([b"##", b"$$"])
)
def test_any_data_unit_is_decoded_explained_and_answered(body: bytes, command: int, flag: int, start: bytes) -> None:
    data = frame(start, command, flag, unique_id(VIN), body)
    message = only(data)
    found = GB32960.decode(message)
    assert found.reports or found.error
    tree = GB32960.explain(data)
    assert b"".join(leaf.raw for leaf in tree.leaves()) == data
    GB32960.codec().ack(message, Outcome.STORED, NOON)


@pytest.mark.parametrize("identity", ["", "X" * 18, "LZZ\x01", " A", "é"])
def test_identities_that_no_frame_can_carry(identity: str) -> None:
    with pytest.raises(ValueError, match="is no VIN"):
        GB32960.terminal(identity)
