"""Installs r2mirror as users have it: from its wheel, in an environment with its dependencies and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SYSTEM_PYTHON = Path("/usr/bin/python3")

_FITS = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))"
_VERSION = "import sys; print('Python', sys.version.split()[0], 'in', sys.base_prefix)"


def install(folder: Path) -> Path:
    """Installs the checkout into `folder` and returns its program. Packages are those of requirements/run.txt."""
    subprocess.run([python(), "-m", "venv", folder / "venv"], check=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [sys.executable, *pip[1:], "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, folder, ROOT], check=True)
    subprocess.run([*pip, "install", "--require-hashes", "-r", ROOT / "requirements/run.txt"], check=True)
    subprocess.run([*pip, "install", "--no-deps", *folder.glob("r2mirror-*.whl")], check=True)
    return folder / "venv/bin/r2mirror"


def python() -> str:
    """The distribution's Python where it is new enough, for it is what most people have; else the one at work here."""
    if SYSTEM_PYTHON.exists() and subprocess.run([SYSTEM_PYTHON, "-c", _FITS], check=False).returncode == 0:
        return str(SYSTEM_PYTHON)
    return sys.executable


def version(program: Path) -> str:
    """Of r2mirror and of the Python that runs it."""
    calls: list[list[str]] = [[str(program), "--version"], [str(program.with_name("python")), "-c", _VERSION]]
    return ", ".join(subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip() for call in calls)
