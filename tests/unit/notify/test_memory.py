"""What notifiers were told, in the state store."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import Malformed
from reconciler.notify.memory import parse_told, read_told, serialise_told, write_told
from reconciler.target.layout import JSON_HEADERS
from tests.memory import MemoryStore

times = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0))


@settings(max_examples=30)
@given(st.dictionaries(st.text(), st.dictionaries(st.text(), times, max_size=3), max_size=3))
def test_written_and_read_back(told: dict[str, dict[str, datetime]]) -> None:
    assert parse_told(serialise_told(told)) == told


@settings(max_examples=50)
@given(st.binary() | st.sampled_from([b"[]", b'{"told": 1}', b'{"told": {"a": {"b": 3, "c": "x"}}}']))
def test_any_bytes_are_parsed_or_malformed(body: bytes) -> None:
    try:
        parse_told(body)
    except Malformed:
        return


def test_each_mirrors_file_has_its_own_and_damage_is_forgotten() -> None:
    store = MemoryStore()
    told = {"URL": {"failure a": datetime(2026, 11, 26, tzinfo=UTC)}}
    write_told(store, "prod", told)
    assert read_told(store, "prod") == told
    assert read_told(store, "other") == {}
    store.put("_mirror/notified/prod.json", b"{", JSON_HEADERS)
    assert read_told(store, "prod") == {}
