"""Numbers of other processes that count for this one: merged into what /metrics answers.

Everything but a gauge is a sum, and sums never go down: what a process has counted stays when it is gone. Of a gauge
the greatest value counts, of those in `LEAST` the least.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LEAST = frozenset(("argo_events_bus_connected",))
_OTHERS_TOO = frozenset(("build_info",))  # the same everywhere

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a sample, and its labels."""
Family = dict[Series, float]
Snapshot = list[list[Any]]
"""As JSON: [family, [[sample, {label: value}, number], …]] for each family that has any."""


def snapshot(registry: CollectorRegistry) -> Snapshot:
    """All numbers of a process, to be sent to the one that shows them."""
    return [
        [family.name, [[sample.name, sample.labels, sample.value] for sample in family.samples]]
        for family in registry.collect()
        if family.samples and family.name not in _OTHERS_TOO
    ]


class Tally(Collector):
    """A registry together with the last snapshots of other processes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lives: dict[object, dict[str, Family]] = {}
        self._gone: dict[str, Family] = {}
        """Sums of those that are no more."""
        self._ask: dict[object, Callable[[], Awaitable[None]]] = {}

    def join(self, who: object, refresh: Callable[[], Awaitable[None]]) -> None:
        """Another process counts from now on; `refresh` returns when its newest numbers are here, or never will be."""
        self._ask[who] = refresh

    def take(self, who: object, numbers: Snapshot) -> None:
        """All that a process has counted so far. ValueError when this is no snapshot."""
        try:
            self._lives[who] = {
                str(name): {
                    (str(sample), tuple((str(key), str(value)) for key, value in labels.items())): float(number)
                    for sample, labels, number in samples
                }
                for name, samples in numbers
            }
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a snapshot: {error}") from error

    def leave(self, who: object) -> None:
        """It is gone; its sums stay."""
        self._ask.pop(who, None)
        last = self._lives.pop(who, {})
        for family in self._registry.collect():
            if family.type != "gauge" and family.name in last:
                _merge(self._gone.setdefault(family.name, {}), last[family.name], _plus)

    async def refresh(self) -> None:
        """Have everybody's newest numbers."""
        if self._ask:
            await asyncio.gather(*(ask() for ask in self._ask.values()))

    def collect(self) -> Iterable[Metric]:
        """Every family of the registry, ours and theirs together."""
        for family in self._registry.collect():
            parts = [life[family.name] for life in (*self._lives.values(), self._gone) if family.name in life]
            yield _together(family, parts) if parts else family


def _together(family: Metric, parts: Iterable[Family]) -> Metric:
    how = _plus if family.type != "gauge" else min if family.name in LEAST else max
    sums: Family = {(sample.name, tuple(sample.labels.items())): sample.value for sample in family.samples}
    for part in parts:
        _merge(sums, part, how)
    merged = Metric(family.name, family.documentation, family.type)
    for (name, labels), value in sums.items():
        merged.add_sample(name, dict(labels), value)
    return merged


def _merge(into: Family, part: Family, how: Callable[[float, float], float]) -> None:
    for series, value in part.items():
        into[series] = how(into[series], value) if series in into else value


def _plus(one: float, other: float) -> float:
    return one + other
