"""`r2mirror doctor`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from reconciler.cli.completion import images
from reconciler.cli.console import show_result
from reconciler.cli.inputs import load
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption, VerboseOption
from reconciler.cli.render.doctor import FINDINGS
from reconciler.cli.render.formats import TEXT
from reconciler.cli.waiting import waiting
from reconciler.doctor.diagnose import diagnose
from reconciler.doctor.results import Status


def doctor(
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="REPO:TAG",
            autocompletion=images,
            help="The image to pull as a client does (default: the newest tag).",
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Download every blob of that image, however large, and verify its digest.")
    ] = False,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Diagnose the mirror, the store and the sources, and suggest a fix for every problem found.

    Checks the public URL from its DNS name to the last blob of a tag, the bucket's credentials and permissions, and
    each source registry. Writes nothing. Exits with 1 if a check fails with an error.
    """

    findings = diagnose(load(file, store), os.environ, image, deep=deep)
    with waiting("Checking the mirror ..."):
        found = list(findings)
    show_result(FINDINGS, found, output)
    return 1 if any(finding.status is Status.ERROR for finding in found) else 0
