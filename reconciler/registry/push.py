"""Uploads one blob to a registry (OCI distribution specification 1.1, "Pushing blobs").

A blob goes with one PUT where the registry takes that, and else in chunks. An upload that breaks is resumed where the
registry says that it got to, or begins anew. Whether a blob arrived is asked after each unclear answer to the last
request: it may have been carried out although its answer was lost.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import StoreError, StoreUnreachable
from reconciler.frozen import Frozen
from reconciler.http.bodies import read_start
from reconciler.http.faults import NOT_ANSWERED, explained
from reconciler.http.patience import Patience, Unavailable
from reconciler.regex import expression
from reconciler.registry.powers import Can
from reconciler.registry.refusals import refused

if TYPE_CHECKING:
    from reconciler.oci.spec import Descriptor
    from reconciler.registry.place import Place
    from reconciler.registry.reading import Reading
    from reconciler.sources.registry import Body, Sent

BREAKS = 3
BYTES_A_BREAK = 64 * 1024 * 1024
"""How often an upload may break. Every `BYTES_A_BREAK` that the registry confirms earn one more break."""

LEAST_CHUNK = 256 * 1024
"""Bytes. A registry that takes no body of this size takes no blobs."""

MAX_LEAST_CHUNK = 1024**3
"""Bytes. A registry that wants larger chunks than this is not obeyed."""

MAX_TURNS = 64
"""Changes of the way of an upload, e.g. to smaller chunks or to another host, after which it is given up."""

_OTHER_WAY = (400, 404, 405, 411, 415, 416, 422, 501)
"""Answers of registries that take blobs another way: not whole, or not in chunks."""

_GONE = (404, 410)
_RANGE = expression(r"(?:bytes=)?0-([0-9]{1,18})")
_OCTETS = {"Content-Type": "application/octet-stream"}


class Session(Frozen):
    """An upload session.

    location  where its next request goes
    offset    the bytes that the registry has; None: to be asked
    least     the bytes that a chunk has to have, except for the last one
    """

    location: str
    offset: int | None = 0
    least: int = 0


def cancel(at: Place, session: Session) -> None:
    """Cancels a session, so that the registry need not keep what it has of it. Failures change nothing."""
    with contextlib.suppress(Exception):
        at.registry.send("DELETE", session.location, at.scope, {})


class _Again(Exception):
    """The upload goes on in another way.

    why    for the error if it was the last time
    costs  counts as a break
    wait   the seconds to wait at least; None: it goes on at once
    """

    def __init__(self, why: str, *, costs: bool = False, wait: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.costs = costs
        self.wait = wait


class _Breaks:
    """Counts the breaks of one upload, and waits between its attempts."""

    def __init__(self, patience: Patience, what: str) -> None:
        self._patience = patience
        self._what = what
        self._spare = float(BREAKS)
        self._failures = 0
        self._limited = 0.0

    def wait(self, failure: _Again, gained: int, left: float) -> None:
        """Waits for the next attempt. Raises `StoreUnreachable` if there is to be none.

        gained  the bytes that the last attempt brought
        left    the seconds that the run has left
        """
        self._spare = min(self._spare + max(0, gained) / BYTES_A_BREAK, BREAKS) - failure.costs
        if self._spare < 0 or self._limited > self._patience.limits:
            raise StoreUnreachable(self._what, f"its upload breaks off again and again, the last time: {failure.why}")
        self._failures = 1 if gained > 0 else self._failures + 1
        if not failure.costs and failure.wait is None:
            return
        pause = self._patience.pause(self._failures, failure.wait)
        if pause > left:
            raise StoreUnreachable(self._what, f"its upload was not done when the time of the run ended: {failure.why}")
        # A rate limit says itself when it ends, so that it is no break; but it has a bound of its own.
        self._limited += 0.0 if failure.costs else pause
        self._patience.sleep(pause)


class Upload:
    """Uploads one blob. Used by one thread.

    session  one that is open already; None: one is opened when it is needed
    """

    def __init__(self, at: Place, blob: Descriptor, reading: Reading, session: Session | None) -> None:
        self._at = at
        self._known = at.known
        self._registry = at.registry
        self._blob = blob
        self._what = at.what(str(blob.digest))
        self._reading = reading
        self._session = session
        self._turns = 0
        self._is_last = False

    def run(self) -> None:
        """Uploads the blob. Raises `StoreError`, `ReadFailed`, and what `translated` translates."""
        try:
            self._run()
        except Exception:
            self._cancel()
            raise
        finally:
            self._reading.close()

    def _run(self) -> None:
        breaks = _Breaks(self._registry.patience, self._what)
        while True:
            before = self._reached
            failure = self._tried()
            if failure is None or (self._is_last and self._at.has_blob(self._blob)):
                return
            breaks.wait(failure, self._reached - before, self._registry.time_left)
            if failure.costs and self._session:
                self._session = replace(self._session, offset=None)

    @property
    def _reached(self) -> int:
        return self._session.offset or 0 if self._session else 0

    def _tried(self) -> _Again | None:
        """Sends what is left to send. Returns why that did not end the upload; None if it did."""
        try:
            self._attempt()
        except _Again as again:
            return again
        except Unavailable as error:
            return _Again(str(error), costs=not error.is_limit, wait=error.wait or 0.0)
        except NOT_ANSWERED as error:
            return _Again(explained(error, self._registry.name), costs=True, wait=0.0)
        return None

    def _attempt(self) -> None:
        self._is_last = False
        session = self._session = self._session or self._opened()
        if session.offset is None:
            session = self._session = self._asked(session)
        if self._goes_whole(session):
            self._put_whole(session)
            return
        while self._reached < self._blob.size:
            session = self._session = self._patched(session, self._reached)
        self._commit(session)

    def _goes_whole(self, session: Session) -> bool:
        powers = self._known.powers
        fits = powers.most_at_once is None or self._blob.size <= powers.most_at_once
        return session.offset == 0 and powers.monolithic is not Can.NO and (fits or powers.chunked is Can.NO)

    # Sessions

    def _opened(self) -> Session:
        sent = self._at.post_upload()
        return opened_by(self._at, sent, self._what)

    def _asked(self, session: Session) -> Session:
        """Asks how far the upload got. Begins a new one if the registry has forgotten it, or cannot resume."""
        if self._known.powers.chunked is Can.NO:
            return self._anew()
        sent = self._registry.patiently(lambda: self._send("GET", session.location))
        if not sent.response.is_success:
            return self._anew()
        got = _RANGE.fullmatch(sent.response.headers.get("Range", ""))
        # `0-0` is what registries say of an empty upload; of one byte it would be true as well.
        offset = int(got[1]) + 1 if got and got[1] != "0" else 0
        if offset > self._blob.size:
            return self._anew()
        return replace(session, location=self._next(session, sent), offset=offset)

    def _anew(self) -> Session:
        self._cancel()
        return self._opened()

    def _next(self, session: Session, sent: Sent) -> str:
        """The URL of the next request: where the answer says, else where it was before."""
        return self._registry.location(sent) if "Location" in sent.response.headers else session.location

    def _cancel(self) -> None:
        """Cancels the session, so that the registry need not keep what it has of it. Failures change nothing."""
        session, self._session = self._session, None
        if session:
            cancel(self._at, session)

    # Bytes

    def _put_whole(self, session: Session) -> None:
        size = self._blob.size
        if not size:
            self._reading.check()
        body = (lambda: self._reading.part(0, size)) if size else b""
        self._is_last = True
        sent = self._send("PUT", self._with_digest(session), {**_OCTETS, "Content-Length": str(size)}, body)
        if self._is_done(sent):
            return
        self._follow(session, sent)
        if sent.status == 413:
            self._shrink(size, session, sent)
        # Another upload may have found that out while this one was on its way.
        if sent.status in _OTHER_WAY and not self._is_wrong(sent) and self._known.powers.monolithic is not Can.YES:
            self._known.learn(monolithic=Can.NO)
            raise self._another_way("it does not take a blob with one request")
        raise self._refusal(sent)

    def _patched(self, session: Session, offset: int) -> Session:
        """Sends one chunk, and returns where the upload is then."""
        count = self._chunk(session, offset)
        span = {"Content-Range": f"{offset}-{offset + count - 1}", "Content-Length": str(count)}
        body = lambda: self._reading.part(offset, count)  # noqa: E731
        sent = self._send("PATCH", session.location, {**_OCTETS, **span}, body)
        if sent.response.is_success:
            return self._confirmed(session, sent, offset, count)
        self._follow(session, sent)
        if sent.status == 413:
            self._shrink(count, session, sent)
        if sent.status == 416:
            raise _Again("it expects another part of the blob (416)", costs=True)
        if sent.status in _GONE and offset:
            self._session = None
            raise _Again("it has forgotten the upload", costs=True)
        if sent.status in _OTHER_WAY and offset == 0 and self._known.powers.chunked is not Can.YES:
            self._not_in_chunks()
        raise self._refusal(sent)

    def _confirmed(self, session: Session, sent: Sent, offset: int, count: int) -> Session:
        got = _RANGE.fullmatch(sent.response.headers.get("Range", ""))
        reached = int(got[1]) + 1 if got else offset + count
        if not offset < reached <= offset + count:
            raise _Again(f"it confirms {reached} bytes of an upload of {offset + count}", costs=True)
        return replace(session, location=self._next(session, sent), offset=reached)

    def _commit(self, session: Session) -> None:
        """Ends an upload in chunks."""
        # A token may have grown old while the chunks were sent, and a refusal would cost the whole upload.
        self._registry.renew(self._at.scope)
        self._is_last = True
        sent = self._send("PUT", self._with_digest(session), {**_OCTETS, "Content-Length": "0"}, b"")
        if self._is_done(sent):
            if self._known.powers.chunked is Can.UNKNOWN:
                self._known.learn(chunked=Can.YES)
            return
        self._follow(session, sent)
        if sent.status in _GONE:
            self._session = None
            raise _Again("it has forgotten the upload", costs=True)
        if sent.status in _OTHER_WAY and not self._is_wrong(sent) and self._known.powers.chunked is not Can.YES:
            self._not_in_chunks()
        raise self._refusal(sent)

    def _chunk(self, session: Session, offset: int) -> int:
        rest = self._blob.size - offset
        most = self._known.powers.most_at_once or rest
        return min(rest, max(most, session.least))

    # Answers

    def _is_done(self, sent: Sent) -> bool:
        """Whether the blob is at the registry. Raises `StoreError` if it says that it has another one."""
        if sent.response.is_success:
            self._at.compare(sent, self._blob.digest, self._what)
            # Anything but 201 and 204 leaves open whether it is there.
            return sent.status in (201, 204) or self._at.has_blob(self._blob)
        return not sent.response.has_redirect_location and self._at.has_blob(self._blob)

    def _is_wrong(self, sent: Sent) -> bool:
        return b"DIGEST_INVALID" in read_start(sent.response)

    def _refusal(self, sent: Sent) -> Exception:
        """Returns what to raise for an answer to which there is no other way."""
        if self._is_wrong(sent):
            # Our own hash was right, so the bytes changed on their way, or in an upload that was resumed.
            self._cancel()
            return _Again("it received other bytes than were sent (DIGEST_INVALID)", costs=True)
        return refused(sent, self._registry, self._what, "take this blob")

    def _follow(self, session: Session, sent: Sent) -> None:
        """Goes on elsewhere if the answer redirects the request."""
        if sent.response.has_redirect_location:
            self._session = replace(session, location=self._registry.location(sent))
            self._turn(sent)
            raise _Again("it redirects the upload")

    def _shrink(self, size: int, session: Session, sent: Sent) -> None:
        """Goes on in smaller chunks, if there are any."""
        smaller = max(size // 2, LEAST_CHUNK, session.least)
        if smaller >= size or self._known.powers.chunked is Can.NO:
            raise refused(sent, self._registry, self._what, "take this blob")
        self._known.takes_at_most(smaller)
        # What it has of the chunk is to be asked; a whole blob begins anew.
        self._turn(sent)
        self._session = replace(session, offset=None)
        raise _Again(f"it takes no body of {size} bytes (413)")

    def _not_in_chunks(self) -> None:
        if self._known.powers.monolithic is not Can.NO:
            self._known.learn(chunked=Can.NO)
            raise self._another_way("it does not take a blob in chunks")

    def _another_way(self, why: str) -> _Again:
        self._cancel()
        return _Again(why)

    def _turn(self, sent: Sent) -> None:
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise StoreError(
                self._what, f"its upload does not end: {self._registry.name} answered {sent.status} again and again"
            )

    def _with_digest(self, session: Session) -> str:
        # Its query is the registry's own, and is kept to the letter: it may be signed.
        return f"{session.location}{'&' if '?' in session.location else '?'}digest={self._blob.digest}"

    def _send(self, method: str, url: str, headers: dict[str, str] | None = None, body: Body = None) -> Sent:
        return self._registry.send(method, url, self._at.scope, headers or {}, body)


def opened_by(at: Place, sent: Sent, what: str) -> Session:
    """Returns the session that an answer to a POST opens. Raises `StoreError` if it opens none."""
    if sent.status not in (201, 202):
        raise refused(sent, at.registry, what, "open an upload")
    least = sent.response.headers.get("OCI-Chunk-Min-Length", "")
    number = int(least) if re.fullmatch("[0-9]{1,12}", least) else 0
    return Session(at.registry.location(sent), 0, number if number <= MAX_LEAST_CHUNK else 0)
