"""What is wrong with an EventBus, beyond what the recorded cases say."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import validation
from eventbus.types import EventBus


def said_of(**spec: Any) -> list[str]:
    raw = {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}, "spec": spec}
    return [f"{problem.severity.value} {problem.path}" for problem in validation.validate(EventBus.parse(raw))]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ["error spec"]),
        ({"jetstream": {"version": "latest", "replicas": 3}}, []),
        ({"jetstream": {"version": ""}}, ["error spec.jetstream.version"]),
        ({"jetstream": {"version": "latest", "replicas": 2}}, ["error spec.jetstream.replicas"]),
        ({"jetstream": {"version": "latest", "streamConfig": "retention: 2"}}, ["error spec.jetstream.streamConfig"]),
        ({"nats": {"native": {}}}, ["warning spec.nats.native"]),
        ({"nats": {}}, ["error spec.nats"]),
        ({"nats": {"native": {}, "exotic": {}}}, ["error spec.nats"]),
        ({"nats": {"exotic": {"url": "nats://x"}}}, ["error spec.nats.exotic"]),
        ({"kafka": {"url": "x"}}, ["warning spec.kafka"]),
        ({"kafka": {}}, ["error spec.kafka.url", "warning spec.kafka"]),
        (
            {"jetstream": {"version": "latest", "streamConfig": "maxAges: 1h"}},
            ["warning spec.jetstream.streamConfig.maxages"],
        ),
        (
            {"jetstream": {"version": "latest", "replicas": 1, "streamConfig": "replicas: 3"}},
            ["warning spec.jetstream.streamConfig.replicas"],
        ),
        (
            {"jetstream": {"version": "latest", "persistence": {"volumeSize": "big"}}},
            ["error spec.jetstream.persistence.volumeSize"],
        ),
        ({"jetstream": {"version": "latest"}, "kafka": {"url": "x"}}, ["warning spec.kafka"]),
        ({"jetstreamExotic": {"url": ""}}, ["error spec.jetstreamExotic.url"]),
        ({"jetstreamExotic": {"url": "nats://x", "tls": {}}}, ["warning spec.jetstreamExotic.tls"]),
    ],
)
def test_what_is_wrong_with_a_bus(spec: dict[str, Any], expected: list[str]) -> None:
    found = said_of(**spec)
    assert len(found) == len(expected)
    assert all(ours.startswith(start) for ours, start in zip(found, expected, strict=True)), found
