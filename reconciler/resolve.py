"""Asks the sources what the mirrors' patterns mean today. Reads only: tag lists and HEAD requests.

Rounds on an executor: the tag lists of every mirror that needs one, then what each chosen tag points at. A tag that
is immutable or pinned and already mirrored is not asked for. Then, where images have to be signed, the signatures of
those that are about to change. What fails is a value beside what was found; the judgement on both is `desire`'s.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

from reconciler.desire import Desired, desire, desire_nothing, desire_unchanged
from reconciler.diff import diff
from reconciler.errors import SignatureRefused, SourceError
from reconciler.index import MirrorIndex, RepositoryState, TagState
from reconciler.oci import Descriptor, Digest
from reconciler.selection import Chosen, Pinned, needs_listing, select
from reconciler.signatures.attached import is_attachment
from reconciler.signatures.gate import OPEN
from reconciler.signatures.signers import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor, Future

    from reconciler.mirrors import Mirror, Mirrors
    from reconciler.signatures.gate import Gate
    from reconciler.signatures.signers import Knowledge
    from reconciler.source import OpenSource

Listing: TypeAlias = tuple[str, ...] | SourceError
Answer: TypeAlias = Descriptor | SourceError

MAX_NAMES = 5
"""As many tags of one image are named in what is said of it."""


def resolve(
    mirrors: Mirrors,
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    only: Sequence[str] = (),
    *,
    recheck: bool = False,
    gate: Gate = OPEN,
) -> tuple[Desired, ...]:
    """Every repository of the mirrors and of the index, as it should be, in the order of their names.

    `only`: globs of targets; where there are any, the other repositories are left out altogether. `recheck`: ask for
    immutable tags too, and for the signatures of what is mirrored already. Never raises `SourceError`.
    """
    asked = [mirror for mirror in mirrors.mirrors if matches_only(mirror.target, only)]
    listings = {m.target: executor.submit(_list, open_source, m.source) for m in asked if needs_listing(m.tags)}
    rounds = [
        (mirror, _ask(mirror, index, open_source, executor, listings.get(mirror.target), recheck=recheck))
        for mirror in asked
    ]
    judged = []
    for mirror, answers in rounds:
        answered = {tag: one if isinstance(one, Descriptor) else one.result() for tag, one in answers.items()}
        judgement = _judge(mirror, index, listings.get(mirror.target), answered)
        looks = _look(mirror, judgement, index, open_source, executor, gate, recheck=recheck)
        judged.append((mirror, judgement, answered, looks))
    desired = [
        _signed(mirror, judgement, index, listings.get(mirror.target), answered, looks) if looks else judgement
        for mirror, judgement, answered, looks in judged
    ]
    named = {mirror.target for mirror in mirrors.mirrors}
    desired += [
        desire_nothing(target, observed, prune=mirrors.prune)
        for target, observed in index.repositories.items()
        if target not in named and (observed.tags or observed.pending) and matches_only(target, only)
    ]
    return tuple(sorted(desired, key=lambda repository: repository.target))


def matches_only(target: str, only: Sequence[str]) -> bool:
    """Whether `target` is in a run limited to the globs `only`; no glob is no limit."""
    return not only or any(fnmatchcase(target, glob) for glob in only)


def _ask(
    mirror: Mirror,
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    listing: Future[Listing] | None,
    *,
    recheck: bool,
) -> dict[str, Descriptor | Future[Answer]]:
    listed = listing.result() if listing else ()
    if isinstance(listed, SourceError):
        return {}
    if mirror.signed_by:
        # Signatures have tags of their own, which no signature is for.
        listed = tuple(tag for tag in listed if not is_attachment(tag))
    observed = index.repositories.get(mirror.target, RepositoryState(mirror.source)).tags
    return {
        chosen.tag: _settled(chosen, observed.get(chosen.tag), recheck=recheck)
        or executor.submit(_resolve, open_source, mirror.source, _reference(chosen))
        for chosen in select(mirror.tags, mirror.exclude, mirror.immutable, listed)
    }


def _settled(chosen: Chosen, observed: TagState | None, *, recheck: bool) -> Descriptor | None:
    """What the tag points at where that needs no request."""
    if observed is None or recheck:
        return None
    if isinstance(chosen.pattern, Pinned):
        return observed.descriptor if chosen.pattern.digest == observed.digest else None
    return observed.descriptor if chosen.immutable else None


def _reference(chosen: Chosen) -> str:
    return str(chosen.pattern.digest) if isinstance(chosen.pattern, Pinned) else chosen.tag


def _judge(
    mirror: Mirror,
    index: MirrorIndex,
    listing: Future[Listing] | None,
    answers: Mapping[str, Answer],
) -> Desired:
    observed = index.repositories.get(mirror.target, RepositoryState(mirror.source))
    listed = listing.result() if listing else None
    if isinstance(listed, SourceError):
        return desire_unchanged(mirror, observed, str(listed))
    if listed == () and observed.tags:
        return desire_unchanged(
            mirror,
            observed,
            f"{mirror.source}: lists no tags at all, but {len(observed.tags)} are mirrored; nothing is removed. If the "
            "repository really is empty now, take the mirror out of mirrors.yaml",
        )
    return desire(mirror, observed, None if listed is None else frozenset(listed), answers)


def _look(
    mirror: Mirror,
    desired: Desired,
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    gate: Gate,
    *,
    recheck: bool,
) -> dict[Digest, Future[Knowledge | SourceError]]:
    """Looks at the signatures of what is about to change, once for each digest, where there have to be some."""
    if not gate.wanted(mirror.target):
        return {}
    changing = [change.tag for change in diff(desired, index) if change.after]
    tags = defaultdict[Digest, list[str]](list)
    for tag in sorted(desired.wanted) if recheck else changing:
        tags[desired.wanted[tag].digest].append(tag)
    return {
        digest: executor.submit(
            _known, open_source, mirror, digest, f"{mirror.source}@{digest} ({_names(named)})", gate
        )
        for digest, named in tags.items()
    }


def _names(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - MAX_NAMES} more" if len(tags) > MAX_NAMES else ""
    return ", ".join(tags[:MAX_NAMES]) + more


def _signed(
    mirror: Mirror,
    desired: Desired,
    index: MirrorIndex,
    listing: Future[Listing] | None,
    answers: Mapping[str, Answer],
    looks: Mapping[Digest, Future[Knowledge | SourceError]],
) -> Desired:
    """What is desired, now that signatures are known: an image without the right one is as good as none."""
    found = {digest: look.result() for digest, look in looks.items()}
    failed: dict[str, Answer] = {}
    refused = []
    for tag, wanted in sorted(desired.wanted.items()):
        answer = found.get(wanted.digest)
        if isinstance(answer, SourceError):
            failed[tag] = answer
        if isinstance(answer, SignatureRefused):
            refused.append(Refused(tag, wanted.digest, answer.why))
    again = _judge(mirror, index, listing, {**answers, **failed})
    told = {str(error) for error in found.values() if isinstance(error, SignatureRefused)}
    errors = [error for error in dict.fromkeys(again.errors) if error not in told]
    if refused:
        tags = _names([one.tag for one in refused])
        errors.append(f"{mirror.source}: refused, because they are not signed as signed_by asks: {tags}")
    known = {digest: one for digest, one in found.items() if not isinstance(one, SourceError)}
    return replace(again, known=known, refused=tuple(refused), errors=tuple(errors))


def _list(open_source: OpenSource, source: str) -> Listing:
    try:
        return open_source(source).tags()
    except SourceError as error:
        return error


def _known(open_source: OpenSource, mirror: Mirror, digest: Digest, what: str, gate: Gate) -> Knowledge | SourceError:
    try:
        return gate.look(mirror.target, mirror.source, open_source(mirror.source), digest, what)
    except SourceError as error:
        return error


def _resolve(open_source: OpenSource, source: str, reference: str) -> Answer:
    try:
        return open_source(source).resolve(reference)
    except SourceError as error:
        return error
