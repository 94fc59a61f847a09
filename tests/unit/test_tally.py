"""Numbers of several processes as one exposition: sums that never go down, gauges by their greatest or least."""

from __future__ import annotations

import json

import pytest

from events.metrics import Metrics
from events.tally import snapshot

LABELS = ("ns", "src", "ev")


def numbers(metrics: Metrics) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in metrics.text().decode().splitlines() if not line.startswith("#"))
    return {name.partition("{")[0].removeprefix("argo_events_"): float(value) for name, _, value in rows}


class Other:
    """Another process."""

    def __init__(self, here: Metrics) -> None:
        self.metrics, self._here = Metrics("1"), here

    def tell(self) -> None:
        self._here.others.take(self, json.loads(json.dumps(snapshot(self.metrics.registry))))


def test_counters_summaries_and_histograms_are_sums() -> None:
    here = Metrics("1")
    one, two = Other(here), Other(here)
    here.events_sent.labels(*LABELS).inc(2)
    for other in (one, two):
        other.metrics.events_sent.labels(*LABELS).inc(3)
        other.metrics.event_processing_duration.labels(*LABELS).observe(7)
        other.metrics.publish_seconds.labels(*LABELS).observe(0.003)
        other.tell()
    found = numbers(here)
    assert found["events_sent_total"] == 8
    assert (found["event_processing_duration_milliseconds_sum"], found["publish_seconds_count"]) == (14, 2)
    text = here.text().decode()
    assert 'publish_seconds_bucket{event_name="ev",eventsource_name="src",le="0.005",namespace="ns"} 2.0' in text
    assert 'publish_seconds_bucket{event_name="ev",eventsource_name="src",le="0.0025",namespace="ns"} 0.0' in text
    assert text.count("# TYPE argo_events_publish_seconds histogram") == 1
    assert text.index('le="0.0005"') < text.index('le="60.0"') < text.index('le="+Inf"')


def test_a_snapshot_replaces_the_one_before_it() -> None:
    here = Metrics("1")
    other = Other(here)
    for _ in range(3):
        other.metrics.events_sent.labels(*LABELS).inc()
        other.tell()
    assert numbers(here)["events_sent_total"] == 3


def test_what_was_counted_stays_when_a_process_is_gone() -> None:
    here = Metrics("1")
    seen = []
    for _ in range(3):
        other = Other(here)
        other.metrics.events_sent.labels(*LABELS).inc(5)
        other.metrics.running.labels("ns", "src").set(1)
        other.tell()
        seen.append(numbers(here)["events_sent_total"])
        here.others.leave(other)
        seen.append(numbers(here)["events_sent_total"])
        assert "event_service_running_total" not in numbers(here)
    assert seen == [5, 5, 10, 10, 15, 15]
    here.others.leave(object())


def test_of_gauges_the_greatest_counts_and_of_connections_the_least() -> None:
    here = Metrics("1")
    here.bus_connected.labels("b").set(1)
    for value in (1, 0):
        other = Other(here)
        other.metrics.bus_connected.labels("b").set(value)
        other.metrics.running.labels("ns", "src").set(value * 2)
        other.tell()
    found = numbers(here)
    assert (found["bus_connected"], found["event_service_running_total"]) == (0, 2)
    assert here.text().decode().count("build_info{") == 1


def test_labels_may_hold_anything() -> None:
    here = Metrics("1")
    other = Other(here)
    for name in ('a"b\\c\n', "ü €", "\x00"):
        other.metrics.events_sent.labels("ns", "src", name).inc()
    other.tell()
    assert here.text() == other.metrics.text()


@pytest.mark.parametrize("wrong", [None, 7, [7], [["a"]], [["a", [["b", 7, 1]]]], [["a", [["b", {}, "x"]]]]])
def test_what_is_no_snapshot_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError):
        Metrics("1").others.take(object(), wrong)  # type: ignore[arg-type]


def test_families_that_nobody_knows_are_left_out() -> None:
    here = Metrics("1")
    here.others.take("other", [["made_up", [["made_up_total", {}, 1.0]]]])
    assert "made_up" not in here.text().decode()


async def test_a_scrape_asks_everybody_first() -> None:
    here = Metrics("1")
    other = Other(here)

    async def tell() -> None:
        other.metrics.events_sent.labels(*LABELS).inc()
        other.tell()

    here.others.join(other, tell)
    await here.others.refresh()
    await here.others.refresh()
    assert numbers(here)["events_sent_total"] == 2
    here.others.leave(other)
    await here.others.refresh()
    assert numbers(here)["events_sent_total"] == 2
