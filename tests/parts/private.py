"""Private mirrors: the cases that `reconciler/access` and the Worker decide alike, and a mirror that has images in it."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reconciler.access.config import TokenConfig
from reconciler.access.failures import MAX_FAILURES
from reconciler.access.judge import Guard
from reconciler.access.token import hash_of
from reconciler.oci.spec import Digest
from reconciler.target.layout import (
    BLOB_HEADERS,
    CATALOG,
    JSON_HEADERS,
    PAGE,
    PAGE_HEADERS,
    PING,
    blob_key,
    manifest_headers,
    manifest_key,
    tags_key,
)
from tests.parts.images import image
from tests.parts.serving import error_of

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.images import Image
    from tests.parts.serving import Served

CASES_FILE = Path(__file__).parents[1] / "data" / "access.json"
CASES: Mapping[str, Any] = json.loads(CASES_FILE.read_text())

ACCESS = {
    "ci": TokenConfig("ci", ("*",)),
    "team-a": TokenConfig("team-a", ("team-a/*",)),
    "limited": TokenConfig("limited", ()),
}
TOKENS = {name: f"r2m_secret-of-{name}" for name in ACCESS}
HASHES = {name: hash_of(token.encode()) for name, token in TOKENS.items()}
KEY = "0123456789abcdef" * 4
GUARD = Guard(ACCESS, HASHES, KEY.encode())
IMAGE = image({"a": "1"})


def guard_of(cases: Mapping[str, Any]) -> Guard:
    """The guard that the cases are for; a token expires at the beginning of a day."""
    access = {}
    for name, one in cases["access"].items():
        expires = datetime.fromtimestamp(one["expires"], UTC).date() if one["expires"] else None
        access[name] = TokenConfig(name, tuple(one["repositories"]), expires)
    return Guard(access, cases["hashes"], cases["key"].encode())


def basic(name: str, token: str | None = None) -> str:
    """The Authorization header of a login, with the right token unless another is given."""
    return f"Basic {base64.b64encode(f'{name}:{TOKENS[name] if token is None else token}'.encode()).decode()}"


def publish(store: Store, images: Mapping[str, Image]) -> None:
    """Publishes an image as tag 1 of each repository, with the lists and the page."""
    for name, one in images.items():
        for digest, body in one.all_blobs().items():
            store.put(blob_key(name, Digest.parse(digest)), body, BLOB_HEADERS)
        for manifest in one.manifests():
            own = Digest.parse(manifest.digest)
            store.put(manifest_key(name, own), manifest.body, manifest_headers(manifest.media_type, own))
        store.put(manifest_key(name, "1"), one.body, manifest_headers(one.media_type, "1"))
        store.put(tags_key(name), _json({"name": name, "tags": ["1"]}), JSON_HEADERS)
    store.put(CATALOG, _json({"repositories": sorted(images)}), JSON_HEADERS)
    store.put(PAGE, b"<!doctype html>", PAGE_HEADERS)
    store.put(PING, b"{}", JSON_HEADERS)


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def token(served: Served, name: str, *scopes: str) -> str:
    query = "&".join(f"scope={quote(scope)}" for scope in scopes)
    answer = served.ask(f"/token?{query}", authorization=basic(name))
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    return str(json.loads(answer.body)["token"])


def without_a_token_nothing_is_read_and_the_challenge_says_where_to_get_one(served: Served) -> None:
    challenge = f'Bearer realm="http://{served.host}/token",service="{served.host}"'
    for path in ("/v2/", "/v2", "/x", "/_mirror/index.json", "/v2/_ping"):
        answer = served.ask(path)
        assert (answer.status, error_of(answer.body)) == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"] == challenge
    for path in ("manifests/1", "tags/list", f"blobs/{next(iter(IMAGE.blobs))}", "manifests/none"):
        answer = served.ask(f"/v2/team-a/app/{path}")
        assert answer.status == 401
        assert answer.headers["www-authenticate"].endswith('scope="repository:team-a/app:pull"')
    for name in ("a%22,realm=%22http:%2F%2Fevil.example", "a%0D%0AX:1", "%E2%82%AC", "A", "a" * 256):
        answer = served.ask(f"/v2/{name}/manifests/1")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, challenge), (
            "what is no name is not repeated"
        )
    assert served.ask("/v2/team-a/app/manifests/1", method="PUT").status == 405
    assert served.ask("/v2/team-a/app/manifests/1", method="HEAD").status == 401


def a_token_opens_the_repositories_that_its_name_may_pull(served: Served) -> None:
    pull = "repository:team-a/app:pull"
    bearer = f"Bearer {token(served, 'team-a', pull, 'repository:team-b/app:pull')}"
    answer = served.ask("/v2/team-a/app/manifests/1", authorization=bearer)
    assert (answer.status, answer.body) == (200, IMAGE.body)
    blob = served.ask(f"/v2/team-a/app/blobs/{next(iter(IMAGE.blobs))}", authorization=bearer)
    assert blob.status == 200
    assert blob.headers["cache-control"].startswith("private, "), "no shared cache may keep it"
    assert served.ask("/v2/", authorization=bearer).status == 200
    refused = served.ask("/v2/team-b/app/manifests/1", authorization=bearer)
    assert (refused.status, error_of(refused.body)) == (403, "DENIED")
    by_login = served.ask("/v2/team-a/app/manifests/1", authorization=basic("team-a"))
    assert (by_login.status, by_login.body) == (200, IMAGE.body), "as containerd does with a header in hosts.toml"
    assert served.ask("/v2/", authorization=basic("team-a")).status == 200
    assert served.ask("/v2/team-b/app/manifests/1", authorization=basic("team-a")).status == 403
    assert served.ask("/v2/_catalog", authorization=basic("team-a")).status == 403
    wrong = served.ask("/v2/team-a/app/manifests/1", authorization=basic("team-a", "wrong"))
    assert (wrong.status, wrong.headers["www-authenticate"]) == (401, 'Basic realm="r2mirror"')
    without = served.ask("/v2/team-a/app/manifests/1", authorization=f"Bearer {token(served, 'team-a')}")
    assert without.status == 401
    assert without.headers["www-authenticate"].endswith('error="insufficient_scope"')


def only_a_token_for_everything_lists_the_repositories(served: Served) -> None:
    for name, status in (("ci", 200), ("team-a", 403)):
        bearer = f"Bearer {token(served, name, 'registry:catalog:*')}"
        assert served.ask("/v2/_catalog", authorization=bearer).status == status
        assert served.ask("/", authorization=basic(name)).status == status
    assert served.ask("/").headers["www-authenticate"] == 'Basic realm="r2mirror"'


def no_other_path_is_taken_for_one_that_needs_more(served: Served) -> None:
    bearer = f"Bearer {token(served, 'team-a', 'registry:catalog:*', 'repository:team-b/app:pull')}"
    for path in ("/v2/_catalog", "/", "/index.html", "/v2/", "/token", "/v2/team-b/app/tags/list"):
        for end in ("%0A", "%0D%0A", "%00", "%20", "/", "%2F", "%E2%80%A8", "%85"):
            answer = served.ask(f"{path}{end}", authorization=bearer)
            assert answer.status in (403, 404), (path, end)
            assert b"team-b" not in answer.body


def unknown_names_and_wrong_tokens_are_answered_alike_and_then_with_429(served: Served) -> None:
    for name in ("limited", "nobody"):
        wrong = basic(name, "r2m_wrong")
        with ThreadPoolExecutor(MAX_FAILURES) as clients:
            answers = [
                *clients.map(lambda _, as_=wrong: served.ask("/token", authorization=as_), range(2 * MAX_FAILURES))
            ]
        assert Counter(one.status for one in answers) == {401: MAX_FAILURES, 429: MAX_FAILURES}
        assert {one.body for one in answers if one.status == 401} == {served.ask("/token").body}
        for tried in (wrong, basic(name, "other")):
            limited = served.ask("/token", authorization=tried)
            assert (limited.status, error_of(limited.body)) == (429, "TOOMANYREQUESTS")
            assert 0 < int(limited.headers["retry-after"]) <= 60
    for name in ("team-a", "limited"):
        assert served.ask("/token", authorization=basic(name)).status == 200, "the right token is never locked out"


CHECKS: tuple[Callable[[Served], None], ...] = (
    without_a_token_nothing_is_read_and_the_challenge_says_where_to_get_one,
    a_token_opens_the_repositories_that_its_name_may_pull,
    only_a_token_for_everything_lists_the_repositories,
    no_other_path_is_taken_for_one_that_needs_more,
    unknown_names_and_wrong_tokens_are_answered_alike_and_then_with_429,
)
"""What holds for `serve --access` and for the Worker, in front of `IMAGE` as team-a/app and team-b/app."""
