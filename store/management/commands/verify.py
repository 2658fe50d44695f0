from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from store.ledger import Comparison, LedgerError, LedgerLine, Verdict
from store.management.data_command import DataCommand, cell, json_line, progress_bar


class Command(DataCommand):
    help = (
        "Compare a simulator's ledger with the database. The last line says how many acked reports are lost, how many "
        "are there more than once and how many are stored; the exit status is 0 only if none is lost or duplicated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--ledger", type=Path, required=True, metavar="FILE", help="what the simulator saw acked")

    def handle(self, *args: Any, **options: Any) -> None:
        with closing(Comparison()) as comparison:
            is_cut = self._compare(comparison, options["ledger"])
            verdict = comparison.verdict()
        if options["is_json"]:
            self._print_verdict_json(verdict, is_cut)
        else:
            self._print_verdict(verdict, is_cut)
        if verdict.lost or verdict.duplicated:
            raise SystemExit(1)

    def _compare(self, comparison: Comparison, path: Path) -> bool:
        with progress_bar() as progress:
            try:
                reading = progress.add_task("ledger", total=path.stat().st_size)
                is_cut = comparison.read_ledger(path, lambda count: progress.advance(reading, count))
            except OSError as error:
                raise CommandError(f"the ledger {path} cannot be read: {error.strerror}", returncode=2) from error
            except LedgerError as error:
                raise CommandError(f"{path}: {error}", returncode=2) from error
            looking = progress.add_task("database", total=comparison.device_count())
            comparison.read_database(lambda count: progress.advance(looking, count))
        return is_cut

    def _print_verdict(self, verdict: Verdict, is_cut: bool) -> None:
        if is_cut:
            self.stdout.write("The ledger's last line is unfinished, as after a kill, and left out.")
        for word, reports, count in (
            ("lost", verdict.lost_reports, verdict.lost),
            ("duplicated", verdict.duplicated_reports, verdict.duplicated),
        ):
            for report in reports:
                self.stdout.write(f"{word}: {report.protocol} {cell(report.identity)} {report.kind} {report.digest.hex()}")
            if count > len(reports):
                self.stdout.write(f"{word}: and {count - len(reports)} more")
        self.stdout.write(f"{verdict.stored_not_acked} stored but not acked")
        self.stdout.write(f"{verdict.lost} lost, {verdict.duplicated} duplicated, {verdict.stored} stored")

    def _print_verdict_json(self, verdict: Verdict, is_cut: bool) -> None:
        counts = {name: getattr(verdict, name) for name in ("lost", "duplicated", "stored", "stored_not_acked")}
        named = {name: [_named(report) for report in getattr(verdict, name)] for name in ("lost_reports", "duplicated_reports")}
        self.stdout.write(json_line({**counts, **named, "is_ledger_cut": is_cut}))


def _named(report: LedgerLine) -> dict[str, str]:
    return {**report._asdict(), "digest": report.digest.hex()}
