"""Findings as text, or as the document of `schema/doctor.schema.json`. Prints nothing."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

from reconciler.doctor.finding import Finding, Status
from reconciler.render import WIDE, bold, rendered
from reconciler.words import count, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.ERROR: "bold red"}


def doctor_text(findings: Sequence[Finding], *, color: bool = False, width: int = WIDE) -> str:
    """A block for each thing that was looked at, a line for each finding, and under it what to do."""
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = []
    for (area, about), group in groupby(findings, key=lambda one: (one.area, one.about)):
        table = Table.grid(padding=(0, 1, 0, 0))
        for finding in group:
            status = Text(f"  {finding.status.value:<7}", STYLES[finding.status])
            table.add_row(status, Text(plain(finding.found)))
            if finding.fix:
                table.add_row("", Text(f"-> {finding.fix}"))
        parts += [Text.assemble((area, "bold"), f"  {plain(about)}"), table, ""]
    return rendered([*parts, bold(_summary(findings))], color=color, width=width)


def doctor_document(findings: Sequence[Finding]) -> dict[str, Any]:
    counts = _counts(findings)
    return {
        "version": 1,
        "findings": [
            {
                "area": finding.area,
                "about": finding.about,
                "check": finding.check,
                "status": finding.status.value,
                "found": finding.found,
                "fix": finding.fix or None,
            }
            for finding in findings
        ],
        "summary": {status.value: counts[status] for status in Status},
    }


def _summary(findings: Sequence[Finding]) -> str:
    counts = _counts(findings)
    if not counts[Status.ERROR] + counts[Status.WARNING]:
        return f"All well: {count(counts[Status.OK], 'check')}."
    errors, warnings = count(counts[Status.ERROR], "error"), count(counts[Status.WARNING], "warning")
    return f"{errors}, {warnings}; {counts[Status.OK]} of {count(len(findings), 'check')} well."


def _counts(findings: Sequence[Finding]) -> Counter[Status]:
    return Counter(finding.status for finding in findings)
