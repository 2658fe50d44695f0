"""Asking for a command: everything about it that can be known to be wrong is said at once.

Request ──▶ device, kind, permission, fields, condition, expiry, room ──▶ a row, queued ─┐
   └─ AskError, with a word for programs                        first step, audit ───────┴ one commit
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count

from protocols.command import CommandKind, Effect
from protocols.commandtable import FILE, FILE_KIND, Built, carries_files, kinds_of
from protocols.protocol import DeviceProtocol
from store import audit, deliveries, queries
from store.audit import Actor, Change
from store.commands.bodies import build, newest_head, newest_heads
from store.commands.conditions import ConditionError, read_condition
from store.commands.errors import (
    AskError,
    BadConditionError,
    BadExpiryError,
    BadFieldError,
    ConfirmationNeededError,
    DeviceDisabledError,
    KeyTakenError,
    NotPermittedError,
    OfflineError,
    TooManyError,
    UnknownCommandError,
    UnknownDeviceError,
)
from store.commands.filecommands import NO_MESSAGE, file_of
from store.commands.moves import Cause, step
from store.json_text import NotJSONError, plain_text, storable
from store.models import (
    ACTOR_LENGTH,
    GATEWAY_LENGTH,
    HANDLER_LENGTH,
    IDENTITY_LENGTH,
    KIND_LENGTH,
    PROTOCOL_LENGTH,
    TOKEN_LENGTH,
    Command,
    CommandRun,
    CommandStep,
    Delivery,
    Device,
    Presence,
)
from store.rows import is_name

EFFECTS = tuple(Effect)
"""What commands do, from what harms least to what nobody has checked."""
DEFAULT_EXPIRY = timedelta(days=1)
ACTUATE_EXPIRY = timedelta(seconds=60)
"""Of what does something in the world, or may: nobody expects a door to open tomorrow."""
LONGEST_EXPIRY = timedelta(days=30)
MOST_OPEN = 32
"""Commands of one device that have not ended."""
MOST_FIELDS_BYTES = 1 << 17
RATE_WINDOW = timedelta(minutes=1)
SCOPE_LENGTH = 255


class Request(NamedTuple):
    """A command that somebody asks for."""

    protocol: str
    identity: str
    name: str
    fields: Mapping[str, Any]
    condition: str = ""
    expires_in: float | None = None
    """Seconds from when it may leave; by default as its effect has it."""
    is_confirmed: bool = False
    must_be_online: bool = False
    waiter: str = ""
    """The gateway whose caller waits for its end."""
    key: str = ""
    """Who asks again with the same one, of the same device, gets the same command."""


class Terms(NamedTuple):
    """What may be asked for."""

    protocols: Mapping[str, DeviceProtocol]
    commands_a_minute: int
    """Of one device."""


class _Wish(NamedTuple):
    """A request, as far as it is the same for all devices, and who makes it."""

    request: Request
    fields: dict[str, Any]
    terms: Terms
    actor: Actor
    permitted: frozenset[str]


def ask(request: Request, terms: Terms, actor: Actor, permitted: frozenset[str], now: datetime) -> Command:
    """Queue a command. Gateways are told by :func:`tasks.commands.announce`, after the commit.

    Raises: AskError
    """
    # For what no column takes a database would refuse even the question.
    is_device = is_name(request.protocol, PROTOCOL_LENGTH) and is_name(request.identity, IDENTITY_LENGTH)
    found = queries.device(request.protocol, request.identity) if is_device else None
    if found is None:
        raise UnknownDeviceError(f"there is no device {request.protocol} {request.identity}: list them with devices")
    wish = _wish(request, terms, actor, permitted)
    with transaction.atomic():
        device = next(iter(_locked([found.id])), None)
        if device is None:
            raise UnknownDeviceError(f"{found} was deleted meanwhile")
        if before := _asked_before(device, wish):
            return before
        _check_device(device, request)
        _check_room(device, terms, now)
        command = _command(device, wish, newest_head(device.id), now)
        command.save()
        CommandStep.objects.bulk_create([step(command, Cause.ASKED, now)])
        audit.record(actor, [_asked(command)])
    return command


def begin_run(name: str, scope: str, pace: float, actor: Actor, now: datetime) -> CommandRun:
    """Begin to ask many devices for the same."""
    by, scope = plain_text(actor.name)[:ACTOR_LENGTH], plain_text(scope)[:SCOPE_LENGTH]
    with transaction.atomic():
        run = CommandRun.objects.create(name=plain_text(name)[:KIND_LENGTH], scope=scope, pace=pace, by=by, created_at=now)
        audit.record(actor, [Change("command.run", run.id, str(run), {}, {"command": run.name, "scope": scope, "pace": pace})])
    return run


def ask_in_run(
    run: CommandRun, request: Request, devices: Sequence[int], first: int, terms: Terms, actor: Actor, permitted: frozenset[str]
) -> tuple[list[Command], list[tuple[Device, AskError]]]:
    """Queue a run's command for some of its devices, the first of which is to have it as the run's ``first``; and who gets none.

    They leave one after another at the run's pace, so that no rate limits them. The audit has the run.
    Raises: AskError of what is wrong for every device, and then none of these gets it.
    """
    made: list[Command] = []
    refused: list[tuple[Device, AskError]] = []
    wish = _wish(request, terms, actor, permitted)
    with transaction.atomic():
        locked = _locked(devices)
        heads, open = newest_heads(devices), _open(devices)
        for device in locked:
            leaves_at = run.created_at + timedelta(seconds=(first + len(made)) / run.pace)
            try:
                _check_device(device, request)
                _check_open(device, open.get(device.id, 0))
                made.append(_command(device, wish, heads[device.id], run.created_at, leaves_at, run))
            except (NotPermittedError, ConfirmationNeededError):
                raise
            except AskError as error:
                refused.append((device, error))
        Command.objects.bulk_create(made, batch_size=200)
        CommandStep.objects.bulk_create([step(command, Cause.ASKED, run.created_at) for command in made], batch_size=500)
    return made, refused


def kind_of(protocol: DeviceProtocol, name: str, head: bytes = b"") -> CommandKind:
    """Raises: UnknownCommandError"""
    kinds = kinds_of(protocol, head)
    if name not in kinds:
        raise UnknownCommandError(f"{protocol.name} devices have no command {name!r}, but {', '.join(kinds)}")
    return kinds[name]


def _wish(request: Request, terms: Terms, actor: Actor, permitted: frozenset[str]) -> _Wish:
    """Raises: AskError"""
    if request.condition:
        try:
            read_condition(request.condition)
        except ConditionError as error:
            raise BadConditionError(str(error)) from error
    longest = LONGEST_EXPIRY.total_seconds()
    if request.expires_in is not None and not (math.isfinite(request.expires_in) and 0 < request.expires_in <= longest):
        told = f"{request.expires_in:g} s: a command expires after more than 0 s, and {LONGEST_EXPIRY.days} days at the most"
        raise BadExpiryError(told)
    for name, text, most in (("key", request.key, TOKEN_LENGTH), ("waiter", request.waiter, GATEWAY_LENGTH)):
        if len(text) > most or plain_text(text) != text:
            raise BadFieldError(f"{name}: give {most} plain characters at the most")
    return _Wish(request, _plain(request.fields), terms, actor, permitted)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as they are stored; what no column takes is an error, and not another value.

    Raises: BadFieldError
    """
    try:
        text, plain = storable(dict(fields))
        is_same = json.loads(text) == fields
    except (NotJSONError, ValueError, TypeError, RecursionError) as error:
        raise BadFieldError(f"fields are numbers, words, true, false, lists and objects by name: {error}") from error
    if not is_same:
        raise BadFieldError("fields have numbers that are none, or characters that no text has")
    if len(text) > MOST_FIELDS_BYTES:
        raise BadFieldError(f"fields have {len(text)} bytes, more than {MOST_FIELDS_BYTES}")
    return dict(plain)


def _locked(devices: Sequence[int]) -> list[Device]:
    return list(Device.objects.select_for_update(no_key=True).filter(id__in=devices).order_by("id"))


def _asked_before(device: Device, wish: _Wish) -> Command | None:
    """Raises: KeyTakenError"""
    if not wish.request.key:
        return None
    before = Command.objects.select_related("device").filter(device=device, key=wish.request.key).first()
    if before is not None and (before.name, before.fields) != (wish.request.name, wish.fields):
        raise KeyTakenError(f"command {before.id} was asked for with the same key, and is another one: give another key")
    if before is not None and wish.request.waiter and before.is_open:
        before.waiter = wish.request.waiter
        Command.objects.filter(id=before.id).update(waiter=before.waiter)
    return before


def _check_device(device: Device, request: Request) -> None:
    """Raises: AskError"""
    if not device.is_enabled:
        raise DeviceDisabledError(f"{device} may not come in: let it in again with devices enable")
    if request.must_be_online and not Presence.objects.filter(device=device, is_online=True).exists():
        raise OfflineError(f"{device} is not online")


def _check_room(device: Device, terms: Terms, now: datetime) -> None:
    """Raises: TooManyError"""
    _check_open(device, _open([device.id]).get(device.id, 0))
    newest = Command.objects.filter(device=device).order_by("-id").values_list("created_at", flat=True)
    nth = newest[terms.commands_a_minute - 1 : terms.commands_a_minute].first()
    if nth is not None and nth > now - RATE_WINDOW:
        raise TooManyError(f"{device} was told {terms.commands_a_minute} commands within a minute (commands_per_minute): wait")


def _open(devices: Sequence[int]) -> dict[int, int]:
    """How many commands have not ended, of each device that has such."""
    found = Command.objects.filter(device_id__in=devices, state__in=Command.OPEN).order_by()
    return dict(found.values_list("device_id").annotate(Count("id")))


def _check_open(device: Device, open: int) -> None:
    """Raises: TooManyError"""
    if open >= MOST_OPEN:
        raise TooManyError(f"{device} has {MOST_OPEN} commands that have not ended: wait, or cancel some")


def _command(
    device: Device, wish: _Wish, head: bytes, now: datetime, leaves_at: datetime | None = None, run: CommandRun | None = None
) -> Command:
    """Raises: AskError"""
    request, leaves_at = wish.request, leaves_at or now
    built = _built(device, wish, head)
    rule, delivery = built.rule, None
    lifetime = _lifetime(rule.effect) if request.expires_in is None else timedelta(seconds=request.expires_in)
    if built.kind == NO_MESSAGE:
        # It is offered at once, and goes at its own pace.
        leaves_at, lifetime = now, lifetime if request.expires_in is not None else LONGEST_EXPIRY
        delivery = _delivery(device, wish, now)
    return Command(
        device=device,
        run=run,
        delivery=delivery,
        name=request.name,
        kind=built.kind,
        effect=rule.effect,
        fields=wish.fields,
        condition=request.condition,
        is_repeatable=rule.is_repeatable,
        answer_seconds=rule.answer_seconds,
        waits_grow=rule.waits_grow,
        by=plain_text(wish.actor.name)[:ACTOR_LENGTH],
        key="" if run else request.key,
        waiter=request.waiter,
        created_at=now,
        not_before=leaves_at,
        expires_at=leaves_at + lifetime,
        due_at=leaves_at,
    )


def _built(device: Device, wish: _Wish, head: bytes) -> Built:
    """The command as it would be sent now, with its rule.

    Raises: AskError
    """
    name = wish.request.name
    protocol = wish.terms.protocols.get(device.protocol)
    if protocol is None:
        raise UnknownCommandError(f"there is no protocol {device.protocol} here, so that nobody knows its commands")
    try:
        is_file = name == FILE and carries_files(protocol)
        built = Built(NO_MESSAGE, b"", FILE_KIND.rule) if is_file else build(protocol, device, name, wish.fields, head)
    except ValueError as error:
        kind_of(protocol, name, head)
        raise BadFieldError(str(error)) from error
    if built.rule.effect not in wish.permitted:
        may = ", ".join(effect for effect in EFFECTS if effect in wish.permitted) or "nothing"
        raise NotPermittedError(f"{name} is of the effect {built.rule.effect}, permitted is {may}")
    if built.rule.is_confirmed_twice and not wish.request.is_confirmed:
        raise ConfirmationNeededError(f"{name} may do harm ({kind_of(protocol, name, head).english}): confirm that it is meant")
    return built


def _delivery(device: Device, wish: _Wish, now: datetime) -> Delivery:
    """Raises: AskError"""
    if wish.request.condition:
        raise BadConditionError("a file goes down over minutes and hours: it takes no condition")
    try:
        file = file_of(wish.fields)
        return deliveries.offer(file, [device], plain_text(wish.actor.name)[:HANDLER_LENGTH], now, wish.actor)[0]
    except ValueError as error:
        raise BadFieldError(str(error)) from error
    except deliveries.GoneError as error:
        raise BadFieldError(f"file: {wish.fields['file']} was removed just now") from error


def _lifetime(effect: Effect) -> timedelta:
    return ACTUATE_EXPIRY if effect in (Effect.ACTUATE, Effect.RAW) else DEFAULT_EXPIRY


def _asked(command: Command) -> Change:
    """What the command's fields are it tells itself; there may be secrets among them."""
    after = {"command": command.name, "effect": command.effect}
    if command.condition:
        after["condition"] = command.condition
    return Change("command.ask", command.id, str(command.device), {}, after)
