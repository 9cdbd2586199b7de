"""Applies to several stores, or several mirrors files, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.cli.apply_call import (
    Call,
    accounts_of,
    cluster_of,
    consents,
    mirrors_of,
    options_of,
    plan_of,
)
from reconciler.cli.apply_end import carry_out
from reconciler.cli.apply_report import Among, ApplyReport
from reconciler.cli.console import agreed, show, show_result, terminal
from reconciler.cli.group import INTERRUPTED
from reconciler.cli.render.formats import TEXT, json_text
from reconciler.cli.render.markdown import PLAN, plan_blocks
from reconciler.cli.render.plan import plan_text, summary_line
from reconciler.cli.render.several import heading, several_document, several_text, several_view
from reconciler.cli.stores import held_back, make_each, opened_each, parts_of, parts_of_each
from reconciler.errors import UsageError
from reconciler.plan.consent import check_consents
from reconciler.plan.guards import will_fail

if TYPE_CHECKING:
    from reconciler.cli.render.several import Several
    from reconciler.cli.stores import Opened, Parts
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.make import Made
    from reconciler.work.deadline import Deadline


def apply_files(call: Call, files: Sequence[Path], deadline: Deadline) -> int:
    """Applies several mirrors files, and returns the exit code."""
    if call.plan_file:
        raise UsageError("a saved plan is for one store: name the one --file that it was made of")
    if call.boxes or call.dask:
        raise UsageError(f"{'--from fills' if call.boxes else '--dask copies to'} one store: name one --file")
    parts = parts_of_each(files, call.store or (), call.only or (), partial(mirrors_of, call))
    stores = [part.mirrors.store for part in parts.chosen]
    if not (call.yes or call.dry_run) and any(one in stores[:place] for place, one in enumerate(stores)):
        # The index that the second plan was made from, and agreed to, is changed by the first.
        raise UsageError("several of the files have one store: add --yes, or apply each by itself")
    return _apply_each(call, parts, deadline)


def apply_stores(call: Call, file: Path, targets: Sequence[Mirrors], deadline: Deadline) -> int:
    """Applies a mirrors file to its stores, and returns the exit code."""
    return _apply_each(call, parts_of(file, _planned(call, targets), call.only or ()), deadline)


def _apply_each(call: Call, parts: Parts, deadline: Deadline) -> int:
    documents: dict[str, dict[str, Any]] = {}
    code = 0
    with (
        cluster_of(call, *(part.mirrors for part in parts.chosen)) as cluster,
        opened_each(parts.chosen, deadline, call.workers, call.bandwidth) as opened,
        accounts_of(call) as accounts,
    ):
        account = {one.part.name: accounts.open(one.part.mirrors, one.connections) for one in opened}
        options = {part.name: options_of(call, part.only, cluster, deadline) for part in parts.chosen}

        def made_for(one: Opened) -> Made:
            part = one.part
            with account[part.name].following():
                return plan_of(call, part.file, part.mirrors, one.connections, options[part.name])

        found = make_each(parts, opened, made_for)
        if not call.plan_file:
            check_consents([made.plan for made in found.results.values()], consents(call))
        if call.dry_run:
            return _show_each(found, call)
        _confirm_each(found, yes=call.yes)
        errors = dict(found.errors)
        for one in opened:
            name, mirrors = one.part.name, one.part.mirrors
            made = found.results.get(name)
            if made and code != INTERRUPTED:
                report = ApplyReport(made.plan, call.output, _among(name, parts.kind, documents))
                with held_back(name, errors):
                    ended = carry_out(made, mirrors, one.connections, options[name], call, report, account[name])
                    code = max(code, ended)
                    one.sources.filled(mirrors, one.connections.target)
    if call.output != TEXT:
        show(json_text(several_document(documents, errors)))
    return code if code == INTERRUPTED or not errors else 1


def _among(name: str, kind: str, documents: dict[str, dict[str, Any]]) -> Among:
    return Among(name, kind, heading(name, **terminal(sys.stdout)), documents)


def _show_each(found: Several[Made], call: Call) -> int:
    """Shows the plans for several stores, and returns the exit code of a dry run."""
    plans = found.each(lambda made: made.plan)
    show_result(several_view(PLAN, plan_blocks), plans, call.output)
    return 1 if plans.errors or any(will_fail(one, strict=call.strict) for one in plans.results.values()) else 0


def _confirm_each(found: Several[Made], *, yes: bool) -> None:
    """Raises `PlanRefused` unless the user, or `--yes`, agrees to the plans for all stores."""
    plans = found.each(lambda made: made.plan)
    if not yes and any(one.has_changes for one in plans.results.values()):
        summary = " ".join(f"{name}: {summary_line(one)}" for name, one in plans.results.items())
        agreed(summary, partial(several_text, plans, plan_text), "Apply this?", "apply", "Not applied.")


def _planned(call: Call, targets: Sequence[Mirrors]) -> Sequence[Mirrors]:
    """Returns the stores to apply: with a saved plan, the one that it was made for."""
    if not call.plan_file:
        if call.dask and len(targets) > 1:
            raise UsageError("--dask copies to one store: add --store NAME")
        return targets
    # Imported here: a plan that is made and applied in one run is neither saved nor read.
    from reconciler.plan.files import read_plan

    made_for = read_plan(call.plan_file)[0].mirrors_sha256
    # If there is none, the file was edited, which is what any of them says.
    return [one for one in targets if one.sha256 == made_for] or targets[:1]
