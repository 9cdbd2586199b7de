"""Referrers are copied with their images, are whole at every moment, and go when the images go."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.outcome import Done, Failed
from reconciler.errors import Unreachable
from reconciler.mirrors.patterns import Exact, Glob
from reconciler.oci.referrers import fallback_tag
from reconciler.oci.spec import OCI_INDEX, Digest, Platform
from reconciler.plan.diff import Action
from reconciler.plan.plan_json import parse_plan, serialise_plan
from reconciler.target.garbage import find_garbage
from reconciler.target.in_store import InStore
from reconciler.target.layout import JSON_HEADERS, MIRROR_INDEX, blob_key, manifest_key, referrers_key, tags_key
from reconciler.target.ledger import read_index
from reconciler.target.removable import Garbage
from tests.bench import NOW, RETAIN, V1, V2, V3, Bench, check_visible, expire_lock, final, look, take_over
from tests.memory import Fault, Killed, MemorySource, Operation, mirror, put_json
from tests.parts.images import Image, artifact, image
from tests.world import walk

if TYPE_CHECKING:
    from reconciler.oci.referrers import ListedAttachments
    from tests.memory import MemoryStore

AMD64 = V1.children[0]
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], V1, {"org.example": "1"})
SBOM_SIGNATURE = artifact("application/vnd.example.signature", [("text/plain", b"signed")], SBOM)
NOTE = artifact("application/vnd.example.note", subject=AMD64)
COSIGN = image(b"a signature's payload")


WANTED = mirror("a", referrers=True)


def digest(one: Image) -> Digest:
    return Digest.parse(one.digest)


NAME = f"{fallback_tag(digest(V1))}.sig"


def signed() -> MemorySource:
    """`1` with an SBOM that is signed, a note on one platform, and a signature of cosign's."""
    return MemorySource({"1": V1, "2": V2}, along=[SBOM, SBOM_SIGNATURE, NOTE], named={NAME: COSIGN})


def applied() -> Bench:
    bench = Bench({"a": signed()})
    bench.apply(bench.plan(WANTED))
    return bench.again()


def listed(store: MemoryStore, subject: Image) -> list[str]:
    """What the list says, which clients find under a tag and that tag's digest too, where it says anything."""
    key = referrers_key("a", digest(subject))
    body = store.objects.get(key, b'{"manifests": []}')
    found = [one["digest"] for one in json.loads(body)["manifests"]]
    tag = manifest_key("a", fallback_tag(digest(subject)))
    assert (tag in store.objects) is bool(found)
    for also in (tag, manifest_key("a", Digest.of(body))) if found else ():
        assert store.objects[also] == body
    for also in (key, tag, manifest_key("a", Digest.of(body))):
        assert also not in store.headers or store.headers[also].content_type == OCI_INDEX
    return found


def without_a_list(store: MemoryStore) -> set[str]:
    """The manifests of the repository, lists aside, of which a client could not ask what refers to them."""
    lists = {str(Digest.of(body)) for key, body in store.objects.items() if "/referrers/" in key}
    found = {key.rpartition("/")[2] for key in store.objects if key.startswith("v2/a/manifests/sha256:")}
    return {one for one in found - lists if referrers_key("a", Digest.parse(one)) not in store.objects}


@pytest.mark.parametrize("threads", [1, 6])
def test_everything_attached_comes_along(threads: int) -> None:
    bench = Bench({"a": signed()})
    bench.threads = threads
    assert {type(one) for one in bench.apply(bench.plan(WANTED))} == {Done}
    store = bench.store
    assert listed(store, V1) == [SBOM.digest]
    assert listed(store, SBOM) == [SBOM_SIGNATURE.digest]
    assert listed(store, AMD64) == [NOTE.digest]
    assert listed(store, V2) == []
    assert store.objects[manifest_key("a", NAME)] == COSIGN.body
    assert without_a_list(store) == set(), "clients that saw one list take 404 for an error"
    walk(store.objects.__getitem__, "a", NAME)
    check_visible(store)
    tags = json.loads(store.objects[tags_key("a")])["tags"]
    assert tags == sorted(["1", "2", NAME, *(fallback_tag(digest(one)) for one in (V1, SBOM, AMD64))])
    bench = bench.again()
    assert bench.apply(bench.plan(WANTED)) == []
    assert bench.store.writes == []


def test_a_signature_that_comes_later_is_an_update_and_nothing_else() -> None:
    bench = applied()
    later = artifact("application/vnd.example.signature", [("text/plain", b"later")], V2)
    bench.sources["a"].along.append(later)
    bench.sources["a"].named[f"{fallback_tag(digest(V2))}.att"] = COSIGN
    plan = bench.plan(WANTED)
    [repository] = plan.repositories
    assert [(one.tag, one.reason) for one in repository.changes] == [("2", "referrers: + 2")]
    assert bench.sources["a"].asked("manifest") == [], "a plan reads no manifest"
    assert bench.apply(parse_plan(serialise_plan(plan).encode(), "it")) == [Done("a", repository.changes[0])]
    assert listed(bench.store, V2) == [later.digest]
    assert set(bench.sources["a"].asked("blob")) == {*later.blobs} - {*SBOM.blobs}
    check_visible(bench.store)
    assert bench.again().plan(WANTED).has_changes is False


def test_turned_on_later_it_copies_what_is_attached_and_no_image() -> None:
    bench = Bench({"a": signed()})
    bench.apply(bench.plan(mirror("a")))
    bench = bench.again()
    plan = bench.plan(WANTED)
    assert {change.reason for change in plan.repositories[0].changes} == {"referrers: not checked yet"}
    bench.apply(plan)
    assert set(bench.sources["a"].asked("manifest")) == {one.digest for one in (SBOM, SBOM_SIGNATURE, NOTE, COSIGN)}
    assert final(bench.store) == final(applied().store)


def test_what_the_source_forgets_stays_with_its_image() -> None:
    bench = applied()
    bench.sources["a"].named.clear()
    bench.sources["a"].along = [SBOM]
    assert not bench.plan(WANTED).has_changes
    other = artifact("application/vnd.example.other", subject=V1)
    bench.sources["a"].along = [other]
    bench.apply(bench.plan(WANTED))
    assert listed(bench.store, V1) == sorted([SBOM.digest, other.digest])
    assert listed(bench.store, SBOM) == [SBOM_SIGNATURE.digest]
    check_visible(bench.store)
    assert look(bench).defects == ()


def test_a_source_that_cannot_say_fails_its_tag_and_removes_nothing() -> None:
    bench = applied()
    del bench.sources["a"].images["2"]
    for one in (NOTE, V1, SBOM_SIGNATURE):
        bench.sources["a"].failing = {one.digest: Unreachable("memory/a", "no answer")}
        [repository] = bench.plan(WANTED).repositories
        assert (repository.changes, repository.error) == ((), "memory/a: no answer")


def test_a_source_that_refuses_its_lists_is_a_warning_of_the_plan() -> None:
    bench = applied()
    bench.sources["a"].refusal = "the registry answered 403"
    plan = bench.plan(WANTED)
    assert [one.warnings for one in plan.repositories] == [("the registry answered 403",)]
    assert not plan.has_changes, "what came along stays"
    assert bench.plan(mirror("a")).all_warnings == (), "where nobody asks for referrers nobody is told"


def test_an_image_whose_referrers_cannot_be_had_is_not_published() -> None:
    bench = Bench({"a": signed()})
    bench.sources["a"].broken[SBOM.digest] = [Unreachable("memory/a", "no answer")]
    outcomes = {type(one): one.change.tag for one in bench.apply(bench.plan(WANTED))}
    assert outcomes == {Failed: "1", Done: "2"}
    assert manifest_key("a", "1") not in bench.store.objects


def test_images_of_other_platforms_bring_nothing_along() -> None:
    bench = Bench({"a": signed()})
    bench.apply(bench.plan(mirror("a", platforms=(Platform("linux", "arm64"),), referrers=True)))
    assert listed(bench.store, V1) == [SBOM.digest]
    assert referrers_key("a", digest(AMD64)) not in bench.store.objects
    assert manifest_key("a", digest(NOTE)) not in bench.store.objects


def test_tags_that_are_immutable_are_not_asked_about() -> None:
    immutable = replace(WANTED, immutable=(Glob("*"),))
    bench = Bench({"a": signed()})
    bench.apply(bench.plan(immutable))
    bench = bench.again()
    assert not bench.plan(immutable).has_changes
    assert {kind for kind, _ in bench.sources["a"].operations} == {"tags"}


def own_tags(bench: Bench) -> set[str]:
    return set(read_index(bench.store).index.repositories["a"].tags)


def test_a_pattern_passes_over_what_comes_along_anyway() -> None:
    bench = Bench({"a": signed()})
    bench.sources["a"].images[NAME] = COSIGN
    bench.apply(bench.plan(WANTED))
    assert own_tags(bench) == {"1", "2"}
    assert final(bench.store) == final(applied().store)
    named = mirror("a", Glob("*"), Exact(NAME), referrers=True)
    bench.apply(bench.plan(named))
    assert own_tags(bench) == {NAME, "1", "2"}, "named exactly it is a tag as any other"


def test_where_nothing_comes_along_a_pattern_chooses_signatures_by_their_tags() -> None:
    bench = Bench({"a": signed()})
    bench.sources["a"].images[NAME] = COSIGN
    bench.apply(bench.plan(mirror("a")))
    assert own_tags(bench) == {NAME, "1", "2"}


def test_a_signature_that_a_pattern_chose_before_is_not_pruned_when_all_come_along() -> None:
    bench = Bench({"a": signed()})
    bench.sources["a"].images[NAME] = COSIGN
    bench.apply(bench.plan(mirror("a")))
    bench = bench.again()
    plan = bench.plan(WANTED)
    assert plan.repositories[0].of(Action.PRUNE) == ()
    bench.apply(plan)
    assert own_tags(bench) == {NAME, "1", "2"}
    assert not bench.again().plan(WANTED).has_changes


def test_a_tag_that_is_named_is_one_of_its_own() -> None:
    bench = Bench({"a": signed()})
    bench.sources["a"].images[NAME] = COSIGN
    bench.apply(bench.plan(mirror("a", Glob("*"), Exact(NAME), referrers=True)))
    assert own_tags(bench) == {NAME, "1", "2"}
    bench = bench.again()
    assert not bench.plan(WANTED).has_changes
    bench.sources["a"].images.pop(NAME)
    bench.apply(bench.plan(WANTED))
    bench = bench.again()
    bench.apply(bench.plan(WANTED))
    assert bench.store.objects[manifest_key("a", NAME)] == COSIGN.body
    assert look(bench).defects == ()
    assert not bench.again().plan(WANTED).has_changes


def test_a_list_that_grew_leaves_garbage() -> None:
    """The list as it was is a manifest that no tag names any more."""
    bench = applied()
    before = manifest_key("a", Digest.of(bench.store.objects[referrers_key("a", digest(V1))]))
    bench.sources["a"].along.append(artifact("application/vnd.example.other", subject=V1))
    bench.apply(bench.plan(WANTED))
    state = read_index(bench.store).index.repositories["a"]
    with ThreadPoolExecutor(1) as executor:
        garbage = find_garbage(InStore(bench.store, bench.store), "a", state, RETAIN, bench.now, executor)
    assert [str(key) for key in chain.from_iterable(garbage.steps())] == [before]
    assert look(bench).defects == ()


def test_a_repository_of_an_older_release_gets_its_lists_by_a_repair() -> None:
    bench = applied()
    whole = final(bench.store)
    lists = {key: json.loads(body)["manifests"] for key, body in bench.store.objects.items() if "/referrers/" in key}
    for key, said in lists.items():
        if not said:
            del bench.store.objects[key]
    assert not bench.plan(WANTED).has_changes
    assert {one.key for one in look(bench, repair=True).defects} == {key for key, said in lists.items() if not said}
    assert final(bench.store) == whole


def test_what_is_attached_goes_when_its_image_has_been_gone_for_long() -> None:
    bench = applied()
    bench.sources["a"].images.pop("1")
    bench.apply(bench.plan(replace(WANTED, when_gone="prune")))
    assert listed(bench.store, V1) == [SBOM.digest]
    assert json.loads(bench.store.objects[tags_key("a")])["tags"] == ["2"]
    assert look(bench).defects == ()
    bench = bench.again()
    bench.now += RETAIN
    bench.apply(bench.plan(WANTED))
    alone = Bench({"a": MemorySource({"2": V2})})
    alone.apply(alone.plan(WANTED))
    assert final(bench.store) == final(alone.store)


WRONG: dict[str, Callable[[MemoryStore], object]] = {
    "list": lambda store: store.objects.pop(referrers_key("a", digest(V1))),
    "other list": lambda store: put_json(store, referrers_key("a", digest(V1)), b'{"manifests":[]}'),
    "headers": lambda store: store.headers.update({referrers_key("a", digest(SBOM)): JSON_HEADERS}),
    "fallback tag": lambda store: store.objects.pop(manifest_key("a", fallback_tag(digest(AMD64)))),
    "list under its digest": lambda store: store.objects.pop(
        manifest_key("a", Digest.of(store.objects[referrers_key("a", digest(V1))]))
    ),
    "empty list": lambda store: store.objects.pop(referrers_key("a", digest(V2))),
    "list of an attachment": lambda store: store.objects.pop(referrers_key("a", digest(COSIGN))),
    "referrer": lambda store: store.objects.pop(manifest_key("a", digest(SBOM_SIGNATURE))),
    "blob": lambda store: store.objects.pop(blob_key("a", Digest.parse(min(NOTE.blobs)))),
    "cosign's tag": lambda store: store.objects.pop(manifest_key("a", NAME)),
    "cosign's manifest": lambda store: store.objects.pop(manifest_key("a", digest(COSIGN))),
    "all": lambda store: [
        store.objects.pop(key) for key in [*store.objects] if "/referrers/" in key or "sha256-" in key
    ],
}


@pytest.mark.parametrize("damage", WRONG.values(), ids=WRONG)
def test_damage_is_found_and_repaired(damage: Callable[[MemoryStore], object]) -> None:
    bench = applied()
    whole = final(bench.store)
    assert look(bench, deep=True).defects == ()
    damage(bench.store)
    found = look(bench)
    assert found.defects
    repaired = look(bench, repair=True)
    assert (set(repaired.defects), repaired.open) == (set(found.defects), ())
    assert final(bench.store) == whole


def test_an_index_that_was_lost_is_built_anew_and_an_apply_finds_what_is_attached() -> None:
    bench = applied()
    whole = final(bench.store)
    del bench.store.objects[MIRROR_INDEX]
    found = take_over(bench.store, WANTED)
    assert {tag for one in found.adoptions for tag in one.tags} == {"1", "2"}
    bench = bench.again()
    bench.now += 2 * RETAIN
    bench.apply(bench.plan(WANTED))
    assert final(bench.store) == whole
    assert bench.sources["a"].asked("blob") == []


def before() -> Bench:
    """A plan adds an image with all that is attached, adds a signature to one that is there, and collects one."""
    bench = Bench({"a": MemorySource({"2": V2, "old": V3}, along=[artifact("a/b", [("c/d", b"old")], V3)])})
    bench.now = NOW - 2 * RETAIN
    bench.apply(bench.plan(WANTED))
    bench = bench.again()
    bench.now = NOW - RETAIN
    bench.sources["a"].images.pop("old")
    bench.apply(bench.plan(replace(WANTED, when_gone="prune")))
    bench = bench.again()
    bench.now = NOW
    source = signed()
    source.along.append(artifact("application/vnd.example.signature", [("text/plain", b"later")], V2))
    return Bench({"a": source}, bench.store)


def mixed_run() -> Bench:
    bench = before()
    assert {(one.change.action, one.change.tag) for one in bench.apply(bench.plan(WANTED))} == {
        (Action.ADD, "1"),
        (Action.UPDATE, "2"),
    }
    assert [type(one) for one in bench.others] == [Garbage]
    return bench


STOP_POINTS = len(mixed_run().store.operations)


@pytest.mark.parametrize("threads", [1, 6])
@pytest.mark.slow
def test_killed_at_any_operation_everything_visible_is_whole_and_the_next_apply_gets_there(threads: int) -> None:
    clean = final(mixed_run().store)
    start = before()
    killed = 0
    for at in range(STOP_POINTS):
        bench = start.again(fault=Fault(at, Killed()), threads=threads)
        try:
            bench.apply(bench.plan(WANTED))
        except Killed:
            killed += 1
        check_visible(bench.store)
        check_signed(bench.store)
        expire_lock(bench.store)
        bench = bench.again()
        bench.apply(bench.plan(WANTED))
        assert final(bench.store) == clean, f"at operation {at}: {bench.store.operations}"
        assert look(bench).defects == ()
    assert killed >= STOP_POINTS * 3 // 4


def check_signed(store: MemoryStore) -> None:
    """Whoever sees the tag finds what is attached to it."""
    if manifest_key("a", "1") in store.objects:
        assert listed(store, V1) == [SBOM.digest]
        assert listed(store, SBOM) == [SBOM_SIGNATURE.digest]
        assert manifest_key("a", NAME) in store.objects


def test_killed_before_it_was_recorded_and_not_wanted_any_more_nothing_is_left() -> None:
    """What is attached was published, and the tag, and the mirror index knows neither."""
    clean = Bench({"a": MemorySource({"2": V2})})
    clean.apply(clean.plan(WANTED))
    run = clean.again()
    run.sources["a"] = signed()
    run.apply(run.plan(WANTED))
    at = run.store.operations.index(Operation("put", manifest_key("a", "1"))) + 1
    bench = clean.again(fault=Fault(at, Killed()))
    bench.sources["a"] = signed()
    with pytest.raises(Killed):
        bench.apply(bench.plan(WANTED))
    assert listed(bench.store, V1) == [SBOM.digest]
    expire_lock(bench.store)
    bench = bench.again()
    bench.sources["a"] = MemorySource({"2": V2})
    bench.apply(bench.plan(WANTED))
    assert final(bench.store) == final(clean.store)


SIGNATURE_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"


@pytest.mark.parametrize("is_typed", [True, False])
@pytest.mark.parametrize(
    "types", [("*.sbom",), ("*sbom", "*.signature"), (SIGNATURE_TYPE, "*/vnd.example.note"), ("x",)]
)
def test_only_attachments_of_the_wanted_types_are_copied(types: tuple[str, ...], is_typed: bool) -> None:
    """Also if the source's list has no types, so that the manifests decide."""
    source = signed()
    listing = source.attachments

    def untyped(subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        found = listing(subject, listed)
        ones = tuple(replace(one, artifact_type="") for one in found.referrers or ())
        return replace(found, referrers=ones)

    if not is_typed:
        source.attachments = untyped  # type: ignore[method-assign]
    wanted = replace(WANTED, referrer_types=types)
    bench = Bench({"a": source})
    bench.apply(bench.plan(wanted))
    kinds = {"application/vnd.example.sbom": SBOM, "application/vnd.example.note": NOTE}
    expected = {one.digest for kind, one in kinds.items() if any(fnmatchcase(kind, each) for each in types)}
    assert {*listed(bench.store, V1), *listed(bench.store, AMD64)} == expected
    assert listed(bench.store, SBOM) == ([SBOM_SIGNATURE.digest] if "*.signature" in types else [])
    assert (manifest_key("a", NAME) in bench.store.objects) is (SIGNATURE_TYPE in types)
    again = bench.again()
    if not is_typed:
        again.sources["a"].attachments = untyped  # type: ignore[method-assign]
    assert not again.plan(wanted).has_changes


def test_more_types_bring_more_and_fewer_take_nothing_away() -> None:
    bench = Bench({"a": signed()})
    bench.apply(bench.plan(replace(WANTED, referrer_types=("*.note",))))
    assert listed(bench.store, V1) == []
    bench = bench.again()
    bench.apply(bench.plan(WANTED))
    assert listed(bench.store, V1) == [SBOM.digest]
    bench = bench.again()
    assert not bench.plan(replace(WANTED, referrer_types=("*.note",))).has_changes
