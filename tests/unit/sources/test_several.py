"""Several sources of one repository: who is asked, what decides, and what is known of it afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import BadAnswer, Denied, NotFound, OutOfTime, RateLimited, SourceError, Unreachable
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources import Metered
from reconciler.sources.several import NamedSource, SeveralSources
from tests.memory import Account, MemorySource, described
from tests.parts.images import app, artifact, image
from tests.parts.signatures import sig_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO, THREE = image({"v": "1"}), image({"v": "2"}), image({"v": "3"})
DOWN = Unreachable("r/x", "connection refused")


def several(*sources: MemorySource) -> SeveralSources:
    return SeveralSources([NamedSource("abcdef"[number], one) for number, one in enumerate(sources)])


def down(**images: object) -> MemorySource:
    return MemorySource(images, failing={"": DOWN, **dict.fromkeys(images, DOWN)})  # type: ignore[arg-type]


def test_the_first_that_has_a_tag_decides() -> None:
    source = several(MemorySource({"1": ONE}), MemorySource({"1": TWO, "2": TWO}))
    assert source.tags() == ("1", "2")
    assert source.resolve("1") == described(ONE)
    assert source.resolve("2") == described(TWO)
    known = source.provenance()
    assert known.served == {"2": "b"}
    assert not known.failed
    assert not known.doubtful


def test_one_that_is_down_is_followed_and_asked_once() -> None:
    first = MemorySource({"1": ONE}, failing={"": DOWN})
    source = several(first, MemorySource({"1": TWO, "2": TWO}))
    assert source.tags() == ("1", "2")
    assert source.resolve("1") == described(TWO)
    assert source.resolve("2") == described(TWO)
    with pytest.raises(Unreachable, match=r"connection refused. Other sources: .*no such tag"):
        source.resolve("3")
    known = source.provenance()
    assert known.served == {"1": "b", "2": "b"}
    assert known.failed == {"a": DOWN}
    assert known.doubtful == {"1", "2", "3"}
    assert not first.asked("resolve")


def test_one_that_limits_its_lists_may_still_resolve() -> None:
    limited = RateLimited("r/x", "answered 429", None)
    source = several(MemorySource({"1": ONE}, failing={"": limited}), MemorySource({"1": TWO}))
    assert source.tags() == ("1",)
    assert source.resolve("1") == described(ONE)
    assert source.provenance().failed == {"a": limited}
    assert not source.provenance().doubtful


def test_what_none_has_is_gone_and_what_none_answers_is_not() -> None:
    with pytest.raises(NotFound):
        several(MemorySource({}), MemorySource({})).resolve("1")
    source = several(MemorySource({"1": ONE}, failing={"1": DOWN}), MemorySource({}, failing={"1": DOWN}))
    with pytest.raises(Unreachable):
        source.resolve("1")
    assert not source.provenance().doubtful
    with pytest.raises(Denied):
        several(down(), MemorySource({}, failing={"": Denied("b", "no")})).tags()


def test_the_end_of_the_run_is_not_a_failure_of_a_source() -> None:
    late = OutOfTime("r/x", "the time is over")
    first, second = MemorySource({}, failing={"": late, "1": late}), MemorySource({"1": ONE})
    for ask in (lambda: several(first, second).tags(), lambda: several(first, second).resolve("1")):
        with pytest.raises(OutOfTime):
            ask()
    assert not second.operations


def test_attachments_come_from_where_the_image_came_from() -> None:
    sbom = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], TWO)
    name = sig_tag(TWO.digest)
    first = MemorySource({"1": ONE}, named={name: ONE})
    second = MemorySource({"2": TWO}, along=[sbom], named={name: THREE})
    source = several(first, second)
    source.tags()
    for _ in range(2):  # Found by its tag, and then as known.
        found = source.attachments(Digest.parse(TWO.digest), frozenset(source.tags()))
        assert found.referrers == (described(sbom),)
        assert source.resolve(name) == described(THREE)
        source.resolve("2")
    assert source.manifest(described(sbom)) == sbom.body
    assert not first.asked("manifest")


def test_pulls_go_where_there_are_some_left() -> None:
    spent, free = Account(left=0), MemorySource({"1": ONE, "2": TWO})
    source = several(MemorySource({"1": ONE, "3": THREE}, account=spent), free)
    assert isinstance(source, Metered)
    source.resolve("1")
    assert source.afford(described(ONE), 1) is None
    assert source.quota(described(ONE)) is None
    assert source.manifest(described(ONE)) == ONE.body
    assert not spent.pulls
    quota = source.afford(described(THREE), 1)
    assert quota is not None
    assert not quota.usable, "the other one does not have the image"


def test_the_platforms_of_an_image_come_from_where_its_index_came_from() -> None:
    whole = app("1", "linux/amd64", "linux/arm64")
    spent = Account(left=1)
    source = several(MemorySource({"1": whole}, account=spent), MemorySource({"1": whole}))
    source.resolve("1")
    assert source.afford(described(whole), 3) is None
    for one in reversed(list(whole.manifests())):
        assert source.manifest(described(one)) == one.body
    assert not spent.pulls


class Cut(MemorySource):
    """Its blobs end after some bytes."""

    error: SourceError = DOWN

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        yield BODY[:700_000]
        raise self.error


BODY = bytes(range(256)) * 8000


def test_a_blob_that_is_cut_off_goes_on_elsewhere() -> None:
    big = image(BODY)
    blob = Descriptor("a/b", Digest.of(BODY), len(BODY))
    source = several(Cut({"1": big}), MemorySource({"1": big}))
    assert b"".join(source.blob(blob)) == BODY
    wrong = Cut({"1": big})
    wrong.error = BadAnswer("r/x", "other bytes")
    with pytest.raises(BadAnswer):
        list(several(wrong, MemorySource({"1": big})).blob(blob))


ANSWERS = st.sampled_from(["down", "lacks", ONE, TWO])


@given(st.lists(ANSWERS, min_size=2, max_size=5))
def test_the_rules_hold_whatever_each_source_answers(answers: list[object]) -> None:
    sources = [
        MemorySource({} if isinstance(one, str) else {"1": one}, failing={"1": DOWN} if one == "down" else {})  # type: ignore[dict-item]
        for one in answers
    ]
    source = several(*sources)
    having = [number for number, one in enumerate(answers) if not isinstance(one, str)]
    if having:
        assert source.resolve("1") == described(answers[having[0]])  # type: ignore[arg-type]
        assert source.provenance().served == ({"1": "abcdef"[having[0]]} if having[0] else {})
    else:
        expected = NotFound if "down" not in answers else Unreachable
        with pytest.raises(expected):
            source.resolve("1")
    asked = answers[: having[0]] if having else answers
    is_answered = bool(having) or "lacks" in answers
    assert source.provenance().doubtful == ({"1"} if "down" in asked and is_answered else set())
    # Those behind the one that decides are not asked.
    behind = sources[having[0] + 1 :] if having else []
    assert not any(one.operations for one in behind)


def test_a_digest_comes_from_any_of_them() -> None:
    source = several(MemorySource({}, failing={ONE.digest: DOWN}), MemorySource({"1": ONE}))
    assert source.resolve(ONE.digest) == described(ONE)
    assert source.described(Digest.parse(ONE.digest)) == described(ONE)
    assert json.loads(source.manifest(described(ONE)))["config"]
