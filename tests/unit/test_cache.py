"""The cache keeps entries whole, for their owner alone, up to a limit; without a folder it keeps nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cache import Cache

CACHE = Cache("kind", entries=3, entry_bytes=10)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_entry_is_found_again(cache_home: Path) -> None:
    assert CACHE.get("name") is None
    CACHE.put("name", b"body")
    assert CACHE.get("name") == b"body"
    CACHE.put("name", b"")
    assert CACHE.get("name") == b""
    assert Cache("other", 3, 10).get("name") is None
    assert names(cache_home / "r2mirror") == ["kind-name"]


def test_it_is_closed_to_others(cache_home: Path) -> None:
    CACHE.put("name", b"body")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (cache_home / "r2mirror", cache_home / "r2mirror/kind-name")]
    assert modes == [0o700, 0o600]


def test_without_xdg_cache_home_it_is_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        CACHE.put(f"name{unset}", b"body")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert CACHE.get("name") == CACHE.get("namerelative") == b"body"
    assert names(tmp_path / ".cache/r2mirror") == ["kind-name", "kind-namerelative"]


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    CACHE.put("name", b"body")
    assert CACHE.get("name") is None


def test_the_oldest_entries_go(cache_home: Path) -> None:
    other = Cache("other", 3, 10)
    other.put("first", b"")
    for age, name in enumerate(["old", "middle", "new"]):
        CACHE.put(name, b"")
        os.utime(cache_home / f"r2mirror/kind-{name}", (age, age))
    CACHE.put("newest", b"")
    assert [name for name in ("old", "middle", "new", "newest") if CACHE.get(name) is None] == ["old"]
    assert other.get("first") == b""


def test_what_a_killed_run_left_counts_as_an_entry(cache_home: Path) -> None:
    CACHE.put("first", b"")
    draft = cache_home / "r2mirror/kind-name.123"
    draft.write_bytes(b"half")
    os.utime(draft, (0, 0))
    CACHE.put("second", b"")
    assert draft.exists()
    CACHE.put("third", b"")
    assert not draft.exists()
    assert [CACHE.get(name) for name in ("first", "second", "third", "name")] == [b"", b"", b"", None]


def test_a_large_entry_is_neither_kept_nor_read(cache_home: Path) -> None:
    CACHE.put("name", bytes(11))
    assert not (cache_home / "r2mirror").exists()
    Cache("kind", 3, 11).put("name", bytes(11))
    assert CACHE.get("name") is None
    assert Cache("kind", 3, 11).get("name") == bytes(11)


def _link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o770)


def _file(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_link, _open_to_all, _file])
def test_a_folder_that_others_could_have_filled_is_not_used(spoil: Callable[[Path], None], cache_home: Path) -> None:
    CACHE.put("name", b"body")
    spoil(cache_home / "r2mirror")
    assert CACHE.get("name") is None
    CACHE.put("next", b"body")
    assert CACHE.get("next") is None


def test_a_folder_of_another_user_is_not_used(cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CACHE.put("name", b"body")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert CACHE.get("name") is None
    CACHE.put("next", b"body")
    assert names(cache_home / "r2mirror") == ["kind-name"]


def test_none_is_created_in_the_home_of_another_user(cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    CACHE.put("name", b"body")
    assert names(cache_home) == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("kind-real")])
def test_only_a_regular_file_is_an_entry(make: Callable[[Path], None], cache_home: Path) -> None:
    CACHE.put("real", b"body")
    make(cache_home / "r2mirror/kind-name")
    assert CACHE.get("name") is None


def test_a_full_disk_is_no_error(cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refused)
    CACHE.put("name", b"body")
    assert CACHE.get("name") is None
