"""The short answer of `fits` is jsonschema's, for the schema of mirrors.yaml and for values of every shape."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.mirrors.document import read_document
from reconciler.mirrors.fits import fits
from reconciler.mirrors.schema_check import _validator
from reconciler.mirrors.schema_files import load_schema

SCHEMA = load_schema("mirrors")
VALIDATOR = _validator()
ROOT = Path(__file__).parents[3]
FILE: dict[str, Any] = {
    "version": 1,
    "name": "team-a",
    "x-all": ["linux/amd64"],
    "store": {"type": "r2", "account_id": "0" * 32, "bucket": "cr", "jurisdiction": "eu"},
    "edge": {"zone": "0" * 32, "cache": True},
    "registries": {"docker.io": {"username_env": "U", "password_env": "P", "max_connections": 3}},
    "defaults": {"platforms": ["linux/amd64"], "retain": "7d", "prune": False},
    "mirrors": [
        {"source": "docker.io/library/alpine", "tags": ["3.20", {"semver": ">=3", "newest": 2}, {"regex": "^v"}]},
        {"source": "oci:./app", "target": "app", "tags": [{"glob": "*"}], "signed_by": {"key": "cosign.pub"}},
        {"source": "ghcr.io/o/i", "tags": ["1"], "signed_by": [{"identity": "a@b", "issuer": "https://c"}]},
    ],
}
STORES: list[dict[str, Any]] = [{"type": "s3", "bucket": "b", "region": "eu"}, {"type": "file", "path": "./mirror"}]
WORDS = ["", "x", "x-y", "r2", "s3", "file", "all", "7d", "docker.io/a", "${NAME}", "semver", "glob", "newest", "key"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.floats(-1, 5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=5,
)


def agrees(value: Any) -> bool:
    """Checks that both answer alike, and returns the answer."""
    expected: bool = VALIDATOR.is_valid(value)
    assert fits(value, SCHEMA, SCHEMA) is expected
    return expected


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every key or position in a value, with what holds it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, item in inner for one in [(value, key), *places(item)]]


@pytest.mark.parametrize("store", [FILE["store"], *STORES])
def test_a_good_file_with_each_kind_of_store(store: dict[str, Any]) -> None:
    assert agrees({**FILE, "store": store})


def test_the_mirrors_file_at_the_top() -> None:
    assert agrees(read_document(ROOT / "mirrors.yaml").value)


@given(st.data())
def test_a_file_with_something_else_in_one_place(data: st.DataObject) -> None:
    value = copy.deepcopy(FILE)
    value["store"] = data.draw(st.sampled_from([value["store"], *copy.deepcopy(STORES)]))
    holder, key = data.draw(st.sampled_from(places(value)))
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            holder[key] = data.draw(VALUES)
        case "remove":
            del holder[key]
        case _ if isinstance(holder, dict):
            holder[data.draw(st.sampled_from([*WORDS, *FILE, *holder]))] = data.draw(VALUES)
        case _:
            holder.append(data.draw(VALUES))
    agrees(value)


@given(VALUES)
def test_a_value_of_any_shape(value: Any) -> None:
    agrees(value)


def test_a_keyword_that_is_not_known_is_not_ignored() -> None:
    with pytest.raises(KeyError):
        fits([1, 1], {"uniqueItems": True}, {})
