"""Asks the Worker and `serve --access` the same random questions about a private mirror: a part of `make fuzz-worker`.

Each has a login or a Bearer token that is right, wrong or nearly right. No answer shows what the question has no right to,
by a model that knows who may pull what and shares no code with either; what has the right is answered; and where the two
read a path in the same way, they answer alike.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fnmatch
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from reconciler.access import bearer
from reconciler.access.config import TokenConfig, access_json
from reconciler.access.judge import Guard
from reconciler.access.token import hash_of
from reconciler.stores.folder import FolderStore
from reconciler.target.layout import JSON_HEADERS, LOCK, MIRROR_INDEX
from tests.parts.images import Image, image
from tests.parts.private import KEY, publish
from tests.parts.r2_simulator import start_r2_simulator, worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import serving
from tests.worker_fuzz import PATHS, SECRET, SLOW, Answer, Question, Server, changed, is_error, report

if TYPE_CHECKING:
    from reconciler.stores import Store

ACCESS = {
    "fuzz-all": TokenConfig("fuzz-all", ("*",)),
    "fuzz-a": TokenConfig("fuzz-a", ("fuzz-a/*", "shared")),
    "fuzz-app": TokenConfig("fuzz-app", ("*/app",)),
    "fuzz-none": TokenConfig("fuzz-none", ()),
    "fuzz-old": TokenConfig("fuzz-old", ("*",), date(2020, 1, 1)),
    "fuzz-lost": TokenConfig("fuzz-lost", ("*",)),
}
TOKENS = {name: f"r2m_of-{name}" for name in (*ACCESS, "fuzz-gone")}
HASHES = {name: hash_of(token.encode()) for name, token in TOKENS.items() if name != "fuzz-lost"}
ACTIVE = ("fuzz-all", "fuzz-a", "fuzz-app", "fuzz-none")
IMAGES: Mapping[str, Image] = {
    name: image({"marker": f"what only {name} has"})
    for name in ("fuzz-a/app", "fuzz-b/app", "fuzz-b/tool", "shared", "only-listed")
}
REPOSITORIES = (*list(IMAGES)[:4], "fuzz-a/none", "fuzz-b/none")
LISTED = b"only-listed"
"""A repository whose name no question has, so that only the lists of all repositories show it."""

SCHEMES = (
    "Basic ",
    "Bearer ",
    "basic ",
    "bEARER ",
    "BASIC   ",
    "Bearer\t",
    "Basic",
    "Digest ",
    "",
    "Negotiate ",
    "Bearer Bearer ",
)
CHANGES = ("", " ", "  ", "\t", ",", ", ", "=", "==", "~", "+", "/", ":", "\xe9", "\xff", "%", '"', "*", "A", "0", "f" * 64, "fuzz-all",
           "fuzz-b/app", "_catalog", "~9999999999~", "z" * 9000)  # fmt: skip
SCOPES = ("registry:catalog:*", "repository::pull", "repository:*:pull", "repository:a b:pull", "x", "", "repository(plugin):shared:pull",
          "repository:shared:push", "repository:shared:push,pull", "repository:shared:*", "repository:SHARED:pull",
          "repository:fuzz-b/app:pull:pull", "repository:fuzz-b/app~x:pull", "repository:fuzz-b/app+shared:pull")  # fmt: skip
FIELDS = ("service=127.0.0.1", "account=fuzz-all", "client_id=docker", "offline_token=true", "scope", "scope=", "&", "%", "scope=%ff",
          "service=%00", "SCOPE=registry:catalog:*", "scope[]=registry:catalog:*", ";scope=registry:catalog:*")  # fmt: skip
ENDS = ("%0A", "%0D%0A", "%00", "%20", "%09", "%2F", "/", "%E2%80%A8")
STATUSES = frozenset({200, 206, 304, 400, 401, 403, 404, 405, 416, 429})


def texts() -> dict[str, str]:
    """The Worker's variables and secrets; one has a hash and is not declared."""
    secrets = {f"ACCESS_TOKEN_{name.upper().replace('-', '_')}": hashed for name, hashed in HASHES.items()}
    return {"ACCESS": access_json(ACCESS), "ACCESS_KEY": KEY, **secrets}


def guard() -> Guard:
    return Guard(ACCESS, HASHES, KEY.encode())


def fill_privately(store: Store, others: Mapping[str, Image] | None = None) -> None:
    """Publishes `IMAGES`, beside others that no question is about."""
    publish(store, {**IMAGES, **(others or {})})
    for key in (MIRROR_INDEX, LOCK):
        store.put(key, SECRET, JSON_HEADERS)


@dataclass(frozen=True)
class Right:
    """What a request may see: its name, and for a Bearer token the repositories that it was issued for."""

    name: str
    repositories: frozenset[str] | None = None

    def covers(self, repository: str) -> bool:
        """Whether the name may pull the repository, or with _catalog list all, and the token was issued for it."""
        globs = ACCESS[self.name].repositories
        may = "*" in globs if repository == "_catalog" else any(fnmatch.fnmatchcase(repository, one) for one in globs)
        return may and (self.repositories is None or repository in self.repositories)


class Asking:
    """Makes questions, and knows what those with an unchanged Bearer token may see."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"access {seed}")
        self.issued: dict[str, Right] = {}

    def question(self) -> Question:
        rng = self.rng
        path = rng.choice((self._token_path, self._path, self._path))()
        if rng.random() < 0.2:
            path = changed(rng, path)
        if rng.random() < 0.05:
            path += rng.choice(ENDS)
        login = rng.random() < (0.9 if path.startswith(("/token", "/?", "/index")) or path == "/" else 0.2)
        header = self._basic() if login else self._bearer()
        headers = [] if rng.random() < 0.05 else [("authorization", header)]
        if rng.random() < 0.1:
            headers.append((rng.choice(("x-forwarded-for", "cf-connecting-ip", "x-forwarded-proto")), "10.0.0.1"))
        method = rng.choice(("GET",) * 8 + ("HEAD",) * 3 + ("POST",))
        return Question(method, f"/{path.lstrip('/')}", tuple(headers))

    def _token_path(self) -> str:
        rng = self.rng
        if rng.random() < 0.15:
            return rng.choice(("/", "/index.html"))
        fields = [
            f"scope={quote(' '.join(self._scopes()), safe=rng.choice(('', ':/*,')))}"
            for _ in range(rng.choice((0, 1, 1, 2, 9)))
        ]
        fields += rng.choices(FIELDS, k=rng.choice((0, 0, 1, 3)))
        rng.shuffle(fields)
        return f"/token{'?' if fields else ''}{'&'.join(fields)}"

    def _scopes(self) -> list[str]:
        rng = self.rng
        return [
            rng.choice(SCOPES) if rng.random() < 0.3 else f"repository:{rng.choice(REPOSITORIES)}:pull"
            for _ in range(rng.choice((1, 1, 1, 2, 5)))
        ]

    def _path(self) -> str:
        rng = self.rng
        if rng.random() < 0.2:
            return rng.choice((*PATHS, "/metrics", "/readyz", "/token/"))
        name = rng.choice(REPOSITORIES)
        one = IMAGES.get(name, IMAGES["shared"])
        blob = rng.choice(list(one.blobs))
        rest = (
            "manifests/1",
            f"manifests/{one.digest}",
            f"blobs/{blob}",
            "tags/list",
            f"referrers/{one.digest}",
            "manifests/2",
        )
        return f"/v2/{name}/{rng.choice(rest)}"

    def _basic(self) -> str:
        rng = self.rng
        name = (
            rng.choice(list(TOKENS))
            if rng.random() < 0.9
            else rng.choice(("", "x", "Fuzz-all", "fuzz-all\0", "é", "__proto__", "constructor"))
        )
        token = TOKENS.get(name, "r2m_x")
        if rng.random() < 0.3:
            token = rng.choice(
                (
                    TOKENS["fuzz-all"],
                    HASHES["fuzz-all"],
                    f"{token} ",
                    token[:-1],
                    token.upper(),
                    "",
                    f"{token}\0",
                    "r2m_" * 9,
                    f"é{token}",
                )
            )
        encoded = base64.b64encode(f"{name}{'' if rng.random() < 0.03 else ':'}{token}".encode()).decode()
        return self._changed(f"Basic {encoded}")

    def _bearer(self) -> str:
        """A token that was issued, or one that was made from it without the key; sometimes changed after that."""
        rng = self.rng
        name = rng.choice(ACTIVE) if rng.random() < 0.8 else rng.choice((*TOKENS, "x"))
        wanted = rng.sample((*REPOSITORIES, "_catalog"), k=rng.choice((0, 1, 2, 4, 7)))
        now = int(time.time()) - (rng.choice((299 + 9, 10**6, 1)) if rng.random() < 0.2 else 0)
        # The key that is known to everyone is that of a Worker without one.
        key = rng.choice((b"-", b"", b"x", KEY.upper().encode())) if rng.random() < 0.1 else KEY.encode()
        hashed = HASHES.get(name, "0" * 64) if rng.random() < 0.9 else rng.choice(list(HASHES.values()))
        text = bearer.issue(key, name, hashed, wanted, now)
        is_right = (
            key == KEY.encode()
            and hashed == HASHES.get(name)
            and name in ACTIVE
            and now + bearer.LIFETIME > time.time() + 5
        )
        if is_right:
            self.issued[text] = Right(name, frozenset(wanted))
        if rng.random() < 0.15:
            text = self._forged(text)
        return self._changed(f"Bearer {text}")

    def _forged(self, text: str) -> str:
        rng = self.rng
        name, expires, repositories, signature = text.split("~")
        forged = (
            ("fuzz-all", expires, repositories, signature),
            (name, str(int(expires) + rng.choice((1, 10**6))), repositories, signature),
            (name, f"0{expires}", repositories, signature),
            (name, expires, "+".join((*REPOSITORIES, "_catalog")), signature),
            (name, expires, f"{repositories}+fuzz-b/app", signature),
            (name, expires, repositories, signature.upper()),
            (name, expires, repositories, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
            (name, expires, repositories, ""),
            (name.upper(), expires, repositories, signature),
            (name, expires, repositories.replace("/", "~"), signature),
        )
        return "~".join(rng.choice(forged))

    def _changed(self, header: str) -> str:
        rng = self.rng
        if rng.random() < 0.1:
            header = f"{rng.choice(SCHEMES)}{header.partition(' ')[2]}"
        while rng.random() < 0.15:
            start = rng.randint(0, len(header))
            end = min(len(header), start + rng.choice((0, 0, 1, 3)))
            header = f"{header[:start]}{rng.choice(CHANGES)}{header[end:]}"
        # White space around a header is not part of it, and only some servers take a tab for that.
        return header.strip(" \t")

    def right(self, asked: Question) -> tuple[Right | None, Right | None]:
        """What its login, and what its Bearer token, gives a right to."""
        header = dict(asked.headers).get("authorization", "")
        scheme, _, rest = header.partition(" ")
        rest = rest.lstrip(" ")
        login = token = None
        if scheme.lower() == "basic":
            try:
                # base64 lets padding that is too long pass.
                encoded = rest if len(rest) % 4 == 0 else ""
                name, _, secret = base64.b64decode(encoded, validate=True).decode("latin-1").partition(":")
            except (binascii.Error, ValueError):
                name = secret = ""
            login = Right(name) if name in ACTIVE and TOKENS[name] == secret else None
        if scheme.lower() == "bearer":
            token = self.issued.get(rest)
        return login, token


def shown(answer: Answer) -> Iterator[str]:
    """The repositories that an answer shows something of, and `_catalog` if it is of all of them."""
    digests = answer.headers.get("docker-content-digest"), answer.headers.get("etag", "").strip('"')
    for name, one in IMAGES.items():
        if one.body in answer.body or any(body in answer.body for body in one.blobs.values()):
            yield name
        if any(digest in (one.digest, *one.blobs) for digest in digests):
            yield name
    if LISTED in answer.body or b"<!doctype html>" in answer.body:
        yield "_catalog"


def repository_of(path: str) -> str | None:
    """The repository of a path that every URL parser reads alike."""
    if path in ("/v2/_catalog", "/", "/index.html"):
        return "_catalog"
    found = re.fullmatch(r"/v2/(.+)/(?:tags|manifests|blobs|referrers)/[^/]+", path)
    return found[1] if found else None


def expected(asked: Question, login: Right | None, token: Right | None) -> frozenset[int]:
    """The statuses that the model allows, for a path that is read alike."""
    path = asked.path.partition("?")[0]
    if asked.method not in ("GET", "HEAD"):
        return frozenset({405})
    right = login if path in ("/token", "/", "/index.html") else login or token
    if right is None:
        return frozenset({401, 429})
    repository = repository_of(path)
    if repository is None or path == "/token":
        return frozenset({200, 404})
    if not Right(right.name).covers(repository):
        return frozenset({403})
    return frozenset({200, 400, 404}) if right.covers(repository) else frozenset({401})


def granted(answer: Answer) -> tuple[str, list[str]] | None:
    """The name and the repositories that an issued token says."""
    document = json.loads(answer.body)
    if set(document) != {"token", "access_token", "expires_in"} or document["token"] != document["access_token"]:
        return None
    name, _, repositories, _ = document["token"].split("~")
    return name, [one for one in repositories.split("+") if one]


def broken(asked: Question, answer: Answer, login: Right | None, token: Right | None) -> str | None:
    """What is wrong with an answer, by the model alone; None if nothing is."""
    if SECRET in answer.body:
        return "shows the state"
    for repository in shown(answer):
        if not any(right and right.covers(repository) for right in (login, token)):
            return f"shows {repository} without the right to it"
    return ill_formed(asked, answer) or misjudged(asked, answer, login, token) or wrongly_issued(asked, answer, login)


def ill_formed(asked: Question, answer: Answer) -> str | None:
    cached = answer.headers.get("cache-control", "")
    if answer.status not in STATUSES:
        return f"is {answer.status}"
    if answer.status >= 400 and asked.method != "HEAD" and not is_error(answer.body):
        return "is an error in another form"
    if answer.status in (401, 429) and cached != "no-store":
        return "may be cached"
    return "may be cached for others" if answer.status == 200 and (not cached or "public" in cached) else None


def misjudged(asked: Question, answer: Answer, login: Right | None, token: Right | None) -> str | None:
    allowed = expected(asked, login, token) if asked.reads_alike else STATUSES
    return f"is {answer.status}, not one of {sorted(allowed)}" if answer.status not in allowed else None


def wrongly_issued(asked: Question, answer: Answer, login: Right | None) -> str | None:
    """What is wrong with the Bearer token in an answer, if there is one."""
    if b'"token"' not in answer.body:
        return None
    if login is None:
        return "issues a token without a login"
    name, repositories = granted(answer) or ("", [])
    if name != login.name or not all(map(login.covers, repositories)):
        return f"issues a token of {name} for {repositories}"
    spelled = " ".join(value for key, value in parse_qsl(asked.path.partition("?")[2]) if key == "scope")
    named = [one for one in repositories if one in spelled or (one == "_catalog" and "registry:catalog:*" in spelled)]
    return f"issues a token for {repositories}, of {spelled}" if named != repositories else None


def difference(asked: Question, worker: Answer, serve: Answer) -> str | None:
    """How the Worker's answer is not that of `serve`; None if they are alike."""
    # The minute of failed logins does not begin at the same time in both.
    if {worker.status, serve.status} == {401, 429}:
        return None
    if worker.status != serve.status:
        return f"is {worker.status}, not {serve.status}"
    if asked.method == "HEAD" or worker.status not in (200, 401):
        return None
    if asked.path.partition("?")[0] == "/token" and worker.status == 200:
        mine, other = granted(worker), granted(serve)
        return f"issues {mine}, not {other}" if mine != other else None
    mine_says, other_says = (
        re.sub(r"127\.0\.0\.1:[0-9]+", "HOST", one.headers.get("www-authenticate", "")) for one in (worker, serve)
    )
    if mine_says != other_says:
        return f"has the challenge {mine_says}, not {other_says}"
    return None if worker.body == serve.body else f"has the body {worker.body[:200]!r}, not {serve.body[:200]!r}"


def compare(worker: str, serve: str, requests: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Asks both hosts; counts the Worker's statuses, and returns what is wrong."""
    asking = Asking(seed)
    statuses: Counter[int] = Counter()
    wrong = []
    with Server(worker) as first, Server(serve) as second:
        for number in range(requests):
            asked = asking.question()
            rights = asking.right(asked)
            began = time.monotonic()
            answers = first.ask(asked), second.ask(asked)
            statuses[answers[0].status] += 1
            found = [
                f"{name} {text}"
                for name, one in zip(("the Worker", "serve"), answers, strict=True)
                if (text := broken(asked, one, *rights))
            ]
            if not found and asked.reads_alike and (text := difference(asked, *answers)):
                found.append(f"the Worker {text}")
            if time.monotonic() - began > SLOW:
                found.append(f"took more than {SLOW} s")
            wrong += [
                f"request {number}: {asked.method} {asked.path[:300]} {dict(asked.headers)} {one}"[:1500]
                for one in found
            ]
            asking.issued.clear()
    return statuses, wrong


@contextlib.contextmanager
def both() -> Iterator[tuple[str, str]]:
    """Runs a Worker and `serve` with the same content and the same tokens; yields their hosts."""
    with tempfile.TemporaryDirectory() as folder, start_r2_simulator(Path(folder) / "r2", texts=texts()) as buckets:
        stores = bucket_store(buckets[0]), FolderStore(Path(folder) / "mirror")
        for store in stores:
            fill_privately(store)
        with serving(stores[1], guard=guard) as served:
            yield worker_host(buckets[0]), served.host


if __name__ == "__main__":
    report("access_fuzz", __doc__, both, compare)
