"""Commands on their way down: who gets which, once, whatever is lost, closes or comes between."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from iotgw.commandbook import SETTLED_SECONDS
from iotgw.commanding import MOST_ROUNDS, MOST_SENDING_BYTES, RETRY_SECONDS, SOON_SECONDS
from iotgw.offload import TaskFailedError, TaskTimedOutError, TooManyCallsError
from iotgw.sessions import Session
from protocols import Event, Send
from protocols.command import Prepared
from protocols.jt808 import JT808
from tasks.contract import MOST_COMMANDS, Asking, CommandsWaiting, Fault, Leaving, Ready, Unsent
from tests.iotgw.fakes import FakeBook, House
from tests.protocols.jt808.frames import up

DEV = ("line", "dev")


@pytest.fixture
def book() -> FakeBook:
    return FakeBook()


@pytest.fixture
def house(book: FakeBook) -> House:
    house = House(gateway_id="gw")
    house.marks.commands = book
    house.gateway.wondering.ask_of(house.marks)
    house.gateway.commanding.ask_of(book)
    return house


class Board:
    """A device on a link that it has just opened."""

    def __init__(self, house: House, identity: str = "dev") -> None:
        self.house = house
        self.link, self.transport = house.connect()
        house.say(self.link, f"{identity} 1 hello")
        house.commit()
        self.heard()

    def heard(self) -> list[str]:
        """What it was told since, without acks."""
        lines = self.transport.value().decode().splitlines()
        self.transport.clear()
        return [line for line in lines if ":" not in line]

    def leave(self) -> None:
        self.transport.finish()


def nudge(house: House, identity: str = "dev") -> None:
    house.gateway.commanding.look_again(CommandsWaiting("line", identity))
    house.clock.advance(0)


def states(book: FakeBook) -> list[str]:
    return [row.state for row in book.rows.values()]


def is_idle(house: House) -> bool:
    return len(house.gateway.commanding) == 0


def test_what_waits_is_written_soon_after_a_device_comes_and_once(house: House, book: FakeBook) -> None:
    book.add(7, *DEV)
    board, other = Board(house), Board(house, "other")
    house.pass_time(60)
    assert (board.heard(), other.heard()) == (["1 5 go"], [])
    assert house.marks.asked == [[DEV, ("line", "other")]]
    asked = ("next_commands", [Asking("line", "dev", b"")])
    assert book.told == [asked, ("sending", [Leaving(7, 1, b"1 5 go\n")]), asked]
    assert (book.rows[7].state, house.statistics["commands.launched"]) == ("sent", 1)
    assert is_idle(house)


def test_devices_for_which_nothing_waits_cost_a_share_of_one_question(house: House, book: FakeBook) -> None:
    for number in range(20):
        Board(house, f"dev-{number}")
    house.pass_time(60)
    assert [len(devices) for devices in house.marks.asked] == [20]
    assert book.told == []


def test_while_redis_is_away_it_is_asked_again_for_those_who_are_here(house: House, book: FakeBook) -> None:
    book.add(7, *DEV)
    house.marks.error = OSError("away")
    board, gone = Board(house), Board(house, "gone")
    gone.leave()
    house.pass_time(1)
    house.marks.error = None
    house.pass_time(RETRY_SECONDS)
    assert board.heard() == ["1 5 go"]
    assert house.marks.asked[1:] == [[DEV]]
    assert house.statistics["wondering.not_answered"] == 1


def test_a_device_that_is_here_is_told_when_there_is_word_of_it(house: House, book: FakeBook) -> None:
    board = Board(house)
    house.pass_time(1)
    book.add(7, *DEV)
    book.add(8, "line", "elsewhere")
    nudge(house)
    nudge(house, "elsewhere")
    assert board.heard() == ["1 5 go"]
    assert {each.identity for asking in book.asked("next_commands") for each in asking} == {"dev"}


def test_commands_of_a_device_leave_in_their_order(house: House, book: FakeBook) -> None:
    board = Board(house)
    for command in range(3):
        book.add(command, *DEV, body=b"%d" % command)
    nudge(house)
    assert board.heard() == ["1 5 0", "2 5 1", "3 5 2"]
    assert len(book.asked("sending")) == 1


def test_nothing_is_written_before_it_is_granted(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    house.pass_time(10)
    assert board.heard() == []
    book.hand_over()
    assert board.heard() == ["1 5 go"]


def test_what_is_not_granted_is_not_written_and_the_next_one_is_asked_for_soon(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["next_commands"] = book.hold
    nudge(house)
    book.rows[7].state = "cancelled"
    book.add(8, *DEV, body=b"next")
    del book.answers["next_commands"]
    book.hand_over()
    assert board.heard() == []
    house.pass_time(SOON_SECONDS)
    assert board.heard() == ["2 5 next"]
    assert (house.statistics["commands.not_granted"], house.statistics["commands.unsent"]) == (1, 0)


def test_a_grant_whose_word_is_lost_is_put_back_when_no_worker_can_be_at_it_and_written_then(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.lose
    nudge(house)
    del book.answers["sending"]
    for _ in range(5):
        nudge(house)
    house.pass_time(SETTLED_SECONDS - 1)
    assert (board.heard(), book.rows[7].state) == ([], "sent")
    assert len(book.told) == 2, "nobody is asked while it is not known"
    house.pass_time(1)
    assert book.asked("unsent") == [[Unsent(7, "")]]
    assert board.heard() == ["2 5 go"]
    assert (book.rows[7].data, book.rows[7].state) == (b"2 5 go\n", "sent")


def test_what_was_not_even_asked_since_too_many_calls_wait_is_asked_again_soon(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.add(8, *DEV, body=b"bad")
    book.answers["sending"] = book.answers["unsent"] = lambda do: fail(TooManyCallsError("256 wait"))
    nudge(house)
    house.pass_time(RETRY_SECONDS / 2)
    book.answers.clear()
    house.pass_time(2 * RETRY_SECONDS)
    assert (board.heard(), states(book)) == (["2 5 go"], ["sent", "failed"])
    assert len(book.asked("sending")) == 2


def test_a_question_that_no_worker_answered_is_not_taken_for_a_grant_that_comes_late(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    late: list[Any] = []

    def later(do: Any) -> Deferred[Any]:
        late.append(do)
        return fail(TaskTimedOutError("no reply"))

    book.answers["sending"] = later
    nudge(house)
    house.pass_time(SETTLED_SECONDS - 1)
    assert late[0]() == [True], "a worker was busy, and has come to it"
    del book.answers["sending"]
    house.pass_time(1)
    assert board.heard() == ["2 5 go"]


def test_a_word_that_it_was_not_written_is_said_until_it_is_heard_and_the_device_waits(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    book.answers["unsent"] = book.lose
    nudge(house)
    board.leave()
    again = Board(house)
    book.hand_over()
    house.pass_time(SETTLED_SECONDS - 1)
    # Put back, though nobody knows: to ask now would have the next word take back what was written.
    assert (book.rows[7].state, len(book.asked("unsent")), len(book.asked("next_commands"))) == ("queued", 1, 1)
    book.answers.clear()
    house.pass_time(2)
    assert len(book.asked("unsent")) == 2
    assert again.heard() == ["1 5 go"]


def test_a_link_that_closes_before_it_is_written_puts_it_back(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    board.link.close("idle")
    book.hand_over()
    assert (board.heard(), book.rows[7].state) == ([], "queued")
    board.leave()
    del book.answers["sending"]
    house.pass_time(60)
    assert len(book.asked("next_commands")) == 1
    again = Board(house)
    house.pass_time(1)
    assert again.heard() == ["1 5 go"]


def test_over_a_link_that_is_about_to_close_nothing_leaves_any_more(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    house.say(board.link, "dev 1 more")
    board.link.retire()
    book.hand_over()
    house.pass_time(60)
    assert (board.link.is_open, board.heard(), book.rows[7].state) == (True, [], "queued")
    assert len(book.told) < 6


def test_who_watches_a_device_sees_its_commands(house: House, book: FakeBook) -> None:
    board = Board(house)
    shown: list[Event] = []

    class Watching:
        def heard(self, events: Sequence[Event]) -> Sequence[Event]:
            shown.extend(events)
            return events

    board.link.tap = Watching()  # type: ignore[assignment]
    book.add(7, *DEV)
    nudge(house)
    assert shown == [Send(b"1 5 go\n")]
    assert board.heard() == ["1 5 go"]


def test_over_a_link_that_took_the_session_over_it_is_prepared_anew(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    again = Board(house)
    del book.answers["sending"]
    book.hand_over()
    house.pass_time(1)
    assert not board.link.is_open
    assert (board.heard(), again.heard()) == ([], ["1 5 go"])
    assert [name for name, _ in book.told][:5] == ["next_commands", "sending", "unsent", "next_commands", "sending"]


def test_a_device_that_another_gateway_has_taken_is_asked_for_here_no_more(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    nudge(house)
    session = house.gateway.sessions.get(*DEV)
    assert session is not None
    house.gateway._replaced(session)
    book.hand_over()
    house.pass_time(60)
    assert (board.heard(), book.rows[7].state) == ([], "queued")
    assert len(book.asked("next_commands")) == 1


def test_a_device_that_is_gone_when_its_turn_is_known_costs_nothing(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["next_commands"] = book.hold
    nudge(house)
    board.leave()
    again = Board(house)
    book.answers.clear()
    book.hand_over()
    assert book.asked("sending") == []
    house.pass_time(1)
    assert again.heard() == ["1 5 go"]


def test_what_a_device_cannot_take_fails_with_the_reason_and_the_rest_goes(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV, body=b"bad")
    book.add(8, *DEV)
    nudge(house)
    house.pass_time(60)
    assert board.heard() == ["1 5 go"]
    assert (book.rows[7].state, book.rows[7].fault) == ("failed", "text: 'bad' is no word of lines")
    assert len(book.asked("unsent")) == 1
    assert house.statistics["commands.refused"] == 1


@pytest.mark.parametrize("method", ["prepare", "launch"])
def test_a_codec_that_fails_at_a_command_costs_its_own_link_and_this_command(house: House, book: FakeBook, method: str) -> None:
    board, other = Board(house), Board(house, "other")
    book.add(7, *DEV)
    book.add(8, *DEV)
    book.add(9, "line", "other")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    setattr(board.link._codec, method, broken)
    nudge(house)
    nudge(house, "other")
    assert (board.link.cause, other.heard()) == ("fault", ["1 5 go"])
    assert states(book) == ["failed", "queued", "sent"]
    assert "codec failed" in book.rows[7].fault


def test_two_words_at_once_are_one_question_and_one_that_comes_meanwhile_is_one_more(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["next_commands"] = book.hold
    word = CommandsWaiting(*DEV)
    house.gateway.commanding.look_again(word)
    house.gateway.commanding.look_again(word)
    house.clock.advance(0)
    nudge(house)
    nudge(house)
    house.pass_time(10)
    assert len(book.asked("next_commands")) == 1
    book.answers.clear()
    book.hand_over()
    house.pass_time(10)
    assert len(book.asked("next_commands")) == 2
    assert board.heard() == ["1 5 go"]


@pytest.mark.parametrize("answer", ["away", "lose"])
def test_while_no_worker_answers_it_is_asked_again_now_and_then(house: House, book: FakeBook, answer: str) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["next_commands"] = getattr(book, answer)
    for _ in range(60):
        nudge(house)
        house.pass_time(0.5)
    assert 1 < len(book.asked("next_commands")) <= 30 / RETRY_SECONDS + 1, "however often there is word of it"
    book.answers.clear()
    house.pass_time(RETRY_SECONDS)
    assert board.heard() == ["1 5 go"]
    assert house.statistics["commands.not_answered"] == len(book.asked("next_commands")) - 2


def test_a_fleet_is_asked_for_a_few_hundred_at_a_time(house: House, book: FakeBook) -> None:
    fleet = 3 * MOST_COMMANDS
    link, transport = house.connect()
    for number in range(fleet):
        book.add(number, "line", f"dev-{number}")
        house.gateway.begin_session(Session("line", f"dev-{number}", link, house.clock.seconds()))
    book.answers["next_commands"] = book.hold
    house.pass_time(3)
    assert [len(asking) for asking in book.asked("next_commands")] == [MOST_COMMANDS] * 3
    assert len(house.gateway.commanding) == fleet
    book.answers.clear()
    book.hand_over()
    assert [len(leaving) for leaving in book.asked("sending")] == [MOST_COMMANDS] * 3
    assert len(transport.value().splitlines()) == fleet
    assert is_idle(house)


def test_few_questions_are_under_way_at_a_time(house: House, book: FakeBook) -> None:
    for number in range(MOST_ROUNDS + 2):
        Board(house, f"dev-{number}")
        book.add(number, "line", f"dev-{number}")
    book.answers["next_commands"] = book.hold
    for number in range(MOST_ROUNDS + 2):
        nudge(house, f"dev-{number}")
    assert len(book.held) == MOST_ROUNDS
    book.answers.clear()
    book.hand_over()
    house.pass_time(1)
    assert states(book) == ["sent"] * (MOST_ROUNDS + 2)


def test_an_answer_that_is_too_much_for_a_worker_is_asked_for_in_parts(house: House, book: FakeBook) -> None:
    for number in range(40):
        Board(house, f"dev-{number}")
        book.add(number, "line", f"dev-{number}")

    def answer(do: Any) -> Deferred[Any]:
        ready = do()
        too_much = Fault("ResultError", "the result takes more than a reply may", "")
        return fail(TaskFailedError(too_much)) if len(ready) > 10 else succeed(ready)

    book.answers["next_commands"] = answer
    house.pass_time(20 * RETRY_SECONDS)
    assert states(book) == ["sent"] * 40


def test_a_question_holds_so_many_bytes(house: House, book: FakeBook) -> None:
    Board(house)
    for command in range(5):
        book.add(command, *DEV, body=bytes([48 + command]) * (MOST_SENDING_BYTES // 2))
    book.add(5, *DEV, body=b"x" * 2 * MOST_SENDING_BYTES)
    nudge(house)
    assert states(book) == ["sent"] * 6
    assert [[one.command for one in leaving] for leaving in book.asked("sending")] == [[0], [1], [2], [3], [4], [5]]


def test_what_has_no_place_in_an_answer_is_asked_for_when_the_rest_has_left(house: House, book: FakeBook) -> None:
    for number in range(6):
        Board(house, f"dev-{number}")
        book.add(number, "line", f"dev-{number % 3}")
    book.places = 1
    house.pass_time(1)
    assert states(book) == ["sent"] * 6
    asked = len(book.told)
    house.pass_time(60)
    assert len(book.told) == asked


def test_what_stands_behind_a_question_without_answer_stays_queued(house: House, book: FakeBook) -> None:
    board = Board(house)
    for command in range(2):
        book.add(command, *DEV, body=bytes([48 + command]) * (MOST_SENDING_BYTES - 100))
    book.answers["sending"] = book.lose
    nudge(house)
    house.pass_time(1)
    assert states(book) == ["sent", "queued"]
    book.answers.clear()
    house.pass_time(SETTLED_SECONDS)
    assert [line[:5] for line in board.heard()] == ["3 5 0", "4 5 1"], "in their order"


def test_while_it_drains_nothing_is_written_and_what_was_granted_goes_back(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    sent = Board(house, "other")
    book.add(8, "line", "other")
    book.rows[8].state, book.rows[8].gateway = "sent", "gw"
    house.gateway.drain()
    drained: list[None] = []
    house.gateway.commanding.drain().addCallback(drained.append)
    nudge(house)
    house.pass_time(1)
    assert (drained, len(book.told)) == ([], 2)
    book.hand_over()
    house.pass_time(60)
    assert (drained, board.heard(), sent.heard()) == ([None], [], [])
    assert states(book) == ["queued", "sent"], "what was written is not touched"
    assert len(book.asked("next_commands")) == 1


def test_a_drain_that_is_waited_for_no_more_is_forgotten(house: House, book: FakeBook) -> None:
    Board(house)
    book.add(7, *DEV)
    book.answers["sending"] = book.hold
    nudge(house)
    given_up: list[Any] = []
    house.gateway.commanding.drain().addTimeout(3, house.clock).addErrback(given_up.append)
    house.pass_time(3)
    assert len(given_up) == 1
    book.hand_over()
    assert is_idle(house)


def test_a_stopped_gateway_asks_nobody_and_leaves_no_timer(house: House, book: FakeBook) -> None:
    Board(house)
    Board(house, "other")
    book.add(7, *DEV)
    book.answers["sending"] = book.lose
    nudge(house)
    nudge(house, "other")
    Board(house, "third")
    house.gateway.stop()
    nudge(house)
    told = len(book.told)
    assert [call for call in house.clock.getDelayedCalls() if "ommanding" in str(call) or "ondering" in str(call)] == []
    house.pass_time(2 * SETTLED_SECONDS)
    assert len(book.told) == told


def test_a_terminal_is_told_in_the_frame_that_was_granted(book: FakeBook) -> None:
    house = House(JT808, gateway_id="gw")
    house.gateway.commanding.ask_of(book)
    link, transport = house.connect()
    link.dataReceived(up(0x0002, phone="013800138000"))
    house.clock.advance(0)
    book.add(7, "jt808", "13800138000", kind=0x8201, body=b"")
    transport.clear()
    house.gateway.commanding.look_again(CommandsWaiting("jt808", "13800138000"))
    house.clock.advance(0)
    row = book.rows[7]
    assert (row.state, transport.value()) == ("sent", row.data)
    assert row.sequence is not None
    assert b"\x82\x01" in row.data
    assert row.sequence.to_bytes(2, "big") in row.data


class Weather:
    """A book to which anything may happen: answers come late, too late or never, and another gateway has devices too."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.book = FakeBook()
        self.house = House(gateway_id="gw")
        self.house.marks.commands = self.book
        self.house.gateway.wondering.ask_of(self.house.marks)
        self.house.gateway.commanding.ask_of(self.book)
        for name in ("next_commands", "sending", "unsent"):
            self.book.answers[name] = self.answer
        self.is_calm = False
        self.boards: dict[str, Board] = {}
        self.written: dict[int, int] = dict.fromkeys(range(40), 0)

    def answer(self, do: Any) -> Deferred[Any]:
        """As a call of the gateway's: it is done until it has expired, and heard of in 15 s or not at all."""
        done_in = 0.0 if self.is_calm else self.random.choice([0, 0.1, 3, 14.9, 16, 40, SETTLED_SECONDS + 14, None])
        reply_in = 0.0 if self.is_calm else self.random.choice([0, 0.1, 5, None])
        answer: Deferred[Any] = Deferred()
        timer = self.house.clock.callLater(15, lambda: answer.errback(TaskTimedOutError("no reply")))

        def reply(result: Any) -> None:
            if timer.active():
                timer.cancel()
                answer.callback(result)

        def work() -> None:
            result = do()
            if reply_in is not None:
                self.house.clock.callLater(reply_in, reply, result)

        if done_in is not None:
            self.house.clock.callLater(done_in, work)
        return answer

    def step(self) -> None:
        name = f"dev-{self.random.randrange(4)}"
        match self.random.randrange(5):
            case 0:
                self.come(name)
            case 1 if name in self.boards:
                self.boards.pop(name).leave()
            case 2:
                self.go_elsewhere(name)
            case _:
                nudge(self.house, name)
        self.house.pass_time(self.random.choice([0.1, 1, 10]))

    def come(self, name: str) -> None:
        board = self.boards[name] = Board(self.house, name)
        write = board.transport.write

        def watched(data: bytes) -> None:
            for command, row in self.book.rows.items():
                if b"%s\n" % row.body == data.rpartition(b" ")[2]:
                    assert (row.state, row.gateway, row.data) == ("sent", "gw", data), "granted, and just so"
                    self.written[command] += 1
            write(data)

        board.transport.write = watched  # type: ignore[method-assign]

    def go_elsewhere(self, name: str) -> None:
        """The device comes to another gateway, which tells it what waits."""
        if name in self.boards:
            self.boards.pop(name).leave()
        for command, row in self.book.rows.items():
            if row.device == ("line", name) and row.state == "queued":
                row.state, row.gateway = "sent", "other"
                self.written[command] += 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_or_late_nothing_is_written_twice_or_without_a_grant(seed: int) -> None:
    weather = Weather(seed)
    for command in weather.written:
        weather.book.add(command, "line", f"dev-{command % 4}", body=b"do-%d" % command)
        weather.step()
    weather.is_calm = True
    weather.house.pass_time(10 * SETTLED_SECONDS)
    for number in range(4):
        weather.come(f"dev-{number}")
    weather.house.pass_time(2 * SETTLED_SECONDS)
    assert weather.written == dict.fromkeys(weather.written, 1)
    assert is_idle(weather.house)


def test_what_was_prepared_is_what_was_granted(house: House, book: FakeBook) -> None:
    board = Board(house)
    book.add(7, *DEV)
    board.link._codec.prepare = lambda *_: Prepared(5, b"odd\n", None)  # type: ignore[attr-defined]
    nudge(house)
    assert book.asked("sending") == [[Leaving(7, None, b"odd\n")]]
    assert board.heard() == ["odd"]
    assert Ready(7, 5, b"go") not in book.waiting(DEV)
