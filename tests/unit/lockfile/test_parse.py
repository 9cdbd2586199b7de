"""mirrors.lock is untrusted: every problem is reported with its place, and what is written is read back."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.lockfile.model import LockedRepository, LockedTag, Lockfile
from reconciler.lockfile.parse import MAX_BYTES, lockfile_path, parse_lockfile, read_lockfile
from reconciler.lockfile.text import lockfile_text
from reconciler.mirrors.document import Bounds
from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import Digest

D1, D2 = Digest("sha256", "1" * 64), Digest("sha256", "2" * 64)
HEAD = "version: 1\nrepositories:\n"
ENTRY = f"  a:\n    source: docker.io/library/a\n    patterns: {D1}\n"

digests = st.builds(Digest, st.just("sha256"), st.text("0123456789abcdef", min_size=64, max_size=64))
times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001 a zone follows
    lambda one: one.replace(microsecond=0)
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,12}", fullmatch=True)
components = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,3})?", fullmatch=True).filter(
    lambda one: one not in {"manifests", "blobs", "tags", "referrers"}
)
targets = st.lists(components, min_size=1, max_size=3).map("/".join)
sources = st.one_of(targets, st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1)).filter(
    str.isprintable
)
lockfiles = st.builds(
    Lockfile,
    st.dictionaries(
        targets,
        st.builds(
            LockedRepository,
            sources,
            digests,
            st.dictionaries(tags, st.builds(LockedTag, digests, st.none() | times, st.none() | tags), max_size=4),
            st.dictionaries(tags, st.builds(LockedTag, digests, times), max_size=2),
        ),
        max_size=4,
    ),
)


def problems(text: str) -> list[str]:
    with pytest.raises(MirrorsInvalid) as caught:
        parse_lockfile(text.encode(), "mirrors.lock")
    return [str(one).removeprefix("mirrors.lock:") for one in caught.value.problems]


@settings(max_examples=20)
@given(lockfiles)
def test_what_is_written_is_read_back_and_conforms_to_its_schema(lockfile: Lockfile) -> None:
    text = lockfile_text(lockfile)
    assert parse_lockfile(text.encode(), "it")[0] == lockfile
    document = YAML(typ="safe", pure=True).load(text)
    Draft202012Validator(load_schema("lock")).validate(document)


@given(st.binary(max_size=60).map(lambda tail: HEAD.encode() + tail) | st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(MirrorsInvalid):
        parse_lockfile(body, "it")


def test_a_tag_takes_one_line_and_versions_are_in_order() -> None:
    one = LockedRepository("docker.io/library/a", D2, {tag: LockedTag(D1) for tag in ("1.10", "1.9", "latest")})
    text = lockfile_text(Lockfile({"b": one, "a": one}))
    lines = [line for line in text.splitlines() if D1.hex in line]
    assert len(lines) == 6
    assert lines[0].startswith('      "')
    assert text.index("  a:") < text.index("  b:")
    assert (lines[0], lines[1]) != (lines[1], lines[0])


def test_every_problem_is_reported_with_its_line() -> None:
    text = (
        "version: 2\nrepositories:\n"
        f"  A:\n    source: ''\n    patterns: sha256:12\n    extra: 1\n"
        f"  a:\n    source: x\n    patterns: {D1}\n    tags:\n      '1': {D1} since yesterday\n      '-': {D2}\n"
        f"      '2': 5\n    waiting:\n      '3': {D1}\n"
    )
    found = problems(text)
    assert [one.split(": ")[0].split(":")[0] for one in found] == ["1", "3", "4", "5", "6", "11", "12", "13", "15"]
    assert "expected 1, got '2'" in found[0]
    assert "'A' is not a valid target" in found[1]
    assert "'sha256:12' is not a valid digest: expected sha256:<64 hex digits>" in found[3]
    assert "unknown key; known here: source, patterns, tags, waiting" in found[4]
    assert "is not a valid time: expected YYYY-MM-DDTHH:MM:SSZ" in found[5]
    assert "'-' is not a valid tag" in found[6]
    assert "expected a time after the digest" in found[8]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty; write it with `r2mirror lock`"),
        ("[]", "expected keys with values"),
        ("version: 1", "repositories: is missing"),
        ("version: true\nrepositories: {}", "expected 1"),
        (f"{HEAD}{ENTRY}{ENTRY}", "duplicate key, first used on line 3"),
        (f"{HEAD}{ENTRY}    tags: {{? [1] : x}}", "a key must be a plain word"),
        ("<<<<<<< HEAD\n" + HEAD, "not YAML"),
        (f"{HEAD}  a: &x [*x]", "not YAML|expand|nested"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    assert re.search(words, problems(text)[0])


def test_a_file_with_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.lockfile.parse.BOUNDS", Bounds(nodes=100))
    assert "more than 100 values" in problems("version: 1\nrepositories: [" + "1," * 100 + "]")[0]


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.lock"
    assert read_lockfile(path) is None
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(MirrorsInvalid, match="larger than 4 MiB"):
        read_lockfile(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(MirrorsInvalid, match="cannot be read: Is a directory"):
        read_lockfile(path)


def test_the_lockfile_is_beside_its_mirrors_file() -> None:
    assert lockfile_path(Path("x/team.yaml")) == Path("x/team.lock")
    with pytest.raises(UsageError):
        lockfile_path(Path("-"))
