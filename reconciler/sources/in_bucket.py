"""Sources `bucket:BUCKET//REPOSITORY`: repositories of a bucket that r2mirror filled, read with credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Denied, Malformed, StoreDenied, StoreError, Unreachable
from reconciler.regex import expression
from reconciler.sources.in_mirror import split
from reconciler.sources.names import Kind, SourceName
from reconciler.stores.config import common_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.sources import Source
    from reconciler.sources.names import SourceSettings
    from reconciler.stores import Store

PREFIX = "bucket:"
_PLACE = expression(r"(?:(?P<endpoint>https?://(?P<host>[^/@?#\s]+))/)?(?P<bucket>[^/]+)")
_EXAMPLE = "https://s3.example.com/images"


def parse(text: str) -> SourceName:
    """Parses `bucket:BUCKET//REPOSITORY` or `bucket:https://ENDPOINT/BUCKET//REPOSITORY`. Raises `Malformed`."""
    place, repository = split(text, PREFIX, _EXAMPLE)
    endpoint, _, bucket = _parts(place, text)
    problem = common_problem("bucket", bucket) or (common_problem("endpoint_url", endpoint) if endpoint else None)
    if problem:
        raise Malformed(f"source {text!r}", f"{place} {problem}")
    return SourceName(text, place=PREFIX + place, queue=PREFIX + place, within=repository)


def _parts(place: str, text: str) -> tuple[str | None, str, str]:
    """The endpoint, its host, and the bucket. Raises `Malformed`."""
    found = _PLACE.fullmatch(place)
    if not found:
        why = f"names no bucket; write e.g. {PREFIX}{_EXAMPLE}//library/alpine, or {PREFIX}images//library/alpine"
        raise Malformed(f"source {text!r}", f"{why} for Amazon S3")
    return found["endpoint"], found["host"] or "", found["bucket"]


class Buckets:
    """Opens repositories of buckets. Those of one bucket share their connections."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._stores: dict[str, Store] = {}

    def open(self, name: SourceName) -> Source:
        from reconciler.sources.served import ServedRepository

        if name.place not in self._stores:
            try:
                self._stores[name.place] = self._opened(name)
            except StoreError as error:
                kind = Denied if isinstance(error, StoreDenied) else Unreachable
                raise kind(name.text, str(error)) from None
        return ServedRepository(name.text, self._stores[name.place], name.within or "")

    def _opened(self, name: SourceName) -> Store:
        # Not at the top: few mirrors have a bucket as their source.
        from reconciler.stores.s3.opening import open_bucket
        from reconciler.stores.s3.server import Server

        endpoint, host, bucket = _parts(name.place.removeprefix(PREFIX), name.text)
        return open_bucket(Server("s3", endpoint, None), bucket, self._environ(host), self._settings.workers)

    def _environ(self, host: str) -> Mapping[str, str]:
        """The environment with the credentials that mirrors.yaml names for a host in the place of the store's."""
        environ, config = self._settings.environ, self._settings.registries.get(host)
        if not config or not config.username_env or not config.password_env:
            return environ
        own = {
            "R2_ACCESS_KEY_ID": environ.get(config.username_env, ""),
            "R2_SECRET_ACCESS_KEY": environ.get(config.password_env, ""),
        }
        missing = [
            variable
            for variable, value in zip((config.username_env, config.password_env), own.values(), strict=True)
            if not value
        ]
        if missing:
            raise StoreDenied(host, f"{' and '.join(missing)} must be set: registries.{host} names them")
        return {**environ, **own}

    def close(self) -> None:
        """Does nothing: connections end with the process."""


KIND = Kind(PREFIX, parse, Buckets, "check the bucket, its endpoint and the credentials, which must allow reading")
