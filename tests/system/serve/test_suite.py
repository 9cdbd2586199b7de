"""The OCI project's own conformance suite against `serve` and the Worker: `make conformance CONFORMANCE=path/to/binary`.

Without its program, a stand-in shows what it would be told.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.stores.folder import FolderStore
from tests.parts.conformance import APP, TAGS, fill
from tests.parts.conformance_suite import run_suite
from tests.parts.r2_simulator import worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import serving

if TYPE_CHECKING:
    from tests.parts.seaweedfs import S3Bucket


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """The program that R2MIRROR_CONFORMANCE names; else one that asks for each of the tags and digests once."""
    if "R2MIRROR_CONFORMANCE" in os.environ:
        return Path(os.environ["R2MIRROR_CONFORMANCE"])
    stand_in = tmp_path / "stand-in"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return stand_in


STAND_IN = """\
#!/usr/bin/env python3
import os, urllib.request
asked = 0
for kind, name in (("manifests", "TAGS"), ("manifests", "MANIFESTS"), ("blobs", "BLOBS"), ("referrers", "REFERRERS")):
    for reference in os.environ[f"OCI_RO_DATA_{name}"].split():
        root = f"http://{os.environ['OCI_REGISTRY']}/v2/{os.environ['OCI_REPO1']}"
        with urllib.request.urlopen(f"{root}/{kind}/{reference}") as answer:
            assert answer.status == 200
            asked += 1
print(f"{asked} asked, push {os.environ['OCI_API_PUSH']}\\nOCI Conformance Result: Pass")
"""


def passes(suite: Path, host: str, folder: Path) -> str:
    """Runs the suite, and returns what it printed. It is its summary that counts, not its exit code.

    The suite ends with 0 if its configuration is wrong, and with 2 after a read-only run, whose last report it cannot
    write (967efdc).
    """
    done = run_suite(suite, host, folder)
    print(done.stdout)  # noqa: T201 for -rP
    assert "\nOCI Conformance Result: Pass\n" in done.stdout, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_worker_passes(suite: Path, r2_buckets: tuple[S3Bucket, S3Bucket], tmp_path: Path) -> None:
    fill(bucket_store(r2_buckets[0]))
    passes(suite, worker_host(r2_buckets[0]), tmp_path)


def test_serve_passes_and_the_stand_in_asks_for_everything(suite: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "mirror")
    fill(store)
    with serving(store) as running:
        printed = passes(suite, running.host, tmp_path)
    if suite.name == "stand-in":
        asked = len(TAGS) + len(list(APP.manifests())) + len(APP.all_blobs()) + 1
        assert printed.startswith(f"{asked} asked, push false\n")
