"""The images of Kubernetes manifests and of other YAML and JSON."""

from __future__ import annotations

import json

import pytest

from reconciler.errors import Problem
from reconciler.finding.found import Found, Unresolved
from reconciler.finding.manifests import find_in_manifests

HEX = "a" * 64


def found(text: str, *, env: bool = False) -> list[tuple[int, str, str]]:
    items = [one for one in find_in_manifests(text, "f", env=env) if isinstance(one, Found)]
    assert all(text[one.start : one.end] == one.written for one in items)
    return [(one.line, one.reference, one.how) for one in items]


RENDERED = """\
# Source: chart/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: a, image: busybox}]
      containers:
        - name: b
          image: "quay.io/x/y:1.2@sha256:{hex}"
          args: [--reloader=quay.io/r/s:v1, quay.io/plain:1, --port=localhost:80]
          env:
            - {name: HELPER, value: ghcr.io/a/helper:2}
            - {name: URL, value: "redis:6379"}
      ephemeralContainers:
        - image: 'alpine:3.20'
      volumes:
        - name: v
          image: {reference: "ghcr.io/a/data:1", pullPolicy: Always}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
spec: {baseImage: quay.io/prometheus/prometheus:v3, image: quay.io/p/p, thanos: {image: {repository: a/b, tag: "1"}}}
status: {image: quay.io/not/this:1}
---
""".replace("{hex}", HEX)


def test_containers_of_every_kind_and_custom_resources() -> None:
    pod = "spec.template.spec"
    assert found(RENDERED) == [
        (7, "busybox", f"{pod}.initContainers[0].image"),
        (10, f"quay.io/x/y:1.2@sha256:{HEX}", f"{pod}.containers[0].image"),
        (16, "alpine:3.20", f"{pod}.ephemeralContainers[0].image"),
        (19, "ghcr.io/a/data:1", f"{pod}.volumes[0].image"),
        (23, "quay.io/prometheus/prometheus:v3", "spec.baseImage"),
        (23, "quay.io/p/p", "spec.image"),
        (23, "a/b:1", "spec.thanos.image"),
    ]


def test_environment_and_arguments_only_if_they_are_references_beyond_doubt() -> None:
    started = [one for one in found(RENDERED, env=True) if "env" in one[2] or "args" in one[2]]
    assert [(line, reference) for line, reference, _ in started] == [
        (13, "ghcr.io/a/helper:2"),
        (11, "quay.io/r/s:v1"),
        (11, "quay.io/plain:1"),
    ]


def test_a_list_of_a_running_cluster() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {"containers": [{"image": "redis:7", "name": "r"}]},
        "status": {"containerStatuses": [{"image": "docker.io/library/redis:7"}]},
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod, pod]}
    for indent in (None, 4, "\t"):
        assert [one[1:] for one in found(json.dumps(listed, indent=indent))] == [
            ("redis:7", "items[0].spec.containers[0].image"),
            ("redis:7", "items[1].spec.containers[0].image"),
        ]


def test_kustomizations() -> None:
    text = (
        "kind: Kustomization\nimages:\n- {name: nginx, newTag: '1.27'}\n- {name: a, newName: quay.io/b/a, newTag: v2}\n"
        f"- {{name: c, digest: 'sha256:{HEX}'}}\n- {{name: renamed, newName: d}}\n"
    )
    assert [one[1] for one in found(text)] == ["nginx:1.27", "quay.io/b/a:v2", f"c@sha256:{HEX}"]


def test_values_of_charts() -> None:
    text = """\
image:
  registry: quay.io
  repository: a/b
  tag: 1.10
sidecar: {image: ghcr.io/a/c, imageTag: v3}
plain: {image: nginx}
logo: {image: img/logo.png}
"""
    assert [one[1] for one in found(text)] == ["quay.io/a/b:1.10", "ghcr.io/a/c:v3"]
    (unknown,) = find_in_manifests("image: {repository: quay.io/a/b, tag: ''}", "f")
    assert isinstance(unknown, Unresolved)
    assert unknown.why.startswith("it has no tag here")
    assert found("dependencies: [{repository: 'https://charts.example.com', tag: x}]") == []


def test_an_anchor_is_one_place() -> None:
    assert (
        len(found("apiVersion: v1\nkind: X\na: &a {image: x}\nb: *a\nc: {<<: *a}\nd: {image: &i y}\ne: {image: *i}\n"))
        == 2
    )


def test_a_template_is_searched_line_by_line() -> None:
    text = "apiVersion: v1\nspec:\n  {{- if .Values.x }}\n  - image: quay.io/a/b:1  # why\n    image: {{ .Values.y }}\n  {{ end }}\n"
    assert found(text) == [(4, "quay.io/a/b:1", "image")]


def test_json_with_comments_is_searched_line_by_line() -> None:
    assert found('{\n  // why\n  "image": "quay.io/a/b:1",\n}\n') == [(3, "quay.io/a/b:1", "image")]


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- x", "[" * 100])
def test_what_is_not_yaml_has_a_place(text: str) -> None:
    (problem,) = find_in_manifests(text, "f")
    assert isinstance(problem, Problem)
    assert problem.message.startswith(("not YAML: ", "nested more than 64"))


def test_names_that_no_registry_accepts_are_said_of_manifests_alone() -> None:
    (unknown,) = find_in_manifests("apiVersion: v1\nkind: Pod\nimage: NGINX\n", "f")
    assert isinstance(unknown, Unresolved)
    assert list(find_in_manifests("image: NGINX\n", "f")) == []
