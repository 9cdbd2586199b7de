"""The results of doctor's checks as text, or as the document of `schema/doctor.schema.json`. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.blocks import Block, escaped, fitted
from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Grid, Line, bold, rendered
from reconciler.doctor.results import CheckResult, Status
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part

_MARKS = {Status.OK: ":white_check_mark:", Status.WARNING: ":warning:", Status.ERROR: ":x:"}
STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.ERROR: "bold red"}


def doctor_text(results: Sequence[CheckResult], *, color: bool = False, width: int = WIDE) -> str:
    """Renders a block for each thing that was checked, and a line for each result with its fix below."""
    parts: list[Part] = []
    for (area, about), group in groupby(results, key=lambda one: (one.area, one.about)):
        table = Grid(gap=1)
        for result in group:
            status = (f"  {result.status.value:<7}", STYLES[result.status])
            table.row(status, result.found)
            if result.fix:
                table.row("", f"-> {result.fix}")
        parts += [Line((area, "bold"), f"  {about}"), table, EMPTY]
    return rendered([*parts, bold(_summary(results))], color=color, width=width)


def doctor_document(results: Sequence[CheckResult]) -> dict[str, Any]:
    counts = _counts(results)
    return {
        "version": 1,
        "findings": [
            {
                "area": result.area,
                "about": result.about,
                "check": result.check,
                "status": result.status.value,
                "found": result.found,
                "fix": result.fix or None,
            }
            for result in results
        ],
        "summary": {status.value: counts[status] for status in Status},
    }


def doctor_markdown(results: Sequence[CheckResult]) -> str:
    """The results for the summary of a CI run: what is wrong with its fix, then the rest folded."""
    wrong = [_row(one) for one in results if one.status is not Status.OK]
    passed = [_row(one) for one in results if one.status is Status.OK]
    head = ("| | checked | found |", "| --- | --- | --- |")
    elsewhere = "`r2mirror doctor` shows all of them"
    return fitted(
        (
            Block([f"**{_summary(results)}**"]),
            Block(wrong, head, elsewhere=elsewhere),
            Block(passed, head, fold=f"{count(len(passed), 'check')} passed", elsewhere=elsewhere),
        )
    )


def _row(result: CheckResult) -> str:
    found = escaped(result.found) + (f"<br>-> {escaped(result.fix)}" if result.fix else "")
    return f"| {_MARKS[result.status]} | {result.area}: {escaped(result.about)} | {found} |"


def _summary(results: Sequence[CheckResult]) -> str:
    counts = _counts(results)
    if not counts[Status.ERROR] + counts[Status.WARNING]:
        return f"All good: {count(counts[Status.OK], 'check')}."
    errors, warnings = count(counts[Status.ERROR], "error"), count(counts[Status.WARNING], "warning")
    return f"{errors}, {warnings}; {counts[Status.OK]} of {count(len(results), 'check')} passed."


def _counts(results: Sequence[CheckResult]) -> Counter[Status]:
    return Counter(result.status for result in results)


FINDINGS: View[Sequence[CheckResult]] = View(
    doctor_text, doctor_document, doctor_markdown, lambda results: any(one.status is not Status.OK for one in results)
)
