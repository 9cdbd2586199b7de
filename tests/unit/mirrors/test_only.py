"""What `--only` selects, and the error where it selects nothing."""

from __future__ import annotations

import pytest

from reconciler.errors import UsageError
from reconciler.mirrors.only import check_only
from reconciler.mirrors.patterns import Glob
from tests.memory import mirror, mirrors

MIRRORS = mirrors(*(mirror(target, Glob("*")) for target in ("library/alpine", "library/nginx", "grafana/grafana")))


def never() -> tuple[str, ...]:
    raise AssertionError("the mirror index is not needed for this")


@pytest.mark.parametrize("only", [(), ("library/*",), ("library/alpine", "*/grafana"), ("*",)])
def test_what_mirrors_yaml_names_needs_no_index(only: tuple[str, ...]) -> None:
    check_only(only, MIRRORS, never)


def test_what_only_the_index_has_is_there_too() -> None:
    check_only(["old/*", "library/*"], MIRRORS, lambda: ["old/tool"])


@pytest.mark.parametrize(
    ("glob", "hint"),
    [
        ("alpine", "did you mean library/alpine?"),
        ("alp*", "did you mean library/alpine?"),
        ("memory/grafana/*", "did you mean grafana/grafana?"),
        ("libary/alpine", "did you mean library/alpine?"),
        ("old", "did you mean team/old?"),
        ("zzz", "the targets are grafana/grafana, library/alpine, library/nginx and 1 more"),
    ],
)
def test_what_matches_nothing_is_an_error_that_says_what_may_have_been_meant(glob: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_only(["library/*", glob], MIRRORS, lambda: ["team/old"])
    assert str(caught.value) == f"--only {glob}: no target matches; {hint}"


def test_there_may_be_no_target_at_all() -> None:
    with pytest.raises(UsageError, match="--only x: no target matches; there are none"):
        check_only(["x"], mirrors(), tuple)
