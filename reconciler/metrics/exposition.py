"""Writes metrics in Prometheus' text format, and reads back what was written. Only this module knows its client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from reconciler.metrics.table import BY_NAME, METRICS, Kind

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

    from reconciler.metrics.samples import Key, Samples

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(samples: Samples, *, of_process: bool = False) -> bytes:
    """Writes the samples as text, each metric with its help and type.

    of_process  add memory, descriptors and CPU time of this process, which only makes sense while it runs
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(samples))
    if of_process:
        ProcessCollector(registry=registry)
    return generate_latest(registry)


def parse(text: str) -> Samples:
    """Parses what `exposition` wrote; metrics of others are passed over. Raises ValueError if it is not such text."""
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            metric = BY_NAME.get(sample.name)
            if metric and sample.labels.keys() == set(metric.labels):
                found[metric.name, tuple(sample.labels[label] for label in metric.labels)] = sample.value
    return found


class _Snapshot(Collector):
    """Samples as prometheus_client collects them."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        by_name: defaultdict[str, list[tuple[tuple[str, ...], float]]] = defaultdict(list)
        for (name, labels), value in sorted(self._samples.items()):
            by_name[name].append((labels, value))
        for metric in METRICS:
            family_of = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = family_of(metric.name, metric.help, labels=metric.labels)
            for labels, value in by_name[metric.name]:
                family.add_metric(labels, value)
            if family.samples:
                yield family
