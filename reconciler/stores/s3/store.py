"""The `Store` in one bucket of R2, S3 or a server that speaks S3's API."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import botocore.exceptions as boto

from reconciler.errors import (
    ConditionsRefused,
    PreconditionFailed,
    StoreError,
    StoreUnreachable,
    Unreachable,
)
from reconciler.http.clock import header_time
from reconciler.oci.spec import Digest
from reconciler.stores import CHUNK, WITH_CONDITIONS, Absent, Condition, Listed, Matches, Stored, Unfinished, parts
from reconciler.stores.headers import Headers
from reconciler.stores.parts import MAX_SIZE, MIB
from reconciler.stores.s3 import buffers, multipart, patience
from reconciler.stores.s3.bucket import BucketClient, size_of
from reconciler.stores.s3.buffers import Body, Buffers
from reconciler.stores.s3.checksums import PartChecksums
from reconciler.stores.s3.client import WebPage, base64_of, make_client, watch
from reconciler.stores.s3.contact import Contact
from reconciler.stores.s3.errors import answer_of, translated
from reconciler.stores.s3.multipart import Multipart, NotCopied, all_or_none, not_copied
from reconciler.stores.s3.pages import Pages
from reconciler.stores.s3.patience import code_of, may_pass, status_of
from reconciler.stores.s3.reading import age_of, is_page
from reconciler.stores.s3.session import make_session

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import ErrorTypeDef, GetObjectOutputTypeDef
    from tenacity import Retrying

    from reconciler.stores.s3.server import Server

SMALL = MIB
"""Bytes of a body up to which it gets a buffer of its own length: to cut one of `PART_SIZE` and extend it again takes
longer than to send so few bytes."""

DELETE_BATCH = 1000
"""Keys in one DeleteObjects request, the most that S3 and R2 take."""


def open_bucket(server: Server, bucket: str, environ: Mapping[str, str], workers: int) -> S3Store:
    """Opens a bucket for `workers` uploads at once. Sends nothing yet.

    Raises `StoreDenied` for half a pair of credentials or an AWS profile that does not exist, `StoreError` for an
    endpoint that is not a valid URL.
    """
    name = f"{server.scheme}://{bucket}"
    try:
        client = make_client(make_session(name, environ), server.endpoint_url, server.region, workers)
        contact = Contact(f"{name} at {client.meta.endpoint_url}", patience.FIRST_ANSWER)
        watch(client, contact)
        senders = ThreadPoolExecutor(workers, thread_name_prefix="part")
        return S3Store(
            BucketClient(name, bucket, client, contact, PartChecksums(client)), senders, Buffers(buffers.BUFFER_BYTES)
        )
    except (boto.BotoCoreError, ValueError) as error:
        raise translated(name, error) from error
    except Unreachable as error:
        raise StoreUnreachable(name, str(error)) from None


class S3Store:
    """The `Store` in one bucket. Many threads may use it at once.

    senders  the threads that send parts, for all uploads of the store together
    """

    def __init__(self, bucket: BucketClient, senders: Executor, shared: Buffers) -> None:
        self._bucket = bucket
        self._senders = senders
        self._buffers = shared
        self._multipart = Multipart(bucket, senders, shared)

    @property
    def name(self) -> str:
        return self._bucket.title

    def list(self, prefix: str) -> Iterator[Listed]:
        return self._bucket.list(prefix)

    def guarded(self, check: Callable[[], None]) -> S3Store:
        return S3Store(replace(self._bucket, check=check), self._senders, self._buffers)

    def get(self, key: str) -> Stored | None:
        def whole() -> Stored:
            answer = self._bucket.client.get_object(Bucket=self._bucket.name, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                content = body.read()
                if is_page(content) and not key.endswith(".html"):
                    raise WebPage
                now = _now(answer)
                return Stored(content, answer["ETag"], age_of(answer.get("LastModified"), now), now, _headers(answer))

        return self._bucket.found(key, whole)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        part = _part(start, length)
        answer = self._bucket.found(
            key, lambda: self._bucket.client.get_object(Bucket=self._bucket.name, Key=key, **part)
        )
        return self._chunks(key, answer["Body"]) if answer else None

    def size(self, key: str) -> int | None:
        return self._bucket.found(
            key, lambda: size_of(self._bucket.client.head_object(Bucket=self._bucket.name, Key=key)["ContentLength"])
        )

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        retrying = self._bucket.writing()
        checksum = {"ChecksumSHA256": base64_of(hashlib.sha256(body).digest())}
        try:
            with self._bucket.explained(key), self._conditional(key, condition):
                return self._put(retrying, key, body, headers, {**checksum, **_condition(condition)})
        except PreconditionFailed:
            earlier = self.get(key) if retrying.statistics["attempt_number"] > 1 else None
            if earlier is None or earlier.body != body:
                raise
            # An attempt whose answer was lost did write: what is there is ours.
            return earlier.etag

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        if size > MAX_SIZE:
            raise StoreError(
                self._bucket.what(key), f"a blob of {size} bytes; the most that can be uploaded is {MAX_SIZE}"
            )
        part_size = parts.part_size(size)
        body = Body(chunks, size, self._bucket.what(key))
        # Outside the buffers: a stream that waits for its source must not keep memory from streams that flow.
        body.begin()
        if size > part_size:
            self._multipart.upload(key, body, part_size, headers)
            return
        # S3 knows no SHA-512 checksum; the caller verifies those bytes alone.
        checksum = {"ChecksumSHA256": base64_of(bytes.fromhex(digest.hex))} if digest.algorithm == "sha256" else {}
        with self._buffers.taken(size if size <= SMALL else part_size) as buffer:
            filled = body.fill(buffer)
            with self._bucket.explained(key):
                self._put(self._bucket.writing(), key, filled, headers, checksum)

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        try:
            with self._bucket.explained(key):
                if size > multipart.COPY_PART:
                    self._multipart.copy(origin, key, size, headers)
                elif not self._copy_object(origin, key, headers) and not self._bucket.is_there(key, size):
                    return False
        except NotCopied:
            return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := list(itertools.islice(waiting, DELETE_BATCH)):
            with self._bucket.explained(batch[0]):
                try:
                    refused = self._delete_many(batch)
                except boto.ClientError as error:
                    # A 404 can also mean that there is no bucket, which no other way of removal would change.
                    if status_of(error) not in _NO_BATCHES or code_of(error) == "NoSuchBucket":
                        raise
                    refused = self._delete_each(batch)
            if refused:
                first = refused[0]
                raise StoreError(
                    self._bucket.what(first.get("Key", batch[0])),
                    f"not deleted: {first.get('Code')}: {first.get('Message')}; {len(refused)} of {len(batch)} keys",
                )

    def _delete_many(self, batch: Sequence[str]) -> Sequence[ErrorTypeDef]:
        """Removes up to `DELETE_BATCH` objects by one request, and returns which were refused and why."""
        answer = self._bucket.writing()(
            self._bucket.client.delete_objects,
            Bucket=self._bucket.name,
            Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
        )
        # S3 counts a key that is not there as deleted; some other servers report it.
        return [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]

    def _delete_each(self, batch: Sequence[str]) -> Sequence[ErrorTypeDef]:
        """Removes objects one by one, and returns which were refused and why: for a server that has no other way."""
        with all_or_none() as deletions:
            deletions.extend(self._senders.submit(self._delete_one, key) for key in batch)
            return [error for deletion in deletions if (error := deletion.result())]

    def _delete_one(self, key: str) -> ErrorTypeDef | None:
        try:
            self._bucket.writing()(self._bucket.client.delete_object, Bucket=self._bucket.name, Key=key)
        except boto.ClientError as error:
            if code_of(error) in ("NoSuchKey", "404"):
                return None
            if status_of(error) in (401, 403) or may_pass(error):
                raise
            return {"Key": key, "Code": code_of(error), "Message": error.response["Error"].get("Message", "no message")}
        return None

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        request: dict[str, Any] = {"Bucket": self._bucket.name, "Prefix": prefix}
        pages = Pages(self._bucket.what(prefix))
        while True:
            with self._bucket.explained(prefix):
                try:
                    page = self._bucket.patience()(self._bucket.client.list_multipart_uploads, **request)
                except boto.ClientError as error:
                    if status_of(error) == 501:
                        # The server cannot list them, so there is nothing that could be aborted.
                        return
                    raise
                rows = [Unfinished(entry["Key"], entry["UploadId"]) for entry in page.get("Uploads", [])]
                if page.get("IsTruncated"):
                    request |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
                    pages.turn(f"{page['NextKeyMarker']} {page['NextUploadIdMarker']}", rows[0].name if rows else None)
            yield from rows
            if not page.get("IsTruncated"):
                return

    def discard(self, upload: Unfinished) -> None:
        with self._bucket.explained(upload.key), contextlib.suppress(self._bucket.client.exceptions.NoSuchUpload):
            self._bucket.writing()(
                self._bucket.client.abort_multipart_upload,
                Bucket=self._bucket.name,
                Key=upload.key,
                UploadId=upload.name,
            )

    def _chunks(self, key: str, body: StreamingBody) -> Generator[bytes, None, None]:
        with contextlib.closing(body), self._bucket.explained(key):
            yield from body.iter_chunks(CHUNK)

    def _put(
        self, retrying: Retrying, key: str, body: bytes | bytearray, headers: Headers, extra: Mapping[str, str]
    ) -> str:
        answer = retrying(
            self._bucket.client.put_object,
            Bucket=self._bucket.name,
            Key=key,
            Body=body,
            ContentType=headers.content_type,
            CacheControl=headers.cache_control,
            **({"ContentLanguage": headers.content_language} if headers.content_language else {}),
            **extra,
        )
        return str(answer["ETag"])

    def _copy_object(self, origin: str, key: str, headers: Headers) -> bool:
        """Whether the server says that it has copied it."""
        with not_copied():
            answer = self._bucket.writing()(
                self._bucket.client.copy_object,
                Bucket=self._bucket.name,
                Key=key,
                CopySource={"Bucket": self._bucket.name, "Key": origin},
                MetadataDirective="REPLACE",
                ContentType=headers.content_type,
                CacheControl=headers.cache_control,
            )
        # S3 sends the status 200 before it copies, and may report a failure only in the body.
        return bool(answer.get("CopyObjectResult", {}).get("ETag"))

    @contextlib.contextmanager
    def _conditional(self, key: str, condition: Condition | None) -> Iterator[None]:
        """Translates the error of a server that does not know conditional writes."""
        try:
            yield
        except boto.ClientError as error:
            if condition is None or not (status_of(error) == 501 or code_of(error) == "NotImplemented"):
                raise
            why = f"{answer_of(error)}. This server has no conditional writes ({' and '.join(_CONDITIONS)}), without "
            needs = "which two runs could overwrite each other's lock and mirror index. Use a store that has them"
            raise ConditionsRefused(self._bucket.what(key), f"{why}{needs}: {WITH_CONDITIONS}") from error


def _now(answer: GetObjectOutputTypeDef) -> datetime:
    """Returns the time by the server's clock, to the second; by this machine's if the answer has no date."""
    return header_time(answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")) or datetime.now(UTC)


def _headers(answer: GetObjectOutputTypeDef) -> Headers:
    return Headers(answer.get("ContentType", ""), answer.get("CacheControl", ""), answer.get("ContentLanguage", ""))


def _condition(condition: Condition | None) -> dict[str, str]:
    match condition:
        case None:
            return {}
        case Absent():
            return {"IfNoneMatch": "*"}
        case Matches(etag):
            return {"IfMatch": etag}


def _part(start: int, length: int | None) -> dict[str, Any]:
    """The parameter for a part of an object; none for the whole, for an empty object has no range."""
    if (start, length) == (0, None):
        return {}
    return {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"}


_CONDITIONS = ("If-None-Match", "If-Match")

_NO_BATCHES = (400, 404, 405, 411, 501)
"""Answers of servers that cannot remove several objects by one request, or want another checksum for it."""
