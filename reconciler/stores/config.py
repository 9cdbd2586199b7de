"""The interface of a store's configuration, `StoreConfig`, and the checks that several kinds share.

Each kind of store is a class in a module of its own, and a row of `kinds.KINDS`. That class checks, opens and describes
the `store` section of mirrors.yaml, so that no other module has to ask which kind a store is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias
from urllib.parse import urlsplit

from reconciler.frozen import Frozen
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.stores import Stores
    from reconciler.stores.requests import Prices, Requests


Place: TypeAlias = "tuple[str, ...]"
"""Tells two places apart, whatever else is configured of them, e.g. a server and a bucket there."""


class Advice(Frozen):
    """How to fix what is wrong with a store of one kind.

    edge    how to change the headers of answers to clients
    domain  how to connect the public URL, and renew its certificate
    public  how to let clients read the store where there is no public URL yet
    rights  how to let r2mirror read and write
    place   what to check if the store does not answer
    """

    edge: str
    domain: str
    public: str
    rights: str
    place: str


class StoreConfig(Protocol):
    """The `store` section of mirrors.yaml. Its fields are the section's keys but for `type`.

    type       the value of `store.type`
    variables  prefixes of environment variables that its values may use, although a cloud or CI system owns the names
    advice     how to fix what is wrong with the store
    requests   what its requests are called and how many of them an operation sends; None where they do not count
    """

    type: ClassVar[str]
    variables: ClassVar[tuple[str, ...]]
    advice: ClassVar[Advice]
    requests: ClassVar[Requests | None]

    @property
    def public_url(self) -> str | None:
        """The URL at which clients read the store, without a slash at its end."""
        ...

    @property
    def pull_url(self) -> str | None:
        """The URL of the host that clients pull from: `public_url`, or that of the registry which is the target."""
        ...

    @property
    def prefix(self) -> str:
        """The path before each target in what clients pull; empty for none."""
        ...

    @property
    def state_bucket(self) -> str | None:
        """The bucket that keeps the mirror index and the lock, if it is named."""
        ...

    @property
    def endpoint_url(self) -> str | None:
        """The URL of the server that keeps the objects; None if there is none, or if its client library chooses it."""
        ...

    @property
    def content_place(self) -> Place:
        """Where the images go. Two stores with one such place are one store."""
        ...

    @property
    def state_place(self) -> Place:
        """Where the mirror index and the lock are."""
        ...

    @property
    def shows_state(self) -> bool:
        """Whether clients can read the mirror index as well, unless a rule of the server forbids it."""
        ...

    @property
    def is_at_r2(self) -> bool:
        """Whether the store is at Cloudflare R2, whatever its type is called."""
        ...

    @property
    def prices(self) -> Prices | None:
        """The prices of the store, None if they are not known, or if it costs nothing."""
        ...

    @classmethod
    def problem(cls, key: str, value: str) -> str | None:
        """Explains what is wrong with a value, None if nothing is.

        The value itself is never quoted: its variables are filled in, and one of them may be a secret.
        """
        ...

    @classmethod
    def contradictions(cls, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Finds values that are wrong beside others: the key, and what is wrong."""
        ...

    @classmethod
    def parse(cls, values: Mapping[str, Any], folder: Path) -> Self:
        """Makes a configuration from sound values: text, or the configuration that a nested key holds.

        Relative paths start from `folder`.
        """
        ...

    def open(self, environ: Mapping[str, str], workers: int = ...) -> Stores:
        """Opens the public store and the one for the state, which may be the same, for `workers` uploads at once.

        Sends nothing yet. Raises `StoreError` or one of its kinds for settings or credentials that cannot be used.
        """
        ...


class NotABucket:
    """What holds of every kind of store that is not a bucket."""

    @property
    def prefix(self) -> str:
        return ""

    @property
    def state_bucket(self) -> None:
        return None

    @property
    def endpoint_url(self) -> str | None:
        return None

    @property
    def shows_state(self) -> bool:
        return False

    @property
    def is_at_r2(self) -> bool:
        return False

    @property
    def prices(self) -> None:
        return None

    @classmethod
    def contradictions(cls, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        del values
        yield from ()


PATHS_ARE_NOT_FOR_CLIENTS = (
    "has a path, but clients ask for /v2/ at the root of a host; "
    "give the bucket a host name of its own, for example public_url: https://cr.example.com"
)
"""What to say of the address of a bucket that is not the root of a host."""

_BUCKET = expression(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def common_problem(key: str, value: str) -> str | None:
    """Explains what is wrong with the value of a key that several kinds of store have."""
    match key:
        case "bucket" | "state_bucket" if not _BUCKET.fullmatch(value):
            return "is not a valid bucket name: expected 3 to 63 lower-case letters, digits, - and ."
        case "public_url" | "endpoint_url":
            return url_problem(value)
        case _:
            return None


def client_problem(public_url: str) -> str | None:
    """Explains why clients could not pull from this URL, None if they could."""
    return PATHS_ARE_NOT_FOR_CLIENTS if public_url.rstrip("/").count("/") > 2 else None


def url_problem(text: str) -> str | None:
    """Explains what is wrong with the URL of a server, None if nothing is."""
    wrong = "is not a URL; write for example https://cr.example.com"
    try:
        url = urlsplit(text)
        if url.scheme not in ("http", "https") or not url.hostname or url.port == 0 or " " in text:
            return wrong
    except ValueError:
        return wrong
    if "@" in url.netloc or url.query or url.fragment:
        return "has more than a host and a path in it, where no password or query belongs; remove them"
    return None


def base_url(values: Mapping[str, Any]) -> str | None:
    """Returns the public URL without a slash at its end, None if there is none."""
    url = values.get("public_url")
    return url.rstrip("/") if url else None
