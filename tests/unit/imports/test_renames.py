"""Names of tags, one by one -> the template that makes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.imports.renames import renaming
from reconciler.mirrors.patterns import parse_pattern
from reconciler.mirrors.rename import Rename

TAGS = st.from_regex(r"[a-z0-9][a-z0-9.v-]{0,6}", fullmatch=True)


@given(st.dictionaries(TAGS, TAGS, min_size=1, max_size=6), st.booleans())
def test_what_fits_gets_its_name_and_nothing_else_is_chosen(names: dict[str, str], only_names: bool) -> None:
    found = renaming(names, only_names=only_names)
    entries = {tag: {"regex": found.expressions[tag]} if found.expressions else tag for tag in found.fits}
    patterns = [parse_pattern(one) for one in entries.values()]
    assert set().union(*(one.matching(names) for one in patterns)) == found.fits
    assert {tag: Rename(found.template).name(tag, patterns) for tag in found.fits} == {
        tag: names[tag] for tag in found.fits
    }
    assert found.fits or not only_names, "one of them fits in any case"


@given(st.sets(TAGS, min_size=1, max_size=6), TAGS, TAGS)
def test_what_is_added_to_every_tag_fits_all(tags: set[str], before: str, after: str) -> None:
    assert renaming({tag: f"{before}{tag}{after}" for tag in tags}).fits == tags
