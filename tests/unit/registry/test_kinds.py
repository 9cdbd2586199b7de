"""Which product a registry is."""

from __future__ import annotations

import pytest

from reconciler.registry.kinds import KINDS, OTHER, kind_of
from reconciler.registry.powers import Can, Known, Powers


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "Amazon ECR"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "Amazon ECR"),
        ("public.ecr.aws", "Amazon ECR Public"),
        ("europe-west1-docker.pkg.dev", "Google Artifact Registry"),
        ("eu.gcr.io", "Google Artifact Registry"),
        ("ghcr.io", "GitHub Container Registry"),
        ("team.azurecr.io", "Azure Container Registry"),
        ("docker.io", "Docker Hub"),
        ("quay.io", "Quay"),
        ("registry.gitlab.com", "GitLab"),
        ("team.jfrog.io", "Artifactory"),
        ("localhost:5000", OTHER.name),
        ("ghcr.io.example.com", OTHER.name),
    ],
)
def test_by_its_host(host: str, name: str) -> None:
    assert kind_of(host, {}).name == name


@pytest.mark.parametrize(
    ("header", "value", "name"),
    [
        ("WWW-Authenticate", 'Bearer realm="https://h.example.com/service/token",service="harbor-registry"', "Harbor"),
        ("WWW-Authenticate", 'Bearer realm="https://git.example.com/jwt/auth",service="container_registry"', "GitLab"),
        ("WWW-Authenticate", 'Bearer realm="https://git.example.com/v2/token",service="x"', "Gitea or Forgejo"),
        ("WWW-Authenticate", 'Bearer realm="https://q.example.com/v2/auth",service="x"', "Quay"),
        ("Server", "Nexus/3.89.1-01 (COMMUNITY)", "Nexus"),
        ("X-JFrog-Version", "Artifactory/7.90.1", "Artifactory"),
        ("Server", "nginx", OTHER.name),
    ],
)
def test_by_what_it_says(header: str, value: str, name: str) -> None:
    assert kind_of("registry.example.com", {header: value}).name == name


def test_each_row_can_be_found_and_has_a_name_of_its_own() -> None:
    assert all(kind.host or kind.says for kind in KINDS)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_what_is_learned_is_kept() -> None:
    known = Known(Powers(mount=Can.YES))
    known.learn(referrers=Can.NO)
    known.takes_at_most(100)
    known.takes_at_most(200)
    assert known.powers == Powers(mount=Can.YES, referrers=Can.NO, most_at_once=100)
    assert known.powers.abilities()["referrers"] is Can.NO
