"""Files as commands: the command's life is its delivery's."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Q

from protocols.command import Answer, AnswerStatus
from protocols.commandtable import kinds_of
from store import deliveries
from store.audit import Actor
from store.commands import ledger, turns
from store.commands.asking import LONGEST_EXPIRY, Request, ask, ask_in_run, begin_run
from store.commands.errors import AskError
from store.commands.filecommands import NO_MESSAGE
from store.deliveries import Noted
from store.models import Command, Delivery, File
from tests.store.commands.made import (
    ALL,
    ME,
    PROTOCOLS,
    TERMS,
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


def file(**fields: Any) -> File:
    return File.objects.create(name="firmware", version="1", size=1000, sha256="a" * 64, crc32=1, **fields)


def offered(**fields: Any) -> Command:
    return asked("file", protocol="carrying", fields={"file": file().id}, **fields)


def follow() -> list[str]:
    """What the sweep of deliveries makes of their commands."""
    ledger.follow(deliveries.due(now(), 10), now())
    return states()


def delivery() -> Delivery:
    return Delivery.objects.get()


def test_a_file_is_offered_with_its_command() -> None:
    at = now()
    command = offered(at=at)
    assert (delivery().state, delivery().by, command.delivery) == ("offered", "me", delivery())
    assert (command.state, command.kind, command.effect, command.expires_at) == (
        "queued",
        NO_MESSAGE,
        "configure",
        at + LONGEST_EXPIRY,
    )
    ledger.seen(turns.due(now(), 10), now())
    assert Command.objects.get().due_at == command.expires_at, "nobody is to be told of it before"
    assert "file" in kinds_of(PROTOCOLS["carrying"])
    assert "file" not in kinds_of(PROTOCOLS["fake"])


def test_its_life_is_that_of_its_delivery() -> None:
    command = offered()
    assert follow() == ["queued"]
    deliveries.take_next("carrying", ["1"], now())
    deliveries.note([Noted(delivery().id, 500, now())], now())
    assert follow() == ["sent"]
    Delivery.objects.update(state="done", due_at=now())
    assert follow() == ["acknowledged"]
    assert follow() == ["acknowledged"]
    assert causes(command) == ["asked", "sent", "answered"]


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ({"state": "failed", "reason": "damaged"}, "failed damaged"),
        ({"state": "failed"}, "failed refused"),
        ({"state": "cancelled"}, "cancelled"),
    ],
)
def test_it_ends_as_its_delivery_does(end: dict[str, str], state: str) -> None:
    offered()
    Delivery.objects.update(**end)
    assert follow() == [state]


@pytest.mark.parametrize("is_fetching", [True, False])
def test_it_is_cancelled_with_its_delivery_until_all_has_gone_down(is_fetching: bool) -> None:
    command = offered()
    if is_fetching:
        Delivery.objects.update(state="fetching")
        follow()
    assert ledger.cancel(Q(id=command.id), now(), Actor("boss")) == [command]
    assert (states(), delivery().state) == (["cancelled"], "cancelled")
    assert delivery().due_at is not None, "gateways are told"


def test_it_expires_with_its_delivery_unless_it_is_under_way() -> None:
    begun = now()
    offered(at=begun, expires_in=60)
    ledger.end_late(begun + seconds(60), 10, {})
    assert (states(), delivery().state) == (["expired"], "cancelled")
    Command.objects.all().delete()
    offered(at=begun, expires_in=60)
    Delivery.objects.filter(state="offered").update(state="fetching")
    follow()
    ledger.end_late(begun + seconds(3600), 10, {})
    assert states() == ["sent"]


def test_it_holds_no_other_command_up_and_is_answered_by_none() -> None:
    command = offered()
    Delivery.objects.update(state="fetching")
    follow()
    other = asked(protocol="carrying")
    assert turns.next_of("carrying", ["1"], names_of("carrying"), now()) == {"1": [other]}
    assert granted(other) == [True]
    assert granted(command) == [False]
    say(Answer((NO_MESSAGE,), AnswerStatus.DONE), protocol="carrying")
    assert states() == ["sent", "sent"]
    assert turns.waiting([device(protocol="carrying").id]) == set()


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({"fields": {"file": 77}}, "bad_field", "file: 77 is no file that there is"),
        ({"fields": {"file": True}}, "bad_field", "file: True is no file"),
        ({"fields": {"file": 1 << 70}}, "bad_field", "is no file"),
        ({"fields": {}}, "bad_field", "file: None is no file"),
        ({"fields": {"file": 1, "at": 2}}, "bad_field", "at: there is no such field, but file"),
        ({"condition": "speed_kmh <= 0 within 30 s"}, "bad_condition", "it takes no condition"),
        ({"protocol": "fake"}, "unknown_command", "fake devices have no command 'file', but lock"),
    ],
)
def test_what_is_no_file_for_it_is_refused(fields: dict[str, Any], code: str, told: str) -> None:
    file(removed_at=now())
    device(), device(protocol="carrying")
    request = Request("carrying", "1", "file", {"file": file().id})._replace(**fields)
    with pytest.raises(AskError, match=told) as refused:
        ask(request, TERMS, ME, ALL, now())
    assert refused.value.code == code
    assert not Command.objects.exists()
    assert not Delivery.objects.exists()


def test_a_group_is_offered_a_file_at_once() -> None:
    at = now()
    devices = [device(identity, "carrying") for identity in "abc"]
    run = begin_run("file", "group North", 0.1, ME, at)
    request = Request("", "", "file", {"file": file().id})
    made, refused = ask_in_run(run, request, [each.id for each in devices], 0, TERMS, ME, ALL)
    assert ([row.not_before for row in made], refused) == ([at] * 3, [])
    assert Delivery.objects.count() == 3


def test_what_was_sent_otherwise_is_not_called_back() -> None:
    command = sent(protocol="carrying")
    assert ledger.cancel(Q(id=command.id), now(), ME) == []
