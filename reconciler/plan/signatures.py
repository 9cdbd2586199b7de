"""Checks the signatures of what a plan would publish, and withholds the images that are not signed as required.

Each digest that is about to be published is checked once; what is mirrored already only on demand. A refusal is judged
like any other failure of a tag: the tag stays as it is, and nothing is removed in its repository.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SignatureRefused, SourceError
from reconciler.oci.spec import Digest
from reconciler.plan.diff import arrivals
from reconciler.plan.findings import judge
from reconciler.signatures.gate import make_gate
from reconciler.signatures.signers import Knowledge, Refused
from reconciler.work.unforeseen import unforeseen

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.plan.desire import Desired
    from reconciler.plan.findings import Findings
    from reconciler.signatures.gate import Gate
    from reconciler.sources import OpenSource
    from reconciler.target.index import MirrorIndex

Verdict: TypeAlias = Knowledge | SourceError
"""What is known of an image's signatures, or why the image must not be published."""

MAX_NAMES = 5
"""How many tags of an image a message names."""


def gate_for(mirrors: Mirrors) -> Gate:
    """Makes the gate that mirrors.yaml asks for. Raises `ExtraMissing` if signatures cannot be verified here."""
    return make_gate({mirror.target: mirror.signed_by for mirror in mirrors.mirrors}, mirrors.defaults.signed_by)


def check_signatures(
    found: Sequence[Findings],
    desired: Sequence[Desired],
    index: MirrorIndex,
    open_source: OpenSource,
    executor: Executor,
    gate: Gate,
    *,
    recheck: bool,
) -> list[dict[Digest, Verdict]]:
    """Checks the signatures of the images that would change, for each mirror; with `recheck` of all its images.

    Never raises `SourceError`: signatures that cannot be read are a verdict too.
    """
    looks = [
        {
            digest: executor.submit(_look, gate, open_source, one.mirror, digest, tags)
            for digest, tags in _in_question(one.mirror, wanted, index, gate, recheck=recheck).items()
        }
        for one, wanted in zip(found, desired, strict=True)
    ]
    return [{digest: look.result() for digest, look in one.items()} for one in looks]


def only_signed(
    found: Findings, desired: Desired, verdicts: Mapping[Digest, Verdict], name: str, now: datetime
) -> Desired:
    """Returns `desired` without the images that must not be published; it was judged from `found`."""
    if not verdicts:
        return desired
    failed: dict[str, SourceError] = {}
    refused = []
    for tag, wanted in sorted(desired.wanted.items()):
        verdict = verdicts.get(wanted.digest)
        if isinstance(verdict, SourceError):
            failed[tag] = verdict
        if isinstance(verdict, SignatureRefused):
            refused.append(Refused(tag, wanted.digest, verdict.why))
    left = judge(found, name, now, failed) if failed else desired
    return replace(
        left,
        known={digest: one for digest, one in verdicts.items() if not isinstance(one, SourceError)},
        refused=tuple(refused),
        errors=_errors(found.mirror.source, left, failed, refused),
    )


def _errors(
    source: str, desired: Desired, failed: Mapping[str, SourceError], refused: Sequence[Refused]
) -> tuple[str, ...]:
    """The errors of a repository, with one for all refused tags in the place of one for each."""
    told = {str(error) for error in failed.values() if isinstance(error, SignatureRefused)}
    errors = [error for error in dict.fromkeys(desired.errors) if error not in told]
    if refused:
        names = _names([one.tag for one in refused])
        errors.append(f"{source}: refused, since they are not signed as signed_by requires: {names}")
    return tuple(errors)


def _in_question(
    mirror: Mirror, desired: Desired, index: MirrorIndex, gate: Gate, *, recheck: bool
) -> Mapping[Digest, list[str]]:
    """The digests to look at, each with the tags that are to point to it."""
    tags = defaultdict[Digest, list[str]](list)
    if gate.wanted(mirror.target):
        changing = [change.tag for change in arrivals(desired, index)]
        for tag in sorted(desired.wanted) if recheck else changing:
            tags[desired.wanted[tag].digest].append(tag)
    return tags


def _look(gate: Gate, open_source: OpenSource, mirror: Mirror, digest: Digest, tags: Sequence[str]) -> Verdict:
    what = f"{mirror.source}@{digest} ({_names(tags)})"
    try:
        return gate.inspect(mirror.target, mirror.source, open_source(mirror.source), digest, what)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that image's failure, whatever it is
        return unforeseen(what, error)


def _names(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - MAX_NAMES} more" if len(tags) > MAX_NAMES else ""
    return ", ".join(tags[:MAX_NAMES]) + more
