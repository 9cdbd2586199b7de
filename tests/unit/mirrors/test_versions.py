from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.versions import Version, in_order, parse_version

TAGS = st.from_regex(r"v?[0-9]{0,200}[A-Za-z0-9._+-]{0,40}", fullmatch=True) | st.text(max_size=40)
VERSIONS = (
    st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-?(rc|beta|alpha)[0-9]{0,2})?(-[a-z]{2,6})?", fullmatch=True)
    .map(parse_version)
    .filter(bool)
)


@pytest.mark.parametrize(
    ("tag", "numbers", "prerelease", "revision", "variant"),
    [
        ("3", (3,), "", (), ""),
        ("v1.2.3", (1, 2, 3), "", (), ""),
        ("V1.2.3", (1, 2, 3), "", (), ""),
        ("24.04", (24, 4), "", (), ""),
        ("24.8.4.13", (24, 8, 4, 13), "", (), ""),
        ("1.2.3.4.5", (1, 2, 3, 4, 5), "", (), ""),
        ("24.8.4.13-alpine", (24, 8, 4, 13), "", (), "alpine"),
        ("1.27.3-alpine3.20", (1, 27, 3), "", (), "alpine3.20"),
        ("22-bookworm-slim", (22,), "", (), "bookworm-slim"),
        ("1.22rc1", (1, 22), "rc", (), ""),
        ("1.22rc1-alpine3.20", (1, 22), "rc", (), "alpine3.20"),
        ("16beta2-bookworm", (16,), "beta", (), "bookworm"),
        ("1.0.0-RC.2", (1, 0, 0), "rc", (), ""),
        ("1.0.0-rc-2", (1, 0, 0), "rc", (), ""),
        ("1.0-SNAPSHOT", (1, 0), "snapshot", (), ""),
        ("2024.3.0.dev20240210", (2024, 3, 0), "dev", (), ""),
        ("27.0.0.Alpha1", (27, 0, 0), "alpha", (), ""),
        ("27.0.0.CR1", (27, 0, 0), "cr", (), ""),
        ("27.0.1.Final", (27, 0, 1), "", (), ""),
        ("2.3.0.RELEASE", (2, 3, 0), "", (), ""),
        ("2.0.0_build5", (2, 0, 0), "", (5,), ""),
        ("17.0.20_8-jdk-jammy", (17, 0, 20), "", (8,), "jdk-jammy"),
        ("5.7.21-r12", (5, 7, 21), "", (12,), ""),
        ("16.1.0-debian-11-r20", (16, 1, 0), "", (20,), "debian-11"),
        ("3.12.0-1", (3, 12, 0), "", (1,), ""),
        ("15.0.0-ce.0", (15, 0, 0), "", (0,), ""),
        ("4.0.0-ls331", (4, 0, 0), "", (331,), ""),
        ("v1.19.1-k3s2", (1, 19, 1), "", (2,), ""),
        ("v1.26.10-rke2r2-build20231102", (1, 26, 10), "", (2, 20231102), ""),
        ("4.8.0-20230131", (4, 8, 0), "", (20230131,), ""),
        ("3.1.0-alpine-20230131", (3, 1, 0), "", (20230131,), "alpine"),
        ("3.2-jdk-nanoserver-1809", (3, 2), "", (), "jdk-nanoserver-1809"),
        ("1.2.3-7f3e2a1", (1, 2, 3), "", (), ""),
        ("1.2.3-4821357", (1, 2, 3), "", (), ""),
        ("1.2.3-1700000000", (1, 2, 3), "", (1700000000,), ""),
        ("1.2.3-5-g7f3e2a1-slim", (1, 2, 3), "", (5,), "slim"),
        ("2022.01.1+git5", (2022, 1, 1), "", (), "git5"),
        ("3.14.0a1-slim", (3, 14, 0), "a", (), "slim"),
        ("1.2.3-rc1-alpine", (1, 2, 3), "rc", (), "alpine"),
        ("1.2.3-alpine-rc1", (1, 2, 3), "rc", (), "alpine"),
        ("20240329", (20240329,), "", (), ""),
    ],
)
def test_what_a_tag_says(
    tag: str, numbers: tuple[int, ...], prerelease: str, revision: tuple[int, ...], variant: str
) -> None:
    version = parse_version(tag)
    assert version is not None
    assert (version.numbers, version.revision, version.variant) == (numbers, revision, variant)
    assert (version.prerelease[0][0] if version.prerelease else "") == prerelease


@pytest.mark.parametrize(
    "tag",
    [
        "latest",
        "noble-20241015",
        "edge",
        "v",
        ".".join("1" * 17),
        "1.2.x",
        "sha-1a2b3c",
        "1..2",
        "-1",
        "x1.2",
        "7f3e2a1",
        "8u302-jdk",
        "1" * 129,
    ],
)
def test_not_a_version(tag: str) -> None:
    assert parse_version(tag) is None


def test_the_order_of_versions() -> None:
    rising = [
        *("1.9", "1.10.0-alpha1", "1.10.0-beta", "1.10.0-rc2", "1.10.0-rc10", "1.10", "1.10.0"),
        *("1.10.0-r2", "1.10.0-r10", "1.10.0.1", "2", "2.0.0.0.0.1"),
    ]
    versions = [version for tag in reversed(rising) if (version := parse_version(tag))]
    assert [version.tag for version in sorted(versions)] == rising


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v1.2.3", "1.2.3"),
        ("1.2.3.Final", "1.2.3"),
        ("3.20", "3.20.0"),
        ("1.2.3-alpine", "1.2.3-slim"),
        ("1.2.3-7f3e2a1", "1.2.3-8a3e2a1"),
        ("1.2.3-r1-alpine", "1.2.3-alpine-r1"),
    ],
)
def test_tags_of_one_version(one: str, other: str) -> None:
    first, second = parse_version(one), parse_version(other)
    assert first
    assert second
    assert first.release == second.release
    assert first != second


@given(TAGS)
def test_any_tag_can_be_asked(tag: str) -> None:
    version = parse_version(tag)
    assert version is None or version.tag == tag


@given(VERSIONS, VERSIONS, VERSIONS)
def test_it_is_a_total_order(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (b < a) + (a == b) == 1
    assert not (a < b and b < c) or a < c
    assert sorted([a, b, c]) == sorted([c, b, a])


def test_tags_in_the_order_that_people_expect() -> None:
    tags = [
        "2.0",
        "v1.9",
        "latest",
        "10.0",
        "1.10",
        "1.10-alpine",
        "1.10.0-rc.2",
        "1.10.0-rc.10",
        "build9",
        "build10",
        "1.9",
    ]
    assert sorted(tags, key=in_order) == [
        *("1.9", "v1.9", "1.10.0-rc.2", "1.10.0-rc.10", "1.10", "1.10-alpine", "2.0", "10.0"),
        *("build9", "build10", "latest"),
    ]


@given(st.lists(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}", fullmatch=True), max_size=8))
def test_any_tags_can_be_put_in_order(tags: list[str]) -> None:
    assert sorted(sorted(tags, key=in_order, reverse=True), key=in_order) == sorted(tags, key=in_order)
