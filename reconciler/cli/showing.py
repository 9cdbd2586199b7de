"""Prints a result in the wanted format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reconciler.cli.console import show, show_json_text, terminal
from reconciler.cli.options import Format
from reconciler.cli.render.markdown import plan_markdown
from reconciler.cli.render.plan import plan_text
from reconciler.plan.plan_json import serialise_plan

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan


def show_plan(made: Plan, output: Format) -> None:

    match output:
        case Format.TEXT:
            show(plan_text(made, **terminal(sys.stdout)))
        case Format.MARKDOWN:
            show(plan_markdown(made))
        case Format.JSON:
            show_json_text(serialise_plan(made))
