"""The moves of commands: each has its guard, and leaves a step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Q

from protocols.command import AnswerStatus
from store.audit import Actor
from store.bulk import write
from store.commands import answers, leaving, ledger, turns
from store.commands.answers import Heard
from store.commands.ledger import AGAIN, MOST_TRIES
from store.models import AuditEntry, Command, CommandStep
from tests.records import anybody, incoming, report
from tests.store.beside import Beside, out_of_order
from tests.store.commands.made import (
    ME,
    answer,
    asked,
    causes,
    device,
    granted,
    names_of,
    now,
    say,
    seconds,
    sent,
    states,
)

pytestmark = pytest.mark.usefixtures("database_url")


def late(command: Command, at: datetime) -> list[str]:
    """What becomes of it when its time is up."""
    ledger.end_late(at, 100, {})
    return states()


def test_a_command_s_life_is_told_step_by_step() -> None:
    begun = now()
    command = asked(fields={"limit": 5})
    assert granted(command, gateway="gw-1", token="call:gw-1:7") == [True]
    assert say(answer(command, AnswerStatus.ACCEPTED)) == []
    assert say(answer(command, AnswerStatus.DONE)) == [command.id]
    assert states() == ["acknowledged"]
    told = list(CommandStep.objects.order_by("id").values_list("state", "cause", "gateway", "kind", "token"))
    assert told == [
        ("queued", "asked", "", "", ""),
        ("sent", "sent", "gw-1", "lock", "call:gw-1:7"),
        ("sent", "accepted", "", "answer", ""),
        ("acknowledged", "answered", "", "answer", ""),
    ]
    data = [step.data and bytes(step.data)[:5] for step in CommandStep.objects.order_by("id")]
    assert data == [None, b"frame", b"0 Ans", b"0 Ans"]
    command.refresh_from_db()
    assert command.ended_at is not None
    assert begun <= command.ended_at == command.due_at <= now()
    assert (command.tries, command.gateway, command.sequence) == (1, "gw-1", command.id)


def test_what_was_sent_is_not_sent_again() -> None:
    command = asked()
    assert granted(command, command) == [True, True], "one question of one command"
    assert granted(command) == [False]
    assert granted(command, gateway="other") == [False]
    assert causes(command) == ["asked", "sent"]
    say(answer(command))
    assert granted(command) == [False]


def test_a_task_that_comes_twice_hears_the_same_and_does_it_once() -> None:
    command = asked()
    assert granted(command, token="t1") == [True]
    assert granted(command, token="t1") == [True]
    assert causes(command) == ["asked", "sent"]
    assert leaving.unsent("gw", {command.id: ""}, "t2", now()) == [command.id]
    assert granted(command, token="t3") == [True]
    assert leaving.unsent("gw", {command.id: ""}, "t2", now()) == [], "it was of the first time"
    assert states() == ["sent"]
    assert granted(command, token="t1") == [True]
    assert causes(command) == ["asked", "sent", "unsent", "sent"]


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """What comes of things that are done at the same time, over a connection each."""
    together = Barrier(len(work))

    def run(one: Callable[[], Any]) -> Any:
        try:
            together.wait(30)
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return [done.result(60) for done in [pool.submit(run, one) for one in work]]


def test_of_two_gateways_at_once_one_may_write_it() -> None:
    for round in range(5):
        command = asked()
        told = at_once(*(partial(granted, command, gateway=name) for name in ("gw-1", "gw-2")))
        assert sorted(told) == [[False], [True]], round
        command.refresh_from_db()
        assert command.gateway == ("gw-1" if told[0] == [True] else "gw-2")
        assert causes(command) == ["asked", "sent"]


def test_cancelling_and_sending_at_once_one_wins() -> None:
    for _ in range(5):
        command = asked()
        may_write, cancelled = at_once(partial(granted, command), partial(ledger.cancel, Q(id=command.id), now(), ME))
        assert may_write == [not cancelled]
        command.refresh_from_db()
        assert command.state == ("cancelled" if cancelled else "sent")


def test_of_two_that_cannot_be_told_apart_one_leaves_when_two_gateways_ask_at_once() -> None:
    for identity in "abc":
        one, two = (asked(identity=identity, protocol="plain") for _ in range(2))
        told = at_once(partial(granted, one, gateway="gw-1"), partial(granted, two, gateway="gw-2"))
        assert sorted(told) == [[False], [True]]


def test_a_number_of_one_that_may_be_answered_yet_is_nobody_else_s() -> None:
    lost, one, two, other = asked(), asked(), asked("limit"), asked("ask")
    assert granted(lost, sequence=7) == [True]
    assert granted(other, sequence=7) == [True], "answers tell kinds apart"
    going = [leaving.Going(one.id, 7, b"frame"), leaving.Going(two.id, 8, b"frame")]
    assert leaving.sending("gw", going, "", names_of, now()) == ([False, False], []), "what is behind it does not pass it"
    assert granted(one, sequence=8) == [True]
    assert say(answer(one, sequence=8)) == [one.id]
    assert states() == ["sent", "acknowledged", "queued", "sent"]
    say(answer(lost, sequence=7))
    assert granted(asked(), sequence=7) == [True], "it has its end"


def test_the_numbers_under_which_it_left_before_are_nobody_else_s() -> None:
    at = now()
    command, other = asked("ask", at=at), asked("ask", at=at)
    assert granted(command, sequence=5, at=at) == [True]
    late(command, at + seconds(31))
    assert granted(command, sequence=6, at=at + seconds(31)) == [True]
    assert granted(other, sequence=5, at=at + seconds(32)) == [False]
    assert granted(other, sequence=7, at=at + seconds(32)) == [True]


def test_what_is_done_again_may_have_its_number_again_and_keeps_it_from_others() -> None:
    command = sent("ask")
    other = asked("ask")
    assert late(command, now() + seconds(31)) == ["queued", "queued"]
    assert granted(other, sequence=command.id) == [False]
    assert granted(command, sequence=command.id) == [True]


def test_it_is_cancelled_until_it_is_sent() -> None:
    queued, gone = asked(), sent()
    assert ledger.cancel(Q(id__in=[queued.id, gone.id]), now(), Actor("boss")) == [queued]
    assert states() == ["cancelled", "sent"]
    assert ledger.cancel(Q(id=queued.id), now(), ME) == []
    assert granted(queued) == [False]
    assert CommandStep.objects.get(cause="cancelled").text == "boss"
    entry = AuditEntry.objects.get(action="command.cancel")
    assert (entry.actor, entry.subject, entry.after) == ("boss", "fake 1", {"state": "cancelled", "command": "lock"})


def test_at_the_last_moment_it_leaves_and_a_moment_later_it_does_not() -> None:
    begun = now()
    early, exact = (asked(at=begun, expires_in=60) for _ in range(2))
    assert granted(early, at=begun + seconds(59.999999)) == [True]
    assert granted(exact, at=begun + seconds(60)) == [False]
    assert states() == ["sent", "expired"]
    assert causes(exact) == ["asked", "expired"]


def test_what_waits_too_long_expires() -> None:
    begun = now()
    command = asked(at=begun, expires_in=60)
    ledger.seen([command], begun)
    assert late(command, begun + seconds(59.9)) == ["queued"]
    assert late(command, begun + seconds(60)) == ["expired"]
    assert late(command, begun + seconds(61)) == ["expired"]
    assert causes(command) == ["asked", "expired"]
    assert [row.id for row in turns.due(begun + seconds(60), 10)] == [command.id], "gateways are told"


def test_it_may_not_leave_before_its_time() -> None:
    command = asked()
    Command.objects.update(not_before=now() + seconds(50))
    assert granted(command) == [False]
    assert states() == ["queued"]


def test_what_may_be_done_once_fails_when_nothing_is_heard_of_it() -> None:
    begun = now()
    command = sent(at=begun)
    assert late(command, begun + seconds(19.9)) == ["sent"]
    assert late(command, begun + seconds(20)) == ["failed no_answer"]
    assert causes(command) == ["asked", "sent", "no answer"]


def test_what_may_be_done_twice_is_sent_again_but_not_for_ever() -> None:
    at = now()
    command = asked("ask", at=at)
    for _ in range(MOST_TRIES - 1):
        assert granted(command, at=at) == [True]
        at += seconds(30)
        assert late(command, at) == ["queued"]
    assert granted(command, at=at) == [True]
    assert late(command, at + seconds(30)) == ["failed no_answer"]
    assert causes(command) == ["asked", *["sent", "no answer"] * MOST_TRIES]


def test_it_may_be_waited_for_longer_each_time() -> None:
    at = now()
    command = asked("limit", at=at)
    for waits in (60, 120, 360):
        assert granted(command, at=at) == [True]
        assert late(command, at + seconds(waits - 1)) == ["sent"]
        at += seconds(waits)
        late(command, at)
    assert states() == ["failed no_answer"]


def test_what_has_expired_meanwhile_is_not_done_again() -> None:
    begun = now()
    waiting = asked("ask", at=begun, expires_in=40)
    assert granted(waiting, at=begun) == [True]
    assert late(waiting, begun + seconds(30)) == ["queued"]
    assert late(waiting, begun + seconds(40)) == ["failed no_answer"], "it was sent once, and nobody knows"
    other = sent("ask", at=begun, expires_in=20)
    assert late(other, begun + seconds(30))[1] == "failed no_answer"


def test_of_which_no_byte_was_written_waits_as_if_it_had_not_been_sent() -> None:
    command = sent()
    assert leaving.unsent("another", {command.id: ""}, "", now()) == [], "that one did not send it"
    assert leaving.unsent("gw", {command.id: ""}, "", now()) == [command.id]
    command.refresh_from_db()
    assert (command.state, command.tries, command.sent_at, command.answer_by) == ("queued", 0, None, None)
    assert leaving.unsent("gw", {command.id: ""}, "", now()) == []
    assert granted(command) == [True]
    assert late(command, now() + seconds(3600)) == ["failed no_answer"]
    assert leaving.unsent("gw", {command.id: ""}, "", now()) == [], "an end is an end"


def test_of_which_no_byte_was_written_the_second_time_the_first_may_be_answered() -> None:
    at = now()
    command = asked("ask", at=at)
    assert granted(command, sequence=5, at=at) == [True]
    late(command, at + seconds(31))
    for _ in range(2):
        assert granted(command, sequence=6, at=at + seconds(31)) == [True]
        leaving.unsent("gw", {command.id: ""}, "", at + seconds(31))
        command.refresh_from_db()
        assert (command.state, command.tries, command.sequence, command.sent_at) == ("queued", 1, 5, at)
    assert granted(command, sequence=8, at=at + seconds(32)) == [True]
    assert say(answer(command, sequence=6), at=at + seconds(40)) == [], "it never left under that number"
    assert say(answer(command, sequence=5), at=at + seconds(40)) == [command.id]


def test_what_a_gateway_has_received_and_workers_have_not_stored_is_no_silence() -> None:
    at = now()
    there, behind, gone = (sent(at=at, identity=name) for name in "abc")
    for command, gateway in ((there, "gw-1"), (behind, "gw-2"), (gone, "gw-3")):
        Command.objects.filter(id=command.id).update(gateway=gateway)
    over = at + seconds(20)
    assert ledger.late_gateways(over - seconds(1)) == set()
    assert ledger.late_gateways(over) == {"gw-1", "gw-2", "gw-3"}
    heard_until = {"gw-1": over, "gw-2": over - seconds(0.1)}
    assert ledger.end_late(over + seconds(5), 10, heard_until) == [there.id, gone.id]
    ledger.seen(turns.due(over + seconds(5), 10), over + seconds(5))
    assert ledger.late_gateways(over + seconds(5)) == set(), "it is looked at again a little later"
    assert say(answer(behind), identity="b", at=at + seconds(19)) == [behind.id]
    assert states() == ["failed no_answer", "acknowledged", "failed no_answer"]


def test_not_for_ever_is_waited_for_what_is_not_stored() -> None:
    at = now()
    command = sent(at=at)
    most = at + seconds(20) + ledger.LONGEST_UNHEARD
    assert ledger.end_late(most - seconds(1), 10, {"gw": at}) == []
    assert ledger.end_late(most, 10, {"gw": at}) == [command.id]


def test_what_a_device_cannot_take_fails_for_good() -> None:
    queued, gone, ended = asked(), sent(), asked()
    ledger.cancel(Q(id=ended.id), now(), ME)
    faults = {queued.id: "too long\0", gone.id: "x" * 1000, ended.id: "no", 12345: "no"}
    assert leaving.unsent("gw", faults, "", now()) == [queued.id, gone.id]
    assert states() == ["failed too long\ufffd", "failed " + "x" * 255, "cancelled"]


def test_it_leaves_only_if_its_condition_holds_just_then() -> None:
    at = now()
    device()
    stands = "speed_kmh <= 0 within 30 s"
    one, two, three = (asked(condition=stands, at=at) for _ in range(3))
    tell(0.0, at)
    assert granted(one, at=at) == [True]
    tell(12.5, at + seconds(1))
    assert granted(two, at=at + seconds(2)) == [False]
    tell(0.0, at + seconds(3))
    assert granted(three, at=at + seconds(34)) == [False], "nobody knows by now"
    assert states() == ["sent", "failed condition", "failed condition"]
    told = list(CommandStep.objects.filter(cause="condition").values_list("text", flat=True))
    assert told == ["speed_kmh is 12.5", "speed_kmh was not told of late"]


def tell(speed: float, at: datetime) -> None:
    there = report(f"{speed} {at}".encode(), at, latitude=1.0, longitude=2.0, speed_kmh=speed)
    write([incoming(there, identity="1", received_at=at)], is_open=anybody)


def test_who_waits_for_whose_turn() -> None:
    identity = "a"

    def turn(protocol: str) -> list[int]:
        return [row.id for row in turns.next_of(protocol, [identity], names_of(protocol), now()).get(identity, [])]

    for protocol, first, then in (("fake", [0, 1, 2], [1, 2]), ("kinds", [0, 1], [1]), ("plain", [0], [])):
        rows = [asked(name, identity, protocol) for name in ("lock", "ask", "lock")]
        assert turn(protocol) == [rows[place].id for place in first]
        assert granted(rows[0]) == [True]
        assert turn(protocol) == [rows[place].id for place in then]
        say(answer(rows[0]), identity=identity, protocol=protocol)
        assert turn(protocol) == [row.id for row in rows[1:]][: 1 if protocol == "plain" else 2]


def test_what_may_not_leave_yet_or_any_more_holds_nobody_up() -> None:
    over, later, ready = (asked(protocol="plain", expires_in=3600) for _ in range(3))
    Command.objects.filter(id=over.id).update(expires_at=now())
    Command.objects.filter(id=later.id).update(not_before=now() + seconds(60))
    assert turns.next_of("plain", ["1", "\0"], names_of("plain"), now()) == {"1": [ready]}


def test_what_is_told_is_due_again_only_when_there_is_something_to_tell() -> None:
    begun = now()
    queued, brief, gone, ended = asked("ask", at=begun), asked(at=begun, expires_in=30), sent(at=begun), asked(at=begun)
    ledger.cancel(Q(id=ended.id), begun, ME)
    found = turns.due(begun + seconds(20), 10)
    assert [row.id for row in found] == [queued.id, brief.id, ended.id, gone.id]
    late = Command.objects.filter(id=queued.id)
    ledger.seen(found, begun)
    due = dict(Command.objects.values_list("id", "due_at"))
    assert due == {queued.id: begun + AGAIN, brief.id: begun + seconds(30), gone.id: begun + seconds(20), ended.id: None}
    late.update(due_at=begun + seconds(1))
    ledger.seen(found, begun + seconds(2))
    assert late.get().due_at == begun + seconds(1), "what has changed since is due still"


def test_with_its_device_it_goes() -> None:
    sent()
    device().delete()
    assert not CommandStep.objects.exists()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("who", ["look", "time", "cancelling", "gateway", "telling"])
def test_who_moves_many_waits_for_a_batch_and_never_in_a_ring(who: str) -> None:
    """A batch with answers holds the first command when the other comes, who then wants both; it wants the second itself."""
    at = now()
    first, second = (sent("ask", identity, at=at) for identity in "ab")
    # In the table, though not by its id, the first one is behind the second now.
    for command in (second, first):
        Command.objects.filter(id=command.id).update(due_at=at, **({"state": "queued"} if who in ("cancelling", "gateway") else {}))
    ids = Q(id__in=[first.id, second.id])
    others: dict[str, Callable[[], Any]] = {
        "look": lambda: ledger.end_late(at + seconds(3600), 10, {}),
        "time": lambda: leaving.unsent("gw", {second.id: "", first.id: ""}, "", now()),
        "cancelling": lambda: ledger.cancel(ids, now(), ME),
        "gateway": lambda: granted(second, first),
        "telling": lambda: ledger.seen(turns.due(at + seconds(1), 10), now()),
    }
    heard = [Heard(row.device_id, answer(row), now(), "answer", b"") for row in (first, second)]
    other = Beside(out_of_order(others[who]))
    with transaction.atomic():
        answers.settle(heard[:1], now())
        other.start()
        answers.settle(heard[1:], now())
    assert other.fault() is None
    assert states() == ["acknowledged", "acknowledged"]
