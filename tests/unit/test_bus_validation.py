"""What is wrong with an EventBus, beyond what the recorded cases say."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import validation
from eventbus.types import EventBus


def raw(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}, "spec": spec}


def said_of(**spec: Any) -> list[str]:
    return [f"{problem.severity.value} {problem}" for problem in validation.verdict(raw(**spec)).problems]


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
        ({"kafka": {"url": "x"}}, ["warning spec.kafka: services do not run"]),
        ({"kafka": {}}, ["error spec.kafka.url", "warning spec.kafka"]),
        ({"kafka": {"url": "x", "topc": "t"}}, ["error spec.kafka.topc"]),
        ({"kafka": {"url": "x", "partitioner": "odd"}}, ["warning spec.kafka.partitioner", "warning spec.kafka"]),
        (
            {"kafka": {"url": "x", "consumerGroup": {"rebalanceStrategy": "odd"}}},
            ["warning spec.kafka.consumerGroup.rebalanceStrategy", "warning spec.kafka"],
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


JETSTREAM = {"version": "latest"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"jetstream": JETSTREAM}, {"jetstream": JETSTREAM | {"replicas": 5}}, []),
        (
            {"jetstream": JETSTREAM},
            {"jetstream": JETSTREAM | {"streamConfig": "maxAge: 1h"}},
            ["jetstream.streamConfig"],
        ),
        ({"jetstream": JETSTREAM}, {"jetstreamExotic": {"url": "nats://x"}}, ["jetstreamExotic"]),
        ({"nats": {"native": {}}}, {"jetstream": JETSTREAM}, ["jetstream"]),
        ({"jetstream": JETSTREAM}, {"kafka": {"url": "x"}}, []),
        ({"kafka": {"url": "x"}}, {"kafka": {"url": "y"}}, []),
        ({"kafka": {"url": "x"}}, {"jetstream": JETSTREAM}, ["jetstream"]),
        ({"nats": {"native": {}}}, {"nats": {"native": {"auth": "none"}}}, []),
        ({"nats": {"native": {}}}, {"nats": {"native": {"auth": "token"}}}, ["nats.native.auth"]),
        ({"nats": {"native": {}}}, {"nats": {"exotic": {"url": "u", "clusterID": "c"}}}, ["nats.exotic"]),
    ],
)
def test_what_of_a_bus_cannot_be_changed(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    found = validation.changes(EventBus.parse(raw(**old)), EventBus.parse(raw(**new)))
    assert [problem.path for problem in found.errors] == [f"spec.{path}" for path in expected]


def test_nothing_runs_on_a_kafka_bus_yet() -> None:
    assert validation.not_run(EventBus.parse(raw(kafka={"url": "x"}))).errors
    assert not validation.not_run(EventBus.parse(raw(jetstream=JETSTREAM))).errors
