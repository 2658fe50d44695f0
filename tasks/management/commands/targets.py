from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import track

from store import forwarding, groups, tags, targets
from store.clock import database_now
from store.forwarding import Wanted
from store.groups import GroupError
from store.management.arguments import add_action, add_json, add_limit, moment, row_id
from store.management.data_command import DataCommand, command_line_actor, json_line
from store.models import PROTOCOL_LENGTH, DeadNotice, ForwardSource, Group, Target, TargetCursor
from store.tags import TagError
from store.targets import Plan, TargetError
from tasks.forward import registry
from tasks.forward.lane import notice_of
from tasks.forward.registry import KindError
from tasks.forward.target import GoneError, Notice, RefusedError, TryAgainError
from tasks.forward.target import Target as Subscriber

COLUMNS = ("name", "kind", "address", "state", "sources", "behind", "oldest", "dead", "lost", "last_error")
SOURCE_COLUMNS = (
    "source", "last_id", "behind", "oldest", "sent", "moved_at", "failures", "next_try_at", "lost", "last_error",
)  # fmt: skip
DEAD_COLUMNS = ("id", "source", "row", "at", "tries", "reason")
FILTERS = ("protocols", "groups", "tags", "kinds", "channels")
DEAD_AT_ONCE = 200


class Command(DataCommand):
    help = (
        "List to whom what is stored is forwarded and how far each is; add, change, pause and delete a target, send it something "
        "made up, and deal with what it has refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        words = "list | add | show | change | pause | resume | delete | test | skip | dead | replay | discard"
        actions = parser.add_subparsers(dest="action", title="actions", metavar=words)
        listing = add_action(actions, "list", "List them all. So does targets without a word behind it.")
        adding = add_action(actions, "add", "Add one. It is told of what is stored from now on.")
        adding.add_argument("name", metavar="NAME", help="of your own: letters, digits, dots and dashes")
        adding.add_argument("kind", metavar="KIND", help="webhook, mqtt, or what another package brings")
        adding.add_argument("address", metavar="ADDRESS", help="https://example.com/hook, mqtts://broker.example.com")
        adding.add_argument("--from", type=moment, dest="since", metavar="TIME", help="of what came from then on, too")
        changing = add_action(actions, "change", "Change one. What is not given stays; --set OPTION= takes an option away.")
        changing.add_argument("name", metavar="NAME")
        changing.add_argument("--address")
        changing.add_argument("--everything", action="store_true", help="no filters any more, but those given with it")
        for action in (adding, changing):
            _add_options(action)
        showing = add_action(actions, "show", "Show how far one is with each source, and what it says.")
        pausing = add_action(actions, "pause", "Send it nothing until it is resumed. What comes meanwhile waits in the database.")
        resuming = add_action(actions, "resume", "Go on where it was, at once, also with one that waits for its next try.")
        deleting = add_action(actions, "delete", "Delete one, with its place and its dead notices.")
        testing = add_action(actions, "test", "Send it a notice that is made up, from here, and say what comes back.")
        skipping = add_action(
            actions, "skip", "Put the notice aside that is next in turn, as a dead one, so that the others go on."
        )
        skipping.add_argument("--source", required=True, choices=ForwardSource.values, help="of which source")
        dead = add_action(actions, "dead", "List the notices that it has refused for good, the newest first.")
        replaying = add_action(actions, "replay", "Send dead notices again, from here, each by itself; those that are taken go.")
        discarding = add_action(actions, "discard", "Throw dead notices away. What they tell of stays stored.")
        for action in (showing, pausing, resuming, deleting, testing, skipping, dead, replaying, discarding):
            action.add_argument("name", metavar="NAME", help="as list has it")
        pausing.add_argument("--reason", default="", help="why, for whoever looks")
        add_limit(dead)
        for action in (replaying, discarding):
            which = action.add_mutually_exclusive_group(required=True)
            which.add_argument("--id", type=row_id, action="append", default=[], metavar="ID", dest="ids", help="as dead lists it")
            which.add_argument("--all", action="store_true", dest="is_all", help="all of them")
        add_json(listing, showing, dead)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except (TargetError, KindError, GroupError, TagError) as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        name, actor = options.get("name", ""), command_line_actor()
        match options["action"]:
            case "add":
                self._add(options)
            case "change":
                target = targets.change(name, lambda target: _changed(target, options), actor)
                self.stdout.write(f"changed {target}")
            case "show":
                self._show(targets.find(name), options["is_json"])
            case "pause":
                self.stdout.write(f"paused {targets.pause(name, options['reason'] or f'by {actor.name}', actor)}")
            case "resume":
                self.stdout.write(f"resumed {targets.resume(name, actor)}")
            case "delete":
                targets.delete(name, actor)
                self.stdout.write(f"deleted target {name}")
            case "test":
                self._test(targets.find(name))
            case "skip":
                put_aside = targets.skip(name, options["source"], actor)
                self.stdout.write(f"put aside {put_aside}: targets dead {name} lists it")
            case "dead":
                found = targets.find(name).dead.order_by("-pk")[: options["limit"]]
                self.print_rows(map(_dead_row, found), DEAD_COLUMNS, options["is_json"], "It has refused nothing.")
            case "replay":
                self._replay(targets.find(name), options["ids"])
            case "discard":
                self.stdout.write(f"discarded {targets.discard(name, options['ids'], actor)} of target {name}")
            case _:
                now = database_now()
                rows = (_row(target, now) for target in Target.objects.order_by("name").prefetch_related("cursors"))
                self.print_rows(rows, COLUMNS, options["is_json"], "There are no targets yet: add one with targets add.")

    def _add(self, options: dict[str, Any]) -> None:
        kind = registry.find(options["kind"])
        set_options = registry.checked_options(kind, options["address"], _set(options["set"]))
        sources = options["sources"] or ForwardSource.values
        plan = Plan(kind.name, options["address"], set_options, sources, _wanted(options, {}))
        target = targets.add(options["name"], plan, options["since"], command_line_actor())
        self.stdout.write(f"added {target}: see whether it takes something with targets test {target.name}")
        if target.address.startswith(("http://", "mqtt://")):
            self.stdout.write("What is sent there can be read on its way: use https or mqtts outside of your own network.")

    def _show(self, target: Target, is_json: bool) -> None:
        now = database_now()
        row = _row(target, now) | {"sources": [_source_row(cursor) for cursor in target.cursors.order_by("source")]}
        if is_json:
            self.stdout.write(json_line(row))
            return
        self.stdout.write(f"{target}: {target.kind} to {target.address}")
        reason = f": {target.pause_reason}" if target.is_paused else ""
        self.stdout.write(f"{row['state']}{reason}" + (f", by {target.owner}" if row["owner"] else ""))
        for text, told in (("options", target.options), ("only", row["wanted"])):
            if told:
                self.stdout.write(f"{text}: {json_line(told)}")
        if row["dead"]:
            self.stdout.write(f"{row['dead']} dead notices: see them with targets dead {target.name}")
        if row["lost"]:
            self.stdout.write(f"{row['lost']} rows were deleted for their age before it had them")
        self.print_rows(row["sources"], SOURCE_COLUMNS, False, "")

    def _test(self, target: Target) -> None:
        now = datetime.now(UTC)
        named = {"source": "test", "protocol": "test", "identity": "test", "kind": "test"}
        body = orjson.dumps({"id": "test", **named, "time": now, "text": "a notice that is made up, to see whether it comes"})
        began = time.monotonic()
        with _opened(target) as subscriber:
            try:
                subscriber.send([Notice("test", body=body, **named)])
            except (TryAgainError, RefusedError, GoneError) as error:
                raise CommandError(f"not taken: {error}") from error
        self.stdout.write(f"taken, in {time.monotonic() - began:.3f} s")

    def _replay(self, target: Target, ids: list[int]) -> None:
        chosen = list((target.dead.filter(pk__in=ids) if ids else target.dead).order_by("pk").values_list("pk", flat=True))
        if missing := sorted(set(ids) - set(chosen)):
            raise CommandError(f"{target} has no dead notice {', '.join(map(str, missing))}: list them with targets dead")
        taken = refused = 0
        gone: list[int] = []
        console, is_quiet = Console(stderr=True), not sys.stderr.isatty()
        with _opened(target) as subscriber:
            try:
                for notice, row in track(_dead_rows(chosen), "sent again", len(chosen), console=console, disable=is_quiet):
                    if row is None:
                        gone.append(notice.pk)
                        continue
                    try:
                        subscriber.send([notice_of(notice.source, row)])
                    except RefusedError as error:
                        refused, last = refused + 1, str(error)
                    else:
                        taken += 1
                        notice.delete()
            except (TryAgainError, GoneError) as error:
                raise CommandError(f"{taken} taken, then not: {error}. The rest stays, try again later") from error
            finally:
                targets.replayed(target, taken, command_line_actor())
        self.stdout.write(f"{taken} of {len(chosen)} taken")
        if refused:
            self.stdout.write(f"{refused} refused again, the last since it {last}")
        if gone:
            self.stdout.write(f"{len(gone)} are of rows that were deleted for their age: targets discard {target.name} clears them")


def _add_options(action: CommandParser) -> None:
    action.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of its kind; secrets by ..._file"
    )
    action.add_argument(
        "--source", action="append", choices=ForwardSource.values, dest="sources", help="of this only; may be given more than once"
    )
    which = action.add_argument_group("filters", "Each may be given more than once.")
    which.add_argument("--protocol", action="append", dest="protocols", metavar="PROTOCOL", help="devices of this protocol")
    which.add_argument("--group", action="append", dest="groups", metavar="GROUP", help="devices in this group or below it")
    which.add_argument("--tag", action="append", dest="tags", metavar="WORD", help="devices with one of these tags")
    which.add_argument("--kind", action="append", dest="kinds", metavar="KIND", help="reports of this kind")
    which.add_argument(
        "--channel", action="append", dest="channels", metavar="NAME", help="reports with one of these values, without others"
    )


def _set(words: list[str]) -> dict[str, str]:
    """Raises: CommandError"""
    found = {}
    for word in words:
        option, is_there, value = word.partition("=")
        if not is_there or not option:
            raise CommandError(f"--set {word}: give an option and its value, with = between them")
        found[option] = value
    return found


def _wanted(options: Mapping[str, Any], before: Mapping[str, Any]) -> Wanted:
    """The filters that are given, and those of before that are not.

    Raises: GroupError, TagError, CommandError
    """
    given = {field: options[field] for field in FILTERS if options[field]}
    if "groups" in given:
        given["groups"] = [groups.find(title).pk for title in given["groups"]]
    if "tags" in given:
        given["tags"] = tags.checked(given["tags"])
    if any(len(protocol) > PROTOCOL_LENGTH for protocol in given.get("protocols", ())):
        raise CommandError("there are no protocols with so long a name")
    return Wanted.of({**before, **given})


def _changed(target: Target, options: dict[str, Any]) -> Plan:
    """Raises: KindError, GroupError, TagError, CommandError"""
    address = options["address"] or target.address
    merged = {option: value for option, value in {**target.options, **_set(options["set"])}.items() if value != ""}
    checked = registry.checked_options(registry.find(target.kind), address, merged)
    sources = options["sources"] or list(target.cursors.values_list("source", flat=True))
    return Plan(target.kind, address, checked, sources, _wanted(options, {} if options["everything"] else target.wanted))


@contextmanager
def _opened(target: Target) -> Iterator[Subscriber]:
    """Raises: CommandError, KindError"""
    subscriber = registry.make(target.kind, target.address, target.options)
    try:
        subscriber.open()
        yield subscriber
    except TryAgainError as error:
        raise CommandError(f"{target} is not to be had: {error}") from error
    finally:
        subscriber.close()


def _dead_rows(ids: list[int]) -> Iterator[tuple[DeadNotice, forwarding.Row | None]]:
    """Dead notices, each with its row as far as that is there."""
    for at in range(0, len(ids), DEAD_AT_ONCE):
        notices = list(DeadNotice.objects.filter(pk__in=ids[at : at + DEAD_AT_ONCE]).order_by("pk"))
        rows = {
            (source, row.row_id): row
            for source in {notice.source for notice in notices}
            for row in forwarding.some(source, [notice.row_id for notice in notices if notice.source == source])
        }
        for notice in notices:
            yield notice, rows.get((notice.source, notice.row_id))


def _row(target: Target, now: datetime) -> dict[str, Any]:
    cursors = list(target.cursors.all())
    lags = [targets.lag(cursor) for cursor in cursors]
    state = targets.state_of(target, cursors, now)
    wanted = dict(target.wanted)
    if "groups" in wanted:
        wanted["groups"] = list(groups.titles(Group.objects.filter(pk__in=wanted["groups"])).values())
    return {
        "name": target.name,
        "kind": target.kind,
        "address": target.address,
        "options": target.options,
        "wanted": wanted,
        "state": state,
        "pause_reason": target.pause_reason,
        "owner": target.owner if state in ("sending", "failing") else "",
        "sources": sorted(cursor.source for cursor in cursors),
        "behind": sum(lag.behind for lag in lags),
        "oldest": min((lag.oldest for lag in lags if lag.oldest), default=None),
        "dead": target.dead.count(),
        "lost": sum(cursor.lost for cursor in cursors),
        "last_error": next((cursor.last_error for cursor in cursors if cursor.last_error), ""),
    }


def _source_row(cursor: TargetCursor) -> dict[str, Any]:
    fields = ("source", "last_id", "sent", "moved_at", "failures", "next_try_at", "lost", "last_error")
    return {field: getattr(cursor, field) for field in fields} | targets.lag(cursor)._asdict()


def _dead_row(notice: DeadNotice) -> dict[str, Any]:
    fields = ("id", "source", "at", "tries", "reason")
    return {field: getattr(notice, field) for field in fields} | {"row": notice.row_id}
