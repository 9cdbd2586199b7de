"""What namespaces bring, and what they never take away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Unreachable
from reconciler.mirrors.model import Defaults, Mirror, Mirrors, Namespace
from reconciler.mirrors.patterns import Exact
from reconciler.oci.spec import Digest
from reconciler.plan.namespaces import listed, unlisted
from reconciler.plan.resolve import _unnamed
from reconciler.stores.folder import Folder
from reconciler.target.index import MirrorIndex, RepositoryState, TagState

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from reconciler.sources.namespaces.place import Place

AT = datetime(2026, 11, 26, tzinfo=UTC)
NAMES = st.lists(st.sampled_from(["a", "b", "c-test", "d/e", "blobs/x"]), unique=True)


def mirror(source: str, target: str) -> Mirror:
    return Mirror(source, target, (Exact("1"),), (), (), None, True, timedelta(days=7))


def namespace(source: str = "quay.io/p/*", target: str = "p/*", **more: object) -> Namespace:
    return Namespace(**{**vars(mirror(source, target)), **more})


def file(*namespaces: Namespace, own: tuple[Mirror, ...] = ()) -> Mirrors:
    store = Folder(Path("/nowhere/at/all"), None)
    return Mirrors(store, {}, own, Defaults(), Path("/"), "0" * 64, namespaces=namespaces)


def index(*pairs: tuple[str, str]) -> MirrorIndex:
    tag = TagState(Digest("sha256", "a" * 64), "application/vnd.oci.image.index.v1+json", 5, None, AT)
    states = {target: RepositoryState(source, {"1": tag}, owner="default") for target, source in pairs}
    return MirrorIndex(1, states)


def found(mirrors: Mirrors, *names: str) -> dict[str, str]:
    return {one.target: one.source for one in listed(mirrors, {}, lambda _: names).mirrors}


def fail(place: Place) -> Iterator[str]:
    raise Unreachable(place.what, "answered 503")


def test_each_repository_gets_the_settings_of_the_entry() -> None:
    whole = listed(file(namespace(prune=False, exclude_repositories=("*-test",))), {}, lambda _: ("a", "d/e", "x-test"))
    assert {*whole.mirrors} == {replace(mirror(f"quay.io/p/{name}", f"p/{name}"), prune=False) for name in ("d/e", "a")}


def test_what_cannot_be_a_target_is_left_out() -> None:
    assert found(file(namespace()), "blobs", "a") == {"p/a": "quay.io/p/a"}


def test_an_entry_of_its_own_takes_precedence() -> None:
    own = (mirror("quay.io/p/a", "own/a"), mirror("docker.io/x/b", "p/b"))
    assert found(file(namespace(), own=own), "a", "b", "c") == {
        "own/a": "quay.io/p/a",
        "p/b": "docker.io/x/b",
        "p/c": "quay.io/p/c",
    }


def test_the_first_of_two_namespaces_has_a_target_of_both() -> None:
    two = file(namespace("quay.io/p/*", "x/*"), namespace("ghcr.io/o/*", "x/y/*"))
    names = {"quay.io": ("y/z",), "ghcr.io": ("z", "w")}
    whole = listed(two, {}, lambda place: names[place.registry])
    assert {one.target: one.source for one in whole.mirrors} == {
        "x/y/z": "quay.io/p/y/z",
        "x/y/w": "ghcr.io/o/w",
    }


def test_the_place_that_is_listed() -> None:
    places = []

    def noted(place: Place) -> tuple[str, ...]:
        places.append((place.registry, place.path))
        return ("a",)

    for source in ("quay.io/p/*", "localhost:5000/*", "docker.io/library/*"):
        listed(file(namespace(source)), {}, noted)
    assert places == [("quay.io", "p"), ("localhost:5000", ""), ("docker.io", "library")]


def test_too_many_and_none() -> None:
    (failed,) = listed(file(namespace(max_repositories=2)), {}, lambda _: ("a", "b", "c")).failed
    assert failed.why == (
        "quay.io/p/* has more than 2 repositories: raise max_repositories, or leave some out by exclude_repositories; "
        "no new one is mirrored"
    )
    assert not listed(file(namespace(max_repositories=3)), {}, lambda _: ("a", "b", "c")).failed
    (empty,) = listed(file(namespace()), {}, lambda _: ()).failed
    assert "lists no repository" in empty.why
    # One that has only what is left out is listed.
    assert not listed(file(namespace(exclude_repositories=("*",))), {}, lambda _: ("a",)).failed


@given(NAMES, NAMES, st.booleans())
def test_no_list_takes_a_repository_away(known: list[str], names: list[str], fails: bool) -> None:
    recorded = index(*((f"p/{name}", f"quay.io/p/{name}") for name in known))
    whole = listed(file(namespace()), {}, fail if fails else lambda _: names)
    assert not [*_unnamed(whole, recorded, ())]
    unknown = {f"p/{name}" for name in known} - {one.target for one in whole.mirrors}
    said = " ".join(unlisted(whole, recorded, ()))
    assert bool(unknown and not whole.failed) == ("left as it is" in said)


@given(NAMES, NAMES)
def test_what_the_file_leaves_out_is_not_named_any_more(known: list[str], names: list[str]) -> None:
    recorded = index(*((f"p/{name}", f"quay.io/p/{name}") for name in known))
    own = (mirror("quay.io/p/a", "own/a"),)
    whole = listed(file(namespace(exclude_repositories=("*-test",)), own=own), {}, lambda _: names)
    assert {one.target for one in _unnamed(whole, recorded, ())} == {f"p/{one}" for one in {"a", "c-test"} & {*known}}


def test_a_repository_from_elsewhere_is_not_of_the_namespace() -> None:
    recorded = index(("p/a", "docker.io/other/a"))
    assert [one.target for one in _unnamed(file(namespace()), recorded, ())] == ["p/a"]


def test_a_list_that_fails_leaves_those_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = index(("p/a", "quay.io/p/a"), ("p/b", "docker.io/x/b"), ("q/c", "quay.io/q/c"))
    monkeypatch.setattr("reconciler.plan.namespaces._index", lambda *_: recorded)
    both = file(namespace(), namespace("quay.io/q/*", "q/*"))
    whole = listed(both, {}, lambda place: fail(place) if place.path == "p" else ("d",))
    assert {one.target for one in whole.mirrors} == {"p/a", "q/d"}
    assert [one.namespace.source for one in whole.failed] == ["quay.io/p/*"]
    assert whole.failed[0].reason == "unreachable"
