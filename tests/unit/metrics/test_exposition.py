"""The text format, as Prometheus' own parser reads it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from reconciler.metrics.exposition import exposition, parse
from reconciler.metrics.table import METRICS

keys = st.sampled_from(METRICS).flatmap(
    lambda metric: st.tuples(
        st.just(metric.name), st.tuples(*[st.text(st.characters(exclude_categories=["Cs"])) for _ in metric.labels])
    )
)


@settings(max_examples=30)
@given(st.dictionaries(keys, st.floats(0, 1e15), max_size=5))
def test_what_is_written_is_read_back(samples: dict[tuple[str, tuple[str, ...]], float]) -> None:
    assert parse(exposition(samples).decode()) == samples


def test_each_metric_has_its_help_and_type() -> None:
    samples = {(metric.name, tuple("x" for _ in metric.labels)): 1.0 for metric in METRICS}
    families = {one.name: one for one in text_string_to_metric_families(exposition(samples).decode())}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.documentation, family.type) == (metric.help, metric.kind.value)


def test_the_process_is_measured_where_that_is_wanted() -> None:
    assert b"process_open_fds" in exposition({}, of_process=True)
    assert exposition({}) == b""
