from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from settings.load import load_or_exit
from store import partitions, retention
from store.management.data_command import DataCommand, json_line
from store.retention import Kept, Retention

_MIB = 1 << 20


class Command(DataCommand):
    help = (
        "Delete what is older than the settings that end in retention_days say, such as reports than retention_days, and make the "
        "months ahead on PostgreSQL. Workers do so every night; this does it now, all of it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", dest="is_dry", help="change nothing, say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        settings = load_or_exit()
        policy = Retention.of(settings)
        now = datetime.now(UTC)
        planned = retention.look(policy, now)
        sizes = {month: partitions.size(month) for month in planned.dropped}
        if options["is_dry"]:
            kept = planned
        else:
            try:
                kept = retention.keep(policy, now, lambda: False)
            except partitions.BusyError as error:
                raise CommandError(f"{error}: try again; what was done stays done") from error
        if options["is_json"]:
            self.stdout.write(json_line(_named(kept)))
        else:
            self._print(policy, kept, sizes, "would be " if options["is_dry"] else "")

    def _print(self, policy: Retention, kept: Kept, sizes: dict[partitions.Month, int], would_be: str) -> None:
        for month in kept.made:
            self.stdout.write(f"{would_be}made: {month}")
        for month in kept.dropped:
            self.stdout.write(f"{would_be}dropped: {month}, {sizes.get(month, 0) / _MIB:,.1f} MiB")
        for name, days, count in (
            ("reports", policy.reports_days, kept.reports),
            ("messages in quarantine", policy.quarantine_days, kept.quarantine),
            ("events", policy.events_days, kept.events),
            ("channels by five minutes", policy.five_minutes_days, kept.five_minutes),
            ("channels by hours", policy.hours_days, kept.hours),
            ("channels of days", policy.channel_days, kept.channels),
            ("commands that have ended", policy.commands_days, kept.commands),
        ):
            self.stdout.write(f"{would_be}deleted: {count} {name}" if days else f"{name} are kept for ever")
        for target, rows in kept.lost.items():
            self.stdout.write(f"lost to target {target}, which did not have them yet: {rows}")


def _named(kept: Kept) -> dict[str, Any]:
    months = {"made": [str(month) for month in kept.made], "dropped": [str(month) for month in kept.dropped]}
    counts = ("reports", "quarantine", "events", "five_minutes", "hours", "channels", "commands")
    return {**months, **{name: getattr(kept, name) for name in counts}, "lost": dict(kept.lost)}
