"""What may be wanted, now that signatures are known: an image that is not signed as it has to be is as good as none.

Looked at are the images that are about to change, once for each digest; what is mirrored already only on demand. A
refusal is judged like any other failure of a tag: it stays as it is, and nothing is removed in its repository.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.errors import SignatureRefused, SourceError
from reconciler.oci.spec import Digest
from reconciler.plan.diff import diff
from reconciler.signatures.gate import make_gate
from reconciler.signatures.signers import Refused
from reconciler.work.unforeseen import unforeseen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.plan.desire import Desired
    from reconciler.signatures.gate import Gate
    from reconciler.signatures.signers import Knowledge
    from reconciler.sources import OpenSource
    from reconciler.target.index import MirrorIndex

MAX_NAMES = 5
"""As many tags of one image are named in what is said of it."""


@dataclass(frozen=True)
class Judged:
    """What is desired of one mirror, signed or not; `again` judges it anew with tags that failed after all."""

    mirror: Mirror
    desired: Desired
    again: Callable[[Mapping[str, SourceError]], Desired]


def gate_for(mirrors: Mirrors) -> Gate:
    """Makes the gate that mirrors.yaml asks for. Raises `ExtraMissing` if signatures cannot be verified here."""
    return make_gate({mirror.target: mirror.signed_by for mirror in mirrors.mirrors}, mirrors.defaults.signed_by)


def only_signed(
    judged: Sequence[Judged],
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    gate: Gate,
    *,
    recheck: bool,
) -> list[Desired]:
    """What is desired without what is refused; `recheck` looks at what is mirrored already too.

    Never raises `SourceError`: signatures that cannot be read are a failure of the tag.
    """
    looks = [
        {
            digest: executor.submit(_look, gate, open_source, one.mirror, digest, tags)
            for digest, tags in _in_question(one, index, gate, recheck=recheck).items()
        }
        for one in judged
    ]
    return [_with_knowledge(one, found) if found else one.desired for one, found in zip(judged, looks, strict=True)]


def _in_question(one: Judged, index: MirrorIndex, gate: Gate, *, recheck: bool) -> Mapping[Digest, list[str]]:
    """The digests to look at, each with the tags that are to point at it."""
    tags = defaultdict[Digest, list[str]](list)
    if gate.wanted(one.mirror.target):
        changing = [change.tag for change in diff(one.desired, index) if change.after]
        for tag in sorted(one.desired.wanted) if recheck else changing:
            tags[one.desired.wanted[tag].digest].append(tag)
    return tags


def _look(
    gate: Gate, open_source: OpenSource, mirror: Mirror, digest: Digest, tags: Sequence[str]
) -> Knowledge | SourceError:
    what = f"{mirror.source}@{digest} ({_names(tags)})"
    try:
        return gate.look(mirror.target, mirror.source, open_source(mirror.source), digest, what)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that image's failure, whatever it is
        return unforeseen(what, error)


def _with_knowledge(one: Judged, looks: Mapping[Digest, Future[Knowledge | SourceError]]) -> Desired:
    found = {digest: look.result() for digest, look in looks.items()}
    failed: dict[str, SourceError] = {}
    refused = []
    for tag, wanted in sorted(one.desired.wanted.items()):
        answer = found.get(wanted.digest)
        if isinstance(answer, SourceError):
            failed[tag] = answer
        if isinstance(answer, SignatureRefused):
            refused.append(Refused(tag, wanted.digest, answer.why))
    again = one.again(failed) if failed else one.desired
    told = {str(error) for error in failed.values() if isinstance(error, SignatureRefused)}
    errors = [error for error in dict.fromkeys(again.errors) if error not in told]
    if refused:
        names = _names([one.tag for one in refused])
        errors.append(f"{one.mirror.source}: refused, because they are not signed as signed_by asks: {names}")
    known = {digest: answer for digest, answer in found.items() if not isinstance(answer, SourceError)}
    return replace(again, known=known, refused=tuple(refused), errors=tuple(errors))


def _names(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - MAX_NAMES} more" if len(tags) > MAX_NAMES else ""
    return ", ".join(tags[:MAX_NAMES]) + more
