"""Every kind of store is in the schema, with the keys that its configuration has."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import pytest

from reconciler.mirrors.schema_files import load_schema
from reconciler.stores.kinds import KINDS

MADE_ELSEWHERE = {"digest_by_tag"}
"""Fields that no key of the store sets."""


def test_each_kind_is_in_the_table_by_its_type() -> None:
    assert [kind.type for kind in KINDS.values()] == list(KINDS)


def test_the_schema_has_every_kind() -> None:
    store: Any = load_schema("mirrors")["$defs"]["store"]
    assert store["properties"]["type"]["enum"] == list(KINDS)
    assert len(store["allOf"]) == len(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_the_schema_has_every_field(name: str) -> None:
    schema: Any = load_schema("mirrors")
    known = {field.name for field in fields(cast("Any", KINDS[name]))}
    assert schema["$defs"][name]["properties"].keys() == {"type"} | known - MADE_ELSEWHERE
