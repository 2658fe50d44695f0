"""Telling devices what to do, and waiting for what they say.

    caller ── POST, wait ──▶ a task: a row, queued ── ended within the time? ──▶ the command as it is then
                                                       └─ mailbox: ended, or the time is over ──▶ a task: how is it?

Workers know the rules; here is said who asks, and which effects the token permits. Nobody polls, and nobody waits for nothing: a
caller that hangs up is forgotten, and its command goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import orjson
import structlog
from pydantic import ConfigDict, Field, ValidationError
from twisted.internet.defer import Deferred, inlineCallbacks

from iotgw.callers import Caller, TooManyCallersError
from iotgw.control.route import Asked, ControlError, Given, Route, Told
from iotgw.control.work import CALL_ERRORS, failed, travels
from protocols import DeviceProtocol
from protocols.commandtable import kinds_of, shown
from tasks.contract import ASK_TASK, CANCEL_COMMAND_TASK, SHOW_COMMAND_TASK

log = structlog.get_logger(__name__)

LONGEST_WAIT_SECONDS = 60
ANSWER_SECONDS = 10.0
"""How long a worker may take. One that is there answers within milliseconds."""
STATUSES = {
    "unknown_device": 404,
    "unknown_command": 404,
    "bad_field": 422,
    "bad_condition": 422,
    "bad_expiry": 422,
    "not_permitted": 403,
    "confirmation_needed": 409,
    "device_disabled": 409,
    "offline": 409,
    "key_taken": 409,
    "too_many": 429,
}
"""Of a command that is not taken, by the worker's word for why."""


class CommandQuery(Given):
    wait: float = Field(15.0, ge=0, le=LONGEST_WAIT_SECONDS, description="So many seconds for the command's end; 0: not at all.")


class CommandGiven(Given):
    name: str = Field(min_length=1, description="As GET /v1/protocols/{protocol}/commands lists it.")
    fields: dict[str, Any] = Field({}, description="Its fields, by name.")
    expires_seconds: float | None = Field(
        None, gt=0, description="It may leave for so long; by default a minute if it does something in the world, else a day."
    )
    condition: str = Field("", description="It leaves only if this holds then, such as: speed_kmh <= 0 within 30 s.")
    confirm: bool = Field(False, description="Once more yes, to a command that asks for it.")
    must_be_online: bool = Field(False, description="It is refused if the device is not here.")
    key: str = Field("", description="Of your choice: who asks again with the same one gets the command that there is.")


class _Passed(Told):
    """As a worker tells it: what a newer one adds is told as well."""

    model_config = ConfigDict(extra="allow")


class StepTold(_Passed):
    at: datetime
    state: str = Field(description="The command's, from then on.")
    cause: str
    text: str = Field("", description="Why, or what the device said.")
    gateway: str = ""
    kind: str = Field("", description="Of the message that was sent or came.")
    data: str | None = Field(None, description="Its bytes in hexadecimal digits: the frames that were sent, the body that came.")


class CommandTold(_Passed):
    id: int
    protocol: str
    identity: str
    name: str
    effect: str = Field("", description="query, configure, actuate or raw.")
    fields: dict[str, Any] = Field({}, description="As they were given.")
    condition: str = ""
    state: str = Field(description="queued, sent, acknowledged, failed, expired or cancelled.")
    reason: str = Field("", description="Why it failed: the device's word, or no_answer, condition.")
    by: str = Field("", description="Who asked.")
    tries: int = Field(0, description="How often it was sent.")
    created_at: datetime | None = None
    expires_at: datetime | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = Field(None, description="null while it is queued or sent.")
    steps: list[StepTold] = Field([], description="What has happened to it; the device's answers are among them.")


class CommandFieldTold(Told):
    name: str = Field(description="With those around it, such as areas[].latitude.")
    type: str
    unit: str
    english: str
    chinese: str
    is_needed: bool
    condition: str = Field(description="When it may be given; empty for always.")
    words: list[dict[str, Any]] = Field(description="What it may be made of.")


class CommandKindTold(Told):
    name: str
    kind: int | None = Field(description="The message's id.")
    english: str
    chinese: str
    effect: str = Field(description="query reads, configure changes, actuate does something in the world, raw is anything.")
    is_repeatable: bool = Field(description="Whether it is sent again when nothing was answered.")
    is_confirmed_twice: bool = Field(description="Whether it takes confirm.")
    differs_by_fields: bool = Field(description="Whether these are other ones with some fields.")
    answer_seconds: float = Field(description="How long the device may take.")
    waits_grow: bool = Field(description="Whether that is twice, then six times as long when it is sent again.")
    answered_by: list[int] = Field(description="Messages that answer it, by id.")
    fields: list[CommandFieldTold]


class CatalogueTold(Told):
    protocol: str
    commands: list[CommandKindTold]


@inlineCallbacks
def ask(asked: Asked) -> Generator[Deferred[Any], Any, CommandTold]:
    """Once there is a command its caller is told of it, whatever becomes of the wait."""
    reach, wait = asked.reach, asked.query.wait
    until = reach.gateway.now() + wait
    request, permitted = _request(asked), [effect.value for effect in reach.settings.control_commands]
    with ExitStack() as leaving:
        caller = leaving.enter_context(_enter(asked)) if wait else None
        answer = yield reach.offload(
            ASK_TASK, request, _by(asked), asked.peer, permitted, timeout_seconds=ANSWER_SECONDS
        ).addErrback(failed)
        command = _command(_taken(answer))
        left = until - reach.gateway.now()
        if caller is None or command.ended_at is not None or left <= 0:
            return command
        yield caller.wait(command.id, left)
    try:
        now = yield _show(asked, command.id)
    except ControlError as error:
        log.debug("what became of a command is not known", command=command.id, cause=str(error))
        return command
    return command if now is None else _command(now)


@inlineCallbacks
def show(asked: Asked) -> Generator[Deferred[Any], Any, CommandTold]:
    told = yield _show(asked, _id(asked))
    if told is None:
        raise _no_command(asked)
    return _command(told)


@inlineCallbacks
def cancel(asked: Asked) -> Generator[Deferred[Any], Any, CommandTold]:
    call = asked.reach.offload(CANCEL_COMMAND_TASK, _id(asked), _by(asked), asked.peer, timeout_seconds=ANSWER_SECONDS)
    told = yield call.addErrback(failed)
    if told is None:
        raise _no_command(asked)
    command = _command(_taken(told))
    if command.state != "cancelled":
        raise ControlError(409, "too_late", f"the command is {command.state}: one that has been sent or has ended is not cancelled")
    return command


def list_commands(asked: Asked) -> bytes:
    protocol = asked.path["protocol"]
    if protocol not in asked.reach.catalogues:
        known = ", ".join(sorted(asked.reach.catalogues))
        raise ControlError(404, "unknown_protocol", f"there is no protocol {protocol[:32]!r}: use one of {known}")
    return asked.reach.catalogues[protocol]


def catalogues(protocols: Mapping[str, DeviceProtocol]) -> dict[str, bytes]:
    """Of each protocol what is told of its commands. It takes some of the event loop's time, so it is done once."""
    told = {name: {"protocol": name, "commands": list(map(shown, kinds_of(one).values()))} for name, one in protocols.items()}
    return {name: orjson.dumps(one) for name, one in told.items()}


def _request(asked: Asked) -> dict[str, Any]:
    body = asked.body
    if not travels(body.fields):
        raise ControlError(400, "bad_body", "fields take whole numbers of 64 bits at the most")
    return {
        "protocol": asked.path["protocol"],
        "identity": asked.path["identity"],
        "name": body.name,
        "fields": body.fields,
        "condition": body.condition,
        "expires_in": body.expires_seconds,
        "is_confirmed": body.confirm,
        "must_be_online": body.must_be_online,
        "waiter": asked.reach.settings.gateway_id if asked.query.wait else "",
        "key": body.key,
    }


def _enter(asked: Asked) -> Caller:
    try:
        return asked.reach.callers.enter()
    except TooManyCallersError as error:
        raise ControlError(503, "too_many_callers", f"{error}: ask with wait=0, and look later") from error


def _by(asked: Asked) -> str:
    return f"control of {asked.reach.settings.gateway_id}"


def _show(asked: Asked, command: int) -> Deferred[Any]:
    return asked.reach.offload(SHOW_COMMAND_TASK, command, timeout_seconds=ANSWER_SECONDS).addErrback(failed)


def _taken(answer: Any) -> Any:
    """What is said of the command.

    Raises: ControlError when it is not taken.
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        code = str(error.get("code"))
        raise ControlError(STATUSES.get(code, 422), code if code in STATUSES else "refused", str(error.get("text")))
    return answer.get("command") if isinstance(answer, dict) else None


def _command(told: Any) -> CommandTold:
    try:
        return CommandTold.model_validate(told)
    except ValidationError as error:
        # Of another release.
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise ControlError(502, "bad_answer", f"what a worker tells is no command{f', at {where}' if where else ''}") from error


def _id(asked: Asked) -> int:
    text = asked.path["id"]
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) < 1 << 63):
        raise _no_command(asked)
    return int(text)


def _no_command(asked: Asked) -> ControlError:
    return ControlError(404, "unknown_command", f"there is no command {asked.path['id'][:20]!r}")


def _status(told: CommandTold) -> int:
    return 200 if told.ended_at is not None else 202


_CALLS = {**CALL_ERRORS, 502: "The task failed, or what a worker tells is no command."}
_ONE = "/v1/commands/{id}"
ROUTES = (
    Route(
        "GET",
        "/v1/protocols/{protocol}/commands",
        "What a protocol's devices can be told to do",
        list_commands,
        CatalogueTold,
        errors={404: "There is no such protocol."},
        describe="By the oldest edition of a protocol that has several. A worker knows the device's own, and checks by that.",
    ),
    Route(
        "POST",
        "/v1/devices/{protocol}/{identity}/commands",
        "Tell a device to do something, and wait for what it says",
        ask,
        CommandTold,
        query=CommandQuery,
        body=CommandGiven,
        errors={
            **_CALLS,
            202: "It has not ended in time, and goes on: ask for it by its id.",
            403: "No control_token is set, or control_commands does not permit it.",
            404: "There is no such device, or its protocol has no such command.",
            409: "The device is disabled or not here, the command takes confirm, or the key was given with something else.",
            422: "A field, the condition or the expiry is wrong.",
            429: "Too many commands for this device.",
            503: "The broker does not take it, too many calls or callers wait, or the gateway stops.",
            504: "No worker answered in time. It may have been taken all the same: with a key you may ask again.",
        },
        tells=frozenset({202}),
        status_of=_status,
        describe="Hang up, and the end is waited for no more; the command goes on.",
    ),
    Route("GET", _ONE, "A command, and what has happened to it", show, CommandTold, errors={**_CALLS, 404: "There is none."}),
    Route(
        "DELETE",
        _ONE,
        "Cancel a command that has not been sent",
        cancel,
        CommandTold,
        errors={**_CALLS, 404: "There is none.", 409: "It was sent, or has ended."},
    ),
)
