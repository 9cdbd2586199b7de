"""Which mirrors a push concerns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.mirrors.patterns import Glob
from reconciler.triggers.hints import concerned, make_hint
from tests.memory import mirror, mirrors

MIRRORS = mirrors(
    replace(mirror("hub/app", Glob("*")), source="docker.io/acme/app"),
    replace(mirror("hub/app-2", Glob("*")), source="docker.io/acme/app"),
    replace(mirror("inside/app", Glob("*")), source="registry.internal:5000/acme/app"),
    replace(mirror("signed", Glob("*")), source="ghcr.io/acme/signed", referrers_from="ghcr.io/acme/signatures"),
    replace(mirror("folder", Glob("*")), source="oci:./acme"),
)
FILES = {"a": MIRRORS, "b": mirrors(replace(mirror("elsewhere", Glob("*")), source="quay.io/acme/other"))}


def expected(targets: set[str]) -> dict[str, set[str]]:
    return {"a": targets} if targets else {}


@pytest.mark.parametrize(
    ("host", "path", "targets"),
    [
        ("docker.io", "acme/app", {"hub/app", "hub/app-2"}),
        ("registry-1.docker.io", "acme/app", {"hub/app", "hub/app-2"}),
        ("registry.internal:5000", "acme/app", {"inside/app"}),
        ("ghcr.io", "acme/signatures", {"signed"}),
        ("ghcr.io", "acme/app", set()),
        ("docker.io", "acme/other", set()),
    ],
)
def test_a_push_concerns_the_mirrors_of_its_repository(host: str, path: str, targets: set[str]) -> None:
    assert concerned(make_hint("it", host, path), FILES) == expected(targets)


def test_a_host_that_only_the_registry_knows_concerns_the_path_at_every_registry() -> None:
    every = {"hub/app", "hub/app-2", "inside/app"}
    assert concerned(make_hint("it", "registry", "acme/app", by_path=True), FILES) == expected(every)
    assert concerned(make_hint("it", "10.0.0.7:5000", "acme/app", by_path=True), FILES) == expected(every)
    assert concerned(make_hint("it", "registry.internal:5000", "acme/app", by_path=True), FILES) == expected(
        {"inside/app"}
    )
