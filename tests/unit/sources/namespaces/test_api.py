"""Lists of Docker Hub, Quay and GitHub, as their APIs answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from reconciler.errors import BadAnswer, Denied, NotFound, RateLimited, SourceError
from reconciler.http.patience import Patience
from reconciler.sources.config import RegistryConfig
from reconciler.sources.namespaces import LISTINGS, list_repositories
from reconciler.sources.namespaces.place import Place
from tests.parts.scripted_server import Answer, ScriptedServer, serve_answers

HUB = "GET /v2/namespaces/grafana/repositories?page_size=100&page="
QUAY = "GET /api/v1/repository?namespace=prometheus&public=true"
ORG = "GET /orgs/acme/packages?package_type=container&per_page=100&page="
TOKEN = {"GHCR_USER": "me", "GHCR_TOKEN": "ghp_secret"}
GHCR = {"ghcr.io": RegistryConfig(username_env="GHCR_USER", password_env="GHCR_TOKEN")}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr(
        "reconciler.sources.namespaces.api.Patience", partial(Patience, attempts=2, sleep=lambda _: None)
    )
    world = ScriptedServer()
    with serve_answers(world) as world.url:
        yield world


def page(document: object, **headers: str) -> Answer:
    return Answer(200, headers, json.dumps(document).encode())


def named(*names: object) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def place(server: ScriptedServer, registry: str, path: str) -> Place:
    return Place(registry, path, GHCR, TOKEN, api=server.url)


def test_docker_hub(server: ScriptedServer) -> None:
    server.on(f"{HUB}1", page({"results": named("grafana", "loki", 5), "next": "https://hub.docker.com/x"}))
    server.on(f"{HUB}2", page({"results": [*named("mimir", "loki", "Bad Name"), "x"], "next": None}))
    assert [*list_repositories(place(server, "docker.io", "grafana"))] == ["grafana", "loki", "mimir"]
    assert not any("authorization" in one.headers for one in server.asked)


def test_quay(server: ScriptedServer) -> None:
    first = {"repositories": [*named("a"), {"name": "app", "kind": "application"}], "next_page": "a+/="}
    server.on(QUAY, page(first))
    server.on(f"{QUAY}&next_page=a%2B%2F%3D", page({"repositories": named("b")}))
    assert [*list_repositories(place(server, "quay.io", "prometheus"))] == ["a", "b"]


def test_github(server: ScriptedServer) -> None:
    server.on(f"{ORG}1", page(named(*(f"p{number}" for number in range(100)))))
    server.on(f"{ORG}2", page(named("charts/x")))
    assert len([*list_repositories(place(server, "ghcr.io", "acme"))]) == 101
    assert [*list_repositories(place(server, "ghcr.io", "acme/charts"))] == ["x"]
    assert {one.headers["authorization"] for one in server.asked} == {"Bearer ghp_secret"}


def test_packages_of_a_user(server: ScriptedServer) -> None:
    server.on(ORG.replace("orgs", "users") + "1", page(named("mine")))
    assert [*list_repositories(place(server, "ghcr.io", "acme"))] == ["mine"]


def test_github_without_a_token(server: ScriptedServer) -> None:
    with pytest.raises(Denied, match="only with a token"):
        [*list_repositories(Place("ghcr.io", "acme", {}, {}, api=server.url))]
    assert not server.asked


@contextmanager
def another_host() -> Iterator[ScriptedServer]:
    world = ScriptedServer()
    with serve_answers(world) as world.url:
        yield world


def test_a_token_is_not_sent_to_where_a_redirect_leads(server: ScriptedServer) -> None:
    with another_host() as elsewhere:
        server.on(f"{ORG}1", Answer(302, {"Location": f"{elsewhere.url}/steal"}))
        with pytest.raises(BadAnswer, match="302"):
            [*list_repositories(place(server, "ghcr.io", "acme"))]
        assert not elsewhere.asked


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(401), Denied),
        (Answer(403), Denied),
        (Answer(404), NotFound),
        (Answer(429), RateLimited),
        (Answer(418), BadAnswer),
        (Answer(200, body=b"{"), BadAnswer),
        (Answer(200, body=b"[]"), BadAnswer),
        (Answer(200, body=b'{"results": 5, "repositories": {}}'), BadAnswer),
        (Answer(200, body=b'{"results": [], "next": 5, "repositories": [], "next_page": 5}'), BadAnswer),
        (Answer(200, body=b" " * 5 * 1024 * 1024), BadAnswer),
        (Answer(drop=True), SourceError),
    ],
)
@pytest.mark.parametrize("registry", ["docker.io", "quay.io"])
def test_what_is_not_a_list(server: ScriptedServer, registry: str, answer: Answer, kind: type[SourceError]) -> None:
    server.otherwise = lambda _: answer
    with pytest.raises(kind) as caught:
        [*list_repositories(place(server, registry, "a"))]
    assert f"{registry}/a/*" in str(caught.value)


def test_a_list_without_an_end(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: dict[str, Callable[[], Answer]] = {
        "docker.io": lambda: page({"results": named("a"), "next": "x"}),
        "quay.io": lambda: page({"repositories": named("a"), "next_page": "x"}),
        "ghcr.io": lambda: page(named("a", "b")),
    }
    assert pages.keys() == LISTINGS.keys()
    monkeypatch.setattr("reconciler.sources.namespaces.github.PAGE_SIZE", 2)
    for registry, answer in pages.items():
        monkeypatch.setattr(f"{LISTINGS[registry].__module__}.MAX_PAGES", 3)
        server.otherwise = lambda _, answer=answer: answer()  # type: ignore[misc]
        with pytest.raises(BadAnswer, match="more than 3 pages"):
            [*list_repositories(place(server, registry, "a"))]


def test_where_only_mirrors_may_be_contacted(server: ScriptedServer) -> None:
    closed = {"quay.io": RegistryConfig(only_mirrors=True)}
    with pytest.raises(Denied, match="only_mirrors"):
        [*list_repositories(Place("quay.io", "a", closed, {}, api=server.url))]
    assert not server.asked
