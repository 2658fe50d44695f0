"""Findings as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from settings.findings import Finding, State

STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAULT: "bold red", State.SKIPPED: "dim"}


def print_findings(findings: Sequence[Finding], out: Console) -> None:
    table = Table("check", "", "found", "do", box=None, header_style="bold", pad_edge=False)
    table.columns[1].no_wrap = True
    for finding in findings:
        style = STYLES[finding.state]
        table.add_row(Text(finding.check), Text(finding.state, style), Text(finding.found), Text(finding.do))
    out.print(table)
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    out.print(Text(", ".join(f"{count} {state}" for state, count in counts.items())))
