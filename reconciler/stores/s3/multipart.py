"""Objects that are too long for one request: in parts that are sent, or that the server copies."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from typing import TYPE_CHECKING, Any

import botocore.exceptions as boto

from reconciler.errors import StoreError
from reconciler.stores import parts
from reconciler.stores.s3.patience import code_of, status_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CreateMultipartUploadOutputTypeDef

    from reconciler.stores.headers import Headers
    from reconciler.stores.s3.bucket import BucketClient
    from reconciler.stores.s3.buffers import Body, Buffers

COPY_PART = parts.COPY_PART


class Multipart:
    """Multipart uploads to one bucket, by a pool of threads and in buffers that all of them share."""

    def __init__(self, bucket: BucketClient, senders: Executor, buffers: Buffers) -> None:
        self._bucket = bucket
        self._senders = senders
        self._buffers = buffers

    def upload(self, key: str, body: Body, part_size: int, headers: Headers) -> None:
        """Sends a stream in parts of `part_size` bytes, the last of which may be shorter."""
        self._multipart(
            key, body.size, self._begin_checked(key, headers), lambda name: self._send_parts(key, name, body, part_size)
        )

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> None:
        """Has the server copy an object in parts. Raises `NotCopied` where it cannot."""
        part_size = max(COPY_PART, parts.part_size(size))

        def send(upload_id: str) -> Sequence[CompletedPartTypeDef]:
            with all_or_none() as copies:
                for number, start in enumerate(range(0, size, part_size), 1):
                    wanted = f"bytes={start}-{min(start + part_size, size) - 1}"
                    copies.append(self._senders.submit(self._copy_part, origin, key, upload_id, number, wanted))
                return [future.result() for future in copies]

        self._multipart(key, size, self._begin(key, headers, {})["UploadId"], send)

    def _copy_part(self, origin: str, key: str, upload_id: str, number: int, wanted: str) -> CompletedPartTypeDef:
        with not_copied():
            answer = self._bucket.writing()(
                self._bucket.client.upload_part_copy,
                Bucket=self._bucket.name,
                Key=key,
                CopySource={"Bucket": self._bucket.name, "Key": origin},
                CopySourceRange=wanted,
                UploadId=upload_id,
                PartNumber=number,
            )
        # As for CopyObject: the status 200 is sent before the bytes are copied.
        etag = answer.get("CopyPartResult", {}).get("ETag")
        if not etag:
            raise NotCopied
        return {"ETag": etag, "PartNumber": number}

    def _begin_checked(self, key: str, headers: Headers) -> str:
        """Begins an upload whose parts have checksums, if the server takes them."""
        announced = self._bucket.checksums.announced()
        try:
            answer = self._begin(key, headers, announced)
        except ChecksumRefused:
            answer = self._begin(key, headers, {})
            self._bucket.checksums.refused()
        self._bucket.checksums.confirmed(answer)
        return answer["UploadId"]

    def _begin(self, key: str, headers: Headers, announced: Mapping[str, Any]) -> CreateMultipartUploadOutputTypeDef:
        """Begins an upload. Raises `ChecksumRefused` for an error that the announced checksum may explain."""
        with self._bucket.explained(key):
            try:
                return self._bucket.writing()(
                    self._bucket.client.create_multipart_upload,
                    Bucket=self._bucket.name,
                    Key=key,
                    ContentType=headers.content_type,
                    CacheControl=headers.cache_control,
                    **announced,
                )
            except boto.ClientError as error:
                if announced and status_of(error) in (400, 501):
                    raise ChecksumRefused from error
                raise

    def _multipart(
        self, key: str, size: int, upload_id: str, send: Callable[[str], Sequence[CompletedPartTypeDef]]
    ) -> None:
        """Uploads the parts that `send` sends. Any error aborts the upload, so that no part is kept and paid for."""
        try:
            sent = send(upload_id)
            with self._bucket.explained(key):
                self._complete(key, upload_id, sent, size)
        except BaseException:
            # If this fails too, R2 removes the parts after 7 days. The first error is the one to report.
            with contextlib.suppress(boto.BotoCoreError, boto.ClientError):
                self._bucket.patience()(
                    self._bucket.client.abort_multipart_upload, Bucket=self._bucket.name, Key=key, UploadId=upload_id
                )
            raise

    def _send_parts(self, key: str, upload_id: str, body: Body, part_size: int) -> Sequence[CompletedPartTypeDef]:
        """Sends every part and returns their ETags, in order. After an error it waits until no part is on its way."""
        sent = []
        with all_or_none() as waiting:
            for number in itertools.count(1):
                if not body.left:
                    break
                waiting.append(self._send_next(key, upload_id, number, body, part_size))
                while waiting and waiting[0].done():
                    sent.append(waiting.popleft().result())
            sent.extend(future.result() for future in waiting)
        return sent

    def _send_next(
        self, key: str, upload_id: str, number: int, body: Body, part_size: int
    ) -> Future[CompletedPartTypeDef]:
        """Fills the next part and hands it to the pool, which frees its buffer when it is sent."""
        # The buffer outlives this call: its release passes from the block to the future, so that it is freed once the
        # part is sent, and also if `fill` or `submit` fails.
        with contextlib.ExitStack() as taken:
            part = body.fill(taken.enter_context(self._buffers.taken(part_size)))
            future = self._senders.submit(self._send_part, key, upload_id, number, part)
            release = taken.pop_all().close
        future.add_done_callback(lambda _: release())
        return future

    def _send_part(self, key: str, upload_id: str, number: int, body: bytearray) -> CompletedPartTypeDef:
        with self._bucket.explained(key):
            answer = self._bucket.writing()(
                self._bucket.client.upload_part,
                Bucket=self._bucket.name,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=body,
                **self._bucket.checksums.of(body),
            )
            part: CompletedPartTypeDef = {"ETag": answer["ETag"], "PartNumber": number}
            confirmed = self._bucket.checksums.confirmed(answer)
            return {**part, "ChecksumCRC32C": confirmed} if confirmed else part

    def _complete(self, key: str, upload_id: str, sent: Sequence[CompletedPartTypeDef], size: int) -> None:
        """Completes the upload. If the answer does not confirm that the object exists, a listing has to."""
        retrying = self._bucket.writing()
        try:
            answer = retrying(
                self._bucket.client.complete_multipart_upload,
                Bucket=self._bucket.name,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": sent},
            )
        except boto.ClientError as error:
            # An attempt whose answer was lost may have completed it; then the upload is gone, but the object is there.
            lost_answer = code_of(error) == "NoSuchUpload" and retrying.statistics["attempt_number"] > 1
            if not (lost_answer and self._bucket.is_there(key, size)):
                raise
        else:
            if not answer.get("ETag") and not self._bucket.is_there(key, size):
                raise StoreError(
                    self._bucket.what(key),
                    f"the server answered 200 to the last request of an upload, but has no object of {size} bytes "
                    "there; nothing was published. Apply again; if that does not help, see the server's log",
                )


class ChecksumRefused(Exception):
    """The server may not know the checksum that was announced for the parts of an upload."""


class NotCopied(Exception):
    """There is nothing to copy, or the server does not do it."""


@contextlib.contextmanager
def not_copied() -> Iterator[None]:
    """Translates the errors after which the bytes have to come from elsewhere."""
    try:
        yield
    except boto.ClientError as error:
        if code_of(error) in _CANNOT_COPY or status_of(error) == 501:
            raise NotCopied from error
        raise


@contextlib.contextmanager
def all_or_none() -> Iterator[deque[Future[Any]]]:
    """Collects futures of requests. When the block is left, none of them is on its way any more."""
    waiting: deque[Future[Any]] = deque()
    try:
        yield waiting
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


_CANNOT_COPY = ("NoSuchKey", "InvalidRange")
"""What servers answer where the object is gone, or has other bytes than it was listed with."""
