"""Kinds of files by their paths and by their texts, and what is found in the smaller ones."""

from __future__ import annotations

import pytest

from reconciler.errors import Problem
from reconciler.finding.found import Found, Unresolved
from reconciler.finding.kinds import find_in_text, kind_of_file, kind_of_text

GITHUB = """\
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    container: {image: "node:20"}
    services: {db: {image: 'postgres:16'}, cache: redis:7}
    steps: [{uses: docker://alpine:3.20}, {uses: actions/checkout@v4}, {run: x}]
  b:
    runs-on: x
    strategy: {matrix: {image: [debian:12, debian:13], n: 1}}
    container: ${{ matrix.image }}
  c: {runs-on: x, container: "${{ matrix.other }}"}
  d: {uses: ./.github/workflows/x.yml}
"""
GITLAB = """\
stages: [a]
variables: {V: "3.12", BASE: "python:$V", D: {value: x, description: y}}
image: {name: "$BASE", entrypoint: [""]}
default: {image: ruby:3}
job:
  variables: {V: "3.13"}
  image: python:${V}
  services: [{name: 'docker:dind', alias: d}, "postgres:16"]
other: {image: "$CI_REGISTRY_IMAGE/x:1"}
"""
TERRAFORM_JSON = """\
{"variable": {"tag": {"default": "quay.io/a/default:1"}, "other": {"default": "x"}},
 "resource": {
   "docker_image": {"n": {"name": "nginx"}, "m": [{"name": "redis:7"}]},
   "docker_container": {"n": {"name": "web:1", "image": "${docker_image.n.image_id}"}},
   "google_compute_instance": {"x": {"image": "debian-cloud/debian-12"}},
   "kubernetes_pod": {"p": {"spec": [{"container": [{"image": "quay.io/a/b:2"}]}]}}}}
"""
TERRAFORM = """\
variable "tag" {
  default = "quay.io/a/default:1"
}
resource "docker_image" "n" {
  name = "nginx"
}
resource "google_compute_instance" "x" {
  image = "debian-cloud/debian-12"
  container_definitions = jsonencode([{
    "image" : "public.ecr.aws/a/b:2", image = "ghcr.io/a/one-line:1"
    image_uri = "1.dkr.ecr.eu-west-1.amazonaws.com/x:${var.tag}"
  }])
  ami_image = "ami-0123456789"
}
"""
NOMAD = 'job "x" {\n  config { image = "redis" }\n  config {\n    image = "quay.io/a/b:1"\n  }\n}\n'
PLAIN = """\
# nginx:1
alpine
ghcr.io/a/b:1.2
Uses quay.io/c/d:3, docker://quay.io/e/f:4 and (localhost:5000/g:5).
redis:7 is not evident here, and https://example.com/x:1 is a page
"""


@pytest.mark.parametrize(
    ("path", "text", "name", "expected"),
    [
        (
            "x/.github/workflows/a.yml",
            GITHUB,
            "GitHub workflow",
            ["node:20", "postgres:16", "redis:7", "alpine:3.20", "debian:12", "debian:13"],
        ),
        (
            ".gitlab-ci.yml",
            GITLAB,
            "GitLab pipeline",
            ["python:3.12", "ruby:3", "python:3.13", "docker:dind", "postgres:16"],
        ),
        (
            "m/main.tf",
            TERRAFORM,
            "Terraform",
            ["quay.io/a/default:1", "public.ecr.aws/a/b:2", "nginx"],
        ),
        (
            "m/main.tf.json",
            TERRAFORM_JSON,
            "Terraform JSON",
            ["quay.io/a/default:1", "nginx", "redis:7", "quay.io/a/b:2"],
        ),
        ("x.nomad.hcl", NOMAD, "Nomad job", ["redis", "quay.io/a/b:1"]),
        (
            "my-images.txt",
            PLAIN,
            "text",
            ["alpine", "ghcr.io/a/b:1.2", "quay.io/c/d:3", "quay.io/e/f:4", "localhost:5000/g:5"],
        ),
        ("docker-compose.prod.yml", "services: {a: {image: x}}\n", "compose file", ["x"]),
        ("app/Dockerfile.prod", "FROM x\n", "Dockerfile", ["x"]),
        (
            ".devcontainer/devcontainer.json",
            '// why\n{\n  "image": "mcr.microsoft.com/x:1", // y\n}\n',
            "devcontainer",
            ["mcr.microsoft.com/x:1"],
        ),
        ("k8s/x.json", '{"image": "quay.io/a/b:1"}', "manifests", ["quay.io/a/b:1"]),
    ],
)
def test_each_kind(path: str, text: str, name: str, expected: list[str]) -> None:
    kind = kind_of_file(path)
    assert kind is not None
    assert kind.name == name
    items = [one for one in find_in_text(text, path, kind) if isinstance(one, Found)]
    assert [one.reference for one in items] == expected
    assert all(text[one.start : one.end] == one.written for one in items)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (GITHUB, "GitHub workflow"),
        (GITLAB, "GitLab pipeline"),
        (TERRAFORM, "Terraform"),
        (NOMAD, "Nomad job"),
        (PLAIN, "text"),
        ("# x\n\nARG A=1\nFROM alpine:3.20 AS b\nRUN x\n", "Dockerfile"),
        ("name: x\nservices:\n  a: {image: x}\n", "compose file"),
        ("services:\n  a: {}\nimage:\n  repository: a\n", "manifests"),
        ("apiVersion: v1\nkind: Pod\n", "manifests"),
        ('{"apiVersion": "v1"}', "manifests"),
        ("- image: x:1\n", "manifests"),
        ("From here on it is prose.\n", "text"),
        ("", "text"),
    ],
)
def test_what_a_text_from_stdin_looks_like(text: str, name: str) -> None:
    assert kind_of_text(text).name == name


@pytest.mark.parametrize(
    "path", ["Dockerfile", "a/Containerfile.dev", "Dockerfile-arm64", "x.dockerfile", "dockerfile"]
)
def test_names_of_dockerfiles(path: str) -> None:
    kind = kind_of_file(path)
    assert kind is not None
    assert kind.name == "Dockerfile"


@pytest.mark.parametrize(
    "path",
    [
        *("main.py", "README.md", "image.png", "Dockerfile/x.c", "compose.go"),
        *("dockerfile.py", "Dockerfile.dockerignore", "Dockerfile.md"),
    ],
)
def test_other_files_are_not_searched(path: str) -> None:
    assert kind_of_file(path) is None


def test_yaml_with_another_name_is_what_it_looks_like() -> None:
    (one,) = find_in_text(
        "services:\n  a: {build: ., image: x:1}\n  b: {image: y}\n", "stack.yml", kind_of_file("stack.yml")
    )
    assert isinstance(one, Found)
    assert one.reference == "y"


def test_expressions_are_said() -> None:
    unknown = [one for one in find_in_text(GITHUB, "f", None) if isinstance(one, Unresolved)]
    assert [(one.line, one.written) for one in unknown] == [(12, "${{ matrix.other }}")]
    unknown = [one for one in find_in_text(GITLAB, "f", None) if isinstance(one, Unresolved)]
    assert [one.why for one in unknown] == ["CI_REGISTRY_IMAGE has no value in this file"]
    unknown = [one for one in find_in_text(TERRAFORM, "f", None) if isinstance(one, Unresolved)]
    assert [one.written for one in unknown] == ["1.dkr.ecr.eu-west-1.amazonaws.com/x:${var.tag}"]


@pytest.mark.parametrize("text", ["jobs: [\n  runs-on: x\n", "stages: [\n", "services:\n a: [\n"])
def test_bad_input_has_a_place(text: str) -> None:
    items = list(find_in_text(text, "f", None))
    assert [type(one) for one in items] == [Problem]


@pytest.mark.parametrize("shape", ["jobs: 1", "jobs: {a: 1}", "jobs: {a: {steps: x, services: [y], container: [z]}}"])
def test_other_shapes_name_nothing(shape: str) -> None:
    kind = kind_of_file(".github/workflows/a.yml")
    assert kind is not None
    assert list(find_in_text(shape, "f", kind)) == []
