"""The catalog page as bytes: stable for the same tags, small, and without anything that could be executed."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.stores.headers import Headers
from reconciler.target import page
from reconciler.target.in_store import InStore
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.layout import PAGE, PAGE_HEADERS
from reconciler.target.lists import publish_lists
from tests import strategies as draw
from tests.bench import V1, Bench, shown
from tests.memory import MemoryStore, Operation

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


def state(name: str, images: Mapping[str, int] | None = None, age: int = 0) -> TagState:
    return TagState(Digest.of(name.encode()), OCI_INDEX, 1000, None, NOW - timedelta(seconds=age), images)


def index(**repositories: dict[str, TagState]) -> MirrorIndex:
    return MirrorIndex(1, {name: RepositoryState("secret.internal/x", tags) for name, tags in repositories.items()})


def catalog(body: bytes) -> Any:
    return json.loads(body.partition(b'<script id="catalog" type="application/json">')[2].partition(b"</script>")[0])


@given(draw.indexes)
def test_it_shows_every_tag_and_follows_from_the_index_alone(index: MirrorIndex) -> None:
    body = page.render(index)
    assert page.render(replace(index, serial=index.serial + 1)) == body
    with_tags = {name: one for name, one in index.repositories.items() if one.tags}
    assert shown(body) == {name: {t: s.digest.hex for t, s in one.tags.items()} for name, one in with_tags.items()}
    for name, images, tags in catalog(body)["repositories"]:
        for tag, image, time in tags:
            told = images[image][1]
            names = [catalog(body)["platforms"][number] for number in told[::2]]
            recorded = with_tags[name].tags[tag]
            assert dict(zip(names, told[1::2], strict=True)) == (recorded.images or {})
            assert catalog(body)["times"][time] == recorded.synced_at.timestamp()


def test_no_source_is_told() -> None:
    assert b"secret" not in page.render(index(a={"1": state("1")}))


def test_style_and_script_are_those_whose_hashes_the_policy_has_and_nothing_else_runs() -> None:
    text = page.render(index(a={"1": state("1")})).decode()
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    for name, body in (("script", re.findall(r"<script>(.*?)</script>", text, re.DOTALL)), ("style", re.findall(r"<style>(.*?)</style>", text, re.DOTALL))):  # fmt: skip
        (only,) = body
        assert f"{name}-src 'sha256-{base64.b64encode(hashlib.sha256(only.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|javascript:|(?:src|href)=\"(?!data:|v2/)", text.partition("<script")[0])


def test_what_looks_like_markup_stays_text() -> None:
    """No name that breaks the grammars gets into an index; if one did, it would still end no element."""
    hostile = "</script><script>alert(1)</script><!--\u2028&amp;"
    text = page.render(index(**{hostile: {hostile: state("1", {hostile: 1})}})).decode()
    assert text.count("<script") == 2
    assert text.count("</script") == 2
    assert text.partition("<script")[2].isascii()
    assert catalog(text.encode())["repositories"][0][0] == hostile
    assert "<!--" not in text


def test_what_does_not_fit_is_the_oldest_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LIMIT", page.MARGIN + 20_000)
    tags = {f"1.{number}": state(str(number), {"linux/amd64": number}, age=number) for number in range(1000)}
    body = page.render(index(a=tags, old={"1": state("x", age=5000)}))
    kept = shown(body)
    assert 150 < len(kept["a"]) < 400
    assert set(kept["a"]) == {f"1.{number}" for number in range(len(kept["a"]))}
    assert "old" not in kept
    assert catalog(body)["left"] == 1001 - len(kept["a"])


@given(draw.indexes)
def test_it_never_has_more_bytes_than_counted(index: MirrorIndex) -> None:
    counted = page._Catalog()
    for name, one in index.repositories.items():
        for tag, entry in one.tags.items():
            counted.add(name, tag, entry)
    document = counted.document(10**6)
    assert len(json.dumps(document, separators=(",", ":"))) <= counted.size + 8 * len(document["repositories"])


def test_the_largest_tag_fits_into_the_margin() -> None:
    widest = {f"{'o' * 64}/{number:064}/{'v' * 64}": 2**62 for number in range(64)}
    counted = page._Catalog()
    counted.add("r" * 255, "t" * 128, replace(state("1", widest), digest=Digest.of(b"", "sha512")))
    assert counted.size < page.MARGIN


def test_a_page_of_another_tool_stays_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench.of(a={"1": V1})
    theirs = Headers("text/html", "max-age=60")
    bench.store.put(PAGE, b"<h1>Our company</h1>", theirs)
    with caplog.at_level(logging.WARNING, "reconciler"):
        bench.apply()
    assert bench.store.objects[PAGE] == b"<h1>Our company</h1>"
    assert bench.store.headers[PAGE] == theirs
    assert [one.getMessage() for one in caplog.records] == [
        "memory:bucket/index.html is not a page of r2mirror's and stays as it is; there is no catalog page"
    ]


def test_a_page_that_appears_while_we_write_ours_stays() -> None:
    """The write is conditional on what was looked at."""
    store = MemoryStore()

    def appear(_: int, operation: Operation) -> None:
        if operation.kind == "put":
            store.objects[PAGE] = b"theirs"

    store.meanwhile = appear
    with ThreadPoolExecutor(1) as executor, pytest.raises(Exception, match=r"index\.html"):
        publish_lists(InStore(store, store), {PAGE: page.render(MirrorIndex())}, executor)
    assert store.objects[PAGE] == b"theirs"


def test_a_page_of_another_release_is_ours_and_in_step_until_its_tags_are_others() -> None:
    now = page.render(index(a={"1": state("1")}))
    old = now.replace(b"<h1", b"<h1 ").replace(b"script-src 'sha256-", b"script-src 'sha256-0")
    other = page.render(index(a={"2": state("1")}))
    assert page.is_ours(old)
    assert page.says_the_same(old, now)
    assert not page.says_the_same(old, other)
    assert not page.says_the_same(now.replace(b"<h1", b"<h1 "), now), "the same release writes the same bytes"
    assert not page.says_the_same(b"<h1>", now)


def test_it_is_published_with_the_other_lists_and_only_when_it_changes() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    assert bench.store.headers[PAGE] == PAGE_HEADERS
    assert shown(bench.store.objects[PAGE]) == {"a": {"1": V1.digest.removeprefix("sha256:")}}
    (_, images, _), *_ = catalog(bench.store.objects[PAGE])["repositories"]
    assert images[0][1], "platforms and sizes are there"
    assert bench.again().apply() == []
