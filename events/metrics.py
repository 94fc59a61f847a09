"""Every Prometheus name in one place. Contract: sensors H.1, eventsources 1.12; ours are marked.

One `Metrics` per process; series of an object are made once, at its start, and kept by who counts.
"""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics
from prometheus_client.exposition import generate_latest

from events.tally import Tally

_PREFIX = "argo_events_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SOURCE = ("namespace", "eventsource_name", "event_name")
_TRIGGER = ("namespace", "sensor_name", "trigger_name")


class Metrics:
    """All series of a process; `text()` is what /metrics answers."""

    def __init__(self, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody reads
        self.registry = CollectorRegistry()
        self.others = Tally(self.registry)
        """What other processes count for this one."""
        self._for_sources()
        self._for_triggers()
        self._for_process(version)

    def _for_sources(self) -> None:
        self.running = self._gauge(
            "event_service_running_total", "Events that are running.", ("namespace", "eventsource_name")
        )
        self.events_sent = self._counter("events_sent", "Events published.", _SOURCE)
        self.events_sent_failed = self._counter("events_sent_failed", "Events that the bus did not take.", _SOURCE)
        self.events_processing_failed = self._counter(
            "events_processing_failed", "Events that failed in any way.", _SOURCE
        )
        self.event_processing_duration = self._summary(
            "event_processing_duration_milliseconds", "From receipt to publication.", _SOURCE
        )
        # Ours from here on.
        self.events_filtered = self._counter(
            "source_events_filtered", "Events that their source's filter did not publish.", (*_SOURCE, "reason")
        )
        self.events_duplicate = self._counter("source_events_duplicate", "Events that the bus already had.", _SOURCE)
        self.publish_seconds = self._histogram("publish_seconds", "Until the bus has stored an event.", _SOURCE)
        self.source_workers = self._gauge(
            "source_workers", "Worker processes of an event source that listen.", ("namespace", "eventsource_name")
        )
        self.source_worker_deaths = self._counter(
            "source_worker_deaths", "Worker processes that ended unasked.", ("namespace", "eventsource_name")
        )

    def _for_triggers(self) -> None:
        self.action_triggered = self._counter("action_triggered", "Attempts that succeeded.", _TRIGGER)
        self.action_failed = self._counter("action_failed", "Attempts that failed.", _TRIGGER)
        self.action_retries_failed = self._counter("action_retries_failed", "Firings that failed for good.", _TRIGGER)
        self.action_duration = self._summary("action_duration_milliseconds", "Duration of an attempt.", _TRIGGER)
        # Ours from here on.
        self.decisions = self._counter(
            "decisions", "What became of events at triggers.", (*_TRIGGER, "outcome", "reason")
        )
        self.event_age_seconds = self._histogram(
            "event_age_seconds", "From the storing of an event to the end of its action.", _TRIGGER
        )
        self.dead_letters = self._counter(
            "dead_letters", "Firings and events kept for a person to look at.", (*_TRIGGER, "reason")
        )
        self.lag = self._gauge("trigger_lag", "Events stored and not yet applied by a trigger.", _TRIGGER)

    def _for_process(self, version: str) -> None:
        self.bus_connected = self._gauge("bus_connected", "Whether the bus is reachable.", ("bus",))
        self.bus_tls_unverified = self._gauge(
            "bus_tls_unverified", "Whether the bus is used without verifying it.", ("bus",)
        )
        # Names of upstream's labels: dashboards join on them.
        labels = ("version", "goversion", "goarch", "commit")
        build = Gauge("build_info", "Version of the software.", labels, registry=self.registry)
        build.labels(version, f"python{platform.python_version()}", platform.machine(), "").set(1)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"{_PREFIX}{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(f"{_PREFIX}{name}", text, labels, registry=self.registry)

    def _summary(self, name: str, text: str, labels: tuple[str, ...]) -> Summary:
        return Summary(f"{_PREFIX}{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Histogram:
        return Histogram(f"{_PREFIX}{name}", text, labels, registry=self.registry, buckets=_SECONDS)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.others)
