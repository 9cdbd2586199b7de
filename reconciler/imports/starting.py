"""Writes the files of a new mirror: a commented mirrors.yaml, a pre-commit hook and a workflow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, UsageError
from reconciler.imports.names import parse_reference
from reconciler.imports.stores import store_lines
from reconciler.mirrors.spelling import quoted

if TYPE_CHECKING:
    from reconciler.imports.drafts import Destination
    from reconciler.imports.names import Reference

MIRRORS = "mirrors.yaml"

CREDENTIALS = {
    "r2": ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY"),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "registry": ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"),
    "file": (),
}
"""The environment variables that hold the credentials of a store."""

_HOOK = r"""repos:
  - repo: local
    hooks:
      - id: r2mirror-validate
        name: r2mirror validate
        entry: r2mirror validate
        language: system
        files: (^|/)mirrors\.ya?ml$
"""

_WORKFLOW = """# Validates mirrors.yaml in pull requests, and applies it on merge and every night.
# Secrets of the repository: {secrets}
name: mirrors

on:
  pull_request:
    paths: [mirrors.yaml]
  push:
    branches: [main]
    paths: [mirrors.yaml]
  schedule:
    - cron: "17 3 * * *"
  workflow_dispatch:

permissions:
  contents: read

jobs:
  validate:
    if: github.event_name == 'pull_request'
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
{setup}
      - run: r2mirror validate

  apply:
    if: github.event_name != 'pull_request'
    runs-on: ubuntu-latest
    timeout-minutes: 360
    # One apply at a time; a second one waits here instead of for the lock.
    concurrency:
      group: mirrors-apply
      cancel-in-progress: false
    steps:
{setup}
      - run: r2mirror apply --yes
        env:
{env}
"""

_SETUP = """      - uses: actions/checkout@v4
        with:
          persist-credentials: false
      - uses: actions/setup-python@v5
        with:
          python-version: "3.13"
      - run: pip install "{requirement}\""""


def start_files(store: Destination, images: Sequence[str], requirement: str) -> dict[str, str]:
    """Returns the text of each file by its path; the workflow installs `requirement` by pip.

    Raises `UsageError` with every image that is not a reference.
    """
    references = _references(images)
    files = {
        MIRRORS: "\n".join(_mirrors(store, references)) + "\n",
        ".pre-commit-config.yaml": _HOOK,
    }
    secrets = CREDENTIALS[dict(store.keys)["type"]]
    # The state beside a registry is a folder at first, which no workflow keeps.
    if dict(store.keys)["type"] in ("r2", "s3"):
        env = "\n".join(f"          {name}: ${{{{ secrets.{name} }}}}" for name in secrets)
        setup = _SETUP.format(requirement=requirement)
        files[".github/workflows/mirrors.yml"] = _WORKFLOW.format(secrets=", ".join(secrets), setup=setup, env=env)
    return files


def _references(images: Sequence[str]) -> list[Reference]:
    found, wrong = [], []
    for text in images:
        try:
            reference = parse_reference(text)
            if reference.digest and not reference.tag:
                raise Malformed(f"reference {text[:120]!r}", "a digest needs a tag, e.g. alpine:3.20@sha256:...")
            found.append(reference)
        except Malformed as error:
            wrong.append(str(error))
    if wrong:
        raise UsageError("; ".join(wrong))
    return found


def _mirrors(store: Destination, references: Sequence[Reference]) -> Iterator[str]:
    keys = dict(store.keys)
    yield "# What is mirrored, from where and to where: docs/mirrors.md has every key, `r2mirror validate` checks it."
    yield "version: 1"
    yield ""
    secrets = CREDENTIALS[keys["type"]]
    if secrets and keys["type"] != "registry":
        yield f"# The credentials come from the environment: {' and '.join(secrets)}."
    yield from store_lines([store], {store: keys["type"]})
    if keys["type"] in ("r2", "s3"):
        yield "  # public_url: https://cr.example.com    # the bucket's custom domain, from which clients pull"
    if keys["type"] == "registry":
        yield from ("", "registries:", f"  {quoted(keys['registry'])}:")
        yield from (f"    {key}: {name}" for key, name in zip(("username_env", "password_env"), secrets, strict=True))
    yield from ("", "defaults:", "  platforms: [linux/amd64, linux/arm64]    # or all", "")
    yield "mirrors:"
    tags: dict[str, list[str]] = {}
    for reference in references:
        tags.setdefault(reference.repository, []).append(reference.entry)
    for repository, entries in tags.items():
        yield f"  - source: {quoted(repository)}"
        yield "    tags:"
        for entry in dict.fromkeys(entries):
            yield f"      - {quoted(entry)}" if entry else '      - {semver: "*", newest: 3}    # the newest 3 releases'
