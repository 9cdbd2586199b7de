"""The targets of all mirrors -> `target_prefix`."""

from __future__ import annotations

import pytest

from reconciler.imports.prefixes import common_prefix


@pytest.mark.parametrize(
    ("ends", "prefix"),
    [
        ([("quay.io/a/b", "x/a/b"), ("docker.io/library/c", "x/library/c")], "x"),
        ([("quay.io/a/b", "quay.io/a/b"), ("reg.example.com:5000/c", "reg.example.com-5000/c")], "{registry}"),
        ([("quay.io/a/b", "m/quay.io/a/b"), ("docker.io/library/c", "m/docker.io/library/c")], "m/{registry}"),
        ([("quay.io/a/*", "x/{repository}"), ("quay.io/a/b", "x/a/b")], "x"),
        ([("helm:https://c.example.com//web", "charts/web"), ("quay.io/a", "charts/a")], "charts"),
        ([("quay.io/a/b", "x/a/b"), ("quay.io/a/c", "c")], ""),
        ([("quay.io/a/b", "x/a/b"), ("quay.io/a/c", "y/a/c")], ""),
        ([("quay.io/a/b", "a/b"), ("quay.io/a/c", "a/c")], ""),
        ([("quay.io/a/b", "x/a/b")], ""),
    ],
)
def test_what_all_targets_begin_with(ends: list[tuple[str, str]], prefix: str) -> None:
    assert common_prefix(ends) == prefix
