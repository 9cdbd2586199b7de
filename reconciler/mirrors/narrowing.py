"""Decides whether an included file only narrows what the file that includes it has under `defaults`. Pure.

Settings are narrower if they publish nothing and remove nothing that the others would not: a policy of the file that
includes holds for all files, and a team can be stricter.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.regex import compile_regex
from reconciler.signatures.signers import Identity, Signer, TrustedKey

if TYPE_CHECKING:
    from reconciler.mirrors.min_age import MinAge
    from reconciler.mirrors.model import Defaults


def widened(bound: Defaults, own: Defaults) -> Iterator[tuple[str, str]]:
    """Yields each key of `own` that is wider than the same of `bound`, and what it is wider than."""
    if not is_narrower_prune(bound.prune, own.prune):
        yield "prune", "is wider than prune: false"
    if not is_narrower_age(bound.min_age, own.min_age):
        yield "min_age", f"is wider than min_age: {bound.min_age}"
    for signer in excess_signers(bound.signed_by, own.signed_by):
        one = f"trusts {signer}" if signer else "requires no signature"
        yield "signed_by", f"{one}, and so is wider than {_or(bound.signed_by)}"


def is_narrower_prune(bound: bool, own: bool) -> bool:  # noqa: FBT001 the two values of one key
    """Returns whether `own` removes nothing that `bound` keeps."""
    return bound or not own


def is_narrower_age(bound: MinAge | None, own: MinAge | None) -> bool:
    """Returns whether nothing is published under `own` sooner than under `bound`."""
    if bound is None:
        return True
    # Witnesses are alternatives, each of which can end the wait; so are the exempt tags.
    return (
        own is not None
        and own.age >= bound.age
        and set(own.seen_by) <= set(bound.seen_by)
        and set(map(str, own.exempt)) <= set(map(str, bound.exempt))
    )


def excess_signers(bound: tuple[Signer, ...], own: tuple[Signer, ...]) -> tuple[Signer | None, ...]:
    """Lists the signers of `own` that nothing of `bound` covers; `None` stands for unsigned images."""
    if not bound:
        return ()
    if not own:
        return (None,)
    return tuple(signer for signer in own if not any(_covers(one, signer) for one in bound))


def _covers(bound: Signer, own: Signer) -> bool:
    """Whether every signature that `own` accepts is accepted by `bound`."""
    match bound, own:
        case TrustedKey(), TrustedKey():
            # Without their bytes, which a review does not read, they are the same if their file is.
            if bound.pem and own.pem:
                return bound.pem == own.pem
            return posixpath.normpath(bound.name) == posixpath.normpath(own.name)
        case Identity(), Identity():
            if (bound.issuer, bound.trusted_root) != (own.issuer, own.trusted_root):
                return False
            if bound.is_regex and not own.is_regex:
                return compile_regex(bound.identity).fullmatch(own.identity) is not None
            return (bound.identity, bound.is_regex) == (own.identity, own.is_regex)
        case _:
            return False


def _or(signers: tuple[Signer, ...]) -> str:
    return " or ".join(map(str, signers))
