"""Metrics that Workflows define, for /metrics: `argo_workflows_<name>`. Contract: workflows I.5.

Numbers of a process, as Argo's controller has them: they begin anew when it does.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from events.local.workflows import variables
from events.local.workflows.engine.measuring import Measured

PREFIX = "argo_workflows_"
MOST = 10_000
"""Series in all: labels of a Workflow must not fill the memory."""
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Values = tuple[str, ...]


@dataclass
class _Series:
    """One combination of values of labels."""

    value: float = 0.0
    since: str = ""
    counts: list[int] = field(default_factory=list)
    """Of a histogram: per bucket, and above all."""


@dataclass
class _Family:
    """One metric."""

    kind: str
    help: str
    labels: Values
    buckets: tuple[float, ...]
    series: dict[Values, _Series] = field(default_factory=dict)


class CustomMetrics(Collector):
    """All of them, in a registry."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._families: dict[str, _Family] = {}
        self._count = 0
        registry.register(self)

    def add(self, one: Measured) -> str:
        """Count a value; what is wrong with it, or empty."""
        names = tuple(name for name, _ in one.labels)
        buckets = tuple(sorted(one.buckets)) or _BUCKETS if one.kind == "histogram" else ()
        family = self._families.get(one.name)
        if family is None:
            family = self._families[one.name] = _Family(one.kind, one.help, names, buckets)
        if (family.kind, family.labels) != (one.kind, names):
            was = f"a {family.kind} with the labels {', '.join(family.labels) or 'none'}"
            return f"metric '{one.name}' is {was} already: give it another name"
        values = tuple(value for _, value in one.labels)
        series = family.series.get(values)
        if series is None:
            if self._count >= MOST:
                return f"metric '{one.name}': there are {MOST} series already; use labels with fewer values"
            self._count += 1
            series = family.series[values] = _Series(counts=[0] * (len(family.buckets) + 1))
        _put(series, family, one)
        return ""

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before the first Workflow."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for name, family in sorted(self._families.items()):
            yield self._shown(f"{PREFIX}{name}", family)

    def _shown(self, name: str, family: _Family) -> Metric:
        series = sorted(family.series.items())
        if family.kind == "histogram":
            histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
            for values, one in series:
                histogram.add_metric(values, _cumulative(family.buckets, one.counts), one.value)
            return histogram
        if family.kind == "counter":
            counter = CounterMetricFamily(name, family.help, labels=family.labels)
            for values, one in series:
                counter.add_metric(values, one.value)
            return counter
        gauge = GaugeMetricFamily(name, family.help, labels=family.labels)
        for values, one in series:
            gauge.add_metric(values, self._now(one))
        return gauge

    def _now(self, one: _Series) -> float:
        return (self._clock() - variables.parsed(one.since)).total_seconds() if one.since else one.value


def _put(series: _Series, family: _Family, one: Measured) -> None:
    series.since = one.since
    if family.kind == "histogram":
        series.value += one.value
        series.counts[bisect.bisect_left(family.buckets, one.value)] += 1
    elif family.kind == "counter" or one.operation == "Add":
        series.value += one.value
    elif one.operation == "Sub":
        series.value -= one.value
    else:
        series.value = one.value


def _cumulative(buckets: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    found, total = list[tuple[str, float]](), 0
    for bound, count in zip((*map(str, buckets), "+Inf"), counts, strict=True):
        total += count
        found.append((bound, total))
    return found
