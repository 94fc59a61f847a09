"""Validation of a whole Sensor: every problem at once, each at its field, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import ActionError, InvalidObject
from sensors import policies, types, validation
from sensors.base import Result

DEPENDENCY = {"name": "dep", "eventSourceName": "hooks", "eventName": "orders"}
HTTP = {"url": "http://svc", "method": "POST", "payload": []}


def trigger(http: Any = None, **more: Any) -> dict[str, Any]:
    template = {"name": "t", "http": HTTP | (http or {})}
    return {"template": template | more.pop("template", {}), **more}


def problems(*triggers: dict[str, Any], dependencies: Any = (DEPENDENCY,)) -> list[str]:
    sensor = types.Sensor.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Sensor",
            "metadata": {"name": "s"},
            "spec": {"dependencies": list(dependencies), "triggers": list(triggers)},
        }
    )
    return [f"{problem.severity.value} {problem.path}" for problem in validation.validate(sensor)]


T = "spec.triggers[0]"
ALO = {"atLeastOnce": True}


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (trigger(), []),
        ({}, [f"error {T}.template"]),
        (trigger(template={"name": ""}), [f"error {T}.template.name"]),
        ({"template": {"name": "t"}}, [f"warning {T}.template"]),
        (
            {"template": {"name": "t", "pulsar": {"url": "u", "topic": "t", "payload": []}}},
            [f"warning {T}.template.pulsar"],
        ),
        (
            trigger(template={"slack": {"channel": "c", "message": "m"}}),
            [f"warning {T}.template.slack", f"error {T}.template.slack.slackToken"],
        ),
        (
            trigger(template={"log": {"intervalSeconds": -1}}),
            [f"warning {T}.template.log", f"error {T}.template.log.intervalSeconds"],
        ),
        (trigger(template={"conditions": "dep && pde"}), [f"error {T}.template.conditions"]),
        (
            trigger(template={"conditionsReset": [{"byTime": {"cron": "0 0 * * *"}}, {"byTime": {"cron": "x"}}, {}]}),
            [f"error {T}.template.conditionsReset[1].byTime.cron", f"error {T}.template.conditionsReset[2].byTime"],
        ),
        (trigger({"url": ""}), [f"error {T}.template.http.url"]),
        (trigger({"url": "svc/hook"}), [f"warning {T}.template.http.url"]),
        (trigger({"method": "post"}), [f"error {T}.template.http.method"]),
        (trigger({"method": "GET", "payload": None}), []),
        (trigger({"payload": None}), [f"warning {T}.template.http.payload"]),
        (trigger({"urll": "x"}), [f"error {T}.template.http.urll"]),
        (trigger({"timeout": "5"}), [f"error {T}.template.http.timeout"]),
        (trigger({"tls": {}}), [f"warning {T}.template.http.tls"]),
        (trigger({"payload": [{"src": {"dependencyName": "dep"}}]}), []),
        (trigger({"payload": [{"dest": "x"}]}), [f"error {T}.template.http.payload[0].src"]),
        (
            trigger({"payload": [{"src": {"dependencyName": "d"}, "dest": "x"}]}),
            [f"warning {T}.template.http.payload[0].src.dependencyName"],
        ),
        (
            trigger({"parameters": [{"src": {"dependencyName": "dep"}}]}),
            [f"error {T}.template.http.parameters[0].dest"],
        ),
        (trigger({"dynamicHeaders": [{"dest": "X"}]}), [f"warning {T}.template.http.dynamicHeaders[0].src"]),
        (trigger({"secureHeaders": [{"name": "X"}]}), [f"error {T}.template.http.secureHeaders[0].valueFrom"]),
        (trigger(parameters=[{"src": {"dependencyName": "dep"}, "dest": ""}]), [f"error {T}.parameters[0].dest"]),
        (
            trigger(parameters=[{"src": {"dependencyName": "x"}, "dest": "name"}]),
            [f"warning {T}.parameters[0].src.dependencyName"],
        ),
        (trigger(rateLimit={}), [f"error {T}.rateLimit.requestsPerUnit"]),
        (trigger(rateLimit={"requestsPerUnit": 1}), []),
        (trigger(retryStrategy={"steps": 3}), [f"warning {T}.retryStrategy"]),
        (trigger(retryStrategy={"steps": 3}, **ALO), []),
        (trigger(policy={"status": {"allow": [200]}}), []),
        (trigger(policy={"status": {}}), [f"error {T}.policy.status.allow"]),
        (trigger(policy={"status": {"allow": []}}), [f"warning {T}.policy.status.allow"]),
        (trigger(policy={"k8s": {"labels": {"a": "b"}}}), [f"warning {T}.policy.k8s"]),
        (trigger(dlqTrigger=trigger(**ALO), **ALO), []),
        (trigger(dlqTrigger=trigger(**ALO)), [f"error {T}.atLeastOnce"]),
        (trigger(dlqTrigger=trigger(), **ALO), [f"error {T}.dlqTrigger.atLeastOnce"]),
        (trigger(dlqTrigger=trigger({"url": ""}, **ALO), **ALO), [f"error {T}.dlqTrigger.template.http.url"]),
        (
            trigger(dlqTrigger=trigger(dlqTrigger=trigger(), rateLimit={}, **ALO), **ALO),
            [f"warning {T}.dlqTrigger.dlqTrigger", f"warning {T}.dlqTrigger.rateLimit"],
        ),
    ],
)
def test_a_problem_is_said_at_its_field(raw: dict[str, Any], found: list[str]) -> None:
    assert problems(raw) == found


OTHER = {"name": "other", "eventSourceName": "hooks", "eventName": "refunds"}


@pytest.mark.parametrize(
    ("conditions", "dependencies", "found"),
    [
        ("dep", [DEPENDENCY, OTHER], ["warning spec.dependencies[1]"]),
        ("dep || other", [DEPENDENCY, OTHER], []),
        (None, [DEPENDENCY, OTHER], []),
        ("dep && dpe", [DEPENDENCY, OTHER], [f"error {T}.template.conditions"]),
        ("dep", [DEPENDENCY, OTHER | {"name": "dep"}], ["warning spec.dependencies[1].name"]),
        (None, [OTHER | {"name": "1st"}, DEPENDENCY], ["error spec.dependencies[0].name"]),
        (None, [OTHER | {"name": "not"}, DEPENDENCY], ["error spec.dependencies[0].name"]),
        (
            "a-b",
            [OTHER | {"name": "a-b"}, OTHER | {"name": "a_b"}],
            ["error spec.dependencies[0].name", "error spec.dependencies[1].name", f"error {T}.template.conditions"],
        ),
    ],
)
def test_every_dependency_can_be_named_and_is(conditions: Any, dependencies: Any, found: list[str]) -> None:
    raw = trigger(template={"conditions": conditions})
    assert sorted(problems(raw, dependencies=dependencies)) == sorted(found)


@pytest.mark.parametrize("key", ["policy", "atLeastOnce", "parameters", "retryStrategy", "rateLimit", "dlqTrigger"])
def test_a_key_of_the_trigger_in_its_template_is_sent_where_it_belongs(key: str) -> None:  # D3
    with pytest.raises(InvalidObject) as error:
        types.Trigger.parse({"template": {"name": "t", "log": {}, key: {}}}, on_stray=lambda _: None)
    [problem] = error.value.problems
    assert (problem.path, problem.message) == (f"template.{key}", "belongs beside `template`, not in it")


@pytest.mark.parametrize("key", ["conditions", "http", "slack"])
def test_a_key_of_the_template_beside_it_is_sent_where_it_belongs(key: str) -> None:
    with pytest.raises(InvalidObject) as error:
        types.Trigger.parse({"template": {"name": "t"}, key: {}}, on_stray=lambda _: None)
    assert [problem.message for problem in error.value.problems] == ["belongs in `template`, not beside it"]


@pytest.mark.parametrize(
    ("key", "is_error"),
    [("urll", True), ("paylod", True), ("serverURL", True), ("comment", True), ("URL", False)],
)
def test_an_unknown_key_is_an_error_unless_only_its_case_differs(key: str, is_error: bool) -> None:
    severity = "error" if is_error else "warning"
    assert problems(trigger({key: 1})) == [f"{severity} {T}.template.http.{key}"]


def test_names_of_triggers_are_unique() -> None:
    assert problems(trigger(), trigger()) == ["error spec.triggers[1].template.name"]


def test_everything_is_said_at_once() -> None:
    broken = trigger({"url": "", "method": "FETCH"}, template={"conditions": "a and b"}, rateLimit={})
    found = problems(broken, dependencies=[{"name": "", "eventSourceName": "a", "eventName": "b.c"}])
    assert found == [
        "error spec.dependencies[0].name",
        "error spec.dependencies[0].eventName",
        f"error {T}.rateLimit.requestsPerUnit",
        f"error {T}.template.http.url",
        f"error {T}.template.http.method",
        f"error {T}.template.conditions",
    ]


def test_an_empty_sensor_lacks_dependencies_and_triggers() -> None:
    assert problems(dependencies=()) == ["error spec.dependencies", "error spec.triggers"]


def test_a_problem_reads_as_a_sentence_with_a_cure() -> None:
    sensor = types.Sensor.parse(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Sensor",
            "metadata": {"name": "s"},
            "spec": {"dependencies": [DEPENDENCY], "triggers": [trigger(template={"conditions": "dpe"})]},
        }
    )
    (problem,) = validation.validate(sensor)
    assert str(problem) == f"{T}.template.conditions: there is no dependency 'dpe' (did you mean 'dep'?)"


@pytest.mark.parametrize(
    ("raw", "status", "succeeds"),
    [
        (None, 500, True),
        ({}, 500, True),
        ({"status": {}}, 500, True),
        ({"status": {"allow": [200, 201]}}, 201, True),
        ({"status": {"allow": [200, 201]}}, 500, False),
        ({"status": {"allow": []}}, 200, False),
        ({"status": {"allow": [200]}}, None, True),
        ({"k8s": {"labels": {"a": "b"}}}, 500, True),
    ],
)
async def test_policy_on_a_status(raw: Any, status: int | None, succeeds: bool) -> None:
    check = policies.compile(types.TriggerPolicy.parse(raw) if raw is not None else None, "http")
    context: Any = None
    if check is None or succeeds:
        assert succeeds
        if check is not None:
            await check(Result(status=status), context)
        return
    with pytest.raises(ActionError, match=f"status {status} is not allowed"):
        await check(Result(status=status), context)
