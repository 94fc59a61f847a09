"""Metrics that templates and Workflows define: when they are measured, and how /metrics shows them. Contract: I.5."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.workflow_world import WorkflowWorld

from events.local.workflows.custom_metrics import CustomMetrics
from events.local.workflows.engine import Given, operate
from events.local.workflows.engine.measuring import Measured

NOW = datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)


def metric(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "help": f"about {name}", **more}


class World(WorkflowWorld):
    """Notes what was measured at each look."""

    def __init__(self, *templates: dict[str, Any], outcomes: dict[str, Any] | None = None, **spec: Any) -> None:
        workflow = {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", "templates": list(templates), **spec}}
        super().__init__({"workflow": workflow, "outcomes": outcomes or {}})
        self.measured: list[list[Measured]] = []

    def look(self) -> None:
        self.now = self.now.replace(second=self.now.second + 1)
        result = operate(Given(workflow=self.workflow, now=self.now, pods=self.pods, reported=self.reported))
        self.workflow = result.workflow
        self.measured.append(result.metrics)
        for pod in result.pods:
            self.pods.setdefault(pod["metadata"]["name"], {**pod, "status": {"phase": "Pending"}})


def leaf(*metrics: dict[str, Any], name: str = "main", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "container": {"image": "i", "command": ["c"]},
        "metrics": {"prometheus": list(metrics)},
        **more,
    }


def test_a_metric_is_measured_once_when_its_template_has_ended() -> None:
    labels = [{"key": "who", "value": "{{inputs.parameters.who}}"}, {"key": "how", "value": "{{status}}"}]
    counter = metric("ran", labels=labels, counter={"value": "1"})
    histogram = metric("took", histogram={"value": "{{duration}}", "buckets": [1, 2.5]})
    inputs = {"parameters": [{"name": "who", "value": "me"}]}
    world = World(
        leaf(counter, histogram, inputs=inputs), outcomes={"*": [{"phase": "Running"}, {"phase": "Succeeded"}]}
    )
    world.play()
    assert [len(one) for one in world.measured] == [0, 0, 2]
    first, second = world.measured[-1]
    assert (first.name, first.kind, first.value) == ("ran", "counter", 1.0)
    assert first.labels == (("who", "me"), ("how", "Succeeded"))
    assert (second.value, second.buckets) == (2.0, (1.0, 2.5))


def test_when_decides_and_attempts_are_measured_as_one() -> None:
    failed = metric("failed", when="{{status}} == Failed", counter={"value": "1"})
    result = metric("result", when="{{status}} != Failed", gauge={"value": "{{outputs.parameters.p}}"})
    outputs = {"parameters": [{"name": "p", "valueFrom": {"path": "/p"}}]}
    world = World(
        leaf(failed, result, retryStrategy={"limit": "2"}, outputs=outputs),
        outcomes={
            "w(0)": [{"phase": "Failed"}],
            "w(1)": [{"phase": "Succeeded", "parameters": {"p": "7"}}],
        },
    )
    world.play()
    (found,) = [one for several in world.measured for one in several]
    assert (found.name, found.value, found.operation) == ("result", 7.0, "Set")


def test_a_realtime_gauge_grows_while_its_step_runs_and_stands_at_its_end() -> None:
    gauge = metric("running", gauge={"value": "{{duration}}", "realtime": True})
    world = World(leaf(gauge), outcomes={"*": [{"phase": "Running"}, {"phase": "Succeeded"}]})
    world.play()
    assert [[bool(one.since) for one in several] for several in world.measured] == [[True], [True], [False]]
    registry = CollectorRegistry()
    shown = CustomMetrics(registry, lambda: NOW.replace(second=50))
    started = world.measured[0][0].since
    shown.add(world.measured[0][0])
    passed = 50 - int(started[-3:-1])
    assert f"argo_workflows_running {float(passed)}" in generate_latest(registry).decode()
    shown.add(world.measured[2][0])
    assert "argo_workflows_running 2.0" in generate_latest(registry).decode()


def test_a_workflow_has_metrics_of_its_own() -> None:
    gauge = metric("whole", gauge={"value": "{{workflow.duration}}", "operation": "Add"})
    labels = [{"key": "phase", "value": "{{workflow.status}}"}]
    world = World(leaf(), outcomes={"*": [{"phase": "Failed"}]}, metrics={"prometheus": [{**gauge, "labels": labels}]})
    world.play()
    (found,) = [one for several in world.measured for one in several]
    assert (found.labels, found.value, found.operation) == ((("phase", "Failed"),), 1.0, "Add")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"counter": {"value": "{{outputs.result}}"}}, "metric 'bad': {{outputs.result}} has no value here"),
        ({"counter": {"value": "many"}}, "value is 'many', which is no number"),
        (
            {"counter": {"value": "1"}, "labels": [{"key": "k", "value": "{{nothing}}"}]},
            "{{nothing}} has no value here",
        ),
        ({}, "has none of counter, gauge, histogram"),
        ({"counter": {"value": "1"}, "when": "maybe"}, "Expected boolean evaluation"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_a_condition_and_the_workflow_goes_on(
    wrong: dict[str, Any], says: str
) -> None:
    world = World(leaf(metric("bad", **wrong), metric("good", counter={"value": "1"})))
    world.play()
    assert world.workflow["status"]["phase"] == "Succeeded"
    (told,) = [one for one in world.workflow["status"]["conditions"] if one["type"] == "MetricsError"]
    assert says in told["message"]
    assert [one.name for several in world.measured for one in several] == ["good"]


def measured(name: str, kind: str, value: float, *labels: tuple[str, str], **more: Any) -> Measured:
    return Measured(name, "help", kind, labels, value, **more)


def test_values_are_counted_set_added_and_sorted_into_buckets() -> None:
    registry = CollectorRegistry()
    shown = CustomMetrics(registry, lambda: NOW)
    for one in (
        measured("c", "counter", 1, ("a", "x")),
        measured("c", "counter", 2, ("a", "x")),
        measured("c", "counter", 5, ("a", "y")),
        measured("g", "gauge", 5),
        measured("g", "gauge", 2, operation="Sub"),
        measured("h", "histogram", 0.5, buckets=(1.0, 2.0)),
        measured("h", "histogram", 2.0, buckets=(1.0, 2.0)),
        measured("h", "histogram", 9.0, buckets=(1.0, 2.0)),
    ):
        assert shown.add(one) == ""
    text = generate_latest(registry).decode()
    for line in (
        'argo_workflows_c_total{a="x"} 3.0',
        'argo_workflows_c_total{a="y"} 5.0',
        "argo_workflows_g 3.0",
        'argo_workflows_h_bucket{le="1.0"} 1.0',
        'argo_workflows_h_bucket{le="2.0"} 2.0',
        'argo_workflows_h_bucket{le="+Inf"} 3.0',
        "argo_workflows_h_sum 11.5",
    ):
        assert line in text


def test_one_name_is_one_metric_and_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("events.local.workflows.custom_metrics.MOST", 2)
    shown = CustomMetrics(CollectorRegistry(), lambda: NOW)
    assert shown.add(measured("c", "counter", 1, ("a", "x"))) == ""
    assert "is a counter with the labels a already" in shown.add(measured("c", "gauge", 1))
    assert shown.add(measured("c", "counter", 1, ("a", "y"))) == ""
    assert "use labels with fewer values" in shown.add(measured("c", "counter", 1, ("a", "z")))
