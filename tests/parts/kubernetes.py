"""Kubernetes without a cluster: kubectl's kustomize, helm, and the JSON schemas of an API server, which decide what it
would accept."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML

from tests.parts.process import PARTS, find_program, missing

_SCHEMAS = PARTS / "kubernetes/kubernetes_validate/kubernetes-json-schema"


def kustomize(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply --kustomize` would send."""
    return _documents([find_program("kubectl", "make parts"), "kustomize", str(folder)])


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = [find_program("helm", "make parts"), *arguments]
    return subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)


def helm_template(*arguments: str) -> list[dict[str, Any]]:
    """What `helm install` would send."""
    return _documents([find_program("helm", "make parts"), "template", *arguments])


def problems(document: dict[str, Any], version: str) -> list[str]:
    """What an API server of this version, e.g. `1.37`, has against a document; unknown fields are problems too."""
    folder = _SCHEMAS / f"v{version}.0-local-strict"
    if not folder.is_dir():
        missing("Kubernetes' schemas", "make parts")
    group, _, api = document["apiVersion"].rpartition("/")
    name = "-".join(filter(None, (document["kind"].lower(), group.partition(".")[0], api)))
    file = folder / f"{name}.json"
    if not file.exists():
        return [f"Kubernetes {version} has no {document['kind']} of {document['apiVersion']}"]
    validator = Draft202012Validator(json.loads(file.read_bytes()), registry=_definitions(folder))
    return [f"{document['kind']} {error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def pod_specs(documents: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        spec = document.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield template["spec"]


def _definitions(folder: Path) -> Registry[Any]:
    definitions = json.loads((folder / "_definitions.json").read_bytes())
    resource = Resource.from_contents(definitions, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("https://kubernetes.io/api/_definitions.json", resource)
    return registry


def _documents(call: Sequence[str]) -> list[dict[str, Any]]:
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in YAML(typ="safe").load_all(done.stdout) if document]
