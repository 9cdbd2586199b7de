"""What every kind of target has to do: folders, buckets, registries, and the habits of products."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import LockLost, MirrorError
from reconciler.oci.spec import Descriptor, Digest, parse_manifest
from reconciler.registry.cloud import Cloud
from reconciler.registry.host import TargetRegistry
from reconciler.registry.kinds import KINDS, OTHER
from reconciler.registry.opening import opened
from reconciler.sources.config import RegistryConfig
from reconciler.stores.folder import Folder
from reconciler.stores.image_layout import LayoutStore
from reconciler.stores.registry import RegistryStore
from reconciler.target.in_layout import InLayout, open_in_layout
from reconciler.target.in_registry import InRegistry
from reconciler.target.in_store import InStore
from reconciler.target.in_tar import open_in_tar
from reconciler.target.layout import ManifestKey
from reconciler.target.protocol import KeepsObjects, Referrers, Stays
from tests.memory import MemoryStore
from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import Image, app, artifact, image
from tests.parts.registry_contents import from_registry
from tests.parts.registry_habits import KIND_OF, PRODUCTS, InMemoryCloud, start_registry
from tests.parts.seaweedfs import bucket_store
from tests.world import walk

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.target.protocol import Target, TargetRepository

STATIC = ("folder", "memory", "seaweedfs", "r2")
REAL = {"docker-registry": True, "docker-registry without deletion": False}
LAYOUT = "image layout"
TAR = "image layout in one file"


@dataclass(frozen=True)
class Case:
    """An empty target. `read` reads a path of the registry's API there, as a client does."""

    name: str
    target: Target
    read: Callable[[str], bytes]

    @property
    def at(self) -> TargetRepository:
        return self.target.repository("team/app")


@pytest.fixture(params=[*STATIC, LAYOUT, TAR, *REAL, *PRODUCTS])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    name: str = request.param
    if name in STATIC:
        yield _static(request, tmp_path)
    elif name == LAYOUT:
        yield _layout(tmp_path / "images", open_in_layout(LayoutStore(tmp_path / "images")))
    elif name == TAR:
        yield _layout(tmp_path / "images.tar.d", open_in_tar(LayoutStore(tmp_path / "images.tar")))
    elif name in REAL:
        storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": REAL[name]}}
        with start_docker_registry(tmp_path, {"storage": storage}) as registry, _pushing(name, registry.host) as case:
            yield case
    else:
        with start_registry(PRODUCTS[name]) as scripted, _pushing(name, scripted.host) as case:
            if scripted.habits.must_exist:
                assert isinstance(case.target, InRegistry)
                case.target.host.cloud = Cloud(InMemoryCloud(scripted))
            yield case


@contextmanager
def _pushing(name: str, host: str) -> Iterator[Case]:
    """A target at a registry, which is known by its product as it would be by its name or its answers."""
    config = RegistryStore(host, Folder(Path("/nowhere"), None), prefix="mirror")
    with opened(host, RegistryConfig(plain_http=True), {}, rate=10_000) as client:
        kind = next((kind for kind in KINDS if kind.name == KIND_OF.get(name)), OTHER)
        registry = TargetRegistry(client.registry, kind)
        target = InRegistry(config, registry, MemoryStore(), client.registry.close)
        read = from_registry(f"http://{host}")
        yield Case(name, target, lambda path: read(path.replace("v2/", "v2/mirror/", 1)))


def _static(request: pytest.FixtureRequest, folder: Path) -> Case:
    store: Store
    match request.param:
        case "memory":
            store = MemoryStore()
        case "folder":
            store = Folder(folder / "store", None).open({}).public
        case "seaweedfs":
            store = bucket_store(request.getfixturevalue("s3_bucket"))
        case _:
            store = bucket_store(request.getfixturevalue("r2_buckets")[0])

    def read(path: str) -> bytes:
        found = store.get(path)
        assert found, path
        return found.body

    return Case(request.param, InStore(store, MemoryStore()), read)


def _layout(folder: Path, target: InLayout) -> Case:

    def read(path: str) -> bytes:
        repository, _, name = path.removeprefix("v2/").rpartition("/")
        if ":" not in name:
            body = target.repository(repository.removesuffix("/manifests")).manifest_body(name)
            assert body is not None, path
            return body
        return (folder / "blobs" / name.replace(":", "/")).read_bytes()

    return Case(LAYOUT, target, read)


def blob_of(body: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(body), len(body))


def put_blob(at: TargetRepository, body: bytes) -> None:
    at.put_blob(blob_of(body), lambda: iter((body[:1000], body[1000:]) if len(body) > 1000 else (body,)))


def has_blob(at: TargetRepository, body: bytes) -> bool:
    """Whether it is there. Read to its end, so that nothing stays open."""
    chunks = at.blob(Digest.of(body))
    return chunks is not None and b"".join(chunks) == body


def fill(at: TargetRepository, one: Image) -> None:
    """Everything below an image, and itself by its digest, in the order that every run keeps."""
    for body in one.all_blobs().values():
        put_blob(at, body)
    for manifest in one.manifests():
        at.put_manifest(Digest.parse(manifest.digest), manifest.body, manifest.media_type)


def tag(at: TargetRepository, name: str, one: Image, *, is_new: bool = False) -> None:
    at.put_tag(name, one.body, one.media_type, is_new=is_new)


def tags(case: Case, repository: str = "team/app") -> set[str]:
    return {name for target, name in case.target.tags([repository]) if target == repository}


def digest_at(at: TargetRepository, reference: str) -> str | None:
    body = at.manifest_body(reference)
    return str(Digest.of(body)) if body is not None else None


def test_an_image_arrives_whole_and_is_read_as_a_client_does(case: Case) -> None:
    one = app("1")
    fill(case.at, one)
    tag(case.at, "1", one, is_new=True)
    assert walk(case.read, "team/app", "1") >= set(one.all_blobs())
    assert case.at.manifest_body("1") == case.at.manifest_body(Digest.parse(one.digest)) == one.body
    assert case.at.has_manifest(Digest.parse(one.digest))
    assert tags(case) == {"1"}


def test_nothing_is_there_at_first(case: Case) -> None:
    missing = Digest.of(b"missing")
    assert case.at.manifest("1") is None
    assert case.at.manifest_body(missing) is None
    assert not case.at.has_manifest(missing)
    assert case.at.blob(missing) is None
    assert not case.at.inventory().tags
    assert tags(case) == set()
    assert case.target.holds_any(["team/app", "other"]) is None


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000, 3_000_000])
def test_a_blob_is_read_back(case: Case, size: int) -> None:
    body = random.Random(size).randbytes(size)
    put_blob(case.at, body)
    assert has_blob(case.at, body)
    put_blob(case.at, body)
    other = case.target.repository("other")
    assert has_blob(other, body) == (case.name == LAYOUT), "repositories of a layout share their blobs"


def test_a_source_that_fails_within_a_blob_leaves_nothing(case: Case) -> None:
    body = random.Random(1).randbytes(100_000)

    def broken() -> Iterator[bytes]:
        yield body[:50_000]
        raise MirrorError("the source", "hung up")

    with pytest.raises(MirrorError, match="hung up"):
        case.at.put_blob(blob_of(body), broken)
    assert case.at.blob(Digest.of(body)) is None
    put_blob(case.at, body)
    assert has_blob(case.at, body)


def test_blobs_side_by_side(case: Case) -> None:
    bodies = [random.Random(seed).randbytes(50_000) for seed in range(12)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda body: put_blob(case.at, body), bodies))
    assert all(has_blob(case.at, body) for body in bodies)


def test_a_blob_of_another_repository_is_there_if_it_was_mounted(case: Case) -> None:
    body = random.Random(1).randbytes(5000)
    put_blob(case.at, body)
    other = case.target.repository("team/other")
    is_mounted = other.mount_blob(blob_of(body), "team/app")
    assert has_blob(other, body) == is_mounted
    assert not other.mount_blob(blob_of(b"nowhere"), "team/app")


def test_a_tag_moves_and_the_others_stay(case: Case) -> None:
    first, second = app("1"), app("2")
    for one in (first, second):
        fill(case.at, one)
    tag(case.at, "1", first)
    tag(case.at, "latest", first)
    if case.name == "Harbor":
        with pytest.raises(MirrorError, match="immutable"):
            tag(case.at, "latest", second)
        assert digest_at(case.at, "latest") == first.digest
        return
    tag(case.at, "latest", second)
    tag(case.at, "latest", second)
    assert digest_at(case.at, "latest") == second.digest
    assert digest_at(case.at, "1") == first.digest
    assert case.at.has_manifest(Digest.parse(first.digest))


def test_a_deleted_tag_is_gone_or_said_to_be_kept_and_the_others_stay(case: Case) -> None:
    one = app("1")
    fill(case.at, one)
    for name in ("1", "1.0", "latest"):
        tag(case.at, name, one)
    kept = case.target.delete([ManifestKey("team/app", "1"), ManifestKey("team/app", "missing")])
    names = {str(item.item) for item in kept}
    assert names <= {str(ManifestKey("team/app", "1"))}, "what is not there is not kept"
    assert tags(case) == {"1.0", "latest"} | ({"1"} if kept else set())
    assert all(item.why and item.stays is Stays.NOTED for item in kept)
    assert walk(case.read, "team/app", "1.0") >= set(one.all_blobs())


def test_a_tag_is_deleted_with_what_was_below_it_still_there(case: Case) -> None:
    """Retired digests stay as long as `retain` says; removing them is not what deleting a tag does."""
    one, other = app("1"), app("2")
    for each in (one, other):
        fill(case.at, each)
    tag(case.at, "1", one)
    tag(case.at, "2", other)
    case.target.delete([ManifestKey("team/app", "1")])
    assert digest_at(case.at, "2") == other.digest
    for _, child in enumerate(other.children):
        assert case.at.has_manifest(Digest.parse(child.digest))


def referrers_of(one: Image, *others: Image) -> Referrers:
    entries = tuple(
        (Digest.parse(other.digest), other.size, parse_manifest(other.body, other.media_type, "it")) for other in others
    )
    return Referrers(Digest.parse(one.digest), entries)


def test_referrers_are_listed_and_once(case: Case) -> None:
    one = app("1")
    notes = [artifact(subject=one, annotations={"n": str(number)}) for number in range(2)]
    for each in (one, *notes):
        fill(case.at, each)
    for number in (1, 2, 2):
        wanted = referrers_of(one, *notes[:number])
        case.at.publish_referrers(wanted)
        assert list(case.at.wrong_referrers(wanted)) == []
    tag(case.at, "1", one)
    assert tags(case) - {one.digest.replace(":", "-")} == {"1"}


def test_a_list_of_referrers_that_lacks_one_is_wrong(case: Case) -> None:
    one = app("1")
    notes = [artifact(subject=one, annotations={"n": str(number)}) for number in range(2)]
    for each in (one, notes[0]):
        fill(case.at, each)
    case.at.publish_referrers(referrers_of(one, notes[0]))
    assert list(case.at.wrong_referrers(referrers_of(one, *notes))) != []


def test_the_inventory_has_the_tags(case: Case) -> None:
    one = app("1")
    fill(case.at, one)
    for name in ("1", "latest"):
        tag(case.at, name, one)
    fill(case.target.repository("b"), image({"b": "1"}))
    tag(case.target.repository("b"), "x", image({"b": "1"}))
    assert set(case.at.inventory().tags) == {"1", "latest"}
    assert set(case.target.tags(["team/app", "b"])) == {("team/app", "1"), ("team/app", "latest"), ("b", "x")}
    _, there = case.target.inventories(["team/app", "b", "missing"])
    assert {name: set(found.tags) for name, found in there.items() if found.tags} == {
        "team/app": {"1", "latest"},
        "b": {"x"},
    }
    assert case.target.holds_any(["missing", "b"]) == "b"


def test_the_contents_answer_for_what_is_there(case: Case) -> None:
    one = app("1")
    fill(case.at, one)
    tag(case.at, "1", one)
    contents = case.at.contents()
    for manifest in one.manifests():
        assert Digest.parse(manifest.digest) in contents.manifests
    for digest in one.all_blobs():
        assert Digest.parse(digest) in contents.blobs
    assert Digest.of(b"missing") not in contents.manifests
    assert Digest.of(b"missing") not in contents.blobs


def test_a_guarded_target_writes_nothing_once_the_guard_refuses(case: Case) -> None:
    one, other = app("1"), app("2")
    fill(case.at, one)
    tag(case.at, "1", one)

    def refuse() -> None:
        raise LockLost("the lock", "another run holds it")

    guarded = case.target.guarded(refuse)
    at = guarded.repository("team/app")
    layer = next(iter(other.all_blobs().values()))
    attempts: list[Callable[[], object]] = [
        lambda: put_blob(at, layer),
        lambda: at.put_manifest(Digest.parse(one.children[0].digest), one.children[0].body, one.children[0].media_type),
        lambda: tag(at, "2", one),
        lambda: guarded.delete([ManifestKey("team/app", "1")]),
    ]
    for attempt in attempts:
        with pytest.raises(LockLost):
            attempt()
    assert tags(case) == {"1"}
    assert case.at.blob(Digest.of(layer)) is None


def test_a_foreign_digest_under_a_tag_stays_where_there_are_other_writers(case: Case) -> None:
    ours, foreign = app("ours"), app("foreign")
    for one in (ours, foreign):
        fill(case.at, one)
    tag(case.at, "1", foreign)
    owning = case.target.owning(lambda _repository, _tag, digest: str(digest) == ours.digest)
    if isinstance(case.target, KeepsObjects):
        assert owning.delete([ManifestKey("team/app", "1")]) == ()
        assert tags(case) == set()
        return
    with pytest.raises(MirrorError, match="1"):
        tag(owning.repository("team/app"), "1", ours)
    [kept] = owning.delete([ManifestKey("team/app", "1")])
    assert kept.stays is Stays.FOREIGN
    assert digest_at(case.at, "1") == foreign.digest


def test_the_same_bytes_under_a_tag_are_no_drift(case: Case) -> None:
    """A run that was killed between the tag and the mirror index: its tag is what the next run wants to publish."""
    one = app("1")
    fill(case.at, one)
    tag(case.at, "1", one)
    owning = case.target.owning(lambda *_: False).repository("team/app")
    tag(owning, "1", one)
    assert digest_at(case.at, "1") == one.digest
