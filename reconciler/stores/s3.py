"""Buckets of Cloudflare R2 and of any S3-compatible server: the only module that imports boto3.

What R2 asks for, and other servers do not mind: no checksum trailers (`when_required`), so that every body is sent
plainly with its SHA-256 in the signature; no `Expect: 100-continue`, which R2 never answers; parts of equal size.

A stream of up to `PART_SIZE` bytes is one PutObject, which carries the digest for the server to check. A longer one is
a multipart upload: its parts are filled one after the other and sent by a pool of threads that all uploads of the store
share. Parts and bodies are filled in a few buffers that are used again and again, so that all uploads together never
hold more than `BUFFER_BYTES` (or one part, where a part has to be larger than that), however many threads there are;
beside them each upload holds the chunk that came last.

A copy within the bucket is one CopyObject, or a multipart upload of parts that the server copies: no byte passes here.

Retries are made here and nowhere else (boto3's own are off), because a conditional write has to know of them: where the
first attempt was written but its answer lost, the second is told that the precondition fails. Before the server has
answered anything, what a wrong setting explains is not tried again (`contact`).

Servers that resemble S3 are not believed more than needs be: what an answer lacks is looked up before the caller builds
on it, and a web page in the place of an object is an error, whatever its status.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import itertools
import logging
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import botocore.exceptions as boto
from boto3.session import Session
from botocore.config import Config
from botocore.handlers import add_expect_header
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import get_session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from reconciler.errors import (
    ConditionsRefused,
    PreconditionFailed,
    StoreDenied,
    StoreError,
    StoreUnreachable,
    Unreachable,
)
from reconciler.http.clock import header_time
from reconciler.http.proxies import read_proxies
from reconciler.http.trust import bundle
from reconciler.stores import CHUNK, WITH_CONDITIONS, Absent, Condition, Listed, Matches, Stored, Unfinished, parts
from reconciler.stores.contact import Contact, mistake
from reconciler.stores.headers import Headers
from reconciler.stores.pace import keep_pace
from reconciler.stores.pages import Pages
from reconciler.stores.parts import MAX_SIZE, MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ErrorTypeDef, GetObjectOutputTypeDef

    from reconciler.oci.spec import Digest
    from reconciler.stores.buckets import R2, S3

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

COPY_PART = 1024 * MIB
"""Bytes that one request has the server copy. R2 takes 4.995 GiB, but the answer has to come within `READ_TIMEOUT`."""

BUFFER_BYTES = 6 * parts.PART_SIZE
"""Bytes of bodies and parts that all uploads of one store hold in memory at once."""

SMALL = MIB
"""Bytes of a body up to which it gets a buffer of its own length: one of a part is slower to cut than that to send."""

PART_WORKERS = 8
"""Threads that send parts, for all uploads of one store together: as many as there are uploads at once."""

MAX_CONNECTIONS = 300
"""More than the callers' threads, the clients of `serve` and those that send parts, so that none is made twice."""

CONNECT_TIMEOUT, READ_TIMEOUT = 10, 60
"""Seconds."""

FIRST_ANSWER = 60.0
"""Seconds that the first answer of a server may take, all attempts together."""

ATTEMPTS = 6
"""With waits of up to 0.5, 1, 2, 4 and 8 seconds between them: R2 allows one write a second on one key."""

DELETE_BATCH = 1000
"""Keys in one DeleteObjects request, the most that S3 and R2 take."""

_NO_CREDENTIALS = (
    "no credentials; set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, or give boto3 its own "
    "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws)"
)


def open_bucket(config: R2 | S3, bucket: str, environ: Mapping[str, str], workers: int = PART_WORKERS) -> S3Store:
    """The store in `bucket`, which need not be the one of `config`, for `workers` uploads at once. Sends nothing yet.

    Raises `StoreDenied` for half a pair of credentials or an AWS profile that does not exist, `StoreError` for an
    endpoint that is no URL.
    """
    name = f"{config.type}://{bucket}"
    try:
        client = _client(_session(name, environ), config.endpoint_url, config.region, workers)
        contact = Contact(f"{name} at {client.meta.endpoint_url}", FIRST_ANSWER)
        _watch(client, contact)
        return S3Store(name, bucket, client, contact, workers)
    except (boto.BotoCoreError, ValueError) as error:
        raise _translated(name, error) from error
    except Unreachable as error:
        raise StoreUnreachable(name, str(error)) from None


def _session(name: str, environ: Mapping[str, str]) -> Session:
    """A session with the credentials of `environ`, or one that finds its own when it first needs them."""
    key, secret = environ.get("R2_ACCESS_KEY_ID"), environ.get("R2_SECRET_ACCESS_KEY")
    if bool(key) != bool(secret):
        is_set, is_not = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY") if key else ("SECRET_ACCESS_KEY", "ACCESS_KEY_ID")
        raise StoreDenied(name, f"R2_{is_set} is set but R2_{is_not} is not; set both or neither")
    core = get_session()
    core.register_component("data_loader", _Models(core.get_component("data_loader").search_paths))
    if core.get_config_variable("ca_bundle") is None:
        core.set_config_variable("ca_bundle", bundle(os.environ))
    return Session(key or None, secret or None, botocore_session=core)


class _Models(Loader):
    """Takes every folder for a service: boto3 would look into those of 400 services, twice, before it reads one."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(extra_search_paths=list(paths), include_default_search_paths=False)

    def list_available_services(self, type_name: str) -> list[str]:
        del type_name
        return [name for path in self.search_paths if os.path.isdir(path) for name in os.listdir(path)]  # noqa: PTH112, PTH208 they are strings


def _client(session: Session, endpoint: str | None, region: str | None, workers: int) -> S3Client:
    client: S3Client = session.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region or session.region_name or "us-east-1",
        config=Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            max_pool_connections=max(MAX_CONNECTIONS, 4 * workers),
            tcp_keepalive=True,
            proxies=_proxies(endpoint),
        ),
    )
    client.meta.events.unregister("before-call.s3", add_expect_header)
    keep_pace(client)
    return client


def _proxies(endpoint: str | None) -> dict[str, str] | None:
    """The proxy to an endpoint of ours, by scheme; None: botocore finds it, as it does for Amazon's own.

    Raises ValueError for one that botocore has no use for.
    """
    if endpoint is None:
        return None
    parts, proxies = urlsplit(endpoint), read_proxies(os.environ)
    proxy = proxies.of(parts.scheme, parts.hostname or "", parts.port)
    if proxy and proxy.is_socks:
        why = f"buckets can be reached through HTTP proxies only, and the environment names {proxy}"
        if parts.scheme in proxies.named:
            raise ValueError(f"{why}; name another one, or put {parts.hostname} into NO_PROXY")
        logger.warning("%s: %s in ALL_PROXY; it is asked directly", parts.hostname, why)
        return {}
    if proxy is None:
        return {}
    return {parts.scheme: proxy.url}


def _watch(client: S3Client, contact: Contact) -> None:
    """Has requests say what servers need that are not R2, and answers looked at before botocore reads them."""
    follows_regions = urlsplit(client.meta.endpoint_url).netloc.endswith(_AMAZON)

    def before_call(params: dict[str, Any], **_: object) -> None:
        contact.asked()
        # Else botocore answers any redirect by asking for the bucket's region, which is redirected in turn, and so on.
        params["context"].get("s3_redirect", {})["redirected"] = not follows_regions

    def before_parse(response_dict: dict[str, Any], **_: object) -> None:
        contact.heard()
        _look_at(response_dict)

    client.meta.events.register("before-call.s3", before_call)
    client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
    client.meta.events.register_first("before-parse.s3", before_parse)


_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


def _add_md5(params: dict[str, Any], **_: object) -> None:
    """Sends the checksum that every server takes, older ones and GCS too; botocore would send a CRC32 in its place."""
    with contextlib.suppress(ValueError):  # A Python that has no MD5, by the law of its land.
        digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
        params["headers"]["Content-MD5"] = _base64(digest)
        params["context"].pop("checksum", None)


def _look_at(response: dict[str, Any]) -> None:
    """Raises `_WebPage` for a page in the place of an answer, and takes out a time that botocore could not read."""
    headers, body = response["headers"], response["body"]
    if "last-modified" in headers:
        written = header_time(headers["last-modified"])
        if written is None:
            del headers["last-modified"]
        else:
            headers["last-modified"] = format_datetime(written, usegmt=True)
    if response["status_code"] < 300 and isinstance(body, bytes) and _is_page(body):
        raise _WebPage


class _WebPage(Exception):
    """A sign-in page of a network, say, or the home page of another server."""


def _is_page(body: bytes) -> bool:
    return body[:256].lstrip().lower().startswith((b"<!doctype html", b"<html"))


class S3Store:
    """The `Store` in one bucket. Many threads may use it at once."""

    def __init__(self, name: str, bucket: str, client: S3Client, contact: Contact, workers: int) -> None:
        self._name = name
        self._bucket = bucket
        self._client = client
        self._contact = contact
        self._buffers = _Buffers(BUFFER_BYTES)
        self._senders = ThreadPoolExecutor(workers, thread_name_prefix="part")
        self._check: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return self._name

    def get(self, key: str) -> Stored | None:
        def whole() -> Stored:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                content = body.read()
                if _is_page(content) and not key.endswith(".html"):
                    raise _WebPage
                now = _now(answer)
                return Stored(content, answer["ETag"], _age(answer, now), now, _headers(answer))

        return self._found(key, whole)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        part = _part(start, length)
        answer = self._found(key, lambda: self._client.get_object(Bucket=self._bucket, Key=key, **part))
        return self._chunks(key, answer["Body"]) if answer else None

    def size(self, key: str) -> int | None:
        return self._found(key, lambda: _size(self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]))

    def list(self, prefix: str) -> Iterator[Listed]:
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        pages = Pages(self._what(prefix))
        while True:
            with self._explained(prefix):
                page = self._patience()(self._client.list_objects_v2, **request)
                rows = [Listed(entry["Key"], _size(entry["Size"])) for entry in page.get("Contents", [])]
                if page["IsTruncated"]:
                    request["ContinuationToken"] = page["NextContinuationToken"]
                    pages.turn(page["NextContinuationToken"], rows[0].key if rows else None)
            yield from rows
            if not page["IsTruncated"]:
                return

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        retrying = self._writing()
        checksum = {"ChecksumSHA256": _base64(hashlib.sha256(body).digest())}
        try:
            with self._explained(key), self._conditional(key, condition):
                return self._put(retrying, key, body, headers, {**checksum, **_condition(condition)})
        except PreconditionFailed:
            earlier = self.get(key) if retrying.statistics["attempt_number"] > 1 else None
            if earlier is None or earlier.body != body:
                raise
            # An attempt whose answer was lost did write: what is there is ours.
            return earlier.etag

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        if size > MAX_SIZE:
            raise StoreError(self._what(key), f"a blob of {size} bytes; the most that can be uploaded is {MAX_SIZE}")
        part_size = parts.part_size(size)
        body = _Body(chunks, size, self._what(key))
        body.begin()
        if size > part_size:
            self._multipart(key, size, headers, lambda upload_id: self._send_parts(key, upload_id, body, part_size))
            return
        checksum = {"ChecksumSHA256": _base64(bytes.fromhex(digest.hex))} if digest.algorithm == "sha256" else {}
        with self._buffers.taken(size if size <= SMALL else part_size) as buffer:
            filled = body.fill(buffer)
            with self._explained(key):
                self._put(self._writing(), key, filled, headers, checksum)

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        try:
            with self._explained(key):
                if size > COPY_PART:
                    self._copy_parts(origin, key, size, headers)
                elif not self._copy_object(origin, key, headers) and not self._is_there(key, size):
                    return False
        except _NotCopied:
            return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while batch := list(itertools.islice(waiting, DELETE_BATCH)):
            with self._explained(batch[0]):
                try:
                    refused = self._delete_many(batch)
                except boto.ClientError as error:
                    if _status(error) not in _NO_BATCHES or _code(error) == "NoSuchBucket":
                        raise
                    refused = self._delete_each(batch)
            if refused:
                first = refused[0]
                raise StoreError(
                    self._what(first.get("Key", batch[0])),
                    f"not deleted: {first.get('Code')}: {first.get('Message')}; {len(refused)} of {len(batch)} keys",
                )

    def _delete_many(self, batch: Sequence[str]) -> Sequence[ErrorTypeDef]:
        """Removes up to `DELETE_BATCH` objects by one request, and returns which were refused and why."""
        answer = self._writing()(
            self._client.delete_objects,
            Bucket=self._bucket,
            Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
        )
        return [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]

    def _delete_each(self, batch: Sequence[str]) -> Sequence[ErrorTypeDef]:
        """Removes objects one by one, and returns which were refused and why: for a server that has no other way."""
        with _all_or_none() as deletions:
            deletions.extend(self._senders.submit(self._delete_one, key) for key in batch)
            return [error for deletion in deletions if (error := deletion.result())]

    def _delete_one(self, key: str) -> ErrorTypeDef | None:
        try:
            self._writing()(self._client.delete_object, Bucket=self._bucket, Key=key)
        except boto.ClientError as error:
            if _code(error) in ("NoSuchKey", "404"):
                return None
            if _status(error) in (401, 403) or _may_pass(error):
                raise
            return {"Key": key, "Code": _code(error), "Message": error.response["Error"].get("Message", "no message")}
        return None

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        pages = Pages(self._what(prefix))
        while True:
            with self._explained(prefix):
                try:
                    page = self._patience()(self._client.list_multipart_uploads, **request)
                except boto.ClientError as error:
                    if _status(error) == 501:
                        # A server that cannot list them: whatever it does about them, we can do nothing.
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
        with self._explained(upload.key), contextlib.suppress(self._client.exceptions.NoSuchUpload):
            self._writing()(
                self._client.abort_multipart_upload, Bucket=self._bucket, Key=upload.key, UploadId=upload.name
            )

    def guarded(self, check: Callable[[], None]) -> S3Store:
        guarded = copy.copy(self)
        guarded._check = check
        return guarded

    def _what(self, key: str) -> str:
        return f"{self._name}/{key}"

    def _writing(self) -> Retrying:
        """The patience for what changes something: a writer that has to stop does so between two attempts as well."""
        return self._patience().copy(before=lambda _: self._check())

    def _patience(self) -> Retrying:
        return _patience(self._contact)

    def _found(self, key: str, read: Callable[[], Answer]) -> Answer | None:
        """What `read` returns, None if there is no such key."""
        with self._explained(key):
            try:
                return self._patience()(read)
            except boto.ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):  # A HEAD has no body to name a code in.
                    return None
                raise

    def _chunks(self, key: str, body: StreamingBody) -> Generator[bytes, None, None]:
        with contextlib.closing(body), self._explained(key):
            yield from body.iter_chunks(CHUNK)

    def _put(
        self, retrying: Retrying, key: str, body: bytes | bytearray, headers: Headers, extra: Mapping[str, str]
    ) -> str:
        answer = retrying(
            self._client.put_object,
            Bucket=self._bucket,
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
        with _not_copied():
            answer = self._writing()(
                self._client.copy_object,
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": self._bucket, "Key": origin},
                MetadataDirective="REPLACE",
                ContentType=headers.content_type,
                CacheControl=headers.cache_control,
            )
        return bool(answer.get("CopyObjectResult", {}).get("ETag"))

    def _copy_parts(self, origin: str, key: str, size: int, headers: Headers) -> None:
        part_size = max(COPY_PART, parts.part_size(size))

        def send(upload_id: str) -> Sequence[CompletedPartTypeDef]:
            with _all_or_none() as copies:
                for number, start in enumerate(range(0, size, part_size), 1):
                    wanted = f"bytes={start}-{min(start + part_size, size) - 1}"
                    copies.append(self._senders.submit(self._copy_part, origin, key, upload_id, number, wanted))
                return [future.result() for future in copies]

        self._multipart(key, size, headers, send)

    def _copy_part(self, origin: str, key: str, upload_id: str, number: int, wanted: str) -> CompletedPartTypeDef:
        with _not_copied():
            answer = self._writing()(
                self._client.upload_part_copy,
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": self._bucket, "Key": origin},
                CopySourceRange=wanted,
                UploadId=upload_id,
                PartNumber=number,
            )
        etag = answer.get("CopyPartResult", {}).get("ETag")
        if not etag:
            raise _NotCopied
        return {"ETag": etag, "PartNumber": number}

    def _multipart(
        self, key: str, size: int, headers: Headers, send: Callable[[str], Sequence[CompletedPartTypeDef]]
    ) -> None:
        """A multipart upload of what `send` sends, given up on any error, so that nothing of it is kept or paid for."""
        with self._explained(key):
            upload_id = self._writing()(
                self._client.create_multipart_upload,
                Bucket=self._bucket,
                Key=key,
                ContentType=headers.content_type,
                CacheControl=headers.cache_control,
            )["UploadId"]
        try:
            sent = send(upload_id)
            with self._explained(key):
                self._complete(key, upload_id, sent, size)
        except BaseException:
            # What is left if this fails too, R2 removes after 7 days; the error to report is the first one.
            with contextlib.suppress(boto.BotoCoreError, boto.ClientError):
                self._patience()(self._client.abort_multipart_upload, Bucket=self._bucket, Key=key, UploadId=upload_id)
            raise

    def _send_parts(self, key: str, upload_id: str, body: _Body, part_size: int) -> Sequence[CompletedPartTypeDef]:
        """Sends every part and returns their ETags, in order. On an error it returns when no part is on its way."""
        sent = []
        with _all_or_none() as waiting:
            for number in itertools.count(1):
                if not body.left:
                    break
                waiting.append(self._send_next(key, upload_id, number, body, part_size))
                while waiting and waiting[0].done():
                    sent.append(waiting.popleft().result())
            sent.extend(future.result() for future in waiting)
        return sent

    def _send_next(
        self, key: str, upload_id: str, number: int, body: _Body, part_size: int
    ) -> Future[CompletedPartTypeDef]:
        """Fills the next part and hands it to the pool. Its buffer is free when it is sent."""
        with contextlib.ExitStack() as taken:
            part = body.fill(taken.enter_context(self._buffers.taken(part_size)))
            future = self._senders.submit(self._send_part, key, upload_id, number, part)
            release = taken.pop_all().close
        future.add_done_callback(lambda _: release())
        return future

    def _send_part(self, key: str, upload_id: str, number: int, body: bytearray) -> CompletedPartTypeDef:
        with self._explained(key):
            answer = self._writing()(
                self._client.upload_part,
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=body,
            )
            return {"ETag": answer["ETag"], "PartNumber": number}

    def _complete(self, key: str, upload_id: str, sent: Sequence[CompletedPartTypeDef], size: int) -> None:
        """Has the server make the parts one object. What its answer does not say is looked up."""
        retrying = self._writing()
        try:
            answer = retrying(
                self._client.complete_multipart_upload,
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": sent},
            )
        except boto.ClientError as error:
            # An attempt whose answer was lost may have completed it; then the upload is no more, but the object is.
            lost_answer = _code(error) == "NoSuchUpload" and retrying.statistics["attempt_number"] > 1
            if not (lost_answer and self._is_there(key, size)):
                raise
        else:
            if not answer.get("ETag") and not self._is_there(key, size):
                raise StoreError(
                    self._what(key),
                    f"the server answered 200 to the last request of an upload, but has no object of {size} bytes "
                    "there; nothing was published. Apply again; if that does not help, see the server's log",
                )

    def _is_there(self, key: str, size: int) -> bool:
        return any(row.key == key and row.size == size for row in self.list(key))

    @contextlib.contextmanager
    def _conditional(self, key: str, condition: Condition | None) -> Iterator[None]:
        """Says so where it is the condition of a write that the server does not know."""
        try:
            yield
        except boto.ClientError as error:
            if condition is None or not (_status(error) == 501 or _code(error) == "NotImplemented"):
                raise
            why = f"{_answer(error)}. This server has no conditional writes ({' and '.join(_CONDITIONS)}), without "
            needs = "which two runs could overwrite each other's lock and mirror index. Use a store that has them"
            raise ConditionsRefused(self._what(key), f"{why}{needs}: {WITH_CONDITIONS}") from error

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Every error of boto3 leaves as one of ours."""
        try:
            yield
        except (boto.BotoCoreError, boto.ClientError) as error:
            self._contact.left()
            raise _translated(self._what(key), error, self._contact) from error
        except _WebPage:
            raise StoreError(
                self._what(key),
                f"a web page came in the place of an answer of S3 from {self._client.meta.endpoint_url}; "
                "check the endpoint, and whether the network wants you to sign in",
            ) from None
        except KeyError as error:
            raise StoreError(self._what(key), f"{_NOT_UNDERSTOOD} it lacks {error}; check the endpoint") from error
        except (ResponseParserError, ValueError, OverflowError, RuntimeError) as error:
            # All but the first: a size or a time that is none, which botocore converts without a look.
            raise StoreError(self._what(key), f"{_NOT_UNDERSTOOD} {error}; check the endpoint") from error


class _NotCopied(Exception):
    """There is nothing to copy, or the server does not do it."""


@contextlib.contextmanager
def _not_copied() -> Iterator[None]:
    """Says so of the errors after which the bytes have to come from elsewhere."""
    try:
        yield
    except boto.ClientError as error:
        if _code(error) in _CANNOT_COPY or _status(error) == 501:
            raise _NotCopied from error
        raise


@contextlib.contextmanager
def _all_or_none() -> Iterator[deque[Future[Any]]]:
    """For futures of requests: when the block is left, none is on its way any more."""
    waiting: deque[Future[Any]] = deque()
    try:
        yield waiting
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


_NOTHING = memoryview(bytes(parts.PART_SIZE))
"""Pages of zeros that are never written to, so that they take no memory."""


class _Buffers:
    """Memory for parts and bodies that many threads share. First come, first served: none starves.

    Buffers of `PART_SIZE` bytes are kept and handed out again, the last one first: an allocator would keep more. One
    that was cut to the end of a stream gets its length back. Those that are kept and those that are lent are never more
    than `size` bytes together.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._spare: list[bytearray] = []
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[bytearray]:
        """Waits until there is room for a buffer of `size` bytes and lends it for the length of the block."""
        held = min(size, self._size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
            buffer = self._spare.pop() if self._spare and size == parts.PART_SIZE else None
            del self._spare[self._free // parts.PART_SIZE :]
        try:
            buffer = buffer or bytearray(size)
            yield buffer
        finally:
            with self._changed:
                self._free += held
                if buffer is not None and size == parts.PART_SIZE:
                    buffer.extend(_NOTHING[: size - len(buffer)])
                    self._spare.append(buffer)
                self._changed.notify()


class _Body:
    """A stream of `size` bytes that is cut into parts; `left` of them are still to come. `what` names it in errors."""

    def __init__(self, chunks: Iterator[bytes], size: int, what: str) -> None:
        self.size = self.left = size
        self._chunks = chunks
        self._came = 0
        self._rest = memoryview(b"")
        self._what = what

    def begin(self) -> None:
        """Waits for the first bytes, for whoever has to wait for a turn at the source is not to hold a buffer."""
        self._more()

    def fill(self, buffer: bytearray) -> bytearray:
        """The next part: `buffer` itself, filled, and cut where that is the end of the stream.

        Raises `StoreError` if the stream has not `size` bytes, and what it raises. The last part comes out only after
        the stream has ended without an error.
        """
        with memoryview(buffer) as view:
            wanted = filled = min(len(buffer), self.left)
            while wanted:
                cut = self._more()[:wanted]
                if not cut:
                    raise self._wrong_size(self._came)
                view[filled - wanted : filled - wanted + len(cut)] = cut
                self._rest = self._rest[len(cut) :]
                wanted -= len(cut)
        self.left -= filled
        if not self.left and self._more():
            raise self._wrong_size(f"{self._came} or more")
        del buffer[filled:]
        return buffer

    def _more(self) -> memoryview:
        """What has come and is in no part yet: nothing at the end of the stream."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._came += len(chunk)
            self._rest = memoryview(chunk)
        return self._rest

    def _wrong_size(self, came: object) -> StoreError:
        return StoreError(self._what, f"expected {self.size} bytes, got {came}; nothing was written")


def _now(answer: GetObjectOutputTypeDef) -> datetime:
    """The time by the server's clock, to the second; by this machine's if it does not say."""
    return header_time(answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")) or datetime.now(UTC)


def _age(answer: GetObjectOutputTypeDef, now: datetime) -> float:
    """Seconds since the object was written: both ends by the server's clock. 0 if it does not say."""
    written: datetime | None = answer.get("LastModified")
    return max(0.0, (now - written).total_seconds()) if written else 0.0


def _headers(answer: GetObjectOutputTypeDef) -> Headers:
    return Headers(answer.get("ContentType", ""), answer.get("CacheControl", ""), answer.get("ContentLanguage", ""))


def _size(size: int) -> int:
    """A size that the server told. Raises ValueError for one that cannot be."""
    if not 0 <= size < 2**63:
        raise ValueError(f"it names a size of {size} bytes")
    return size


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


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _patience(contact: Contact) -> Retrying:
    """Calls again what may succeed the next time; after the last attempt the error of that attempt is raised."""
    return Retrying(
        retry=retry_if_exception(lambda error: _may_pass(error) and not _is_hopeless(error, contact)),
        wait=wait_random_exponential(multiplier=0.5, max=8),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )


_NOT_UNDERSTOOD = "the server's answer cannot be understood,"

_BROKEN_CONNECTION = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError)
_BUSY = (429, 500, 502, 503, 504)
_BUSY_CODES = ("ConditionalRequestConflict", "RequestTimeout", "SlowDown", "TooManyRequests", "BadDigest")


def _may_pass(error: BaseException) -> bool:
    match error:
        case boto.ClientError():
            return _status(error) in _BUSY or _code(error) in _BUSY_CODES
        case _:
            return isinstance(error, _BROKEN_CONNECTION)


def _is_hopeless(error: BaseException, contact: Contact) -> bool:
    if isinstance(error, boto.ClientError):
        return False
    return contact.is_hopeless(error, READ_TIMEOUT if isinstance(error, boto.ReadTimeoutError) else CONNECT_TIMEOUT)


def _status(error: boto.ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def _code(error: boto.ClientError) -> str:
    return error.response["Error"].get("Code", "")


_CONDITIONS = ("If-None-Match", "If-Match")

_NO_BATCHES = (400, 404, 405, 411, 501)
"""What servers answer that do not remove several objects by one request, or want another checksum of that."""


_CANNOT_COPY = ("NoSuchKey", "InvalidRange")
"""What servers answer where the object is gone, or has other bytes than it was listed with."""


_CREDENTIAL_ERRORS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.ProfileNotFound,
    boto.SSOError,
)
_DENIED = {
    "AccessDenied": "the credentials may not do this; give the token read and write access to this bucket",
    "ExpiredToken": "the credentials have run out; get new ones",
    "InvalidAccessKeyId": "the server does not know this access key; check the key and the account",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "SignatureDoesNotMatch": "the secret does not belong to the access key; check R2_SECRET_ACCESS_KEY",
    "Unauthorized": "the server refuses the credentials; check the key, its secret, the account and the jurisdiction",
}


def _translated(what: str, error: Exception, contact: Contact | None = None) -> StoreError:
    """What an error of boto3 means to the user, and what to do about it."""
    match error:
        case boto.ClientError():
            return _answered(what, error)
        case boto.NoCredentialsError():
            return StoreDenied(what, _NO_CREDENTIALS)
        case _ if isinstance(error, _CREDENTIAL_ERRORS):
            return StoreDenied(what, f"the credentials cannot be read: {error}")
        case _ if isinstance(error, _BROKEN_CONNECTION):
            return StoreUnreachable(what, _unanswered(error, contact))
        case _:
            return StoreError(what, f"{error}; check the store's settings")


def _unanswered(error: Exception, contact: Contact | None) -> str:
    advice = mistake(error) or "check the network and the endpoint"
    if contact is None or not _is_hopeless(error, contact):
        return f"no answer after {ATTEMPTS} attempts: {error}; {advice}"
    if mistake(error):
        return f"no answer: {error}; {advice}"
    return f"no answer within {FIRST_ANSWER:.0f} s: {error}; {advice}"


def _answer(error: boto.ClientError) -> str:
    message = error.response["Error"].get("Message", "no message")
    return f"the server answered {_status(error)} {_code(error)}: {message}"


def _answered(what: str, error: boto.ClientError) -> StoreError:
    status, code, answer = _status(error), _code(error), _answer(error)
    if status == 412 or code == "NoSuchKey":
        return PreconditionFailed(what, "somebody else has created, changed or removed it in the meantime")
    if code == "NoSuchBucket":
        return StoreError(what, "there is no such bucket; create it, or check its name, account and jurisdiction")
    if status in (401, 403):
        hint = _DENIED.get(code, "check the credentials and what they may do")
        return StoreDenied(what, f"{answer}; {hint}")
    if _may_pass(error):
        return StoreUnreachable(what, f"{answer}, after {ATTEMPTS} attempts; try again later")
    if 300 <= status < 400:
        return StoreError(what, f"the server answered {status}, a redirect{_to(error)}")
    return StoreError(what, answer)


def _to(error: boto.ClientError) -> str:
    """Where a redirect leads, as far as anybody may be told: the rest of such a URL may be signed."""
    url = urlsplit(error.response["ResponseMetadata"]["HTTPHeaders"].get("location", ""))
    if not url.hostname:
        return ", which is not followed; check the endpoint and the region"
    place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    return f" to {place}, which is not followed; if that is the store, write endpoint_url: {place}"
