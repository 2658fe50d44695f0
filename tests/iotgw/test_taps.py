"""Taps: what is shown of a device, to whom, for how long, and that nothing is done when nobody watches."""

from __future__ import annotations

import structlog

from iotgw.link import Link
from iotgw.taps import MAX_TAPS, TELL_SECONDS
from protocols import Event, Message, Outcome, RawFrame, Send
from tasks.contract import FRAMES_A_SECOND, RENEW_SECONDS, SHOWN_BYTES, TAP_SECONDS, Tap, TapLine
from tests.iotgw.fakes import AskingProtocol, FakeTapPublisher, House, LineCodec, LineProtocol


class Watching:
    """A gateway, and somebody who watches devices on it."""

    def __init__(self, protocol: LineProtocol | None = None, **settings: object) -> None:
        self.house = House(protocol, **settings)
        self.publisher = FakeTapPublisher()
        self.gateway = self.house.gateway
        self.gateway.taps.publish_with(self.publisher)

    def watch(self, *identities: str) -> None:
        for identity in identities:
            self.gateway.taps.renew(Tap("line", identity))

    def device(self, *identities: str) -> Link:
        """A link with sessions of these devices."""
        link, _ = self.house.connect()
        self.house.say(link, *(f"{identity} 1 hello" for identity in identities))
        self.house.commit()
        return link

    def lines(self, identity: str = "dev") -> list[TapLine]:
        return [entry.line for entry in self.publisher.entries if entry.tap.identity == identity and entry.line is not None]

    def shown(self, identity: str = "dev") -> list[str]:
        """What was shown of a device, in short."""
        arrows = {"up": "<", "down": ">"}
        return [
            " ".join(filter(None, (arrows[line.direction], line.kind, line.cause, line.data.decode().strip())))
            for line in self.lines(identity)
        ]

    def not_shown(self) -> int:
        return sum(entry.not_shown for entry in self.publisher.entries)


def test_both_directions_are_shown_of_a_device_that_is_watched():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    watching.house.say(link, "dev 2 a", "junk")
    watching.house.commit(dev=Outcome.QUARANTINED)
    assert watching.shown() == ["< 2 dev 2 a", "< line junk", "> ack quarantined dev:2 QUARANTINED"]
    (up, *_, down) = watching.lines()
    assert (up.data, up.length) == (b"dev 2 a\n", 8)
    assert down.length == len(b"dev:2 QUARANTINED\n")
    assert down.time_ms >= up.time_ms > 1_600_000_000_000


def test_while_nobody_watches_links_have_no_tap_and_codecs_are_not_watched():
    watching = Watching()
    link = watching.device("dev")
    assert link.tap is None
    assert not link._codec.is_watched
    watching.watch("dev")
    assert link._codec.is_watched
    other = watching.device("other")
    assert other.tap is None, "the device that is watched is here already"
    watching.house.pass_time(TAP_SECONDS + 1)
    assert link.tap is None
    assert not link._codec.is_watched
    watching.house.say(link, "dev 2 a")
    watching.house.commit()
    assert watching.shown() == []
    assert len(watching.gateway.taps) == 0


def test_a_tap_lasts_as_long_as_it_is_asked_for():
    watching = Watching()
    link = watching.device("dev")
    for _ in range(5):
        watching.watch("dev")
        watching.house.pass_time(RENEW_SECONDS)
    watching.house.say(link, "dev 2 a")
    assert watching.shown() == ["< 2 dev 2 a"]
    watching.house.pass_time(TAP_SECONDS - RENEW_SECONDS)
    watching.house.say(link, "dev 2 b")
    assert len(watching.shown()) == 1
    assert watching.house.statistics["taps.begun"] == 1


def test_a_device_is_waited_for_and_shown_from_its_first_byte():
    watching = Watching()
    watching.watch("dev")
    link, _ = watching.house.connect()
    watching.house.say(link, "dev 1 hello")
    assert watching.shown() == ["< 1 dev 1 hello"]
    watching.house.commit()
    assert watching.shown() == ["< 1 dev 1 hello", "> ack dev:1 STORED"]


def test_a_device_that_is_not_let_in_is_shown():
    watching = Watching()
    watching.watch("dev")
    link, _ = watching.house.connect()
    watching.house.say(link, "dev 1 hello")
    watching.house.commit(dev=Outcome.REFUSED)
    watching.house.say(link, "dev 1 again")
    assert watching.shown() == ["< 1 dev 1 hello", "> ack refused dev:1 REFUSED", "< 1 dev 1 again"]


def test_a_new_link_that_is_another_device_s_is_watched_no_more():
    watching = Watching()
    watching.watch("dev")
    link = watching.device("other")
    assert link.tap is None
    assert watching.publisher.entries == []


def test_a_link_is_watched_for_as_long_as_any_device_is_waited_for():
    watching = Watching()
    watching.watch("dev")
    watching.house.pass_time(RENEW_SECONDS)
    watching.watch("later")
    link, _ = watching.house.connect()
    watching.house.pass_time(TAP_SECONDS - RENEW_SECONDS)
    assert len(watching.gateway.taps) == 1
    watching.house.say(link, "later 1 hello")
    assert watching.shown("later") == ["< 1 later 1 hello"]
    silent, _ = watching.house.connect()
    watching.house.pass_time(TAP_SECONDS)
    assert silent.tap is None


def test_a_device_is_followed_from_link_to_link():
    watching = Watching()
    old = watching.device("dev")
    watching.watch("dev")
    new = watching.device("dev")
    assert not old.is_open
    watching.house.say(new, "dev 2 a")
    assert watching.shown()[-1] == "< 2 dev 2 a"
    new.close("kicked")
    new.connectionLost()
    again = watching.device("dev")
    watching.house.say(again, "dev 2 b")
    assert watching.shown()[-1] == "< 2 dev 2 b"
    watching.house.pass_time(TAP_SECONDS)
    assert again.tap is None
    assert not watching.gateway.taps._links, "nor is a link kept that has closed"


def test_what_a_link_ends_with_is_shown():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    link.dataReceived(b"dev 2 ha")
    link.connectionLost()
    assert watching.shown() == ["< cut dev 2 ha"]


def test_of_a_shared_link_only_the_frames_are_shown_that_name_the_device():
    watching = Watching()
    link = watching.device("dev", "other")
    watching.watch("dev")
    watching.house.say(link, "other 2 secret", "junk of somebody", "dev 2 a", "other 2 secret")
    watching.house.commit()
    assert watching.shown() == ["< 2 dev 2 a", "> ack dev:4 STORED"]


def test_a_link_on_which_another_device_says_something_is_the_device_s_alone_no_more():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    watching.house.say(link, "junk 1", "other 2 secret", "junk 2")
    assert watching.shown() == ["< line junk 1"], "though the other one has no session yet"


def test_two_devices_of_a_link_are_shown_apart():
    watching = Watching()
    link = watching.device("dev", "other")
    watching.watch("dev", "other")
    watching.house.say(link, "other 2 a", "dev 2 b")
    assert (watching.shown("dev"), watching.shown("other")) == (["< 2 dev 2 b"], ["< 2 other 2 a"])
    watching.house.pass_time(RENEW_SECONDS)
    watching.watch("dev")
    watching.house.pass_time(TAP_SECONDS - RENEW_SECONDS)
    watching.house.say(link, "other 2 a", "dev 2 b")
    assert (len(watching.shown("dev")), len(watching.shown("other"))) == (2, 1)


def test_the_line_behind_a_device_is_its_own():
    watching = Watching()
    link = watching.device("dtu", "dtu/1", "dtu/2")
    watching.watch("dtu", "dtu/1")
    watching.house.say(link, "dtu/1 2 a", "dtu/2 2 b", "junk")
    assert watching.shown("dtu") == ["< 2 dtu/1 2 a", "< 2 dtu/2 2 b", "< line junk"]
    assert watching.shown("dtu/1") == ["< 2 dtu/1 2 a"]


def test_a_device_that_is_called_like_a_unit_of_another_is_not_shown_as_one():
    watching = Watching()
    watching.device("dtu")
    watching.watch("dtu", "dtu/1")
    stranger = watching.device("dtu/1")
    watching.house.say(stranger, "dtu/1 2 secret")
    assert watching.shown("dtu") == []
    assert watching.shown("dtu/1")[-1] == "< 2 dtu/1 2 secret"


def test_what_a_codec_sends_by_itself_is_shown():
    watching = Watching(AskingProtocol())
    link = watching.device("dev")
    watching.watch("dev")
    watching.house.say(link, "? hello", "? poll 10")
    watching.house.pass_time(11)
    assert watching.shown() == ["> welcome", "> poll 1"]


def test_fifty_lines_a_second_are_shown_and_the_others_counted():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    watching.house.say(link, *(f"dev 2 {number}" for number in range(FRAMES_A_SECOND + 20)))
    assert len(watching.lines()) == FRAMES_A_SECOND
    watching.house.clock.advance(TELL_SECONDS)
    assert watching.not_shown() == 20, "told though nothing else is to be told"
    watching.house.say(link, "dev 2 a")
    assert watching.shown()[-1] == "< 2 dev 2 a"
    assert watching.not_shown() == 20
    assert watching.house.statistics["taps.not_shown"] == 20
    assert watching.house.statistics["taps.lines"] == FRAMES_A_SECOND + 1


def test_what_finds_no_room_is_counted():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    watching.publisher.has_room = False
    watching.house.say(link, "dev 2 a", "dev 2 b")
    watching.house.pass_time(3 * TELL_SECONDS)
    watching.publisher.has_room = True
    watching.house.say(link, "dev 2 c")
    assert watching.shown() == ["< 2 dev 2 c"]
    assert watching.not_shown() == 2


def test_what_could_not_be_published_is_counted():
    watching = Watching()
    watching.device("dev")
    watching.watch("dev")
    watching.publisher.on_lost(Tap("line", "dev"), 3, 4)
    watching.publisher.on_lost(Tap("line", "gone"), 3, 4)
    watching.house.clock.advance(TELL_SECONDS)
    assert watching.not_shown() == 7
    assert watching.house.statistics["taps.not_shown"] == 3, "the others were counted when they were left out"


def test_a_tap_that_nobody_listens_to_ends_unless_somebody_came_meanwhile():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    watching.house.say(link, "dev 2 a")
    (entry,) = watching.publisher.entries
    watching.watch("dev")
    watching.publisher.on_unheard(entry.tap, entry.asked)
    assert link.tap is not None
    watching.house.say(link, "dev 2 b")
    entry = watching.publisher.entries[-1]
    watching.publisher.on_unheard(entry.tap, entry.asked)
    assert link.tap is None
    assert len(watching.gateway.taps) == 0


def test_only_so_many_devices_are_watched_at_once():
    watching = Watching()
    watching.watch(*(f"dev{number}" for number in range(MAX_TAPS + 1)))
    assert len(watching.gateway.taps) == MAX_TAPS
    assert watching.house.statistics["taps.refused"] == 1
    watching.watch("dev0")
    assert watching.house.statistics["taps.refused"] == 1, "those that are go on"
    assert watching.gateway.snapshot()["taps"] == MAX_TAPS


def test_of_a_long_frame_the_beginning_is_shown_and_its_length():
    watching = Watching()
    link = watching.device("dev")
    watching.watch("dev")
    watching.house.say(link, "dev 2 " + "x" * SHOWN_BYTES)
    (line,) = watching.lines()
    assert (len(line.data), line.length) == (SHOWN_BYTES, SHOWN_BYTES + 7)


def test_a_frame_of_which_nothing_comes_is_shown():
    class Codec(LineCodec):
        def receive(self, data: bytes, now: float) -> list[Event]:
            return [RawFrame(b"piece\n"), RawFrame(data), Message("dev", 1, 1, b"", b""), Send(b"sent\n"), RawFrame(b"piece\n")]

    class Protocol(LineProtocol):
        def codec(self, identity: str = "") -> LineCodec:
            return Codec()

    watching = Watching(Protocol())
    watching.watch("dev")
    link, transport = watching.house.connect()
    watching.house.say(link, "dev 1 a")
    assert watching.shown() == ["< 1 dev 1 a", "> sent", "< piece"], "the first might have been anybody's"
    assert transport.value() == b"sent\n"


def test_a_fault_in_what_is_shown_ends_the_tap_and_not_the_link():
    class Protocol(LineProtocol):
        def kind_name(self, kind: int) -> str:
            raise LookupError(kind)

    watching = Watching(Protocol())
    link = watching.device("dev")
    watching.watch("dev")
    with structlog.testing.capture_logs() as logs:
        watching.house.say(link, "dev 2 secret", "dev 2 secret")
    assert [(line["event"], line["log_level"]) for line in logs] == [("tap failed", "error")]
    assert "secret" not in repr(logs)
    watching.house.commit()
    assert link.is_open
    assert link.tap is None
    assert watching.house.statistics["messages.settled"] == 3
    link.connectionLost()
    assert not watching.gateway.taps._links


def test_a_gateway_that_stops_leaves_no_timer():
    watching = Watching()
    watching.watch("dev", "other")
    watching.house.gateway.stop()
    assert watching.house.clock.getDelayedCalls() == []
