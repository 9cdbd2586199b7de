"""`serve --access`: who gets in, and what those are told who do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.access.file import Hashes, write_hashes
from reconciler.access.judge import Guard
from reconciler.errors import UsageError
from reconciler.serve.guards import FileGuard
from reconciler.stores.folder import FolderStore
from tests.parts.private import ACCESS, CHECKS, GUARD, HASHES, IMAGE, KEY, publish
from tests.parts.serving import Served, serving


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "mirror")
    publish(store, {"team-a/app": IMAGE, "team-b/app": IMAGE})
    return store


@pytest.fixture
def served(store: FolderStore) -> Iterator[Served]:
    with serving(store, guard=lambda: GUARD) as served:
        yield served


@pytest.mark.parametrize("check", CHECKS)
def test_who_gets_in(check: Callable[[Served], None], served: Served) -> None:
    check(served)


def test_the_realm_has_the_address_that_the_client_used(served: Served) -> None:
    behind = served.ask("/v2/", x_forwarded_proto="https", host="localhost:443")
    assert behind.headers["www-authenticate"].startswith('Bearer realm="https://localhost:443/token"')


def test_a_file_that_changes_counts_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tokens.json"
    write_hashes(path, Hashes(KEY, HASHES))
    guard = FileGuard(lambda: ACCESS, path)
    assert guard() == Guard(ACCESS, HASHES, KEY.encode())
    write_hashes(path, Hashes(KEY, {"ci": HASHES["ci"]}))
    assert guard().hashes.keys() == {"ci"}
    assert guard.without_token == ["limited", "team-a"]
    path.write_text("{")
    os.utime(path, (1, 1))
    assert guard().hashes.keys() == {"ci"}
    assert "tokens.json: is not a valid file of tokens" in caplog.text
    with pytest.raises(UsageError):
        FileGuard(lambda: ACCESS, path)
