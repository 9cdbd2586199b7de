"""What a release is made of, and that the README's install lines install it.

The installs need a package index for the dependencies, so they run in `make install-test`, against a git server and an
index of r2mirror on this machine.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from reconciler import __version__
from tests.parts.process import find_program, free_port

ROOT = Path(__file__).parents[2]
HOME = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
installs = pytest.mark.skipif("R2MIRROR_INSTALL" not in os.environ, reason="make install-test")


def run(*call: str, cwd: Path = ROOT, **environ: str) -> str:
    done = subprocess.run(
        call, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(source: Path, into: Path) -> Path:
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(into))
    run(*build, cwd=source, SOURCE_DATE_EPOCH=epoch)
    (found,) = into.glob("*.whl")
    return found


def test_the_wheel_is_the_same_wherever_and_whenever_it_is_built(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("reconciler", "schema"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore, copy_function=shutil.copy)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    first, second = wheel(ROOT, tmp_path / "1"), wheel(copy, tmp_path / "2")
    assert first.name == f"r2mirror-{__version__}-py3-none-any.whl"
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.rare
def test_the_sbom_names_the_release_and_each_package_with_its_hashes(tmp_path: Path) -> None:
    # The packages of this environment are those of the lock already, whatever the age of the files.
    run("make", "--silent", "--old-file=.venv/.installed", "sbom", "sums", f"DIST={tmp_path}")
    document = json.loads((tmp_path / f"r2mirror-{__version__}.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert (document["metadata"]["component"]["name"], document["metadata"]["component"]["version"]) == (
        "r2mirror",
        __version__,
    )
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)
    assert {one["name"] for one in document["components"]} == set(locked)
    for one in document["components"]:
        assert one["version"]
        assert any(reference.get("hashes") for reference in one["externalReferences"])
    sums = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in sums] == [
        f"r2mirror-{__version__}-image.cdx.json",
        f"r2mirror-{__version__}.cdx.json",
    ]


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which git fetches the project's home from a server here, whose tag is this commit."""
    folder = tmp_path_factory.mktemp("git")
    run("git", "clone", "--quiet", "--bare", str(ROOT), str(folder / "r2mirror"))
    run("git", "tag", "--force", f"v{__version__}", "HEAD", cwd=folder / "r2mirror")
    port = free_port()
    call = [
        "git",
        "daemon",
        "--export-all",
        f"--base-path={folder}",
        "--listen=127.0.0.1",
        f"--port={port}",
        str(folder),
    ]
    with subprocess.Popen(call, start_new_session=True) as server:
        yield {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.git://127.0.0.1:{port}/r2mirror.insteadOf",
            "GIT_CONFIG_VALUE_0": HOME,
        }
        os.killpg(server.pid, 15)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a package index that has r2mirror alone."""
    folder = tmp_path_factory.mktemp("index")
    wheel(ROOT, folder / "simple/r2mirror")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home folder of its own, and pipx and uv."""
    programs = {str(Path(find_program(name, "make setup")).parent) for name in ("pipx", "uv")}
    return {
        "HOME": str(tmp_path),
        "PATH": ":".join([*programs, os.environ["PATH"]]),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }


def lines() -> list[str]:
    text = (ROOT / "README.md").read_text().partition("\n## Install\n")[2].partition("\n## ")[0]
    return re.findall(r"^ {4}((?:pipx|uv|uvx|python3) [^#\n]*?) *(?:#.*)?$", text.partition("]]] -->")[2], re.MULTILINE)


def test_the_readme_has_a_line_for_each_installer() -> None:
    assert [line.split()[0] for line in lines()] == ["pipx", "uv", "python3", "uvx"]
    assert all(f"'r2mirror[serve] @ git+{HOME}@v{__version__}'" in line for line in lines())


@installs
@pytest.mark.parametrize("line", lines(), ids=lambda line: line.split()[0])
def test_a_line_of_the_readme_installs_this_commit(
    line: str, git_server: dict[str, str], environment: dict[str, str], tmp_path: Path
) -> None:
    printed = run("bash", "-ec", line, cwd=tmp_path, **environment, **git_server)
    program = {"python3": tmp_path / ".r2mirror/bin/r2mirror"}.get(line.split()[0], tmp_path / ".local/bin/r2mirror")
    if line.split()[0] != "uvx":
        printed = run(str(program), "version", "--format", "json", cwd=tmp_path)
        assert json.loads(printed)["extras"]["serve"]
    assert __version__ in printed


@installs
@pytest.mark.parametrize(
    "call",
    [
        "python3 -m venv ~/v && ~/v/bin/pip install --quiet 'r2mirror[serve]=={}' && ~/v/bin/r2mirror version",
        "pipx install --quiet 'r2mirror[serve]=={}' && ~/.local/bin/r2mirror version",
        "uvx --from 'r2mirror[serve]=={}' r2mirror version",
    ],
    ids=["pip", "pipx", "uvx"],
)
def test_an_index_serves_the_wheel_and_its_extras(
    call: str, index: str, environment: dict[str, str], tmp_path: Path
) -> None:
    urls = {"PIP_EXTRA_INDEX_URL": index, "UV_INDEX": index}
    printed = run("bash", "-ec", call.format(__version__), cwd=tmp_path, **environment, **urls)
    assert f"r2mirror {__version__}" in printed
    assert "serve" in printed.partition("extras: ")[2].partition("(")[0]
