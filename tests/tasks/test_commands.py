"""Commands for devices: what gateways ask for, what a sweep does, and who is told, on real databases and a real Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery.exceptions import Reject
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from protocols.command import Answer, AnswersName, AnswerStatus
from protocols.message import Message
from protocols.report import Decoded
from settings import Settings
from store.commands import leaving, turns
from store.models import AuditEntry, Command, CommandStep
from tasks import commands, ingest
from tasks.contract import (
    COMMANDS_FIELD,
    COMMANDS_WAITING,
    ENDED_FIELD,
    HEARD,
    MOST_COMMANDS,
    REPLY_BYTES,
    REPLY_FIELD,
    ROUTES,
    SENDING_TASK,
    IngestMessage,
    Ready,
    Reply,
    ingest_payload,
    mailbox,
    pack_reply,
    read_granted,
    read_ready,
    unpack_commands_waiting,
    unpack_ended,
    unpack_reply,
)
from tests.records import report
from tests.servers import Child
from tests.store.commands.made import (
    ALL,
    ASK,
    LOCK,
    PROTOCOLS,
    Commanded,
    answer,
    asked,
    causes,
    device,
    granted,
    now,
    say,
    seconds,
    sent,
    states,
)
from tests.tasks.workers import broker_at

HEAD = b"head"
GATEWAY = "gw-1"


@pytest.fixture(autouse=True)
def memory(worker_redis: redis.Redis, database_url: str, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """The worker's Redis; its protocols are those of the tests."""
    monkeypatch.setattr(commands, "protocols", PROTOCOLS)
    monkeypatch.setattr(commands, "settings", Settings(commands_per_minute=40))
    return worker_redis


def ask_next(*identities: str, protocol: str = "fake") -> list[list[Ready]]:
    told = commands.next_commands(GATEWAY, [[protocol, identity, HEAD] for identity in identities])
    assert pack_reply(Reply("call:gw-1:1", told))
    return read_ready(told, len(identities))


def words(memory: redis.Redis, gateway: str) -> tuple[list[str], list[int]]:
    """Of which devices a gateway is told, and of which ends, that it has not been told of before."""
    devices: list[str] = []
    ended: list[int] = []
    entries: Any = memory.xrange(mailbox(gateway))
    for _, fields in entries:
        if COMMANDS_FIELD in fields:
            devices += [told.identity for told in unpack_commands_waiting(fields[COMMANDS_FIELD])]
        if ENDED_FIELD in fields:
            ended += [told.command for told in unpack_ended(fields[ENDED_FIELD])]
    memory.delete(mailbox(gateway))
    return devices, ended


def marked(memory: redis.Redis) -> set[bytes]:
    return memory.smembers(COMMANDS_WAITING)  # type: ignore[return-value]


def request(name: str = "lock", identity: str = "1", **fields: Any) -> dict[str, Any]:
    device(identity)
    return {"protocol": "fake", "identity": identity, "name": name, "fields": {}, **fields}


def ask(wanted: dict[str, Any], permitted: list[str] | None = None) -> dict[str, Any]:
    told: dict[str, Any] = commands.ask(wanted, "me", "::1", sorted(ALL) if permitted is None else permitted)
    assert pack_reply(Reply("call:gw-1:1", told))
    return told


def test_each_device_is_told_what_may_leave_as_kind_and_body_of_its_edition() -> None:
    one, two, other = asked(fields={"limit": 5}), asked("ask"), asked(identity="2")
    ready = ask_next("2", "nobody", "1", "\0", "x" * 65)
    assert [[one.command for one in told] for told in ready] == [[other.id], [], [one.id, two.id], [], []]
    assert ready[2] == [
        Ready(one.id, LOCK, json.dumps([LOCK, {"limit": 5}, "head"]).encode()),
        Ready(two.id, ASK, json.dumps([ASK, {}, "head"]).encode()),
    ]
    assert ask_next("1", protocol="unknown") == [[]]
    assert states() == ["queued"] * 3


def test_what_is_not_made_for_this_device_fails_and_holds_nobody_up() -> None:
    bad, good = asked(fields={}), asked()
    Command.objects.filter(id=bad.id).update(fields={"limit": "x"})
    assert [one.command for one in ask_next("1")[0]] == [good.id]
    assert states() == ["failed limit: 'x' is no whole number", "queued"]
    assert causes(bad) == ["asked", "fault"]


def test_an_answer_has_room_for_so_many_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands.MOST_READY_BYTES < REPLY_BYTES
    for identity in "ab":
        asked("ask", identity), asked("ask", identity)
    monkeypatch.setattr(commands, "MOST_READY_BYTES", 3 * len(json.dumps([ASK, {}, "head"])))
    assert [len(ready) for ready in ask_next("a", "b")] == [2, 1]


def test_it_is_a_few_questions_however_many_are_asked_for() -> None:
    names = [str(number) for number in range(60)]
    for name in names:
        asked("ask", name)
    with CaptureQueriesContext(connection) as queries:
        assert all(ask_next(*names))
    assert len(queries) <= 2


def test_a_gateway_may_write_what_it_is_granted_and_no_more() -> None:
    one, two, expired = asked(), asked(), asked()
    Command.objects.filter(id=expired.id).update(expires_at=now())
    told = commands.sending(GATEWAY, [[two.id, 7, b"two"], [one.id, None, b"one"], [expired.id, 8, b""], [12345, 9, b""]])
    assert read_granted(told, 4) == [True, True, False, False]
    rows = Command.objects.order_by("id").values_list("state", "gateway", "sequence")
    assert list(rows) == [("sent", "gw-1", None), ("sent", "gw-1", 7), ("expired", "", None)]
    commands.unsent(GATEWAY, [[one.id, ""], [two.id, "too long"]])
    commands.unsent("gw-2", [[one.id, ""]])
    assert states() == ["queued", "failed too long", "expired"]


@pytest.mark.parametrize(
    ("task", "payload"),
    [
        (commands.next_commands, ["gw", None]),
        (commands.next_commands, ["gw", [["native", "a"]]]),
        (commands.next_commands, ["gw", [["native", "a", b""]] * (MOST_COMMANDS + 1)]),
        (commands.next_commands, ["g w", []]),
        (commands.next_commands, [None, []]),
        (commands.sending, ["gw", [[1, 2]]]),
        (commands.sending, ["gw", [["1", 2, b""]]]),
        (commands.sending, ["gw", [[1 << 63, 2, b""]]]),
        (commands.sending, ["\n", []]),
        (commands.unsent, ["gw", [[1, None]]]),
        (commands.unsent, ["", []]),
        (commands.ask, [{}, "me", "", []]),
        (commands.ask, [None, "me", "", []]),
        (commands.ask, [{"protocol": "fake", "identity": "1", "name": "lock", "fields": []}, "me", "", []]),
        (commands.ask, [{"protocol": "fake", "identity": "1", "name": "lock", "fields": {}, "more": 1}, "me", "", []]),
        (commands.ask, [{"protocol": "fake", "identity": "1", "name": "lock", "fields": {}}, "me", "", ["all"]]),
        (commands.ask, [{"protocol": "fake", "identity": "1", "name": "lock", "fields": {}}, None, "", []]),
        (commands.ask, [{"protocol": "fake", "identity": "1", "name": "lock", "fields": {}, "expires_in": True}, "me", "", []]),
        (commands.show, ["1"]),
        (commands.show, [1 << 63]),
        (commands.cancel, [0, "me", ""]),
        (commands.cancel, [1, "me", "x" * 65]),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bad_payload_is_dropped_with_one_line(task: Any, payload: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Reject) as rejection:
        task(*payload)
    assert rejection.value.requeue is False
    assert len(caplog.records) == 1


def test_who_asks_is_told_of_the_command_and_its_gateway_at_once(memory: redis.Redis) -> None:
    memory.hset(ROUTES, mapping={"fake/1": "gw-1 run 7 1 1"})
    told = ask(request(fields={"limit": 5}, waiter="gw-9", key="k"))["command"]
    command = Command.objects.get()
    assert (told["id"], told["state"], told["fields"], told["by"]) == (command.id, "queued", {"limit": 5}, "me")
    assert [step["cause"] for step in told["steps"]] == ["asked"]
    assert command.waiter == "gw-9"
    assert words(memory, "gw-1") == (["1"], [])
    assert marked(memory) == {b"fake/1"}
    assert commands.show(command.id) == told
    assert ask(request(fields={"limit": 5}, waiter="gw-9", key="k"))["command"] == told, "asked once"
    assert AuditEntry.objects.get().address == "::1"
    assert commands.show(command.id + 1) is None


def test_what_is_not_taken_is_told_with_its_word() -> None:
    assert ask(request(), ["query"]) == {
        "error": {"code": "not_permitted", "text": "lock is of the effect actuate, permitted is query"}
    }
    assert ask(request("dance"))["error"]["code"] == "unknown_command"
    for _ in range(32):
        ask(request("ask"))
    assert ask(request("ask"))["error"]["code"] == "too_many"
    assert Command.objects.count() == 32


def test_the_same_task_asks_once() -> None:
    def come() -> int:
        commands.ask.push_request(id="call:gw-1:7")
        try:
            return int(ask(request())["command"]["id"])
        finally:
            commands.ask.pop_request()

    assert come() == come()
    assert Command.objects.count() == 1


def test_it_is_cancelled_while_it_waits_and_its_waiter_is_told(memory: redis.Redis) -> None:
    memory.hset(ROUTES, mapping={"fake/1": "gw-1 run 7 1 1"})
    queued, gone = asked(waiter="gw-9"), sent()
    commands.announce([queued.id])
    assert words(memory, "gw-1") == (["1"], [])
    told = commands.cancel(queued.id, "me", "")
    assert told is not None
    assert (told["is_cancelled"], told["command"]["state"]) == (True, "cancelled")
    assert words(memory, "gw-9") == ([], [queued.id])
    assert marked(memory) == set(), "nothing waits"
    for id in (queued.id, gone.id):
        again = commands.cancel(id, "me", "")
        assert again is not None
        assert not again["is_cancelled"]
    assert commands.cancel(12345, "me", "") is None
    assert words(memory, "gw-9") == ([], [])


def test_what_ends_has_its_waiter_told_and_its_device_s_gateway_look_for_the_next(memory: redis.Redis) -> None:
    memory.hset(ROUTES, mapping={"plain/1": "gw-1 run 7 1 1"})
    first = asked(protocol="plain", waiter="gw-9")
    asked(protocol="plain")
    assert granted(first) == [True]
    changed = say(answer(first), protocol="plain")
    assert commands.announce(changed)
    assert words(memory, "gw-9") == ([], [first.id])
    assert words(memory, "gw-1") == (["1"], [])
    assert commands.announce(changed)
    assert words(memory, "gw-9") == ([], []), "once"


def test_while_redis_is_away_what_is_to_be_told_stays_and_the_sweep_tells_it(
    memory: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    memory.hset(ROUTES, mapping={"fake/1": "gw-1 run 7 1 1"})

    def away() -> Any:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(commands, "redis", away)
        ask(request(waiter="gw-9"))
        late = sent(at=now() - seconds(100), waiter="gw-9")
        asked(at=now() - seconds(100))
        commands.sweep()
    assert [record.message for record in caplog.records] == [
        "commands not announced, a sweep will do it",
        "commands not looked after, will try again",
    ]
    assert states() == ["queued", "sent", "expired"], "what has expired ends all the same"
    Command.objects.filter(id=late.id).update(due_at=now())
    assert words(memory, "gw-1") == ([], [])
    commands.sweep()
    assert words(memory, "gw-1") == (["1"], [])
    assert words(memory, "gw-9") == ([], [late.id])
    commands.sweep()
    assert words(memory, "gw-1") == ([], []), "once"


def test_a_sweep_ends_what_is_late_and_has_repeated_what_may_be(memory: redis.Redis) -> None:
    memory.hset(ROUTES, mapping={"fake/1": "gw-1 run 7 1 1"})
    ago = now() - seconds(70)
    waited, lock, again = asked(at=ago, waiter="gw-9"), sent(at=ago, waiter="gw-9"), sent("ask", at=ago, waiter="gw-9")
    commands.sweep()
    assert states() == ["expired", "failed no_answer", "queued"]
    assert words(memory, "gw-1") == (["1"], [])
    assert words(memory, "gw-9") == ([], [waited.id, lock.id])
    assert marked(memory) == {b"fake/1"}
    assert [one.command for one in ask_next("1")[0]] == [again.id]


def test_a_sweep_waits_for_what_a_gateway_has_received(memory: redis.Redis) -> None:
    at = now() - seconds(30)
    sent(at=at)
    memory.set(HEARD + "gw", int((at + seconds(19)).timestamp() * 1000))
    commands.sweep()
    assert states() == ["sent"]
    memory.set(HEARD + "gw", int((at + seconds(21)).timestamp() * 1000))
    commands.sweep()
    assert states() == ["sent"], "it is looked at again a little later"
    Command.objects.update(due_at=now())
    commands.sweep()
    assert states() == ["failed no_answer"]


def test_a_sweep_goes_on_while_there_is_more(memory: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMANDS_A_TIME", 3)
    for number in range(8):
        asked(identity=f"{number}")
        asked("lock", identity=f"{number}", at=now() - seconds(100))
    commands.sweep()
    assert len(marked(memory)) == 8
    assert Command.objects.filter(state="expired").count() == 8
    memory.flushdb()
    Command.objects.filter(state="queued").update(due_at=now())
    monkeypatch.setattr(commands, "LONGEST_SWEEP_SECONDS", 0.0)
    commands.sweep()
    assert len(marked(memory)) == 3, "what is left is the next one's"


def test_one_sweep_tells_at_a_time(memory: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    asked()
    found: list[int] = []
    due = turns.due

    def look(*args: Any) -> list[Command]:
        found.append(1)
        commands.sweep()
        return due(*args)

    monkeypatch.setattr(turns, "due", look)
    commands.sweep()
    assert len(found) == 1
    memory.set(commands.SWEEPING, 1, ex=30)
    commands.sweep()
    assert len(found) == 1
    assert memory.exists(commands.SWEEPING), "it leaves another's alone"


def test_a_device_for_which_nothing_waits_is_marked_no_more_unless_it_is_asked_for_meanwhile(
    memory: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = asked()
    commands.announce([command.id])
    say_so, looks = turns.waiting, list[int]()

    def look(devices: Any) -> set[int]:
        found = say_so(devices)
        looks.append(1)
        if len(looks) == 1:
            # It is asked for, and marked, just when it was seen that nothing waits.
            asked()
            memory.sadd(COMMANDS_WAITING, "fake/1")
        return found

    monkeypatch.setattr(turns, "waiting", look)
    commands.cancel(command.id, "me", "")
    assert marked(memory) == {b"fake/1"}
    assert len(looks) == 2


def test_a_run_is_told_as_its_devices_have_their_turns(memory: redis.Redis) -> None:
    for number in range(3):
        command = asked(identity=f"{number}")
        Command.objects.filter(id=command.id).update(due_at=command.due_at + seconds(100 * number))
    commands.sweep()
    assert marked(memory) == {b"fake/0"}


def test_of_an_unknown_protocol_one_leaves_at_a_time() -> None:
    assert commands.names_of("unknown") is AnswersName.NOTHING
    assert commands.names_of("kinds") is AnswersName.KIND


@pytest.mark.parametrize("task", [lambda: commands.show(1), lambda: commands.sending("gw", [])])
def test_a_database_that_is_away_is_a_failure_that_is_told(task: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise DatabaseError("away")

    monkeypatch.setattr(leaving, "sending", away)
    monkeypatch.setattr(Command.objects, "select_related", away)
    with pytest.raises(DatabaseError):
        task()
    assert connection.connection is None


def test_whoever_is_killed_between_grant_and_launch_leaves_what_nobody_repeats(memory: redis.Redis) -> None:
    """The grant is committed, the gateway is gone: it ends by time, and an answer that comes after all is noted."""
    command = sent(at=now() - seconds(100))
    commands.sweep()
    assert ask_next("1") == [[]]
    say(answer(command, AnswerStatus.DONE))
    assert states() == ["failed no_answer"]
    assert CommandStep.objects.latest("id").cause == "late answer"


class Answering(Commanded):
    """Of which every message is an answer: that what its body numbers is done."""

    def decode(self, message: Message) -> Decoded:
        done = Answer((LOCK,), AnswerStatus.DONE, int(message.body))
        return Decoded([report(message.body, None, kind="answer", answer=done)])


def test_with_the_batch_that_brings_an_answer_its_waiter_is_told(memory: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ingest.protocols, "fake", Answering(AnswersName.SEQUENCE))
    command = sent(waiter="gw-9")
    message = IngestMessage("fake", "1", 5, 1, b"head", str(command.id).encode(), int(now().timestamp() * 1000))
    ingest.store_batch(**ingest_payload("b1", "gw-1", [message]))
    assert states() == ["acknowledged"]
    assert words(memory, "gw-9") == ([], [command.id])
    ingest.store_batch(**ingest_payload("b1", "gw-1", [message]))
    assert words(memory, "gw-9") == ([], [])
    assert causes(command) == ["asked", "sent", "answered"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_worker_that_is_killed_beside_its_commit_grants_once(
    place: str, database_url: str, redis_url: str, redis_broker_url: str, memory: redis.Redis, start_child: Callable[..., Child]
) -> None:
    command = asked("limit")
    urls = {"IOTGW_DATABASE_URL": database_url, "IOTGW_REDIS_URL": redis_url, "IOTGW_BROKER_URL": redis_broker_url}
    words = ("-m", "celery", "-A", "tests.tasks.killed", "worker", "--concurrency", "1", "--without-mingle", "--without-gossip")
    worker = start_child(*words, name="worker", **urls, IOTGW_TEST_KILL=place)
    with broker_at(redis_broker_url, redis_url) as broker:
        broker.send(SENDING_TASK, GATEWAY, [[command.id, 7, b"frame"]], task_id="call:gw-1:1")
    worker.wait_until(lambda: bool(memory.xlen(mailbox(GATEWAY))), "the gateway has its answer")
    ((_, fields),) = memory.xrange(mailbox(GATEWAY))  # type: ignore[misc]
    assert unpack_reply(fields[REPLY_FIELD]) == Reply("call:gw-1:1", [True], None)
    assert memory.exists("tests:killed")
    assert states() == ["sent"]
    assert causes(command) == ["asked", "sent"]
    command.refresh_from_db()
    assert command.tries == 1
