"""The errors that r2mirror raises on purpose, ordered by whose fault they are.

    MirrorError
    |-- UsageError            the call: a flag, a file that is not there, a plan that cannot be read
    |   |-- ExtraMissing          it needs an extra of r2mirror that is not installed
    |   `-- PatternsInvalid       its patterns: every problem
    |-- MirrorsInvalid        mirrors.yaml: every problem, each with line and column
    |-- NamedError            about one thing, which the error names
    |   |-- Malformed             a document from outside that breaks its own format
    |   |   `-- NoPlatform            an image index without an image for any wanted platform
    |   |-- SourceError           a source registry or image layout
    |   |   |-- NotFound              it does not have the thing
    |   |   |-- Denied                the credentials do not suffice, or there are none
    |   |   |   `-- LoginRefused          the login itself is refused, for everything
    |   |   |-- RateLimited           it answers 429
    |   |   |-- Unreachable           no usable answer, after retries
    |   |   |-- BadAnswer             an answer that contradicts itself, its digest or the specification
    |   |   |   `-- Unsupported           a manifest of a kind that is not mirrored
    |   |   |-- ImmutableMoved        an immutable tag points to another digest than the mirrored one
    |   |   |-- TagsCollide           `rename` gives a tag no name of its own
    |   |   |-- SignatureRefused      its image is not signed as `signed_by` requires
    |   |   |-- Unforeseen            a fault of r2mirror, triggered by its data
    |   |   `-- OutOfTime             it gets no more requests, because the run has to end
    |   |-- StoreError            the bucket or folder
    |   |   |-- StoreDenied           credentials or permissions
    |   |   |-- StoreUnreachable      no usable answer, after retries
    |   |   |-- PreconditionFailed    a conditional write failed: the object has changed since it was read
    |   |   |-- ConditionsRefused     the server has no conditional writes
    |   |   |-- Drift                 a tag of the target has a digest that r2mirror did not publish
    |   |   `-- TagImmutable          the registry does not let a tag be overwritten or deleted
    |   |-- EdgeError             Cloudflare's API
    |   |   |-- EdgeDenied            the token, or a permission that it lacks
    |   |   `-- EdgeUnreachable       no usable answer, after retries
    |   |-- IndexInvalid          the mirror index in the store cannot be read
    |   |   `-- IndexVersion          it is sound, but another release's
    |   |-- BoxInvalid            a box that is damaged, cut off, or not one
    |   |-- PublicError           the public address of a bucket, read without credentials
    |   |-- QuotaSpent            a registry gives too few manifests just now; the image is left for another run
    |   |-- LockLost              this run's lock has been taken over or broken
    |   `-- ClusterError          the Dask cluster that copies blobs
    |-- PlanRefused           a plan that may not be applied: stale, too many prunes, not confirmed
    |-- LockHeld              another run is active
    `-- Interrupted           ends a copy; never shown to the user

Leaves hold data; `__str__` writes the text for the person who has to act on it: one line, or one line for each reason.
`plain` keeps text from outside from adding more. All arguments are positional and passed on to `args`, because an error
of a Dask worker is pickled: unpickling calls the class with `args`.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.frozen import Ordered
from reconciler.words import plain


class MirrorError(Exception):
    """The root of every error that r2mirror raises on purpose.

    reason  the label that metrics count it under, one of `REASONS`
    page    what `r2mirror docs` calls the place of the documentation about it; empty if the message says enough

    A class without its own has that of its parent.
    """

    reason = "other"
    page = ""

    def __str__(self) -> str:
        return plain(super().__str__())


class UsageError(MirrorError):
    """The command line is wrong; the message says how to correct it."""


class ExtraMissing(UsageError):
    """`feature` needs an extra of r2mirror that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)
        self.feature = feature
        self.extra = extra

    def __str__(self) -> str:
        return plain(f"{self.feature} needs packages that are not installed; install r2mirror's extra `{self.extra}`")


class PatternsInvalid(UsageError):
    """Patterns on the command line cannot be used; `problems` is never empty."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(plain, self.problems))


class Problem(Ordered):
    """One problem in a user's file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    where: str
    message: str

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return plain(f"{self.file}:{self.line}:{self.column}: {where}{self.message}")


class MirrorsInvalid(MirrorError):
    """mirrors.yaml cannot be used; `problems` is never empty."""

    reason = "configuration"
    page = "mirrors"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class NamedError(MirrorError):
    """An error about one thing. `what` names it; `why` is what was expected, what was found, and what to do."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why

    def __str__(self) -> str:
        return plain(f"{self.what}: {self.why}")


class Malformed(NamedError):
    """A document from outside is not valid in its format. `what` is the document, or a part of it."""


class NoPlatform(Malformed):
    """An image index has images, but none for a wanted platform. `what` is the image."""

    reason = "no_platform"

    def __init__(self, what: str, wanted: str, offered: str) -> None:
        self.short = f"no image for {wanted}; it has {offered}"
        super().__init__(what, f"has {self.short}. Change the mirror's platforms")
        # Over those that `super` set: unpickling calls this class, not its parent.
        self.args = (what, wanted, offered)


class SourceError(NamedError):
    """A source failed. `what` is the repository with the tag or digest."""

    reason = "source"


class NotFound(SourceError):
    """The source has no such repository, tag, manifest or blob."""

    reason = "not_found"


class Denied(SourceError):
    """The source answered 401 or 403 to our credentials."""

    reason = "denied"
    page = "operations#credentials"


class LoginRefused(Denied):
    """A login is refused, or cannot be read. `what` is the registry, or the place of the login.

    It is reported once, however many repositories need it.
    """


class RateLimited(SourceError):
    """The source answered 429 until the retries were used up. `retry_after` is in seconds, None if not given."""

    reason = "rate_limited"
    page = "operations#docker-hubs-quota"

    def __init__(self, what: str, why: str, retry_after: float | None) -> None:
        super().__init__(what, why)
        self.args = (what, why, retry_after)
        self.retry_after = retry_after


class Unreachable(SourceError):
    """No usable answer: name resolution, connection, TLS, time-outs or 5xx, after retries."""

    reason = "unreachable"
    page = "operations#proxies-and-certificates"


class BadAnswer(SourceError):
    """An answer that contradicts its digest, its length, its media type or the specification."""

    reason = "bad_answer"


class Unsupported(BadAnswer):
    """A manifest that is not mirrored, because no client pulls it: Docker's schema 1, or too large."""


class ImmutableMoved(SourceError):
    """An immutable tag points to another digest at its source than the one that is mirrored."""

    reason = "moved"
    page = "waiting#immutable-tags-that-moved"


class TagsCollide(SourceError):
    """`rename` gives a tag no name of its own: it is another's too, or not a valid tag."""

    reason = "renamed"


class SignatureRefused(SourceError):
    """An image, or one of its signatures, does not satisfy `signed_by`. `what` is the image, or the signature."""

    reason = "signature"
    page = "signatures#images-that-fail-verification"


class Unforeseen(SourceError):
    """An exception of another class than these, raised while data of a source was handled."""


class OutOfTime(SourceError):
    """The time of the run is over. `what` is what it would have done next."""

    reason = "out_of_time"


class StoreError(NamedError):
    """A store operation failed. `what` is the store and key."""

    reason = "store"


class StoreDenied(StoreError):
    """The store refuses the credentials, or none are configured."""

    page = "operations#credentials"


class StoreUnreachable(StoreError):
    """No usable answer from the store, after retries."""

    page = "operations#proxies-and-certificates"


class PreconditionFailed(StoreError):
    """A conditional write was refused, because the object has changed since it was read."""


class ConditionsRefused(StoreError):
    """The server does not support conditional writes, without which nothing can be published."""

    page = "operations#when-something-goes-wrong"


class TagImmutable(StoreError):
    """The registry does not let a tag be overwritten or deleted. `what` is the tag."""


class Drift(StoreError):
    """A tag of the target has a digest that r2mirror did not publish. `what` is the tag."""

    reason = "drift"
    page = "reliability#drift"


class EdgeError(NamedError):
    """A call of Cloudflare's API failed. `what` describes the call."""


class EdgeDenied(EdgeError):
    """The token is not valid, or lacks a permission that the message names."""

    page = "edge#the-token"


class EdgeUnreachable(EdgeError):
    """No usable answer from Cloudflare's API, after retries."""


class IndexInvalid(NamedError):
    """The mirror index in the store cannot be read. `what` is the store and key."""

    reason = "index"
    page = "operations#when-something-goes-wrong"


class IndexVersion(IndexInvalid):
    """The mirror index is of a version that this release does not support."""


class BoxInvalid(NamedError):
    """A box cannot be used: its bytes are not those that `export` wrote."""

    page = "air-gap#what-can-go-wrong-on-the-way"


class PublicError(NamedError):
    """The public address of a bucket gives no usable answer. `what` is the URL."""


class QuotaSpent(NamedError):
    """A registry's quota does not suffice for an image, and the run does not wait for it. `what` is the image."""

    reason = "quota"
    page = "operations#docker-hubs-quota"


class PlanRefused(MirrorError):
    """A plan may not be applied. Each of `reasons` says what would allow it."""

    reason = "plan_refused"

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return "\n".join(map(plain, self.reasons))


class LockHeld(MirrorError):
    """Another run holds the lock.

    since      a UTC time, as in the lock object
    left       the seconds until the lock expires unless it is renewed
    has_ended  whether the holder was a process of this machine that has ended
    """

    reason = "lock"
    page = "operations#when-something-goes-wrong"

    def __init__(self, where: str, holder: str, since: str, left: int, has_ended: bool = False) -> None:  # noqa: FBT001, FBT002 pickled by position
        super().__init__(where, holder, since, left, has_ended)
        self.where = where
        self.holder = holder
        self.since = since
        self.left = left
        self.has_ended = has_ended

    def __str__(self) -> str:
        if self.has_ended:
            return plain(
                f"{self.where}: the lock was left behind by {self.holder}, since {self.since}; that process has ended. "
                f"Break it with `r2mirror unlock`, or let --lock-timeout wait: it expires within {self.left} s"
            )
        return plain(
            f"{self.where}: another run is at work: {self.holder}, since {self.since}. Wait for it to end, or let "
            f"--lock-timeout wait; if it died, its lock expires within {self.left} s, or `r2mirror unlock` breaks it"
        )


class LockLost(NamedError):
    """The lock is lost, or may be: nothing more may be written. `what` is the store and key."""

    reason = "lock"
    page = "operations#when-something-goes-wrong"

    def __str__(self) -> str:
        return plain(
            f"{self.what}: the lock was lost: {self.why}. Nothing more was written; what was published is whole. "
            "Run it again when the other run has ended"
        )


class ClusterError(NamedError):
    """The cluster failed, not the source or the store. `what` is its address, or the blob to copy."""

    page = "operations#more-than-one-machine"


class Interrupted(MirrorError):
    """Ends the copies of a run that has to stop."""

    reason = "out_of_time"


REASONS = (
    "bad_answer",
    "configuration",
    "denied",
    "drift",
    "held_back",
    "index",
    "lock",
    "moved",
    "no_platform",
    "not_found",
    "other",
    "out_of_time",
    "plan_refused",
    "quota",
    "rate_limited",
    "renamed",
    "signature",
    "source",
    "store",
    "unreachable",
)
"""Why something failed, as metrics count it. `held_back` is that of prunes, for which there is no error."""


def pages_about(reasons: Iterable[str]) -> tuple[str, ...]:
    """Finds the pages of the documentation about reasons, each once; one that several kinds of error share has none."""
    kinds = (Denied, RateLimited, Unreachable, ImmutableMoved, SignatureRefused, Drift, QuotaSpent)
    pages = {kind.reason: kind.page for kind in kinds}
    return tuple(dict.fromkeys(pages[one] for one in reasons if one in pages))
