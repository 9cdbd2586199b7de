"""The port of `watch`, over HTTP."""

from __future__ import annotations

import json
import logging
import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import UsageError
from reconciler.mirrors.patterns import Glob
from reconciler.serve.registry import registry
from reconciler.serve.server import in_background, listen, web_server
from reconciler.target.layout import CATALOG, JSON_HEADERS
from reconciler.triggers import bodies, gathering, port
from reconciler.triggers.formats import FORMATS
from reconciler.triggers.payload import MAX_BODY
from reconciler.triggers.port import PROBES, Port
from tests.memory import MemoryStore, mirror, mirrors
from tests.parts.serving import Answer, Served
from tests.parts.webhooks import DISTRIBUTION, DOCKER_HUB, GITHUB, HARBOR, QUAY, signature

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.triggers.gathering import Targets

TOKEN = "a-token-of-some-length"
SECRET = "a-secret-of-some-length"
ENVIRON = {"R2MIRROR_RUN_TOKEN": TOKEN, **{one.variable: SECRET for one in FORMATS}}
SOURCES = {
    "hub": "docker.io/acme/app",
    "github": "ghcr.io/acme/tools/app",
    "harbor": "harbor.example.com/acme/app",
    "quay": "quay.io/acme/app",
    "inside": "registry.example.com:5000/acme/app",
}
FILE = mirrors(*(replace(mirror(target, Glob("*")), source=source) for target, source in SOURCES.items()))
OTHER = mirrors(replace(mirror("again", Glob("*")), source="quay.io/acme/app"))


@dataclass
class Watch:
    """What the port belongs to."""

    port: Port | None = None
    served: Served | None = None
    unready: list[str] = field(default_factory=list)
    runs: queue.Queue[tuple[str, Targets]] = field(default_factory=queue.Queue)

    def reasons(self) -> list[str]:
        return self.unready

    def files(self) -> dict[str, Mirrors]:
        return {"a.yaml": FILE, "b.yaml": OTHER}

    def wake(self, file: str, targets: Targets) -> None:
        self.runs.put((file, targets))

    def ask(self, path: str) -> Answer:
        assert self.served
        return self.served.ask(path)

    def post(self, path: str, body: bytes, **headers: str) -> Answer:
        assert self.served
        return self.served.post(path, body, **headers)

    def hook(self, kind: str, value: Any, path: str = "", **headers: str) -> Answer:
        return self.post(f"/hooks/{kind}{path}", json.dumps(value).encode(), **headers)

    def run(self, query: str = "", token: str = TOKEN) -> Answer:
        return self.post(f"/run{query}", b"", authorization=f"Bearer {token}")

    def count(self, path: str, result: str) -> int:
        assert self.port
        return self.port.counts[path, result]


@contextmanager
def opened(environ: dict[str, str], *, access_log: bool = False) -> Iterator[Watch]:
    watch, store = Watch(), MemoryStore()
    store.put(CATALOG, b'{"repositories":["a"]}', JSON_HEADERS)
    metrics = lambda: (b"up 1\n", "text/plain; version=0.0.4")  # noqa: E731
    watch.port = Port(watch, watch.files, watch.wake, metrics, registry(store), environ=environ)
    with listen("127.0.0.1", 0) as listener:
        server = web_server(watch.port.application(), listener, probes=PROBES, access_log=access_log)
        with in_background(server, listener):
            watch.served = Served(f"127.0.0.1:{listener.getsockname()[1]}")
            yield watch


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    monkeypatch.setattr(gathering, "SECONDS", 0.02)
    with opened(ENVIRON) as one:
        yield one


def test_probes_metrics_and_the_registry_share_the_port(watch: Watch) -> None:
    assert watch.ask("/healthz").status == 200
    assert watch.ask("/readyz") == (200, watch.ask("/readyz").headers, b"ready\n")
    watch.unready = ["mirrors.yaml is not valid", "the last run\nis 3 h old"]
    assert watch.ask("/healthz").status == 200
    answer = watch.ask("/readyz")
    assert (answer.status, answer.body) == (503, b"mirrors.yaml is not valid\nthe last run is 3 h old\n")
    answer = watch.ask("/metrics")
    assert (answer.body, answer.headers["content-type"]) == (b"up 1\n", "text/plain; version=0.0.4")
    assert json.loads(watch.ask("/v2/_catalog").body) == {"repositories": ["a"]}
    assert watch.ask("/v2/a/manifests/x").status == 404


def test_run_starts_what_only_names_or_everything(watch: Watch) -> None:
    assert watch.run("?only=h*").status == 202
    assert watch.runs.get(timeout=10) == ("a.yaml", frozenset({"hub", "harbor"}))
    assert watch.run("?only=again&only=quay").status == 202
    assert {watch.runs.get(timeout=10) for _ in "ab"} == {
        ("a.yaml", frozenset({"quay"})),
        ("b.yaml", frozenset({"again"})),
    }
    assert json.loads(watch.run().body) == {"queued": 2, "unknown": 0}
    assert {watch.runs.get(timeout=10) for _ in "ab"} == {("a.yaml", None), ("b.yaml", None)}
    answer = watch.run("?only=nothing")
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "no target matches nothing"})
    assert watch.run("?" + "&".join(["only=*"] * 101)).status == 400
    assert watch.runs.empty()


@pytest.mark.parametrize("token", ["", TOKEN[:-1], SECRET])
def test_run_needs_its_token(watch: Watch, token: str) -> None:
    answer = watch.run(token=token)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert watch.count("/run", "refused") == 1
    assert watch.runs.empty()


HOOKS: dict[str, tuple[Any, str, dict[str, str], str]] = {
    "dockerhub": (DOCKER_HUB, f"?secret={SECRET}", {}, "hub"),
    "harbor": (HARBOR, "", {"authorization": SECRET}, "harbor"),
    "distribution": (DISTRIBUTION, "", {"authorization": f"Bearer {SECRET}"}, "inside"),
    "github": (
        GITHUB,
        "",
        {"x_github_event": "package", "x_hub_signature_256": signature(SECRET, json.dumps(GITHUB).encode())},
        "github",
    ),
}


@pytest.mark.parametrize("kind", HOOKS)
def test_a_webhook_runs_the_mirrors_concerned_only(watch: Watch, kind: str) -> None:
    value, path, headers, target = HOOKS[kind]
    answer = watch.hook(kind, value, path, **headers)
    assert (answer.status, json.loads(answer.body)) == (202, {"queued": 1, "unknown": 0})
    assert watch.runs.get(timeout=10) == ("a.yaml", frozenset({target}))
    assert watch.count(f"/hooks/{kind}", "queued") == 1


def test_a_push_that_several_files_mirror_runs_each(watch: Watch) -> None:
    assert watch.hook("quay", QUAY, f"?secret={SECRET}").status == 202
    assert {watch.runs.get(timeout=10) for _ in "ab"} == {
        ("a.yaml", frozenset({"quay"})),
        ("b.yaml", frozenset({"again"})),
    }


@pytest.mark.parametrize("kind", [*HOOKS, "quay"])
def test_a_webhook_without_its_secret_is_refused_and_counted(watch: Watch, kind: str) -> None:
    for path in ("", "?secret=", f"?secret={SECRET[:-1]}"):
        answer = watch.hook(kind, QUAY, path, authorization="Bearer", x_hub_signature_256=signature(TOKEN, b"{}"))
        assert answer.status == 401
    assert watch.count(f"/hooks/{kind}", "refused") == 3
    assert watch.runs.empty()


def test_a_push_to_an_unknown_repository_is_dropped_and_counted(watch: Watch) -> None:
    answer = watch.hook("quay", {**QUAY, "docker_url": "quay.io/acme/other"}, f"?secret={SECRET}")
    assert (answer.status, json.loads(answer.body)) == (202, {"queued": 0, "unknown": 2})
    assert watch.count("/hooks/quay", "unknown") == 2
    assert watch.hook("quay", {**QUAY, "updated_tags": None}, f"?secret={SECRET}").status == 202
    assert watch.count("/hooks/quay", "ignored") == 1
    assert watch.runs.empty()


def test_what_cannot_be_read_is_refused_with_the_reason(watch: Watch) -> None:
    answer = watch.post(f"/hooks/quay?secret={SECRET}", b"{")
    assert (answer.status, json.loads(answer.body)["error"][:33]) == (400, "webhook of Quay: not JSON: Expect")
    body = b"payload=%7B%7D"
    form = "application/x-www-form-urlencoded"
    answer = watch.post("/hooks/github", body, content_type=form, x_hub_signature_256=signature(SECRET, body))
    assert answer.status == 400
    assert "application/json" in json.loads(answer.body)["error"]
    assert watch.post(f"/hooks/quay?secret={SECRET}", b" " * (MAX_BODY + 1)).status == 413
    assert watch.post("/hooks/gitlab", b"").status == 404


def test_a_body_that_does_not_arrive_is_given_up(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "TIMEOUT", 0.05)
    monkeypatch.setattr(bodies, "MAX_BODIES", 1)
    assert watch.served
    host, _, number = watch.served.host.partition(":")
    with socket.create_connection((host, int(number)), timeout=10) as client:
        client.sendall(
            f"POST /hooks/quay?secret={SECRET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert watch.hook("quay", QUAY, f"?secret={SECRET}").status == 202


def test_a_flood_is_answered_429_and_is_one_run(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "BURST", 5)
    monkeypatch.setattr(port, "RATE", 0.001)
    answers = [watch.hook("dockerhub", DOCKER_HUB, f"?secret={SECRET}") for _ in range(7)]
    assert [one.status for one in answers] == [202] * 5 + [429] * 2
    assert answers[-1].headers["retry-after"] == "1000"
    assert watch.count("/hooks/dockerhub", "limited") == 2
    # The others have a rate of their own.
    assert watch.run().status == 202


def test_what_has_no_secret_in_the_environment_does_not_exist() -> None:
    with opened({}) as watch:
        answer = watch.run()
        assert (answer.status, "R2MIRROR_RUN_TOKEN is not set" in json.loads(answer.body)["error"]) == (404, True)
        answer = watch.hook("quay", QUAY, "?secret=")
        assert (answer.status, "R2MIRROR_HOOK_QUAY_SECRET is" in json.loads(answer.body)["error"]) == (404, True)


def test_a_secret_that_can_be_guessed_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="R2MIRROR_HOOK_GITHUB_SECRET is not a valid secret"):
        Port(Watch(), dict, lambda *_: None, environ={"R2MIRROR_HOOK_GITHUB_SECRET": "short"})


def test_without_metrics_and_registry_every_other_path_is_unknown() -> None:
    with listen("127.0.0.1", 0) as listener:
        application = Port(Watch(), dict, lambda *_: None, environ=ENVIRON).application()
        with in_background(web_server(application, listener, probes=PROBES, access_log=False), listener):
            served = Served(f"127.0.0.1:{listener.getsockname()[1]}")
            assert [served.ask(path).status for path in ("/metrics", "/v2/", "/", "/run")] == [404, 404, 404, 405]
            assert served.ask("/healthz", host="evil.example.com").status == 421


def test_no_log_has_the_secret_of_a_url(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    with caplog.at_level(logging.DEBUG), opened(ENVIRON, access_log=True) as watch:
        assert watch.hook("dockerhub", DOCKER_HUB, f"?secret={SECRET}").status == 202
        assert watch.hook("quay", QUAY, f"?a=b&secret={SECRET}").status == 202
        assert watch.hook("quay", QUAY, "?secret=wrong").status == 401
    assert "/hooks/dockerhub: docker.io/acme/app:1.4.2 was pushed" in caplog.text
    assert '"POST /hooks/quay HTTP/1.1" 202' in caplog.text
    assert SECRET not in caplog.text
