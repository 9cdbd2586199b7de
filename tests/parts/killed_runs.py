"""Runs of the real command that end at a chosen request to a registry: killed there, as by the kernel.

    run = start(world, "apply", "--yes")
    os.kill(run.pid, signal.SIGKILL)

Processes come from a server that has the command loaded, so that one starts in a few hundredths of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from reconciler.cli.app import run
from tests.parts.scripted_server import DROP, Answer, Asked
from tests.world import InProcess

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from tests.parts.registry_habits import MemoryRegistry
    from tests.world import World

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "__main__",
        "jsonschema",
        "reconciler.apply.run",
        "reconciler.cli.apply_report",
        "reconciler.cli.commands.apply",
        "reconciler.plan.make",
        "reconciler.registry.opening",
        "ruamel.yaml",
        "tests.world",
    ]
)
PATIENCE = 60
"""Seconds after which a run hangs."""


def start(world: World, *arguments: str) -> BaseProcess:
    """Starts a run of the command."""
    process = _PROCESSES.Process(target=_run, args=(world, arguments), daemon=True)
    process.start()
    return process


def _run(world: World, arguments: tuple[str, ...]) -> None:
    one = InProcess(world.folder, world.store, world.registries, world.environ, world.defaults)
    with one.streams(*arguments) as (_, err):
        code = run()
    if code:
        sys.stderr.write(err.getvalue())
    os._exit(code)


def killed_at(number: int, registry: MemoryRegistry, world: World, *arguments: str, answered: bool) -> bool:
    """Runs the command, and kills it at a request to the registry, counted from 1. False if it ended before.

    answered  whether the registry carries the request out; what arrives later it does not
    """
    started, asked, dead = threading.Event(), 0, False

    def judge(_: Asked) -> Answer | None:
        nonlocal asked, dead
        asked += 1
        if asked < number:
            return None
        if not dead:
            dead = True
            started.wait(PATIENCE)
            os.kill(process.pid or 0, signal.SIGKILL)
            return None if answered else DROP
        return DROP

    before, registry.judge = registry.judge, judge
    try:
        process = start(world, *arguments)
        started.set()
        process.join(PATIENCE)
        assert process.exitcode is not None, "the run hangs"
        assert dead or process.exitcode == 0, f"the run ended with {process.exitcode}"
    finally:
        registry.judge = before
    return dead
