"""Runs a server for as long as a `with` block lasts, and never longer than the test process that started it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

START_TIMEOUT = 60.0
"""Seconds for a server to answer. Long, for a machine may be busy with other workers' servers."""

STOP_TIMEOUT = 2.0
"""Seconds between asking and killing. Short, for nobody reads the files again, and SeaweedFS would take 25."""

PARTS = Path(__file__).parents[2] / ".parts"
"""Where `make parts` installs what does not come from Debian."""

_PORTS = range(10_000, 22_000)


class PartFailed(Exception):
    """A server did not start; the text ends with what it printed."""


def unmeasured(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment for a child whose modules are looked at: coverage would load more of them there."""
    return {name: value for name, value in environ.items() if not name.startswith("COVERAGE_")}


def find_program(name: str, how_to_get: str) -> str:
    """The path of a program: what is on PATH, this virtualenv's, one that `make parts` installed, or the system's.

    PATH is first, so that newer clients and servers can take the place of ours for a run. Where the program is missing
    the test is skipped by name.
    """
    folders = (os.environ["PATH"], str(Path(sys.executable).parent), str(PARTS / "bin"), "/usr/sbin")
    return shutil.which(name, path=":".join(folders)) or missing(name, how_to_get)


def missing(name: str, how_to_get: str) -> str:
    """Skips the test; fails it where R2MIRROR_PARTS=required says that every part has to be there."""
    text = f"part missing: {name} ({how_to_get})"
    if os.environ.get("R2MIRROR_PARTS") == "required":
        pytest.fail(text)
    pytest.skip(text)


def free_port(*also: int) -> int:
    """A port of 127.0.0.1 that nobody listens on, nor on that port plus each of `also`.

    Below the range that the kernel gives to outgoing connections, so that none of those takes it before the server
    does. Drawn from the system's randomness: pytest-randomly gives every worker the same seed.
    """
    while True:
        port = random.SystemRandom().choice(_PORTS)
        if all(_is_free(port + offset) for offset in (0, *also)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, url: str, ready: Sequence[int], environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `command`, waits until GET `url` answers with a status in `ready`, and ends it as `started` does."""
    with httpx.Client(timeout=5, trust_env=False) as client:

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get(url).status_code in ready
            return False

        with started(command, log, answers, environ) as process:
            yield process


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, is_ready: Callable[[], bool], environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `command`, waits until `is_ready`, and ends it afterwards.

    It runs in a session of its own, so that Ctrl-C reaches the tests first, and with a parent-death signal, so that it
    ends even where the tests are killed. Its output goes to `log`. Raises `PartFailed` if it does not start.
    """
    setpriv = find_program("setpriv", "apt-get install util-linux")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [setpriv, "--pdeathsig", "TERM", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environ or {})},
        )
    try:
        _wait_until_ready(process, log, is_ready)
        yield process
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    end = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        if is_ready():
            return
        time.sleep(0.02)
    raise PartFailed(f"{process.args!r} does not answer; it printed:\n{log.read_text(errors='replace')[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
