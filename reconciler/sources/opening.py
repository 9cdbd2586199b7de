"""Opens the sources that mirrors.yaml names. The libraries of a kind are imported when its first source is opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.sources.attached import AttachedElsewhere
from reconciler.sources.bandwidth import Bandwidth
from reconciler.sources.kinds import kind_of, parse_source
from reconciler.sources.names import SourceSettings
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.sources import OpenSource, Source
    from reconciler.sources.config import RegistryConfig
    from reconciler.sources.names import Kind, Opener
    from reconciler.work.deadline import Deadline


@contextmanager
def open_sources(
    registries: Mapping[str, RegistryConfig],
    folder: Path,
    environ: Mapping[str, str],
    workers: int = BLOB_WORKERS,
    bandwidth: float | None = None,
    deadline: Deadline = NEVER,
    attached: Mapping[str, str] = MappingProxyType({}),
    fallbacks: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Iterator[OpenSource]:
    """Yields a function that opens sources, for as long as the block lasts. Sends nothing yet.

    attached   source -> the repository that has what is attached to its images
    fallbacks  source -> those that are asked after it
    bandwidth  the limit on the total download rate, in bytes a second
    The other arguments are those of `SourceSettings`. The function raises `Malformed` and `SourceError`.
    """
    limit = Bandwidth(bandwidth) if bandwidth else None
    settings = SourceSettings(registries, folder, environ, workers, limit, deadline)
    openers: dict[Kind, Opener] = {}
    sources: dict[str, Source] = {}
    lock = threading.Lock()

    def opened(source: str) -> Source:
        kind = kind_of(source)
        if kind not in openers:
            openers[kind] = kind.opener(settings)
        return openers[kind].open(parse_source(source))

    def with_fallbacks(source: str) -> Source:
        if source not in fallbacks:
            return opened(source)
        from reconciler.sources.several import NamedSource, SeveralSources

        return SeveralSources([NamedSource(name, opened(name)) for name in (source, *fallbacks[source])])

    def open_source(source: str) -> Source:
        # Held while opening, too: two threads must not open one registry twice, which would double its connections.
        with lock:
            if source not in sources:
                found = with_fallbacks(source)
                elsewhere = attached.get(source, source)
                sources[source] = AttachedElsewhere(found, opened(elsewhere)) if elsewhere != source else found
            return sources[source]

    try:
        yield open_source
    finally:
        for opener in openers.values():
            opener.close()
