"""A Dask cluster of real worker processes, each of which the test may kill."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.parts.process import STOP_TIMEOUT, PartFailed

START = """
import json, os, sys
from distributed import Client, LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster, Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        print(json.dumps([cluster.scheduler_address, pids]), flush=True)
        sys.stdin.read()
"""


@dataclass(frozen=True)
class DaskCluster:
    """A running cluster: the scheduler's address, and the processes of the workers that it began with."""

    address: str
    workers: list[int]


@contextlib.contextmanager
def start_dask_cluster(folder: Path, workers: int, environ: Mapping[str, str]) -> Iterator[DaskCluster]:
    """Runs a cluster whose workers have `environ` and nothing else from us; one that dies is started anew.

    It ends when nobody holds its standard input any more: where the tests are killed, too.
    """
    folder.mkdir()
    script = folder / "cluster.py"
    script.write_text(START)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, str(script), str(workers)],
            cwd=Path(__file__).parents[2],
            env={**inherited, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise PartFailed(f"no Dask cluster; it printed:\n{(folder / 'log').read_text()[-3000:]}")
        try:
            yield DaskCluster(*json.loads(line))
        finally:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5 * STOP_TIMEOUT)
            process.kill()
