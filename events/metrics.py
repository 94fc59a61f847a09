"""Every Prometheus name in one place. Contract: sensors H.1, eventsources 1.12; ours are marked.

One `Metrics` per process; series of an object are made once, at its start, and kept by who counts.
"""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics
from prometheus_client.exposition import generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SOURCE = ("namespace", "eventsource_name", "event_name")
_TRIGGER = ("namespace", "sensor_name", "trigger_name")


class Metrics:
    """All series of a process; `text()` is what /metrics answers."""

    def __init__(self, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody reads
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, labels: tuple[str, ...]) -> Counter:
            return Counter(f"argo_events_{name}", text, labels, registry=registry)

        self.running = Gauge(
            "argo_events_event_service_running_total",
            "Events of the event source that are running.",
            ("namespace", "eventsource_name"),
            registry=registry,
        )
        self.events_sent = counter("events_sent", "Events published.", _SOURCE)
        self.events_sent_failed = counter("events_sent_failed", "Events that the bus did not take.", _SOURCE)
        self.events_processing_failed = counter("events_processing_failed", "Events that failed in any way.", _SOURCE)
        self.event_processing_duration = Summary(
            "argo_events_event_processing_duration_milliseconds",
            "From receipt to publication.",
            _SOURCE,
            registry=registry,
        )
        self.action_triggered = counter("action_triggered", "Attempts that succeeded.", _TRIGGER)
        self.action_failed = counter("action_failed", "Attempts that failed.", _TRIGGER)
        self.action_retries_failed = counter("action_retries_failed", "Firings that failed for good.", _TRIGGER)
        self.action_duration = Summary(
            "argo_events_action_duration_milliseconds", "Duration of an attempt.", _TRIGGER, registry=registry
        )
        # Ours: what became of every event, and how long it took.
        self.decisions = counter("decisions", "What became of events at triggers.", (*_TRIGGER, "outcome", "reason"))
        self.events_filtered = counter(
            "source_events_filtered", "Events that their source's filter did not publish.", (*_SOURCE, "reason")
        )
        self.events_duplicate = counter("source_events_duplicate", "Events that the bus already had.", _SOURCE)
        self.publish_seconds = Histogram(
            "argo_events_publish_seconds",
            "Until the bus has stored an event.",
            _SOURCE,
            registry=registry,
            buckets=_SECONDS,
        )
        self.event_age_seconds = Histogram(
            "argo_events_event_age_seconds",
            "From the storing of an event to the end of its action.",
            _TRIGGER,
            registry=registry,
            buckets=_SECONDS,
        )
        self.lag = Gauge(
            "argo_events_trigger_lag", "Events stored and not yet applied by a trigger.", _TRIGGER, registry=registry
        )
        self.bus_connected = Gauge(
            "argo_events_bus_connected", "Whether the bus is reachable.", ("bus",), registry=registry
        )
        self.bus_tls_unverified = Gauge(
            "argo_events_bus_tls_unverified",
            "Whether the bus is used without verifying it.",
            ("bus",),
            registry=registry,
        )
        build = Gauge(
            "build_info",
            "Version of the software.",
            ("version", "goversion", "goarch", "commit"),
            registry=registry,
        )
        # Names of upstream's labels: dashboards join on them.
        build.labels(version, f"python{platform.python_version()}", platform.machine(), "").set(1)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
