"""Warns before images that need a login at their source are published for everyone.

Each repository is checked once, when its first tags are planned into a store with a public URL. Later plans rely on
that check and cost no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from reconciler.errors import SourceError
from reconciler.oci.spec import Digest
from reconciler.plan.diff import Action
from reconciler.sources import BehindLogin

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan
    from reconciler.sources import OpenSource
    from reconciler.target.index import MirrorIndex

NAMED = 5
"""How many sources the warning names."""


def private_sources(plan: Plan, index: MirrorIndex, open_source: OpenSource, executor: Executor) -> tuple[str, ...]:
    """Lists the sources of new repositories that answer with our login and not without one, in order.

    Sends one HEAD for each repository whose registry wanted a login. Never raises `SourceError`.
    """
    answers = {}
    for repository in plan.repositories:
        state = index.repositories.get(repository.target)
        first = next((change.after for change in repository.of(Action.ADD) if change.after), None)
        if first and not (state and state.tags):
            answers[repository.source] = executor.submit(_wants_login, open_source, repository.source, first.digest)
    return tuple(sorted(source for source, answer in answers.items() if answer.result()))


def warning_of(sources: Sequence[str], public_url: str) -> str:
    """Writes the one warning about all of them."""
    more = f" and {len(sources) - NAMED} more" if len(sources) > NAMED else ""
    return (
        f"{', '.join(sources[:NAMED])}{more}: the source wants a login, and {public_url} will serve its images to "
        "everyone. "
        "If that is not meant, remove the mirror, or use a store without public_url"
    )


def _wants_login(open_source: OpenSource, source: str, digest: Digest) -> bool:
    try:
        opened = open_source(source)
        return isinstance(opened, BehindLogin) and opened.wants_login(digest)
    except SourceError:
        # A warning is all that is lost; if the registry is down, the images cannot be published either.
        return False
