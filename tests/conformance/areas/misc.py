"""misc: durations, backoffs and other small formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.core import Case, NotCovered, Outcome, attempt, judge, recorded

from eventbus import subjects
from eventbus.types import JetStreamBus
from events import durations
from events.backoff import Backoff, number, whole_or_text
from events.resources import dns_label, pods
from eventsources.calendar_times import exclusion_dates
from eventsources.types import EventSourceSpec
from eventsources.webhooks import WebhookSpec
from sensors.types import SensorSpec


def run(case: Case) -> Outcome:
    """Compare with upstream."""
    answer = OPS.get(case.input["op"])
    if answer is None:
        raise NotCovered(f"op {case.input['op']}")
    return judge(case, attempt(lambda: answer(case.input)), wanted=wanted(case))


def backoff(given: dict[str, Any]) -> Any:
    spec = Backoff.parse(given["value"] or {})
    least, most = list(spec.pauses(lambda: 0.0)), list(spec.pauses(lambda: 1.0))
    return {
        "durationNs": ns(spec.pause),
        "factor": spec.growth,
        "jitter": spec.spread,
        "steps": spec.attempts,
        "sleepMinNs": list(map(ns, least)),
        "sleepMaxNs": list(map(ns, most)),
    }


def int64_or_text(given: dict[str, Any]) -> Any:
    """The type of a backoff's duration. (The integer that upstream finds in a text is nothing that we have.)"""
    duration = Backoff.parse({"duration": given["value"]}).duration
    if duration is None:
        return {"nil": True}
    is_text = isinstance(duration, str)
    return {"isString": is_text, "json": json.dumps(duration)} | ({} if is_text else {"int64Value": duration})


def parsed(given: dict[str, Any]) -> Any:
    """A text as a duration: whole nanoseconds, or itself."""
    found = whole_or_text(given["text"])
    is_text = isinstance(found, str)
    return {"isString": is_text, "int64Value": 0 if is_text else found}


def amount(given: dict[str, Any]) -> Any:
    """The type of a backoff's factor."""
    return {"nil": True} if given["value"] is None else number(given["value"])


def wanted(case: Case) -> Any:
    answer = recorded(case)
    if case.input["op"] == "int64OrString" and isinstance(answer, dict) and answer.get("isString"):
        answer = {key: value for key, value in answer.items() if key != "int64Value"}
    return answer


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


def event_bus_replicas(given: dict[str, Any]) -> int:
    return JetStreamBus.parse({"version": "latest", **given["value"]}).servers


def formatted_url(given: dict[str, Any]) -> str:
    return WebhookSpec.parse({"endpoint": given["text2"], "port": "1", "url": given["text"]}).callback


OPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "amount": amount,
    "backoff": backoff,
    "int64OrString": int64_or_text,
    "parseInt64OrString": parsed,
    "dnsLabel": lambda given: dns_label(given["text"]),
    "eventBusReplicas": event_bus_replicas,
    "eventSourceReplicas": lambda given: pods(EventSourceSpec.parse(given["value"]).replicas),
    "formattedURL": formatted_url,
    "hasher": lambda given: str(subjects.fnv32a(given["text"])),
    "sensorReplicas": lambda given: pods(SensorSpec.parse(given["value"]).replicas),
    "duration": lambda given: durations.nanoseconds(given["text"]),
    "exclusionDates": lambda given: [f"{day}T00:00:00Z" for day in sorted(exclusion_dates(given["list"]))],
    "webhookMaxPayload": lambda given: WebhookSpec.parse({"endpoint": "/", "port": "1"} | given["value"]).limit,
}
