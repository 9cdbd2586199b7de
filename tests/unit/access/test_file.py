from __future__ import annotations

import fcntl
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.access import file as module
from reconciler.access.file import FileTokens, Hashes, read_hashes, read_or_new, write_hashes
from reconciler.errors import UsageError

KEY, HASH = "0a" * 32, "1b" * 32


def test_a_file_keeps_its_tokens_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    content = read_or_new(path).with_token("ci", HASH)
    write_hashes(path, content)
    assert read_or_new(path) == read_hashes(path) == content
    assert path.stat().st_mode & 0o777 == 0o600
    write_hashes(path, content.without("ci"))
    assert read_hashes(path) == Hashes(content.key, {}), "the key stays"
    assert [one.name for one in tmp_path.iterdir()] == ["tokens.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    link = tmp_path / "tokens.json"
    link.symlink_to("secret/tokens.json")
    write_hashes(tmp_path / "secret" / "tokens.json", Hashes(KEY, {}))
    write_hashes(link, read_hashes(link).with_token("ci", HASH))
    assert link.is_symlink()
    assert read_hashes(tmp_path / "secret" / "tokens.json").hashes == {"ci": HASH}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"key": "x", "tokens": {}}',
        json.dumps({"key": KEY}).encode(), json.dumps({"key": KEY, "tokens": {"ci": 1}}).encode(),
        json.dumps({"key": KEY, "tokens": {"ci": HASH.upper()}}).encode(),
        json.dumps({"key": KEY, "tokens": {"CI": HASH}}).encode(),
        json.dumps({"key": KEY, "tokens": {}, "x": "x" * 1024 * 1024}).encode(),
    ],
)  # fmt: skip
def test_what_is_not_such_a_file_is_refused_without_showing_it(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_bytes(body)
    with pytest.raises(UsageError, match=r"tokens\.json: is not a valid file of tokens") as caught:
        read_hashes(path)
    assert KEY not in str(caught.value)


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"none: cannot be read: No such file or directory; `r2mirror edge token create"
    ):
        read_hashes(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: cannot be read"):
        read_hashes(tmp_path / "pipe")
    with pytest.raises(UsageError, match="missing/tokens: cannot be written: No such file or directory"):
        write_hashes(tmp_path / "missing" / "tokens", Hashes(KEY, {}))
    assert KEY not in repr(Hashes(KEY, {}))


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    tokens = FileTokens(tmp_path / "tokens.json")
    tokens.add("revoked", HASH)
    with ThreadPoolExecutor(8) as executor:
        done = [executor.submit(tokens.add, f"ci-{number}", HASH) for number in range(20)]
        executor.submit(tokens.remove, "revoked").result()
        for one in done:
            one.result()
    assert sorted(tokens.names()) == sorted(f"ci-{number}" for number in range(20))


def test_a_change_waits_for_a_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match=r"tokens\.json: another process has been changing it for 0 s; run this again"):
        FileTokens(tmp_path / "tokens.json").add("ci", HASH)
    os.close(folder)
    with pytest.raises(UsageError, match=r"tokens\.json: cannot be written: No such file or directory"):
        FileTokens(tmp_path / "none" / "tokens.json").add("ci", HASH)


@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o640, 0o640), (0o660, 0o640), (0o644, 0o600)])
def test_whoever_serves_can_still_read_a_changed_file(before: int, after: int, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    write_hashes(path, Hashes(KEY, {}))
    path.chmod(before)
    owner = (1000, 1001) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    FileTokens(path).add("ci", HASH)
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*owner, after)
