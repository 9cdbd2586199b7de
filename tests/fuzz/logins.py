"""Private mirrors: the headers and queries of clients, and a file of tokens."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.access.bearer import LIFETIME, issue, read
from reconciler.access.file import read_hashes, write_hashes
from reconciler.access.judge import (
    CATALOG,
    Verdict,
    asked_for,
    exchange,
    is_right,
    judge,
    parse_login,
    repository_of,
    scope_of,
)
from reconciler.errors import Malformed
from tests.fuzz.inputs import mutated_bytes
from tests.parts.private import GUARD, HASHES, KEY, TOKENS, basic

if TYPE_CHECKING:
    from random import Random

NOW = 1_800_000_000
REPOSITORY = "team-a/app"
ISSUED = {
    issue(GUARD.key, name, HASHES[name], repositories, NOW): name
    for name, repositories in (("ci", [REPOSITORY, CATALOG]), ("team-a", [REPOSITORY]), ("limited", []))
}
HEADERS = (*map(basic, TOKENS), *(f"Bearer {one}" for one in ISSUED), basic("ci", "wrong"))
TOKENS_FILE = {"key": KEY, "tokens": HASHES}


def header(rng: Random) -> bytes:
    """A header that gives a right to something; usually changed after that."""
    right = rng.choice(HEADERS).encode()
    return right if rng.random() < 0.1 else mutated_bytes(rng, right)


def authorization(body: bytes) -> None:
    text = body.decode("latin-1")
    login = parse_login(text)
    is_let_in = login is not None and is_right(GUARD, login, NOW)
    if is_let_in:
        name, _, token = base64.b64decode(text.partition(" ")[2].strip(" ")).decode().partition(":")
        assert TOKENS[name] == token
    verdict = judge(GUARD, text, REPOSITORY, NOW)
    assert (verdict is Verdict.ALLOWED) <= any(text.endswith(one) and name != "limited" for one, name in ISSUED.items())
    assert judge(GUARD, text, "team-b/app", NOW) is not Verdict.ALLOWED
    assert judge(GUARD, text, None, NOW + LIFETIME) is Verdict.LOGIN
    if not is_let_in and verdict is Verdict.LOGIN:
        raise Malformed("Authorization", "no right login")


def scopes(body: bytes) -> None:
    asked = asked_for(body.decode("utf-8", "replace").split("\n"))
    said = read(GUARD.key, exchange(GUARD, "team-a", body.decode("latin-1").split("\n"), NOW), GUARD.hash_for, NOW)
    assert said is not None
    assert all(one.startswith("team-a/") and one.encode() in body for one in said.repositories)
    if not asked:
        raise Malformed("scope", "names no repository")


def path(body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    repository = repository_of(text)
    scope = scope_of(repository)
    assert repository is None or repository == CATALOG or repository in text
    assert scope is None or (scope.isascii() and scope.isprintable() and '"' not in scope)
    if scope is None:
        raise Malformed("path", "about no repository")


def tokens_file(body: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(body)
        file.flush()
        content = read_hashes(Path(file.name))
        write_hashes(Path(file.name), content)
        assert read_hashes(Path(file.name)) == content
        assert json.loads(Path(file.name).read_bytes())["key"] == content.key
