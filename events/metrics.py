"""Every Prometheus name in one place. Contract: sensors H.1 and H.2, eventsources 1.12; ours are marked.

One `Metrics` per process; series of an object are made once, at its start, and kept by who counts.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterator
from typing import Protocol

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
        self.admission_reviews = self._counter(
            "admission_reviews", "Objects reviewed when they were applied.", ("kind", "operation", "outcome")
        )
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

    def for_controllers(self) -> ControllerMetrics:
        """The series of a controller; pods of sources and sensors do without. To be called once."""
        return ControllerMetrics(self.registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.others)


class Waiting(Protocol):
    """What is counted of a queue."""

    on_add: Callable[[], None]
    on_get: Callable[[float], None]

    def __len__(self) -> int: ...

    def ages(self) -> list[float]:
        """For how many seconds each key that is worked on has been."""
        ...


class ControllerMetrics:
    """The series of controllers, by the names that dashboards know from controller-runtime. Contract: sensors H.2."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=_SECONDS)

        runtime, queue = "controller_runtime", ("name", "controller")
        self.reconciles = counter(f"{runtime}_reconcile", "Reconciles by result.", "controller", "result")
        self.errors = counter(f"{runtime}_reconcile_errors", "Reconciles that failed.", "controller")
        self.seconds = histogram(f"{runtime}_reconcile_time_seconds", "Duration of a reconcile.", "controller")
        self.workers = gauge(f"{runtime}_max_concurrent_reconciles", "Workers.", "controller")
        self.active = gauge(f"{runtime}_active_workers", "Workers that reconcile.", "controller")
        self.depth = gauge("workqueue_depth", "Keys that wait.", *queue)
        self.adds = counter("workqueue_adds", "Keys that were queued.", *queue)
        self.retries = counter("workqueue_retries", "Keys that were put off after a failure.", *queue)
        self.waited = histogram("workqueue_queue_duration_seconds", "From queued to taken up.", *queue)
        self.worked = histogram("workqueue_work_duration_seconds", "From taken up to done.", *queue)
        self.unfinished = gauge("workqueue_unfinished_work_seconds", "Age of all that is worked on.", *queue)
        self.longest = gauge("workqueue_longest_running_processor_seconds", "Age of the oldest of it.", *queue)
        self.requests = counter("rest_client_requests", "Requests to the API server.", "code", "method", "host")
        self.master = gauge("leader_election_master_status", "Whether this process leads.", "name")

    def of(self, controller: str, queue: Waiting, workers: int) -> ControllerCounts:
        """The series of one controller; the queue's are counted from now on."""
        return ControllerCounts(self, controller, queue, workers)


class ControllerCounts:
    """The series of one controller."""

    def __init__(self, metrics: ControllerMetrics, controller: str, queue: Waiting, workers: int) -> None:
        names = (controller, controller)
        self._results = {
            result: metrics.reconciles.labels(controller, result)
            for result in ("success", "error", "requeue", "requeue_after")
        }
        self._errors, self._retries = metrics.errors.labels(controller), metrics.retries.labels(*names)
        self._seconds, self._worked = metrics.seconds.labels(controller), metrics.worked.labels(*names)
        self._active = metrics.active.labels(controller)
        metrics.workers.labels(controller).set(workers)
        queue.on_add, queue.on_get = metrics.adds.labels(*names).inc, metrics.waited.labels(*names).observe
        metrics.depth.labels(*names).set_function(lambda: len(queue))
        metrics.unfinished.labels(*names).set_function(lambda: sum(queue.ages()))
        metrics.longest.labels(*names).set_function(lambda: max(queue.ages(), default=0))

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Around one reconcile."""
        begun = time.monotonic()
        self._active.inc()
        try:
            yield
        finally:
            self._active.dec()
            for series in (self._seconds, self._worked):
                series.observe(time.monotonic() - begun)

    def ended(self, result: str) -> None:
        """One reconcile ended: success, error, requeue or requeue_after."""
        self._results[result].inc()
        if result == "error":
            self._errors.inc()
        if result in ("error", "requeue"):
            self._retries.inc()
