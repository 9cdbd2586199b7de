from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from reconciler.oci.referrers import CopiedAttachments
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.target.index import MirrorIndex, RepositoryState
from reconciler.target.index_changes import begun, settled
from reconciler.target.own_digests import own_digests
from tests.strategies import digests, indexes

OURS, THEIRS = Digest.of(b"ours"), Digest.of(b"theirs")


@given(indexes, digests)
def test_all_digests_that_the_index_keeps_are_ours(index: MirrorIndex, other: Digest) -> None:
    knows = own_digests(lambda: index)
    for target, state in index.repositories.items():
        assert all(knows(target, "any", digest) for digest in state.digests)
        assert all(knows(target, tag, other) for tag in state.pending)


@given(indexes)
def test_what_nothing_names_belongs_to_another(index: MirrorIndex) -> None:
    knows = own_digests(lambda: index)
    assert not knows("no/such-repository-there", "1", THEIRS)
    assert not any(knows(target, "no-such-tag", THEIRS) for target in index.repositories)


@given(st.booleans())
def test_a_tag_that_becomes_pending_later_is_not_ours_for_that(is_pending: bool) -> None:
    index = MirrorIndex()
    knows = own_digests(lambda: index)
    index = begun(index, "a", "x/a", ["1"]) if is_pending else index
    assert not knows("a", "1", THEIRS)


def test_what_is_to_be_written_is_ours_under_its_tag_alone() -> None:
    knows = own_digests(MirrorIndex, {("a", "1"): OURS})
    assert (knows("a", "1", OURS), knows("a", "2", OURS), knows("b", "1", OURS)) == (True, False, False)


def test_a_tag_that_came_along_with_an_image_is_ours() -> None:
    tagged = Descriptor(OCI_MANIFEST, OURS, 3)
    record = {THEIRS: CopiedAttachments(tags=MappingProxyType({"sha256-x.sig": tagged}))}
    state = RepositoryState("x/a", attachments=MappingProxyType({THEIRS: MappingProxyType(record)}))
    knows = own_digests(lambda: MirrorIndex(1, MappingProxyType({"a": state})))
    assert knows("a", "sha256-x.sig", OURS)
    assert not knows("a", "other", OURS)


def test_a_tag_that_cannot_be_deleted_is_noted_until_it_is_published_again() -> None:
    index = begun(MirrorIndex(), "a", "x/a", ["1", "2"])
    index = settled(index, "a", ["1", "2"], ["1"])
    assert (index.repositories["a"].pending, index.repositories["a"].undeleted) == (frozenset(), frozenset({"1"}))
    assert not settled(index, "a", ["1"]).repositories["a"].undeleted
