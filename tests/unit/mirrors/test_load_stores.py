"""`stores` in the place of `store`: several stores in one file, and every problem with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.mirrors.load import load_mirrors
from reconciler.plan.owners import clashes, namesakes

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

R2 = "{type: r2, account_id: 0123456789abcdef0123456789abcdef, bucket: %s}"
HEAD = "version: 1\n"
TWO = "stores:\n  public: {type: file, path: ./a}\n  office: {type: file, path: ./b}\n"
MIRRORS = "mirrors:\n- {source: docker.io/library/alpine, tags: [latest]}\n"
LIMITED = "- {source: docker.io/library/nginx, tags: [latest], stores: [office]}\n"


def load(tmp_path: Path, text: str) -> Mirrors:
    (tmp_path / "mirrors.yaml").write_text(HEAD + text)
    return load_mirrors(tmp_path / "mirrors.yaml", {})


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(MirrorsInvalid) as error:
        load(tmp_path, text)
    return [f"{one.line}:{one.column}: {one.where}: {one.message}" for one in error.value.problems]


def test_each_store_gets_what_is_declared_for_it(tmp_path: Path) -> None:
    found = load(tmp_path, TWO + MIRRORS + LIMITED)
    public, office = found.targets()
    assert [(one.store_name, len(one.mirrors)) for one in (public, office)] == [("public", 1), ("office", 2)]
    assert public.sha256 != office.sha256 != found.sha256
    assert found.targets(["office"]) == (office,)
    assert found.only_target("public") == public
    with pytest.raises(UsageError, match="--store NAME, of public, office"):
        found.only_target()
    with pytest.raises(UsageError, match=r"--store lab: no store has this name; mirrors\.yaml has public, office"):
        found.targets(["lab"])


def test_one_store_has_no_name(tmp_path: Path) -> None:
    found = load(tmp_path, "store: {type: file, path: ./a}\n" + MIRRORS)
    assert found.targets() == (found,)
    assert found.only_target() == found
    with pytest.raises(UsageError, match="leave out --store"):
        found.only_target("public")


def test_defaults_name_stores_too(tmp_path: Path) -> None:
    found = load(tmp_path, TWO + "defaults: {stores: [public]}\n" + MIRRORS + LIMITED)
    assert [[one.target for one in target.mirrors] for target in found.targets()] == [
        ["library/alpine"],
        ["library/nginx"],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIRRORS, ["1:1: store: is missing; write for example store: "]),
        ("store: {type: file, path: ./c}\n" + TWO + MIRRORS, ["3:1: stores: store is there too; keep one of the two"]),
        (
            "stores:\n  Public: {type: file, path: ./a}\n" + MIRRORS,
            ["3:3: stores.Public: Public does not have the expected form; write for example public"],
        ),
        ("stores: {}\n" + MIRRORS, ["2:9: stores: "]),
        (
            TWO.replace("./b", "./a") + MIRRORS,
            ["4:3: stores.office: keeps its mirror index where public keeps its own; give each store a place"],
        ),
        (
            TWO + MIRRORS + LIMITED.replace("office", "lab"),
            ["7:62: mirrors[1].stores[0]: 'lab' is not the name of a store; the stores are public, office"],
        ),
        (
            "store: {type: file, path: ./a}\n" + MIRRORS + LIMITED,
            ["5:61: mirrors[1].stores: is only valid with several stores; remove it, or write stores:"],
        ),
        (
            TWO + "edge: {zone: example.com, hostname: cr.example.com}\n" + MIRRORS,
            ["5:1: edge: needs exactly one store of type r2, and there are 0; remove it"],
        ),
        (
            "stores:\n  a: " + R2 % "one" + "\n  b: {type: r2, bucket: two}\n" + MIRRORS,
            ["4:3: stores.b.account_id: is missing; write for example account_id: "],
        ),
    ],
)
def test_every_problem_has_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = problems(tmp_path, text)
    assert len(found) == len(expected), found
    for one, beginning in zip(found, expected, strict=True):
        assert one.startswith(beginning), one


def test_the_edge_belongs_to_the_bucket(tmp_path: Path) -> None:
    stores = f"stores:\n  public: {R2 % 'one'}\n  office: {{type: file, path: ./b}}\n"
    found = load(tmp_path, stores + "edge: {zone: example.com, hostname: cr.example.com}\n" + MIRRORS)
    public, office = found.targets()
    assert found.edge == public.edge
    assert found.edge
    assert office.edge is None


S3 = "{{type: s3, region: auto, endpoint_url: 'https://s3.example.com', bucket: {}}}"


@pytest.mark.parametrize(
    ("one", "other", "is_shared"),
    [
        ("{type: file, path: ./a}", "{type: file, path: ./a, public_url: 'https://cr.example.com'}", True),
        ("{type: oci, path: ./a}", "{type: oci, path: ./b}", False),
        ("{type: oci, path: ./a}", "{type: oci, path: ./a}", True),
        (
            "{type: registry, registry: a.example, state: {type: file, path: ./s}}",
            "{type: registry, registry: b.example, state: {type: file, path: ./s}}",
            True,
        ),
        ("{type: registry, registry: a.example, state: {type: file, path: ./s}}", "{type: file, path: ./t}", False),
        ("{type: registry, registry: a.example, state: {type: file, path: ./s}}", "{type: file, path: ./x/../s}", True),
        ("{type: oci, path: ./a}", "{type: file, path: ./a}", True),
        (S3.format("one, state_bucket: state"), S3.format("other, state_bucket: state"), True),
        (S3.format("one"), S3.format("other"), False),
        (S3.format("one, state_bucket: state"), S3.format("state"), True),
        (
            "{type: r2, account_id: 0123456789abcdef0123456789abcdef, bucket: one}",
            (
                "{type: registry, registry: a.example, state: {type: s3, region: auto, bucket: one, "
                "endpoint_url: 'https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com/'}}"
            ),
            True,
        ),
    ],
)
def test_stores_with_one_index_are_a_problem(tmp_path: Path, one: str, other: str, is_shared: bool) -> None:
    text = f"stores:\n  one: {one}\n  other: {other}\n{MIRRORS}"
    if is_shared:
        (found,) = problems(tmp_path, text)
        assert "stores.other: keeps its mirror index where one keeps its own" in found
    else:
        assert len(load(tmp_path, text).targets()) == 2


def test_files_that_share_one_of_several_stores_are_found(tmp_path: Path) -> None:
    one = load(tmp_path, TWO + MIRRORS)
    other = load(tmp_path, "store: {type: file, path: ./b}\n" + MIRRORS)
    renamed = load(tmp_path, "name: lab\nstore: {type: file, path: ./b}\n" + MIRRORS)
    assert len(list(namesakes({"one": one, "other": other}))) == 1
    assert len(list(clashes({"one": one, "renamed": renamed}))) == 1
    assert not list(namesakes({"one": one}))
