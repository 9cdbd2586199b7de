"""A mirror with `min_age` under a simulated clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.apply.outcome import Done
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Entry, Kept, Semver
from reconciler.plan.ages import Consent
from reconciler.target.index_json import parse
from reconciler.target.layout import MIRROR_INDEX
from tests.bench import Bench, check_visible
from tests.memory import mirror

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan
    from reconciler.target.index import RepositoryState
    from tests.parts.images import Image

AGE = MinAge(timedelta(days=3))
HOUR = timedelta(hours=1)
SETTLED = Consent(present=True)


def newest(number: int) -> Entry:
    return Entry((Semver(">=0"),), kept=Kept(newest=number))


class Days:
    """A bench with one mirror that has `min_age`, and days that pass."""

    def __init__(self, *patterns: object, age: MinAge = AGE, **images: Image) -> None:
        self.bench = Bench.of(a={name.removeprefix("v").replace("_", "."): one for name, one in images.items()})
        self.mirror = mirror("a", *patterns, min_age=age)  # type: ignore[arg-type]  # patterns

    def pass_days(self, days: float) -> None:
        self.bench.store.seconds += days * 86_400

    def push(self, **images: Image) -> None:
        source = self.bench.sources["a"].images
        source.update({name.removeprefix("v").replace("_", "."): one for name, one in images.items()})

    def plan(self, **options: bool | Consent) -> Plan:
        return self.bench.plan(self.mirror, **options)  # type: ignore[arg-type]  # each to its own

    def apply(self, consent: Consent | None = None) -> list[str]:
        """Applies, and returns the tags that were changed with their signs."""
        plan = self.plan(consent=consent) if consent else self.plan()
        told = self.bench.apply(plan)
        assert all(isinstance(one, Done) for one in told)
        if self.mirror.platforms is None:
            check_visible(self.bench.store)
        return sorted(f"{one.change.action[0]}{one.change.tag}" for one in told)

    @property
    def state(self) -> RepositoryState:
        return parse(self.bench.store.objects[MIRROR_INDEX], "it").repositories["a"]

    @property
    def served(self) -> Mapping[str, str]:
        return {tag: str(one.digest) for tag, one in self.state.tags.items()}
