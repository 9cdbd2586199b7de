"""What a bucket holds, listed with credentials and without, and by the command."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.render.listing import age_words, listing_text
from reconciler.errors import IndexVersion, PublicError
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.target import listing
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.index_json import serialise
from reconciler.target.layout import CATALOG, MIRROR_INDEX, tags_key
from reconciler.target.listing import ListedRepository, Listing, from_index, from_public
from reconciler.target.public import PublicBucket
from tests.parts.http_server import Handler, serving
from tests.parts.images import image, index, write_layout
from tests.world import InProcess

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


@contextlib.contextmanager
def published(objects: Mapping[str, bytes]) -> Iterator[str]:
    """The URL of a public bucket."""

    class Bucket(Handler):
        def reply(self) -> None:
            body = objects.get(self.path.removeprefix("/"))
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        do_GET = reply  # noqa: N815 the names that http.server calls

    with serving(Bucket) as url:
        yield url


def listed(objects: Mapping[str, bytes], pattern: str | None = None) -> Listing:
    with published(objects) as url, PublicBucket(url) as bucket, ThreadPoolExecutor(4) as executor:
        return from_public(bucket, pattern, executor)


def state(name: str, images: Mapping[str, int] | None, age: timedelta = timedelta()) -> TagState:
    return TagState(Digest.of(name.encode()), OCI_INDEX, 1000, None, NOW - age, images)


INDEX = MirrorIndex(
    3,
    {
        "library/alpine": RepositoryState(
            "docker.io/library/alpine",
            {
                "3.20": state("a", {"linux/amd64": 3_400_000, "linux/arm64": 3_900_000}, timedelta(days=3)),
                "latest": state("a", {"linux/amd64": 3_400_000, "linux/arm64": 3_900_000}, timedelta(hours=2)),
            },
        ),
        "team/app": RepositoryState("ghcr.io/team/app", {"1": state("b", None, timedelta(days=400))}),
        "team/empty": RepositoryState("ghcr.io/team/empty"),
    },
)
LISTS = {
    CATALOG: b'{"repositories":["library/alpine","team/app"]}',
    tags_key("library/alpine"): b'{"name":"library/alpine","tags":["3.20","latest"]}',
    tags_key("team/app"): b'{"name":"team/app","tags":["1"]}',
}


def test_the_index_in_words() -> None:
    assert listing_text(from_index(INDEX, None), NOW, tags=False) == (
        "library/alpine  2 tags  7.0 MiB  2 hours ago\n"
        "team/app         1 tag           1 year ago\n"
        "\n"
        "2 repositories, 3 tags.\n"
    )


def test_the_tags_of_a_repository_in_words() -> None:
    text = listing_text(from_index(INDEX, "*/alpine"), NOW, tags=True)
    digest = Digest.of(b"a").hex[:12]
    assert text == (
        "library/alpine  from docker.io/library/alpine\n"
        f"  3.20    sha256:{digest}  3 days ago   linux/amd64 3.2 MiB, linux/arm64 3.7 MiB\n"
        f"  latest  sha256:{digest}  2 hours ago  linux/amd64 3.2 MiB, linux/arm64 3.7 MiB\n"
        "\n"
        "1 repository, 2 tags.\n"
    )
    assert listing_text(Listing(()), NOW, tags=False) == "0 repositories, 0 tags.\n"


def test_a_source_cannot_move_the_cursor() -> None:
    hostile = Listing((ListedRepository("a", "x\x1b[2J", {"1": None}),))
    assert "\x1b" not in listing_text(hostile, NOW, tags=True)


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=47), "1 day ago"),
        (timedelta(days=45), "1 month ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_ages(ago: timedelta, words: str) -> None:
    assert age_words(NOW - ago, NOW) == words


@pytest.mark.parametrize("pattern", [None, "library/*", "team/app", "nothing"])
def test_without_credentials_the_same_is_told(pattern: str | None) -> None:
    objects = {MIRROR_INDEX: serialise(INDEX, NOW, "test")}
    assert listed(objects, pattern) == from_index(INDEX, pattern)


def test_where_the_index_is_private_names_are_told() -> None:
    found = listed(LISTS)
    assert not found.whole
    assert {one.target: set(one.tags) for one in found.repositories} == {
        "library/alpine": {"3.20", "latest"},
        "team/app": {"1"},
    }
    assert [(one.size, one.changed_at) for one in found.repositories] == [(None, None)] * 2
    assert [one.target for one in listed(LISTS, "team/*").repositories] == ["team/app"]


def test_a_repository_that_went_meanwhile_is_left_out() -> None:
    assert [one.target for one in listed({**LISTS, tags_key("team/app"): b'{"name":"team/app","tags":null}'}, "library/*").repositories] == ["library/alpine"]  # fmt: skip
    gone = {key: body for key, body in LISTS.items() if key != tags_key("team/app")}
    assert [one.target for one in listed(gone).repositories] == ["library/alpine"]


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "a page in place of the index": ({MIRROR_INDEX: b"<html>"}, "not a valid mirror index; check the address"),
    "nothing at all": ({}, "answered 404, and _mirror/index.json is not there either"),
    "a catalog that is a page": ({CATALOG: b"<html>"}, "not JSON"),
    "a catalog of numbers": ({CATALOG: b'{"repositories":[1]}'}, "a list of repositories"),
    "a catalog that is a list": ({CATALOG: b"[]"}, "a list of repositories"),
    "a name that climbs": ({CATALOG: b'{"repositories":["../../x"]}'}, "names a repository that cannot be one"),
    "tags that are none": ({**LISTS, tags_key("team/app"): b'{"tags":["a/b"]}'}, "names a tag that cannot be one"),
    "tags that are no list": ({**LISTS, tags_key("team/app"): b'{"tags":"1"}'}, "a list of tags"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_address_that_is_not_a_mirror_is_named(case: str) -> None:
    objects, why = HOSTILE[case]
    with pytest.raises(PublicError, match=why):
        listed(objects)


def test_an_index_of_another_release_is_named() -> None:
    with pytest.raises(IndexVersion, match="version 4"):
        listed({MIRROR_INDEX: b'{"version":4}'})


def test_the_command_with_a_mirrors_file_and_with_nothing_but_a_url(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": index(image({"a": "1"}), image({"a": "1"}, platform="linux/arm64"))})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1.0"]})
    world.apply()
    assert world.run("list").stdout.startswith("team/app  1 tag  ")
    listing = json.loads(world.run("list", "team/*", "--format", "json").stdout)
    (tag,) = listing["repositories"][0]["tags"]
    assert set(tag["images"]) == {"linux/amd64", "linux/arm64"}

    (tmp_path / "mirrors.yaml").unlink()
    assert "--url" in world.run("list", code=1).stderr
    objects = {str(one.relative_to(tmp_path / "mirror")): one.read_bytes() for one in (tmp_path / "mirror").rglob("*") if one.is_file()}  # fmt: skip
    with published(objects) as url:
        assert json.loads(world.run("list", "team/*", "--url", url, "--format", "json").stdout) == listing
        assert "no/such: no repository with tags" in world.run("list", "no/such", "--url", url, code=1).stderr
        del objects[MIRROR_INDEX]
        done = world.run("list", "--url", url)
        assert done.stdout == "team/app  1 tag\n\n1 repository, 1 tag.\n"
        assert "only names are known" in done.stderr


@pytest.mark.parametrize("bound", ["MAX_REPOSITORIES", "MAX_TAGS", "MAX_VALUES"])
def test_a_public_mirror_is_listed_within_bounds(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {CATALOG: b'{"repositories": ["a", "a", "b", "c"]}'}
    objects |= {tags_key(name): b'{"name": "x", "tags": ["1", "2"]}' for name in "abc"}
    assert len(listed(objects).repositories) == 3
    monkeypatch.setattr(listing, bound, {"MAX_REPOSITORIES": 2, "MAX_TAGS": 5, "MAX_VALUES": 1}[bound])
    with pytest.raises(PublicError):
        listed(objects)
