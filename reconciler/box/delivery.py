"""Applies a box: it takes the place of the sources, and all that follows is a plan and an apply like any other.

    from reconciler.apply.apply import apply_made
    from reconciler.apply.planned import Options, made_for_apply
    from reconciler.box.delivery import delivered
    from reconciler.mirrors.load import load_mirrors
    from reconciler.plan.connections import connect
    from reconciler.plan.settings import Choices

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    with connect(mirrors, os.environ) as outside, delivered([Path("box.tar")], mirrors, outside) as box:
        options = Options("my program", Choices(box.only))
        made = made_for_apply(box.mirrors, box.connections, options)
        made = replace(made, plan=box.checked(made.plan))
        with closing(apply_made(made, box.mirrors, box.connections, options)) as events:
            for event in events:
                print(event)

All of a box is verified before anything of it is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.box.opening import opened
from reconciler.box.order import in_order
from reconciler.box.source import affected, boxed, opener
from reconciler.box.whole import check_whole
from reconciler.frozen import Frozen
from reconciler.plan.make import in_silence
from reconciler.target.ledger import read_index
from reconciler.target.recorded import check_recorded
from reconciler.work.threads import BLOB_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.box.opening import Box
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Stage
    from reconciler.plan.plan import Plan
    from reconciler.target.index import RepositoryState


class Delivery(Frozen):
    """A verified box, and what to plan and apply with.

    mirrors      with the tags that the box has
    connections  with the box in the place of all sources
    observed     the repositories of the target's mirror index
    only         the targets to plan for
    unnamed      repositories of the box that mirrors.yaml does not name, which are left out
    """

    box: Box
    mirrors: Mirrors
    connections: Connections
    observed: Mapping[str, RepositoryState]
    only: tuple[str, ...]

    @property
    def unnamed(self) -> tuple[str, ...]:
        named = {mirror.target for mirror in self.mirrors.mirrors}
        return tuple(sorted(self.box.manifest.repositories.keys() - named))

    def checked(self, plan: Plan, *, allow_older: bool = False) -> Plan:
        """Returns the plan with the box noted, and with why that may not be applied if the target has had a newer one.

        allow_older  an older box may be applied, too

        Raises `PlanRefused` unless every image that the plan publishes is whole, in the box or in the target.
        """
        with readers(BLOB_WORKERS) as executor:
            check_whole(plan, self.box, self.connections.open_source, self.connections.target, executor)
        return in_order(plan, self.box.name, self.box.manifest, self.observed, allow_older=allow_older)


@contextmanager
def delivered(
    paths: Sequence[Path],
    mirrors: Mirrors,
    connections: Connections,
    only: Sequence[str] = (),
    stage: Stage = in_silence,
    keys: Sequence[Path] = (),
) -> Iterator[Delivery]:
    """Opens and verifies a box for the mirrors of a file, for as long as the block lasts.

    only   globs of the targets; empty: all
    stage  shows what is under way
    keys   files of the public keys, one of which must have signed it; empty: it need not be signed

    Raises as `opened` and `affected` do.
    """
    with opened(paths, stage, keys) as box:
        index = read_index(connections.target.state).index
        check_recorded(connections.target, index)
        mirrors = mirrors.including({target: one.source for target, one in box.manifest.repositories.items()})
        targets = affected(box, mirrors, index, only)
        ours = boxed(mirrors, box)
        yield Delivery(box, ours, replace(connections, open_source=opener(box, mirrors)), index.repositories, targets)
