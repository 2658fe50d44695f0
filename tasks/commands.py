"""What devices are told to do, between its rows and the gateways.

gateway -> next_commands(gateway, [(protocol, identity, head)])     whose turn it is, as kind and body
gateway -> sending(gateway, [(command, sequence, data)])            which of these it may write
gateway -> unsent(gateway, [(command, fault)])                      of which it has written no byte
gateway -> ask, show, cancel                                        for who asks the gateway over HTTP
beat    -> sweep, every 2 s                                         what is late; what gateways were not told
gateway <- devices with news, commands that have ended              by way of its mailbox, after each commit
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast

from celery import Task
from celery.exceptions import Reject
from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from redis import RedisError

from protocols.command import AnswersName
from store.audit import Actor
from store.commands import asking, bodies, leaving, ledger, lists, turns
from store.commands.asking import EFFECTS, Request, Terms
from store.commands.errors import AskError
from store.commands.leaving import Going
from store.models import Command
from tasks.celery import app, protocols, settings
from tasks.connection import redis
from tasks.contract import (
    ASK_TASK,
    CANCEL_COMMAND_TASK,
    COMMANDS_FIELD,
    COMMANDS_SWEEP_TASK,
    COMMANDS_WAITING,
    ENDED_FIELD,
    HEARD,
    NEXT_COMMANDS_TASK,
    REPLY_BYTES,
    ROUTES,
    SENDING_TASK,
    SHOW_COMMAND_TASK,
    UNSENT_TASK,
    Asking,
    BadPayloadError,
    CommandsWaiting,
    Ready,
    pack_commands_waiting,
    pack_ended,
    read_asking,
    read_leaving,
    read_unsent,
    route_field,
)
from tasks.database import database
from tasks.mailboxes import post

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 20
"""All of it takes milliseconds. Whoever asks has asked again by then."""
TIME_LIMIT_SECONDS = 30
LONGEST_SWEEP_SECONDS = 15.0
"""One that finds more than it may tell at a time goes on for so long. What is left is the next one's."""
COMMANDS_A_TIME = 500
MOST_READY_BYTES = REPLY_BYTES // 2
"""Of bodies in one answer. A device whose command has no place in it is told with the next."""
SWEEPING = "iotgw:commands-sweeping"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GATEWAY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TYPES: dict[str, Any] = {
    "protocol": str, "identity": str, "name": str, "fields": dict, "condition": str, "expires_in": (int, float, type(None)),
    "is_confirmed": bool, "must_be_online": bool, "waiter": str, "key": str,
}  # fmt: skip
"""Of what a request for a command is made."""
_NEEDED = {"protocol", "identity", "name", "fields"}
_Checked = TypeVar("_Checked")
_LIMITS: dict[str, Any] = {"soft_time_limit": SOFT_TIME_LIMIT_SECONDS, "time_limit": TIME_LIMIT_SECONDS}


@app.task(name=NEXT_COMMANDS_TASK, **_LIMITS)
def next_commands(gateway: str, devices: list[Any]) -> list[list[Ready]]:
    """Of each device the commands that may leave now, in their order.

    Idempotent: it only reads, but that a command fails of which no body can be made for this device. Bounded by the number of
    devices that may be asked for at once, by :data:`MOST_READY_BYTES` and by the limits above. A payload that is none of ours is
    dropped.
    """
    _check_gateway(gateway)
    asked = _checked(read_asking, devices)
    identities: dict[str, list[str]] = defaultdict(list)
    for device in asked:
        identities[device.protocol].append(device.identity)
    now = datetime.now(UTC)
    with database():
        found = {name: turns.next_of(name, names, names_of(name), now) for name, names in identities.items() if name in protocols}
        faults: dict[int, str] = {}
        ready = _Bodies(faults).of([(device, found.get(device.protocol, {}).get(device.identity, [])) for device in asked])
        failed = leaving.unsent(gateway, faults, "", now) if faults else []
    announce(failed)
    return ready


@app.task(name=SENDING_TASK, bind=True, **_LIMITS)
def sending(self: Task[Any, Any], gateway: str, commands: list[Any]) -> list[bool]:
    """Of each of these commands whether the gateway may write it; what it may write counts as sent from here on.

    Idempotent: the same task, coming again, says the same again. Bounded by the number of commands that may come at once, and by
    the limits above. A payload that is none of ours is dropped.
    """
    _check_gateway(gateway)
    going = [Going(*one) for one in _checked(read_leaving, commands)]
    with database():
        granted, changed = leaving.sending(gateway, going, self.request.id or "", names_of, datetime.now(UTC))
    announce(changed)
    return granted


@app.task(name=UNSENT_TASK, bind=True, **_LIMITS)
def unsent(self: Task[Any, Any], gateway: str, commands: list[Any]) -> None:
    """Put back what a gateway was to write and did not; end what can never be written.

    Idempotent: the same task, coming again, does nothing. Bounded by the number of commands that may come at once, and by the
    limits above. A payload that is none of ours is dropped.
    """
    _check_gateway(gateway)
    faults = {one.command: one.fault for one in _checked(read_unsent, commands)}
    with database():
        changed = leaving.unsent(gateway, faults, self.request.id or "", datetime.now(UTC))
    announce(changed)


@app.task(name=ASK_TASK, bind=True, **_LIMITS)
def ask(self: Task[Any, Any], request: dict[str, Any], by: str, address: str, permitted: list[str]) -> dict[str, Any]:
    """Queue a command for a device: ``command``, as :func:`show` has it, or ``error`` with ``code`` and ``text``.

    Idempotent: the same task, coming again, gives the same command, and so does another with the same ``key``. Bounded by one
    device and by the limits above. A payload that is none of ours is dropped.
    Shape: ``request`` has the fields of :class:`store.commands.asking.Request`, all but the first four of which may be left out.
    """
    wanted = _checked(_read_request, request)
    actor, may = _checked(_read_actor, (by, address)), _checked(_read_permitted, permitted)
    wanted = wanted._replace(key=wanted.key or self.request.id or "")
    terms = Terms(protocols, settings.commands_per_minute)
    with database():
        try:
            command = asking.ask(wanted, terms, actor, may, datetime.now(UTC))
        except AskError as error:
            return {"error": {"code": error.code, "text": str(error)}}
        told = _told(command)
    announce([command.id])
    return {"command": told}


@app.task(name=SHOW_COMMAND_TASK, **_LIMITS)
def show(id: int) -> dict[str, Any] | None:
    """A command with its ``steps``; None if there is none.

    Idempotent: it only reads. Bounded by the steps of one command and by the limits above. A payload that is none of ours is
    dropped.
    Shape: times in ISO 8601 with their zone, bytes in hex.
    """
    _checked(_read_id, id)
    with database():
        command = Command.objects.select_related("device").filter(id=id).first()
        return None if command is None else _told(command)


@app.task(name=CANCEL_COMMAND_TASK, **_LIMITS)
def cancel(id: int, by: str, address: str) -> dict[str, Any] | None:
    """Cancel a command that was not sent yet: ``is_cancelled``, and ``command`` as :func:`show` has it; None if there is none.

    Idempotent: what was sent, or has ended, stays as it is. Bounded by one command and by the limits above. A payload that is
    none of ours is dropped.
    """
    _checked(_read_id, id)
    actor = _checked(_read_actor, (by, address))
    with database():
        cancelled = ledger.cancel(Q(id=id), datetime.now(UTC), actor)
        command = Command.objects.select_related("device").filter(id=id).first()
        told = None if command is None else {"is_cancelled": bool(cancelled), "command": _told(command)}
    announce([row.id for row in cancelled])
    return told


@app.task(name=COMMANDS_SWEEP_TASK, **_LIMITS)
def sweep() -> None:
    """End commands that are late, have those repeated that may be, and tell gateways and who waits what they were not told.

    Idempotent; several at once tell twice, which changes nothing, so that of several one tells. Bounded by
    :data:`LONGEST_SWEEP_SECONDS` and by the limits above. While Redis is away what has expired ends all the same; of what was sent
    nobody knows then if its answer is on its way.
    """
    until = time.monotonic() + LONGEST_SWEEP_SECONDS
    try:
        with database():
            now = datetime.now(UTC)
            heard_until = _heard_until(ledger.late_gateways(now))
            while ledger.end_late(now, COMMANDS_A_TIME, heard_until) and time.monotonic() < until:
                pass
        # The limit ends whoever has it before it expires. After one that was killed nobody tells for so long.
        if redis().set(SWEEPING, 1, nx=True, ex=TIME_LIMIT_SECONDS):
            try:
                with database():
                    while _announce(None) and time.monotonic() < until:
                        pass
            finally:
                redis().delete(SWEEPING)
    except (DatabaseError, InterfaceError, RedisError) as error:
        log.error("commands not looked after, will try again", extra={"cause": _cause(error)})


def announce(commands: Sequence[int]) -> bool:
    """Tell gateways and who waits what has changed of these commands, once it is committed. If it cannot be told the sweep does it.

    Whether it was told.
    """
    if not commands:
        return True
    try:
        with database():
            _announce(commands)
    except (DatabaseError, InterfaceError, RedisError) as error:
        log.warning("commands not announced, a sweep will do it", extra={"cause": _cause(error)})
        return False
    return True


def names_of(protocol: str) -> AnswersName:
    """Of a protocol that is unknown here nothing is known either."""
    known = protocols.get(protocol)
    return AnswersName.NOTHING if known is None else known.answers_name


def _heard_until(gateways: Collection[str]) -> dict[str, datetime]:
    """Up to when workers have stored all that these gateways have received. Of one that is gone nothing is told."""
    if not gateways:
        return {}
    try:
        told = cast("list[bytes | None]", redis().mget([HEARD + gateway for gateway in gateways]))
    except RedisError:
        return dict.fromkeys(gateways, _EPOCH)
    known = zip(gateways, told, strict=True)
    return {gateway: _EPOCH + timedelta(milliseconds=int(ms)) for gateway, ms in known if ms is not None}


def _announce(commands: Sequence[int] | None) -> bool:
    """Tell what is due; whether there may be more.

    Raises: redis.RedisError
    """
    now = datetime.now(UTC)
    found = turns.due(now, COMMANDS_A_TIME, commands)
    if found:
        _tell_gateways(found)
        _tell_waiters(found)
        ledger.seen(found, now)
    return len(found) == COMMANDS_A_TIME


def _tell_gateways(found: Iterable[Command]) -> None:
    """Mark the devices for which something waits, and have the gateways that have them look."""
    devices = {row.device_id: CommandsWaiting(row.device.protocol, row.device.identity) for row in found}
    fields = {id: route_field(*device) for id, device in devices.items()}
    waiting = turns.waiting(devices)
    idle = devices.keys() - waiting
    pipeline = redis().pipeline(transaction=False)
    for id, field in fields.items():
        (pipeline.sadd if id in waiting else pipeline.srem)(COMMANDS_WAITING, field)
    pipeline.hmget(ROUTES, list(fields.values()))
    routes = pipeline.execute()[-1]
    # What was asked for meanwhile may have been marked before that was taken away.
    if asked := turns.waiting(idle) if idle else set():
        redis().sadd(COMMANDS_WAITING, *(fields[id] for id in asked))
    gateways: dict[str, list[CommandsWaiting]] = defaultdict(list)
    for route, (id, device) in zip(routes, devices.items(), strict=True):
        if route is not None and (id in waiting or id in asked):
            gateways[route.decode().partition(" ")[0]].append(device)
    for gateway, told in gateways.items():
        post(gateway, COMMANDS_FIELD, pack_commands_waiting(told))


def _tell_waiters(found: Iterable[Command]) -> None:
    ended: dict[str, list[int]] = defaultdict(list)
    for row in found:
        if row.waiter and not row.is_open:
            ended[row.waiter].append(row.id)
    for gateway, ids in ended.items():
        post(gateway, ENDED_FIELD, pack_ended(ids))


class _Bodies:
    """Makes the bodies of commands that may leave, up to a number of bytes in all; ``faults`` are of those that cannot be made."""

    def __init__(self, faults: dict[int, str]) -> None:
        self._faults = faults
        self._left = MOST_READY_BYTES

    def of(self, turns: Sequence[tuple[Asking, Sequence[Command]]]) -> list[list[Ready]]:
        return [self._of(device, commands) for device, commands in turns]

    def _of(self, device: Asking, commands: Sequence[Command]) -> list[Ready]:
        ready: list[Ready] = []
        for command in commands:
            try:
                built = bodies.build(protocols[device.protocol], command.device, command.name, command.fields, device.head)
            except ValueError as error:
                self._faults[command.id] = str(error)
                continue
            self._left -= len(built.body)
            if self._left < 0:
                break
            ready.append(Ready(command.id, built.kind, built.body))
        return ready


def _told(command: Command) -> dict[str, Any]:
    return _plain({**lists.shown(command), "steps": list(map(_plain, lists.steps(command)))})


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _read_request(request: Any) -> Request:
    """Raises: BadPayloadError"""
    if not isinstance(request, dict) or not _NEEDED <= request.keys() <= _TYPES.keys():
        raise BadPayloadError("no request for a command")
    if wrong := [name for name, value in request.items() if not isinstance(value, _TYPES[name]) or _is_truth(name, value)]:
        raise BadPayloadError(f"{wrong[0]} of a request for a command is of another type")
    return Request(**request)


def _is_truth(name: str, value: Any) -> bool:
    """Whether it is true or false where a number is asked for."""
    return isinstance(value, bool) and _TYPES[name] is not bool


def _read_actor(who: Any) -> Actor:
    """Raises: BadPayloadError"""
    name, address = who
    if not isinstance(name, str) or not isinstance(address, str) or len(address) > 64:
        raise BadPayloadError("nobody who asks")
    return Actor(name, address)


def _read_permitted(permitted: Any) -> frozenset[str]:
    """Raises: BadPayloadError"""
    if not isinstance(permitted, (list, tuple)) or not all(effect in EFFECTS for effect in permitted):
        raise BadPayloadError(f"permitted are none of {', '.join(EFFECTS)}")
    return frozenset(permitted)


def _read_id(id: Any) -> int:
    """Raises: BadPayloadError"""
    if type(id) is not int or not 0 < id < 1 << 63:
        raise BadPayloadError("no command's number")
    return id


def _check_gateway(gateway: Any) -> None:
    if not isinstance(gateway, str) or not _GATEWAY.fullmatch(gateway):
        _drop("gateway is no gateway's name")


def _checked(check: Callable[[Any], _Checked], payload: Any) -> _Checked:
    """Raises: Reject"""
    try:
        return check(payload)
    except BadPayloadError as error:
        _drop(str(error))


def _drop(why: str) -> NoReturn:
    log.error("dropped a bad payload: %s", why)
    raise Reject(why, requeue=False)


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
