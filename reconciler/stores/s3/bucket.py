"""What all requests to one bucket have in common: retries, the guard before each write, and errors in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.exceptions as boto
from botocore.parsers import ResponseParserError

from reconciler.errors import StoreError
from reconciler.frozen import Frozen
from reconciler.stores import Listed
from reconciler.stores.s3 import patience
from reconciler.stores.s3.client import WebPage
from reconciler.stores.s3.errors import translated
from reconciler.stores.s3.pages import Pages
from reconciler.stores.s3.patience import code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from tenacity import Retrying

    from reconciler.stores.s3.checksums import PartChecksums
    from reconciler.stores.s3.contact import Contact

Result = TypeVar("Result")

NOT_UNDERSTOOD = "the server's answer cannot be understood,"


class BucketClient(Frozen):
    """Reaches one bucket through boto3's client.

    title  what messages call it, e.g. `r2://cr-example`
    check  called right before each attempt to write or remove something
    """

    title: str
    name: str
    client: S3Client
    contact: Contact
    checksums: PartChecksums
    check: Callable[[], None] = lambda: None

    def what(self, key: str) -> str:
        """Names an object in messages."""
        return f"{self.title}/{key}"

    def writing(self) -> Retrying:
        """Returns the retries of a write, with the guard before each attempt: the lock may be lost in between."""
        return self.patience().copy(before=lambda _: self.check())

    def patience(self) -> Retrying:
        """Returns the retries of a request that changes nothing."""
        return patience.patient(self.contact)

    def found(self, key: str, read: Callable[[], Result]) -> Result | None:
        """Returns what `read` returns, None if there is no such key."""
        with self.explained(key):
            try:
                return self.patience()(read)
            except boto.ClientError as error:
                if code_of(error) in ("NoSuchKey", "404"):  # A HEAD has no body to name a code in.
                    return None
                raise

    def list(self, prefix: str) -> Iterator[Listed]:
        """Lists the objects whose keys begin with `prefix`, see `Store.list`."""
        request: dict[str, Any] = {"Bucket": self.name, "Prefix": prefix}
        pages = Pages(self.what(prefix))
        while True:
            with self.explained(prefix):
                page = self.patience()(self.client.list_objects_v2, **request)
                rows = [Listed(entry["Key"], size_of(entry["Size"])) for entry in page.get("Contents", [])]
                if page["IsTruncated"]:
                    request["ContinuationToken"] = page["NextContinuationToken"]
                    pages.turn(page["NextContinuationToken"], rows[0].key if rows else None)
            yield from rows
            if not page["IsTruncated"]:
                return

    def is_there(self, key: str, size: int) -> bool:
        """Whether a listing shows an object of this size under the key."""
        return any(row.key == key and row.size == size for row in self.list(key))

    @contextlib.contextmanager
    def explained(self, key: str) -> Iterator[None]:
        """Translates every error of boto3 into one of ours."""
        try:
            yield
        except (boto.BotoCoreError, boto.ClientError) as error:
            self.contact.left()
            raise translated(self.what(key), error, self.contact) from error
        except WebPage:
            raise StoreError(
                self.what(key),
                f"a web page came in the place of an answer of S3 from {self.client.meta.endpoint_url}; "
                "check the endpoint, and whether the network wants you to sign in",
            ) from None
        except KeyError as error:
            raise StoreError(self.what(key), f"{NOT_UNDERSTOOD} it lacks {error}; check the endpoint") from error
        except (ResponseParserError, ValueError, OverflowError, RuntimeError) as error:
            # The last three come from a size or a time that is not valid, which botocore converts unchecked.
            raise StoreError(self.what(key), f"{NOT_UNDERSTOOD} {error}; check the endpoint") from error


def size_of(size: int) -> int:
    """Checks a size that the server named. Raises ValueError if it cannot be one."""
    if not 0 <= size < 2**63:
        raise ValueError(f"it names a size of {size} bytes")
    return size
