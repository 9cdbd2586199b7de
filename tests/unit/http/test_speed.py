"""Connections below their minimum speed are given up, at sources and at stores; each registry has its own minimum."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import MirrorsInvalid, StoreUnreachable
from reconciler.http import speed, transport
from reconciler.http.pace import PacedBackend
from reconciler.http.speed import SLOWEST, WINDOW, Speed
from reconciler.mirrors.load import load_mirrors
from reconciler.sources.config import RegistryConfig
from reconciler.stores.buckets import S3
from reconciler.stores.s3 import patience
from tests.parts.http_server import Handler, serving
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    import httpcore

    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

CREDENTIALS = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}


def judged(floor: float, rate: float, seconds: float) -> bool:
    """Whether bytes that come at a rate, once a second, are too slow within so many seconds."""
    pace = Speed(floor)
    return any(pace.is_too_slow(int(rate), 1.0) for _ in range(int(seconds)))


@pytest.mark.parametrize(
    ("rate", "seconds", "too_slow"),
    [(2048, 2 * WINDOW, True), (SLOWEST - 1, 2 * WINDOW, True), (SLOWEST, 10 * WINDOW, False), (1, WINDOW - 1, False)],
)
def test_the_rate_is_taken_over_half_a_minute(rate: float, seconds: float, too_slow: bool) -> None:
    assert judged(SLOWEST, rate, seconds) == too_slow


def test_neither_the_first_byte_nor_the_end_is_too_slow() -> None:
    pace = Speed(SLOWEST)
    assert not pace.is_too_slow(1, 1000.0)
    assert not pace.is_too_slow(0, 1000.0)
    assert pace.is_too_slow(1, 1000.0)
    pace.restart()
    assert not pace.is_too_slow(1, 1000.0)


def test_the_default_is_well_above_one_kibibyte_and_below_a_thin_line() -> None:
    assert 8 * 1024 <= SLOWEST <= 32 * 1024


@pytest.mark.parametrize(("min_speed", "floor"), [(None, SLOWEST), (1024.0, 1024.0)])
def test_a_registry_has_a_floor_of_its_own(
    min_speed: float | None,
    floor: float,
    lying: LyingRegistry,
    open_at: Callable[..., RegistrySource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    floors: list[float] = []

    def backend(inner: httpcore.NetworkBackend, floor: float) -> PacedBackend:
        floors.append(floor)
        return PacedBackend(inner, floor)

    monkeypatch.setattr(transport, "PacedBackend", backend)
    lying.on("GET /v2/team/app/tags/list?n=1000", Answer(body=b'{"tags": ["1"]}'))
    assert open_at(lying.host, None, RegistryConfig(plain_http=True, min_speed=min_speed)).tags() == ("1",)
    assert floors == [floor]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_store_that_trickles_is_given_up(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "WINDOW", 0.2)
    monkeypatch.setattr(patience, "ATTEMPTS", 2)

    class Trickling(Handler):
        def reply(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nETag: x\r\n")
            if part == "body":
                self.wfile.write(b"Content-Length: 1000\r\n\r\n")
            for _ in range(1000):
                self.wfile.write(b"X")
                time.sleep(0.02)

        do_GET = reply  # noqa: N815 the name that http.server calls

    with serving(Trickling) as url:
        store = S3("bucket", "auto", url, None, None).open(CREDENTIALS).public
        started = time.monotonic()
        with pytest.raises(StoreUnreachable):
            store.get("_mirror/index.json")
        with pytest.raises(StoreUnreachable):
            list(store.list("v2/"))
        assert time.monotonic() - started < 10


def mirrors_with(folder: Path, text: str) -> Path:
    path = folder / "mirrors.yaml"
    path.write_text(
        f"version: 1\nstore: {{type: file, path: x}}\nregistries: {{a.example: {{min_speed: {text}}}}}\n"
        "mirrors: [{source: a.example/b, tags: ['1']}]\n"
    )
    return path


@pytest.mark.parametrize(("text", "rate"), [("4KiB/s", 4096), ("1KiB/s", 1024), ("1.5 MB", 1_500_000)])
def test_mirrors_yaml_says_the_floor(text: str, rate: float, tmp_path: Path) -> None:
    assert load_mirrors(mirrors_with(tmp_path, text), {}).registries["a.example"].min_speed == rate


@pytest.mark.parametrize("text", ["fast", "10", "512B/s", "0KiB/s", "'-4KiB/s'", "''"])
def test_a_floor_that_is_none_is_a_problem_with_its_place(text: str, tmp_path: Path) -> None:
    with pytest.raises(MirrorsInvalid, match=r"min_speed"):
        load_mirrors(mirrors_with(tmp_path, text), {})
