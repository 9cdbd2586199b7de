"""Findings as text, or as the document of `schema/doctor.schema.json`. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.doctor.finding import Finding, Status
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part

STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.ERROR: "bold red"}


def doctor_text(findings: Sequence[Finding], *, color: bool = False, width: int = WIDE) -> str:
    """Renders a block for each thing that was checked, and a line for each finding with its fix below."""
    parts: list[Part] = []
    for (area, about), group in groupby(findings, key=lambda one: (one.area, one.about)):
        table = Grid(gap=1)
        for finding in group:
            status = (f"  {finding.status.value:<7}", STYLES[finding.status])
            table.row(status, finding.found)
            if finding.fix:
                table.row("", f"-> {finding.fix}")
        parts += [Line((area, "bold"), f"  {about}"), table, EMPTY]
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
        return f"All good: {count(counts[Status.OK], 'check')}."
    errors, warnings = count(counts[Status.ERROR], "error"), count(counts[Status.WARNING], "warning")
    return f"{errors}, {warnings}; {counts[Status.OK]} of {count(len(findings), 'check')} passed."


def _counts(findings: Sequence[Finding]) -> Counter[Status]:
    return Counter(finding.status for finding in findings)


FINDINGS: View[Sequence[Finding]] = View(doctor_text, doctor_document)
