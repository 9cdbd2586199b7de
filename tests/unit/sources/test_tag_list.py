"""Tag lists are read within bounds, whatever a registry answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import BadAnswer
from reconciler.oci.spec import load_json
from reconciler.sources import tag_list
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry


TAGS = "GET /v2/team/app/tags/list?n=1000"


def test_large_pages_are_read_one_at_a_time(
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = now = 0
    counting = threading.Lock()
    load = load_json

    def counted(*arguments: object) -> object:
        nonlocal most, now
        with counting:
            now += 1
            most = max(most, now)
        try:
            return load(*arguments)  # type: ignore[arg-type]
        finally:
            with counting:
                now -= 1

    monkeypatch.setattr(tag_list, "load_json", counted)
    tags = [f"{number:06d}" for number in range(130_000)]
    lying.on(TAGS, Answer(body=json.dumps({"tags": tags}).encode()))
    source = open_at(lying.host)
    with ThreadPoolExecutor(6) as executor:
        assert {len(one) for one in executor.map(lambda _: source.tags(), range(6))} == {130_000}
    assert most == 1
    assert len(lying.requests(TAGS)) == 12, "each was asked for again when it turned out to be large"


@pytest.mark.parametrize(
    "body",
    [b'{"tags": [' + b"{}," * 1_000_001 + b"{}]}", b'{"tags": []' + b" " * (16 * 1024 * 1024) + b"}"],
    ids=["values", "bytes"],
)
def test_pages_beyond_reason_are_an_error(
    body: bytes,
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
) -> None:
    lying.on(TAGS, Answer(body=body))
    with pytest.raises(BadAnswer, match="more than"):
        open_at(lying.host).tags()


def test_the_last_page_counts_too(
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tag_list, "MAX_TAGS", 3)
    lying.on(TAGS, Answer(body=json.dumps({"tags": ["1", "2", "3", "4"]}).encode()))
    with pytest.raises(BadAnswer, match="more than 3 tags"):
        open_at(lying.host).tags()
