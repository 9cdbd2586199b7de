"""`python -m tests.fuzz --inputs 100000`: feeds every target and fails on any error that is not one of ours."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from random import Random
from typing import NamedTuple

from reconciler.errors import MirrorError
from tests.fuzz.targets import MORE, TARGETS

SLOW = 2.0
"""Seconds of CPU beyond which an input is a finding, whatever comes of it."""


class Fed(NamedTuple):
    """What became of a target's inputs. `findings`: what to look at, ready to be printed."""

    target: str
    accepted: int
    refused: int
    seconds: float
    findings: list[str]


def feed(target: str, inputs: int, seed: int) -> Fed:
    """Feeds `inputs` to one target; the same ones for the same seed."""
    rng = Random(f"{target} {seed}")
    make, take = {**TARGETS, **MORE}[target]
    accepted = refused = 0
    findings = []
    began = time.monotonic()
    for number in range(inputs):
        body = make(rng)
        started = time.process_time()
        try:
            take(body)
            accepted += 1
        except MirrorError as error:
            refused += bool(str(error))
        except Exception:  # noqa: BLE001 every other one is what is looked for
            findings.append(f"{target}, seed {seed}, input {number}: {body[:2000]!r}\n{traceback.format_exc()}")
        if time.process_time() - started > SLOW:
            findings.append(f"{target}, seed {seed}, input {number}: took more than {SLOW} s: {body[:2000]!r}")
    return Fed(target, accepted, refused, time.monotonic() - began, findings)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all, over the targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="the targets whose names contain this")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    targets = [one for one in (*TARGETS, *MORE) if asked.only in one]
    if not targets:
        parser.error(f"--only {asked.only}: the targets are {', '.join((*TARGETS, *MORE))}")
    share = -(-asked.inputs // len(targets))
    with ProcessPoolExecutor(asked.workers) as executor:
        done = list(executor.map(feed, targets, repeat(share), repeat(asked.seed)))
    findings = [finding for one in done for finding in one.findings]
    lines = [
        f"{one.target:24} {share:9,} inputs, {one.accepted:,} accepted, {one.refused:,} refused, {one.seconds:.0f} s"
        for one in done
    ]
    lines.append(f"{len(findings)} findings in {share * len(targets):,} inputs, seed {asked.seed}")
    sys.stdout.write("\n".join([*lines, *findings[:20], ""]))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
