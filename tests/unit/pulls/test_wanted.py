from __future__ import annotations

from datetime import UTC, datetime

from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.pulls.counts import Counts
from reconciler.pulls.wanted import Wanted, wanted
from reconciler.target.index import MirrorIndex, RepositoryState, TagState

STATE = TagState(Digest("sha256", "a" * 64), OCI_INDEX, 1, None, datetime(2026, 11, 26, tzinfo=UTC))


def test_what_is_mirrored_by_now_is_not_wanted_any_more() -> None:
    index = MirrorIndex(repositories={"a": RepositoryState("docker.io/library/a", {"1": STATE}, {})})
    missed = {("a", "1"): 9, ("a", "2"): 1, ("b", "1"): 1, ("b", "2"): 3}
    assert wanted(Counts({}, missed), index) == (Wanted("b", "2", 3), Wanted("a", "2", 1), Wanted("b", "1", 1))
