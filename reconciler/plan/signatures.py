"""Checks the signatures of what a plan would publish, and withholds the images that are not signed as required.

Each digest that is about to be published is checked once; what is mirrored already only on demand. A refusal is judged
like any other failure of a tag: the tag stays as it is, and nothing is removed in its repository.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import SignatureRefused, SourceError
from reconciler.oci.spec import Digest
from reconciler.plan.diff import arrival
from reconciler.plan.draft import some_of
from reconciler.signatures.gate import make_gate
from reconciler.signatures.signers import Knowledge, Refused
from reconciler.work.unforeseen import unforeseen

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.plan.draft import Draft
    from reconciler.signatures.gate import Gate
    from reconciler.sources import OpenSource

Verdict: TypeAlias = Knowledge | SourceError
"""What is known of an image's signatures, or why the image must not be published."""


def gate_for(mirrors: Mirrors) -> Gate:
    """Makes the gate for the mirrors' `signed_by`. Raises `ExtraMissing` if signatures cannot be verified here."""
    return make_gate({mirror.target: mirror.signed_by for mirror in mirrors.mirrors}, mirrors.defaults.signed_by)


def check_signatures(
    drafts: Sequence[Draft], open_source: OpenSource, executor: Executor, gate: Gate, *, recheck: bool
) -> list[Draft]:
    """Returns the drafts without the images that must not be published: not signed as required, or not known to be.

    Checks the images that would be published; with `recheck` all images of the mirrors that have `signed_by`. Never
    raises `SourceError`: signatures that cannot be read are a verdict too.
    """
    # All checks are submitted before the first is waited for.
    looks = [
        {
            digest: executor.submit(_look, gate, open_source, draft.mirror, digest, tags)
            for digest, tags in _in_question(draft, gate, recheck=recheck).items()
        }
        for draft in drafts
    ]
    return [
        _only_signed(draft, {digest: look.result() for digest, look in those.items()}) if those else draft
        for draft, those in zip(drafts, looks, strict=True)
    ]


def _only_signed(draft: Draft, verdicts: Mapping[Digest, Verdict]) -> Draft:
    """`draft` with the tags among the failures whose images must not be published."""
    judged = [(tag, one.digest, verdicts.get(one.digest)) for tag, one in sorted(draft.all_wanted.items())]
    failed = {tag: verdict for tag, _, verdict in judged if isinstance(verdict, SourceError)}
    refused = [
        Refused(tag, digest, verdict.why) for tag, digest, verdict in judged if isinstance(verdict, SignatureRefused)
    ]
    return replace(
        draft,
        wanted={tag: one for tag, one in draft.wanted.items() if tag not in failed},
        failures={**draft.failures, **failed},
        known={digest: one for digest, one in verdicts.items() if not isinstance(one, SourceError)},
        refused=tuple(refused),
    )


def _in_question(draft: Draft, gate: Gate, *, recheck: bool) -> Mapping[Digest, list[str]]:
    """The digests to check, each with the tags that are to point to it."""
    tags = defaultdict[Digest, list[str]](list)
    if draft.blocked or not gate.wanted(draft.mirror.target):
        return tags
    for tag, wanted in sorted(draft.all_wanted.items()):
        # The restore has verified what is to be settled, by what the bucket has.
        if tag in draft.settling:
            continue
        if recheck or arrival(tag, wanted, draft.observed, draft.mirror.platforms, draft.news):
            tags[wanted.digest].append(tag)
    return tags


def _look(gate: Gate, open_source: OpenSource, mirror: Mirror, digest: Digest, tags: list[str]) -> Verdict:
    what = f"{mirror.source}@{digest} ({some_of(tags)})"
    try:
        return gate.inspect(mirror.target, mirror.source, open_source(mirror.source), digest, what)
    except SourceError as error:
        return error
    except Exception as error:  # noqa: BLE001 it is that image's failure, whatever it is
        return unforeseen(what, error)
