"""Which mirrors a push concerns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.mirrors.model import Namespace
from reconciler.mirrors.patterns import Glob
from reconciler.triggers.hints import Upstreams, make_hint
from tests.memory import mirror, mirrors

MIRRORS = mirrors(
    replace(mirror("hub/app", Glob("*")), source="docker.io/acme/app"),
    replace(mirror("hub/app-2", Glob("*")), source="docker.io/acme/app"),
    replace(mirror("inside/app", Glob("*")), source="registry.internal:5000/acme/app"),
    replace(mirror("signed", Glob("*")), source="ghcr.io/acme/signed", referrers_from="ghcr.io/acme/signatures"),
    replace(mirror("folder", Glob("*")), source="oci:./acme"),
    replace(mirror("several", Glob("*")), source="docker.io/acme/first", fallbacks=("quay.io/acme/second",)),
)
OTHER = mirrors(replace(mirror("elsewhere", Glob("*")), source="quay.io/acme/other"))
UPSTREAMS = Upstreams({"a": MIRRORS, "b": OTHER})


def expected(targets: set[str]) -> set[tuple[str, str]]:
    return {("a", target) for target in targets}


@pytest.mark.parametrize(
    ("host", "path", "targets"),
    [
        ("docker.io", "acme/app", {"hub/app", "hub/app-2"}),
        ("registry-1.docker.io", "acme/app", {"hub/app", "hub/app-2"}),
        ("registry.internal:5000", "acme/app", {"inside/app"}),
        ("ghcr.io", "acme/signatures", {"signed"}),
        ("quay.io", "acme/second", {"several"}),
        ("ghcr.io", "acme/app", set()),
        ("docker.io", "acme/other", set()),
    ],
)
def test_a_push_concerns_the_mirrors_of_its_repository(host: str, path: str, targets: set[str]) -> None:
    assert UPSTREAMS.concerned(make_hint("it", host, path)) == expected(targets)


def test_a_host_that_only_the_registry_knows_concerns_the_path_at_every_registry() -> None:
    every = {"hub/app", "hub/app-2", "inside/app"}
    assert UPSTREAMS.concerned(make_hint("it", "registry", "acme/app", by_path=True)) == expected(every)
    assert UPSTREAMS.concerned(make_hint("it", "10.0.0.7:5000", "acme/app", by_path=True)) == expected(every)
    assert UPSTREAMS.concerned(make_hint("it", "registry.internal:5000", "acme/app", by_path=True)) == expected(
        {"inside/app"}
    )


def test_a_push_to_a_new_repository_of_a_namespace_concerns_its_target() -> None:
    entry = Namespace(**{**vars(mirror("prom/*", Glob("*"))), "source": "quay.io/prom/*"}, exclude_repositories=("x",))
    own = replace(mirror("own", Glob("*")), source="quay.io/prom/own")
    upstreams = Upstreams({"a": replace(mirrors(own), namespaces=(entry,))})
    assert upstreams.concerned(make_hint("it", "quay.io", "prom/new")) == {("a", "prom/new")}
    assert upstreams.concerned(make_hint("it", "quay.io", "prom/own")) == {("a", "own")}
    assert upstreams.concerned(make_hint("it", "quay.io", "prom/x")) == set()
    assert upstreams.concerned(make_hint("it", "ghcr.io", "prom/new")) == set()
