"""A real client: skopeo, with its own home folder, so that no credentials or settings of the machine play a part."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.parts.process import find_program

_PLAIN_HTTP = {
    "copy": ["--src-tls-verify=false", "--dest-tls-verify=false"],
    "sync": ["--src-tls-verify=false", "--dest-tls-verify=false"],
    "inspect": ["--tls-verify=false"],
    "list-tags": ["--tls-verify=false"],
    "delete": ["--tls-verify=false"],
    "login": ["--tls-verify=false"],
}


@dataclass(frozen=True)
class Skopeo:
    """`skopeo("copy", "docker://...", "oci:...")` returns what it printed."""

    home: Path
    settings: tuple[str, ...] = ()
    """Options before the command."""

    def __call__(self, command: str, *arguments: str) -> str:
        """Runs a command over plain http. Raises `AssertionError` with what skopeo said if it fails."""
        program = find_program("skopeo", "apt-get install skopeo")
        call = [
            program,
            "--insecure-policy",
            "--tmpdir",
            str(self.home),
            *self.settings,
            command,
            *_PLAIN_HTTP[command],
            *arguments,
        ]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home)}
        done = subprocess.run(call, capture_output=True, text=True, env=environ, timeout=120, check=False)
        assert done.returncode == 0, f"skopeo {command} {' '.join(arguments)}: {done.stderr}"
        return done.stdout
