"""What `--only` selects, and the error where it selects nothing."""

from __future__ import annotations

import pytest

from reconciler.errors import UsageError
from reconciler.mirrors.only import check_only, chosen_for, matches_only, only_for
from reconciler.mirrors.patterns import Glob
from tests.memory import mirror, mirrors

MIRRORS = mirrors(*(mirror(target, Glob("*")) for target in ("library/alpine", "library/nginx", "grafana/grafana")))


def never() -> tuple[str, ...]:
    raise AssertionError("the mirror index is not needed for this")


@pytest.mark.parametrize("only", [(), ("library/*",), ("library/alpine", "*/grafana"), ("*",)])
def test_what_mirrors_yaml_names_needs_no_index(only: tuple[str, ...]) -> None:
    check_only(only, MIRRORS, never)


def test_a_glob_after_an_exclamation_mark_leaves_targets_out() -> None:
    def chosen(*only: str) -> list[str]:
        check_only(only, MIRRORS, never)
        return [one.target.partition("/")[2] for one in MIRRORS.mirrors if matches_only(one.target, only)]

    assert chosen("!library/nginx") == ["alpine", "grafana"]
    assert chosen("library/*", "!library/nginx") == ["alpine"]
    assert chosen("!library/*", "!grafana/*") == []
    with pytest.raises(UsageError, match="--only libary/nginx: no target matches; did you mean library/nginx"):
        check_only(["!libary/nginx"], MIRRORS, tuple)


def test_each_store_gets_the_globs_that_are_for_it() -> None:
    stores = [mirrors(mirror("a", Glob("*"))), mirrors(mirror("b", Glob("*")), mirror("a", Glob("*")))]
    assert chosen_for(stores, ["!a"]) == tuple(stores)
    assert chosen_for(stores, ["b", "!a"]) == (stores[1],)
    assert only_for(stores[0], stores, ["!b"]) == ()
    assert only_for(stores[1], stores, ["!b"]) == ("!b",)


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
