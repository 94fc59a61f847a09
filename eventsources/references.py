"""Which secrets and config maps an EventSource names. Contract: eventsources 1.4."""

from __future__ import annotations

from events.references import Found, of_raw, walk
from eventsources.registry import SOURCES
from eventsources.types import EventSource


def named(event_source: EventSource) -> Found:
    """All of them, with their field paths."""
    for key, events in event_source.spec.sources.items():
        for name, raw in events.items():
            yield from of_raw(SOURCES, key, raw, f"spec.{key}.{name}")
    yield from walk(event_source, "")
