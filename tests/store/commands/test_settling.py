"""What devices answer, in the transaction that stores it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from protocols.command import Answer, AnswerStatus
from store.bulk import write
from store.commands import leaving, ledger
from store.commands.answers import LATE
from store.models import Command, CommandStep, Report
from tests.records import anybody, incoming, report
from tests.store.commands.made import LOCK, answer, asked, causes, granted, names_of, now, say, seconds, sent, states

pytestmark = pytest.mark.usefixtures("database_url")
DONE, FAILED, ACCEPTED = AnswerStatus.DONE, AnswerStatus.FAILED, AnswerStatus.ACCEPTED


def test_a_device_says_why_it_does_not() -> None:
    one, two = sent(), sent()
    assert say(answer(one, FAILED, "busy\0"), answer(two, FAILED)) == [one.id, two.id]
    assert states() == ["failed busy\ufffd", "failed refused"]


def test_what_is_not_stored_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    command = sent()

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("store.bulk.writer.answers.settle", fail)
    with pytest.raises(RuntimeError):
        say(answer(command))
    assert not Report.objects.exists()
    monkeypatch.undo()
    assert states() == ["sent"]


def test_answers_by_number_come_in_any_order() -> None:
    one, two, three = (sent() for _ in range(3))
    assert say(answer(three), answer(one, FAILED, "no")) == [three.id, one.id]
    assert states() == ["failed no", "sent", "acknowledged"]
    assert say(answer(two, sequence=77)) == []
    assert say(answer(two)) == [two.id]


def test_an_answer_without_a_number_is_to_the_oldest_of_its_kind() -> None:
    ask, one, two = (sent(name) for name in ("ask", "lock", "lock"))
    unnumbered = Answer((LOCK,), DONE)
    assert say(unnumbered) == [one.id]
    assert say(unnumbered) == [two.id]
    assert say(unnumbered) == []
    assert say(Answer((77,), DONE, ask.id)) == []
    assert states() == ["sent", "acknowledged", "acknowledged"]


def test_an_answer_that_names_one_is_not_to_an_older_one_that_has_no_number() -> None:
    in_pieces, one = asked(), asked()
    going = [leaving.Going(in_pieces.id, None, b"frames"), leaving.Going(one.id, 5, b"frame")]
    assert leaving.sending("gw", going, "", names_of, now())[0] == [True, True]
    assert say(answer(one, sequence=5)) == [one.id]
    assert say(answer(in_pieces, sequence=4)) == [in_pieces.id]


def test_a_report_that_comes_twice_answers_once() -> None:
    one = sent(protocol="plain")
    word = incoming(
        report(b"yes", None, kind="answer", answer=Answer((LOCK,), DONE)), identity="1", protocol="plain", received_at=now()
    )
    assert write([word, word], is_open=anybody) == {}
    two = sent(protocol="plain")
    # With an alarm beside it, of a report that is told of either way.
    write([word, incoming(report(b"place", alarms=["sos"]), identity="1", protocol="plain")], is_open=anybody)
    assert states() == ["acknowledged", "sent"]
    assert (causes(one), causes(two)) == (["asked", "sent", "answered"], ["asked", "sent"])


def test_an_answer_that_tells_what_is_stored_already_is_one_all_the_same() -> None:
    """Such as a place that the device has just told by itself."""
    place = report(b"place")
    write([incoming(place, identity="1", received_at=now())], is_open=anybody)
    command = sent()
    place.answer = answer(command, FAILED, "no")
    write([incoming(place, identity="1", received_at=now())], is_open=anybody)
    assert states() == ["failed no"]


@pytest.mark.parametrize("at_once", [True, False])
def test_two_answers_of_one_report_are_two(at_once: bool) -> None:
    """Two questions for its place, which a device that stands still answers with the same one."""
    commands = [sent("ask") for _ in range(3)]
    words = []
    for command in commands:
        words.append(incoming(report(b"place", answer=answer(command)), identity="1", received_at=now()))
    for batch in [words] if at_once else [[word] for word in words]:
        write(batch, is_open=anybody)
    assert Report.objects.count() == 1
    assert states() == ["acknowledged"] * 3


def test_a_copy_of_an_answer_is_none_to_the_next_command_of_its_number() -> None:
    one = sent()
    word = incoming(report(b"yes", None, kind="answer", answer=answer(one)), identity="1", received_at=now())
    write([word], is_open=anybody)
    two = asked()
    assert granted(two, sequence=one.id) == [True], "over a new link, which counts anew"
    changed: list[int] = []
    write([word], is_open=anybody, commands=changed)
    assert (states(), changed) == (["acknowledged", "sent"], [])
    say(answer(two, sequence=one.id))
    assert states() == ["acknowledged", "acknowledged"]


def test_a_copy_in_the_same_batch_is_heard_once() -> None:
    command = sent()
    has_it = incoming(report(b"has it", None, kind="answer", answer=answer(command, ACCEPTED)), identity="1", received_at=now())
    write([has_it, has_it], is_open=anybody)
    assert causes(command) == ["asked", "sent", "accepted"]


def test_that_it_has_it_gives_a_device_more_time() -> None:
    begun = now() - seconds(15)
    command = sent(at=begun)
    say(answer(command, ACCEPTED))
    assert ledger.end_late(begun + seconds(30), 10, {}) == []
    assert ledger.end_late(begun + seconds(60), 10, {}) == [command.id]
    assert states() == ["failed no_answer"]


def test_done_before_accepted_is_done() -> None:
    command = sent()
    say(answer(command, DONE), answer(command, ACCEPTED))
    say(answer(command, FAILED, "twice"))
    assert states() == ["acknowledged"]
    assert causes(command) == ["asked", "sent", "answered"]


def test_a_late_answer_is_noted_and_changes_nothing() -> None:
    begun = now() - seconds(100)
    command = sent(at=begun)
    ledger.end_late(begun + seconds(50), 10, {})
    assert say(answer(command, sequence=5)) == []
    assert causes(command)[-1] == "no answer"
    assert say(answer(command, FAILED, "door open")) == []
    assert states() == ["failed no_answer"]
    step = CommandStep.objects.latest("id")
    assert (step.cause, step.text, step.state, step.kind) == ("late answer", "failed door open", "failed", "answer")
    Command.objects.update(ended_at=now() - LATE)
    say(answer(command))
    assert causes(command).count("late answer") == 1


def test_what_waits_to_be_done_again_is_done_when_the_first_answer_comes_after_all() -> None:
    begun = now() - seconds(40)
    command = sent("ask", at=begun)
    ledger.end_late(begun + seconds(30), 10, {})
    assert states() == ["queued"]
    assert say(answer(command, ACCEPTED)) == []
    assert states() == ["queued"], "that it has it is no end"
    assert say(answer(command)) == [command.id]
    assert states() == ["acknowledged"]
    assert granted(command) == [False]


@pytest.mark.parametrize("which", [0, 1])
def test_an_answer_to_any_of_the_times_that_it_was_sent_ends_it(which: int) -> None:
    begun = now() - seconds(60)
    command = asked("ask", at=begun)
    for number in (5, 6):
        assert granted(command, at=begun, sequence=number) == [True]
        begun += seconds(30)
        ledger.end_late(begun, 10, {})
    assert granted(command, sequence=7) == [True]
    assert say(answer(command, sequence=8)) == []
    assert say(answer(command, sequence=(5, 6)[which])) == [command.id]
    assert states() == ["acknowledged"]
    assert list(command.steps.order_by("id").values_list("sequence", flat=True)) == [None, 5, None, 6, None, 7, (5, 6)[which]]


def test_a_late_answer_may_be_to_any_of_the_times_that_it_was_sent() -> None:
    begun = now() - seconds(100)
    command = asked("ask", at=begun, expires_in=40)
    for number in (5, 6):
        assert granted(command, at=begun, sequence=number) == [True]
        begun += seconds(30)
        ledger.end_late(begun, 10, {})
    assert states() == ["failed no_answer"]
    say(answer(command, sequence=7))
    say(answer(command, sequence=5))
    assert causes(command)[-2:] == ["no answer", "late answer"]


def test_a_copy_of_an_answer_to_one_in_pieces_is_none_to_the_next() -> None:
    one = asked()
    leaving.sending("gw", [leaving.Going(one.id, None, b"frames")], "", names_of, now())
    word = incoming(report(b"yes", None, kind="answer", answer=answer(one, sequence=5)), identity="1", received_at=now())
    write([word], is_open=anybody)
    two = asked()
    assert granted(two, sequence=5) == [True]
    write([word], is_open=anybody)
    assert states() == ["acknowledged", "sent"]


def test_what_was_not_sent_is_not_answered() -> None:
    command, other = asked(), sent()
    leaving.unsent("gw", {other.id: ""}, "", now())
    assert say(answer(command), answer(other), Answer((LOCK,), DONE)) == []
    assert states() == ["queued", "queued"]


def test_what_was_received_long_before_it_was_sent_is_no_answer_to_it() -> None:
    sent()
    unnumbered = Answer((LOCK,), DONE)
    assert say(unnumbered, at=now() - seconds(120)) == [], "it comes out of a spool"
    assert say(unnumbered, at=now() - seconds(30)) != [], "a gateway's clock is behind"


def test_another_device_answers_for_itself_only() -> None:
    command = sent()
    assert say(answer(command), identity="2") == []
    assert say(answer(command), protocol="plain") == []
    assert states() == ["sent"]


def test_who_does_not_answer_asks_the_database_nothing() -> None:
    sent()
    with CaptureQueriesContext(connection) as queries:
        write([incoming(report(b"place", alarms=["sos"]), identity="1")], is_open=anybody)
    assert not [query["sql"] for query in queries if "store_command" in query["sql"]]
