"""Certificates of servers in a test, made with openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.parts.process import missing


def certificate(folder: Path, name: str) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key in one file."""
    program = shutil.which("openssl") or missing("openssl", "apt-get install openssl")
    path = folder / f"{name}.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [program, "req", *kind, *names, "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path
