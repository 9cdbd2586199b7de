from reconciler.oci.spec import Digest
from reconciler.target.asked import Asked

HERE, GONE = Digest.of(b"here"), Digest.of(b"gone")


def test_each_size_is_asked_for_once_and_only_when_it_is_looked_up() -> None:
    asked: list[Digest] = []

    def ask(digest: Digest) -> int | None:
        asked.append(digest)
        return 4 if digest == HERE else None

    sizes = Asked(ask)
    assert (dict(sizes), len(sizes), asked) == ({}, 0, [])
    assert [sizes.get(HERE), sizes.get(GONE), sizes.get(HERE), GONE in sizes] == [4, None, 4, False]
    assert asked == [HERE, GONE]
    assert (dict(sizes), len(sizes)) == ({HERE: 4}, 1)
