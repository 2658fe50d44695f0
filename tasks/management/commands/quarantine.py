from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from protocols.message import Message
from protocols.protocol import DeviceProtocol
from protocols.registry import registered
from settings.load import load
from store import quarantine, quarantinereports, queries
from store.json_text import plain_text
from store.management.arguments import MOST_ROWS, add_json, add_limit
from store.management.data_command import DataCommand, command_line_actor, json_line, login_name
from store.management.device_arguments import named
from store.models import DISCARDER_LENGTH, REASON_LENGTH, Quarantine, QuarantineGroup, QuarantineReport
from store.quarantine import GroupCount

COLUMNS = ("received_at", "protocol", "identity", "kind", "bytes", "error_cause", "error_path", "error_text", "version")
_FIELDS = (
    "received_at", "kind", "kind_id", "sequence", "digest", "head", "body",
    "error_cause", "error_path", "error_text", "version",
)  # fmt: skip
GROUP_COLUMNS = (
    "group", "protocol", "kind", "cause", "path", "error_text", "messages", "devices", "first_at", "last_at", "decode_now", "again",
)  # fmt: skip
REPORT_COLUMNS = ("day", "messages", "devices", "new", "most")
SAMPLES = 20
"""Messages of a group that are decoded again, the newest: by them one sees whether a mended definition is the right one."""


class Command(DataCommand):
    help = (
        "Show messages that could not be decoded whole, those stored last first, with --json their bytes too; "
        "or what is wrong with them, in groups."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_limit(parser)
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--groups", action="store_true", help="show groups of what failed alike, and whether it would pass now")
        choice.add_argument("--group", type=int, metavar="GROUP", help="show messages of this group only")
        actions = parser.add_subparsers(dest="action", title="actions", metavar="export | discard | report")
        export = actions.add_parser("export", help="Print a group's messages, one JSON object a line.")
        export.add_argument("group", metavar="GROUP", type=int, help="as it is listed with --groups")
        add_limit(export, MOST_ROWS)
        discard = actions.add_parser("discard", help="Throw away what is in a group now. Nobody else has these messages.")
        discard.add_argument("group", metavar="GROUP", type=int, help="as it is listed with --groups")
        discard.add_argument("--reason", required=True, help="why they are worth nothing")
        discard.add_argument("--by", default="", metavar="NAME", help="who does it; your login name by default")

        report = actions.add_parser("report", help="Show what came in day by day, the newest first, as it was told then.")
        add_limit(report, 7, "so many days at most")
        add_json(report)

    def handle(self, *args: Any, **options: Any) -> None:
        group, limit, is_json = options["group"], options["limit"], options["is_json"]
        match options["action"]:
            case "export":
                self._export(_group(group), limit)
            case "discard":
                self._discard(_group(group), options["reason"], options["by"])
            case "report":
                rows = _report_rows(quarantinereports.newest(limit))
                self.print_rows(rows, REPORT_COLUMNS, is_json, "There is no report yet: beat has one made every day, see schedule.")
            case _ if options["groups"]:
                quarantine.adopt()
                rows = _group_rows(quarantine.groups(limit), registered(load().protocols))
                self.print_rows(rows, GROUP_COLUMNS, is_json, "There is nothing in quarantine.")
            case _:
                found = queries.newest_quarantine(limit) if group is None else quarantine.messages(_group(group).id, limit)
                self.print_rows(_rows(found), COLUMNS, is_json, "There is nothing in quarantine.")

    def _export(self, group: QuarantineGroup, limit: int) -> None:
        for message in quarantine.messages(group.id, limit):
            self.stdout.write(json_line(_capture(message, group)))

    def _discard(self, group: QuarantineGroup, reason: str, by: str) -> None:
        if not (reason := plain_text(reason).strip()[:REASON_LENGTH]):
            raise CommandError("say why: the messages are gone then")
        count = quarantine.discard(group.id, plain_text(by or login_name())[:DISCARDER_LENGTH], reason, command_line_actor())
        self.stdout.write(f"discarded {count} {'message' if count == 1 else 'messages'} of {group}")


def _group(id: int) -> QuarantineGroup:
    """Raises: CommandError"""
    group = QuarantineGroup.objects.filter(pk=id).first()
    if group is None:
        raise CommandError(f"there is no group {id}: list them with quarantine --groups")
    return group


def _rows(messages: Iterable[Quarantine]) -> Iterator[dict[str, Any]]:
    for message in messages:
        row = {field: getattr(message, field) for field in _FIELDS}
        yield row | {"group": message.group_id} | named(message.device) | {"bytes": len(message.body)}


def _group_rows(counts: Iterable[GroupCount], protocols: Mapping[str, DeviceProtocol]) -> Iterator[dict[str, Any]]:
    for count in counts:
        group = count.group or QuarantineGroup(protocol="", kind="", cause="in no group")
        samples = list(quarantine.messages(count.group.id if count.group else None, SAMPLES))
        passing = sum(_would_pass(message, protocols) for message in samples)
        yield {
            "group": group.id,
            **{field: getattr(group, field) for field in ("protocol", "kind", "cause", "path", "discarded", "reason")},
            **{field: getattr(count, field) for field in ("messages", "devices", "first_at", "last_at")},
            "error_text": samples[0].error_text if samples else "",
            "samples": len(samples),
            "passing": passing,
            "decode_now": f"{passing} of {len(samples)}",
            "again": f"{group.discarded} discarded: {group.reason}" if group.discarded else "",
        }


def _report_rows(reports: Iterable[QuarantineReport]) -> Iterator[dict[str, Any]]:
    for report in reports:
        row = {field: getattr(report, field) for field in ("day", "at", "messages", "devices", "groups")}
        row["day"] = report.day.isoformat()
        new = [group for group in report.groups if group["is_new"]]
        yield row | {"new": len(new), "most": "; ".join(f"{group['name']} ({group['messages']})" for group in report.groups[:3])}


def _would_pass(message: Quarantine, protocols: Mapping[str, DeviceProtocol]) -> bool:
    """Whether today's definition reads it whole."""
    protocol = protocols.get(message.device.protocol)
    if protocol is None:
        return False
    head, body = bytes(message.head), bytes(message.body)
    try:
        return protocol.decode(Message(message.device.identity, message.kind_id, message.sequence, head, body)).error is None
    except Exception:
        return False  # a decoder that fails does not read it


def _capture(message: Quarantine, group: QuarantineGroup) -> dict[str, Any]:
    """A message as a line of a captures file. Its frame was not kept; head and body are all that decoding takes."""
    return {
        "id": f"quarantine/{group.id}/{message.id}",
        "source": "quarantine",
        "note": f"{message.error_path}: {message.error_text}" if message.error_path else message.error_text,
        "protocol": message.device.protocol,
        "identity": message.device.identity,
        "kind": message.kind,
        "kind_id": message.kind_id,
        "sequence": message.sequence,
        "head": message.head,
        "body": message.body,
        "received_at": message.received_at,
        "version": message.version,
    }
