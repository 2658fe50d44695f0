"""Commands made for tests, of a protocol whose bodies are their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

from construct import Struct

from protocols.command import Answer, AnswersName, AnswerStatus, CommandRule, Effect
from protocols.message import Event
from protocols.protocol import Codec, DeviceProtocol, MessageRow
from protocols.rows import Direction, MessageType
from store.audit import Actor
from store.bulk import write
from store.commands import asking, leaving
from store.commands.asking import EFFECTS, Request, Terms
from store.commands.leaving import Going
from store.models import Command, Device
from tests.records import anybody, incoming, report
from tests.tasks.fakes import FakeProtocol

ME = Actor("me")
ALL = frozenset(EFFECTS)
LOCK, ASK, LIMIT, ERASE = 1, 2, 3, 4


def down(id: int, name: str, english: str, effect: Effect, **rule: Any) -> MessageRow:
    return MessageType(id, name, english, english, {"first": Struct()}, Direction.DOWN, command=CommandRule(effect, **rule))


class Link:
    """A codec of which nothing is asked but whether it carries files."""


class Carrying(Link):
    def offer(self, *_: Any) -> list[Event]:
        return []

    hand_out = offer

    def withdraw(self, identity: str) -> None:
        """Nothing is offered."""


class Commanded(FakeProtocol):
    """Of which a head says which edition its device is of."""

    messages: ClassVar[Mapping[int, MessageRow]] = {
        LOCK: down(LOCK, "lock", "Lock the doors", Effect.ACTUATE, answer_seconds=20),
        ASK: down(ASK, "ask", "Ask for parameters", Effect.QUERY, is_repeatable=True, answer_seconds=30),
        LIMIT: down(LIMIT, "limit", "Set the limit", Effect.CONFIGURE, is_repeatable=True, waits_grow=True),
        ERASE: down(ERASE, "erase", "Erase everything", Effect.ACTUATE, is_confirmed_twice=True),
    }

    def __init__(self, names: AnswersName) -> None:
        self.answers_name = names

    def codec(self, identity: str = "") -> Codec:
        return cast("Codec", Link())

    def edition_of(self, head: bytes) -> str:
        return head.decode()

    def build(self, kind: str | int, fields: Mapping[str, Any], edition: str = "") -> bytes:
        if not isinstance(fields.get("limit", 0), int):
            raise ValueError(f"limit: {fields['limit']!r} is no whole number")
        if "new" in fields and edition != "head":
            raise ValueError(f"new: there is no such field in edition {edition!r}")
        return json.dumps([kind, fields, edition]).encode()


class FileTaking(Commanded):
    def codec(self, identity: str = "") -> Codec:
        return cast("Codec", Carrying())


PROTOCOLS: dict[str, DeviceProtocol] = {
    "fake": Commanded(AnswersName.SEQUENCE),
    "kinds": Commanded(AnswersName.KIND),
    "plain": Commanded(AnswersName.NOTHING),
    "carrying": FileTaking(AnswersName.NOTHING),
}
TERMS = Terms(PROTOCOLS, commands_a_minute=1000)


def now() -> datetime:
    return datetime.now(UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def names_of(protocol: str) -> AnswersName:
    return PROTOCOLS[protocol].answers_name


def device(identity: str = "1", protocol: str = "fake") -> Device:
    return Device.objects.get_or_create(protocol=protocol, identity=identity)[0]


def asked(name: str = "lock", identity: str = "1", protocol: str = "fake", at: datetime | None = None, **fields: Any) -> Command:
    """A command, queued."""
    device(identity, protocol)
    request = Request(protocol, identity, name, fields.pop("fields", {}), **fields)
    return asking.ask(request, TERMS, ME, ALL, at or now())


def granted(
    *asked: Command, gateway: str = "gw", token: str = "", at: datetime | None = None, sequence: int | None = None
) -> list[bool]:
    """Whether a gateway may write these; each has its id for a sequence, unless it is given one."""
    going = [Going(one.id, one.id if sequence is None else sequence, b"frame") for one in asked]
    return leaving.sending(gateway, going, token, names_of, at or now())[0]


def sent(name: str = "lock", identity: str = "1", protocol: str = "fake", at: datetime | None = None, **fields: Any) -> Command:
    """A command that a gateway was to write."""
    command = asked(name, identity, protocol, at, **fields)
    assert granted(command, at=at) == [True]
    return command


def answer(command: Command, status: AnswerStatus = AnswerStatus.DONE, reason: str = "", sequence: int | None = None) -> Answer:
    return Answer((command.kind, 99), status, command.id if sequence is None else sequence, reason)


def say(*answers: Answer, identity: str = "1", protocol: str = "fake", at: datetime | None = None) -> list[int]:
    """A device's message with an answer in each report; which commands have changed."""
    at, changed = at or now(), list[int]()
    reports = [report(f"{place} {given}".encode(), None, kind="answer", answer=given) for place, given in enumerate(answers)]
    write([incoming(*reports, identity=identity, protocol=protocol, received_at=at)], is_open=anybody, commands=changed)
    return changed


def states() -> list[str]:
    """Of all commands, with their reasons."""
    return [f"{state} {reason}".strip() for state, reason in Command.objects.order_by("id").values_list("state", "reason")]


def causes(command: Command) -> list[str]:
    return list(command.steps.order_by("id").values_list("cause", flat=True))
