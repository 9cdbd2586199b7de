"""The OCI project's own conformance suite, in Go: its read-only part, which `make conformance` runs.

Its program is not here: `go build` in the folder `conformance` of github.com/opencontainers/distribution-spec makes it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.parts.conformance import APP, SUBJECT, TAGS

TIMEOUT = 120.0


def run_suite(program: Path, host: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the suite against the repository `app` at `host`, which `conformance.fill` has filled."""
    environ = {
        "PATH": os.environ["PATH"],
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_VERSION": "dev",
        "OCI_RESULTS_DIR": str(folder / "results"),
        "OCI_REPO1": "app",
        "OCI_RO_DATA_TAGS": " ".join(TAGS),
        "OCI_RO_DATA_MANIFESTS": " ".join(one.digest for one in APP.manifests()),
        "OCI_RO_DATA_BLOBS": " ".join(APP.all_blobs()),
        "OCI_RO_DATA_REFERRERS": SUBJECT.digest,
        "OCI_API_BLOBS_DIGEST_HEADER": "true",
        # For data that it has not pushed itself, the suite looks for this header in no response at all (967efdc).
        "OCI_API_MANIFESTS_DIGEST_HEADER": "false",
        **dict.fromkeys(
            ("OCI_API_PUSH", "OCI_API_BLOBS_DELETE", "OCI_API_MANIFESTS_DELETE", "OCI_API_TAGS_DELETE"), "false"
        ),
    }
    return subprocess.run(
        [str(program)], cwd=folder, env=environ, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
