"""Asking for commands: what is refused, with which word, and what comes of what is taken."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from store.audit import Actor
from store.bulk import write
from store.commands.asking import MOST_OPEN, Request, Terms, ask, ask_in_run, begin_run
from store.commands.errors import ERRORS, AskError, TooManyError
from store.models import AuditEntry, Command, CommandRun, Device, Presence
from tests.records import anybody, incoming, report
from tests.store.commands.made import ALL, LOCK, ME, TERMS, asked, causes, device, now, seconds, sent
from tests.store.commands.test_ledger import at_once

pytestmark = pytest.mark.usefixtures("database_url")
REQUEST = Request("fake", "1", "lock", {})


def refusal(permitted: frozenset[str] = ALL, terms: Terms = TERMS, **fields: Any) -> tuple[str, str]:
    before = Command.objects.count()
    with pytest.raises(AskError) as refused:
        ask(REQUEST._replace(**fields), terms, ME, permitted, now())
    assert Command.objects.count() == before
    assert not AuditEntry.objects.filter(action="command.ask").count() > before
    return refused.value.code, str(refused.value)


def test_what_is_asked_for_is_queued_and_told_in_the_audit() -> None:
    at = now()
    command = ask(REQUEST._replace(identity=device().identity, fields={"limit": 5}), TERMS, Actor("me", "::1"), ALL, at)
    command = Command.objects.get(id=command.id)
    assert (command.state, command.kind, command.effect, command.fields, command.by) == (
        "queued",
        LOCK,
        "actuate",
        {"limit": 5},
        "me",
    )
    assert (command.created_at, command.not_before, command.due_at) == (at, at, at)
    assert causes(command) == ["asked"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject, entry.subject_id, entry.address) == ("command.ask", "fake 1", command.id, "::1")
    assert entry.after == {"command": "lock", "effect": "actuate"}, "without its fields, which may be secret"


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({"identity": "2"}, "unknown_device", "there is no device fake 2"),
        ({"identity": "\0"}, "unknown_device", "there is no device"),
        ({"name": "dance"}, "unknown_command", "fake devices have no command 'dance', but lock, ask"),
        ({"fields": {"limit": "x"}}, "bad_field", "limit: 'x' is no whole number"),
        ({"fields": {"x": "\0"}}, "bad_field", "characters that no text has"),
        ({"fields": {"x": float("nan")}}, "bad_field", "numbers that are none"),
        ({"fields": {"x": object()}}, "bad_field", "fields are numbers, words"),
        ({"fields": {"x": "x" * 200_000}}, "bad_field", "more than 131072"),
        ({"fields": {"x": "x" * 40_000}}, "bad_field", "more than 32768"),
        ({"name": "erase"}, "confirmation_needed", "erase may do harm (Erase everything)"),
        ({"condition": "speed"}, "bad_condition", "'speed' is no comparison"),
        ({"expires_in": 0.0}, "bad_expiry", "0 s: a command expires after"),
        ({"expires_in": float("inf")}, "bad_expiry", "30 days at the most"),
        ({"expires_in": 31 * 86_400}, "bad_expiry", "30 days at the most"),
        ({"must_be_online": True}, "offline", "fake 1 is not online"),
        ({"key": "x" * 129}, "bad_field", "key: give 128"),
        ({"waiter": "\0"}, "bad_field", "waiter: give 64"),
        ({"name": "raw", "fields": {"kind": "what"}}, "bad_field", "kind: 'what' is no id"),
        ({"name": "raw", "fields": {"kind": 1, "body": "0g"}}, "bad_field", "body: '0g' is no bytes in hex"),
        ({"name": "raw", "fields": {"kind": 1, "data": ""}}, "bad_field", "data: there is no such field, but kind, body"),
    ],
)
def test_what_is_wrong_is_said_at_once(fields: dict[str, Any], code: str, told: str) -> None:
    device()
    got, text = refusal(**fields)
    assert got == code
    assert told in text


def test_each_refusal_has_a_word_of_its_own() -> None:
    assert len({error.code for error in ERRORS}) == len(ERRORS)
    assert set(AskError.__subclasses__()) == set(ERRORS)


def test_a_protocol_that_is_not_here_and_a_device_that_is_disabled() -> None:
    device(protocol="other")
    assert refusal(protocol="other")[0] == "unknown_command"
    device()
    Device.objects.update(is_enabled=False)
    assert refusal() == ("device_disabled", "fake 1 may not come in: let it in again with devices enable")


def test_who_may_ask_for_what() -> None:
    device()
    for name, effect in (("ask", "query"), ("limit", "configure"), ("lock", "actuate"), ("raw", "raw")):
        fields = {"kind": "0x10", "body": "00ff"} if name == "raw" else {}
        assert refusal(ALL - {effect}, name=name, fields=fields)[0] == "not_permitted"
        ask(REQUEST._replace(name=name, fields=fields, is_confirmed=True), TERMS, ME, frozenset({effect}), now())
    raw = Command.objects.latest("id")
    assert (raw.kind, raw.effect) == (0x10, "raw")
    assert refusal(frozenset())[1] == "lock is of the effect actuate, permitted is nothing"
    erase = REQUEST._replace(name="erase", is_confirmed=True)
    assert ask(erase, TERMS, ME, ALL, now()).name == "erase"


def test_what_acts_expires_soon_and_what_does_not_in_a_day() -> None:
    device()
    for name, lifetime in (("lock", seconds(60)), ("ask", timedelta(days=1)), ("limit", timedelta(days=1)), ("raw", seconds(60))):
        command = asked(name, fields={"kind": 1} if name == "raw" else {}, is_confirmed=True)
        assert command.expires_at - command.not_before == lifetime
    command = asked(expires_in=90.5)
    assert command.expires_at - command.not_before == seconds(90.5)


def test_a_device_is_told_so_many_commands_a_minute() -> None:
    at, terms = now(), TERMS._replace(commands_a_minute=3)
    device()
    for second in (0, 10, 20):
        ask(REQUEST, terms, ME, ALL, at + seconds(second))
    taken = [second for second in (59.9, 60, 69.9, 70) if _is_taken(terms, at + seconds(second))]
    assert taken == [60, 70]
    device("2")
    ask(REQUEST._replace(identity="2"), terms, ME, ALL, at + seconds(70))


def test_a_device_has_so_many_that_have_not_ended() -> None:
    device()
    for _ in range(MOST_OPEN - 1):
        asked("ask")
    sent("ask")
    code, text = refusal()
    assert code == "too_many"
    assert "32 commands that have not ended" in text
    Command.objects.filter(state="sent").update(state="acknowledged")
    asked()


def test_of_two_who_ask_at_once_for_the_last_place_one_gets_it() -> None:
    device()
    try_it = partial(_is_taken, TERMS._replace(commands_a_minute=1), now())
    assert sorted(at_once(try_it, try_it)) == [False, True]


def _is_taken(terms: Terms, at: datetime) -> bool:
    try:
        return bool(ask(REQUEST, terms, ME, ALL, at))
    except TooManyError:
        return False


def test_who_asks_again_with_the_same_key_has_asked_once() -> None:
    one, again = asked(key="k"), asked(key="k")
    assert one == again
    assert asked(identity="2", key="k") != one
    assert asked(key="k", waiter="gw-2").waiter == "gw-2"
    assert Command.objects.get(id=one.id).waiter == "gw-2", "who asked last waits"
    assert refusal(key="k", fields={"limit": 1})[0] == "key_taken"
    Command.objects.update(state="acknowledged")
    assert asked(key="k").state == "acknowledged", "also when it has ended"
    both = at_once(lambda: asked(key="z").id, lambda: asked(key="z").id)
    assert both[0] == both[1]


def test_fields_are_those_of_the_device_s_edition() -> None:
    device()
    assert "no such field in edition ''" in refusal(fields={"new": 1})[1]
    write([incoming(report(), identity="1")], is_open=anybody)
    assert asked(fields={"new": 1}).fields == {"new": 1}


def test_who_must_be_online_is() -> None:
    row = {"since": now(), "gateway": "gw", "run": "r", "peer": "p", "epoch": 1}
    presence = Presence.objects.create(device=device(), is_online=True, **row)
    asked(must_be_online=True)
    presence.is_online = False
    presence.save()
    assert refusal(must_be_online=True)[0] == "offline"


def test_a_run_has_its_devices_one_after_another() -> None:
    at = now()
    devices = [device(f"{number}") for number in range(6)]
    Device.objects.filter(identity="1").update(is_enabled=False)
    for _ in range(MOST_OPEN):
        asked("ask", identity="2")
    run = begin_run("lock", "group North", 2.0, ME, at)
    request, ids = REQUEST._replace(identity="", expires_in=60), [each.id for each in devices]
    made, refused = ask_in_run(run, request, ids[:4], 0, TERMS._replace(commands_a_minute=1), ME, ALL)
    assert [(each.identity, error.code) for each, error in refused] == [("1", "device_disabled"), ("2", "too_many")]
    more, _ = ask_in_run(run, request, ids[4:], len(made), TERMS, ME, ALL)
    assert [command.device.identity for command in made + more] == ["0", "3", "4", "5"]
    rows = Command.objects.filter(run=run).order_by("id")
    assert [(row.not_before - at, row.expires_at - at, row.due_at - row.not_before) for row in rows if row.due_at] == [
        (seconds(number / 2), seconds(60 + number / 2), seconds(0)) for number in range(4)
    ]
    assert all(causes(row) == ["asked"] for row in rows)
    entry = AuditEntry.objects.get(action="command.run")
    assert entry.after == {"command": "lock", "scope": "group North", "pace": 2.0}
    none, not_known = ask_in_run(run, request._replace(name="dance"), ids[3:], 0, TERMS, ME, ALL)
    assert none == []
    assert {error.code for _, error in not_known} == {"unknown_command"}
    assert Command.objects.filter(run=run).count() == 4
    assert CommandRun.objects.count() == 1


def test_what_has_to_be_confirmed_in_a_run_has_to_be_too() -> None:
    run = begin_run("erase", "all", 1.0, ME, now())
    with pytest.raises(AskError) as refused:
        ask_in_run(run, REQUEST._replace(name="erase"), [device().id], 0, TERMS, ME, ALL)
    assert refused.value.code == "confirmation_needed"
