"""Measures one command: wall-clock and CPU seconds, and the peak memory of its largest process."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MIB = 1024 * 1024

LOOK_EVERY = 0.02
"""Seconds between two looks at the processes' memory: what a mark rises by after the last one is missed."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    seconds  by the wall
    peak     the kernel's high-water mark of the largest process (VmHWM), in bytes; not ru_maxrss, which a process has
             from the one that started it
    cpu      seconds of CPU time of all its processes, user and system; those of the servers are not among them
    """

    seconds: float
    peak: int
    cpu: float


class CommandFailed(Exception):
    """A measured command did not end with 0; the text has what it printed."""


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Cost:
    """Runs a command to its end in `folder`. Raises `CommandFailed`.

    First what the one before left for the disk is written, so that nobody pays for another's.
    """
    os.sync()
    log = folder / "bench.log"
    with log.open("wb") as output:
        worked = _cpu_of_children()
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, *_high_water_marks(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY)
        seconds = time.monotonic() - started
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return Cost(seconds, peak, _cpu_of_children() - worked)


def _cpu_of_children() -> float:
    """Of all that have ended and been waited for. The servers run on, so they do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _high_water_marks(pid: int) -> Iterator[int]:
    """Of a process and all below it."""
    yield 0
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        yield int(found[1]) * 1024 if found else 0
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _high_water_marks(int(child))


@dataclass(frozen=True)
class Spread:
    """Several figures of one thing."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self:.2f}"

    def __format__(self, how: str) -> str:
        return f"{self.middle:{how or '.2f'}} ({self.low:{how or '.2f'}} to {self.high:{how or '.2f'}})"


def spread(figures: Sequence[float]) -> Spread:
    return Spread(min(figures), median(figures), max(figures))
