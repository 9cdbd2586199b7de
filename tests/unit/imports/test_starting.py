"""The files of a new mirror."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.errors import UsageError
from reconciler.imports.starting import start_files
from reconciler.imports.stores import parse_store
from reconciler.mirrors.load import load_mirrors

STORES = (
    "r2:0123456789abcdef0123456789abcdef/cr-example",
    "s3:cr-example",
    "file:./mirror",
    "registry:r.example.com/x",
)


@pytest.mark.parametrize("store", STORES)
def test_the_files_are_valid(store: str, tmp_path: Path) -> None:
    files = start_files(
        parse_store(store), ["alpine:3.20", "alpine:3.21", "quay.io/a/b"], "r2mirror @ git+https://x@v1"
    )
    (tmp_path / "mirrors.yaml").write_text(files["mirrors.yaml"])
    mirrors = load_mirrors(tmp_path / "mirrors.yaml", None)
    assert [(one.source, len(one.tags)) for one in mirrors.mirrors] == [
        ("docker.io/library/alpine", 2),
        ("quay.io/a/b", 1),
    ]
    parsed = {name: YAML(typ="safe", pure=True).load(text) for name, text in files.items()}
    assert parsed[".pre-commit-config.yaml"]["repos"][0]["hooks"][0]["entry"] == "r2mirror validate"
    workflow = parsed.get(".github/workflows/mirrors.yml")
    assert bool(workflow) is store.startswith(("r2", "s3"))
    if workflow:
        assert [step["run"] for step in workflow["jobs"]["apply"]["steps"] if "run" in step] == [
            'pip install "r2mirror @ git+https://x@v1"',
            "r2mirror apply --yes",
        ]


def test_every_image_that_is_not_a_reference_is_named() -> None:
    with pytest.raises(UsageError, match=r"UPPER/a.*b:c"):
        start_files(parse_store("s3:cr-example"), ["UPPER/a", "alpine", "b:c:-d"], "r2mirror")


@pytest.mark.parametrize("text", ["", "r2:x", "s3:a/b", "gs:x", "file:", "registry:"])
def test_what_is_not_a_store(text: str) -> None:
    with pytest.raises(UsageError, match="is not a store; write r2:"):
        parse_store(text)
