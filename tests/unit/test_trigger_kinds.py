"""Every kind of trigger, also those without an adapter: what an object may say, and what is said when it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from events.problems import Problem, Problems
from sensors import validation
from sensors.base import Trigger
from sensors.registry import TRIGGERS
from sensors.types import SensorSpec, TriggerTemplate

REF = {"name": "creds", "key": "token"}
GOOD = {"src": {"dependencyName": "dep", "dataKey": "body"}, "dest": "x"}
PAYLOAD = [GOOD]

# Every field upstream has, so that none is forgotten.
WHOLE: dict[str, dict[str, Any]] = {
    "awsLambda": {
        "functionName": "f",
        "region": "r",
        "accessKey": REF,
        "secretKey": REF,
        "invocationType": "Event",
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "azureEventHubs": {
        "fqdn": "f",
        "hubName": "h",
        "sharedAccessKeyName": REF,
        "sharedAccessKey": REF,
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "azureServiceBus": {
        "connectionString": REF,
        "queueName": "q",
        "tls": {"enabled": True},
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "custom": {
        "serverURL": "h:9000",
        "secure": True,
        "certSecret": REF,
        "serverNameOverride": "n",
        "spec": {"a": "b"},
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "email": {
        "host": "smtp",
        "port": 25,
        "username": "u",
        "smtpPassword": REF,
        "from": "a@example.com",
        "to": ["b@example.com"],
        "subject": "s",
        "body": "b",
        "parameters": PAYLOAD,
    },
    "kafka": {
        "url": "b:9092",
        "topic": "t",
        "requiredAcks": -1,
        "compress": True,
        "flushFrequency": 500,
        "tls": {"enabled": True},
        "partitioningKey": "k",
        "version": "2.0.0",
        "sasl": {"mechanism": "PLAIN", "userSecret": REF, "passwordSecret": REF},
        "headers": {"a": "b"},
        "secureHeaders": [{"name": "X", "valueFrom": {"secretKeyRef": REF}}],
        "schemaRegistry": {
            "url": "http://r",
            "schemaId": 5,
            "auth": {"username": REF, "password": REF},
        },
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "nats": {
        "url": "nats://h",
        "subject": "s",
        "tls": {"enabled": True},
        "auth": {"basic": {"username": REF, "password": REF}, "token": REF, "nkey": REF, "credential": REF},
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "openWhisk": {
        "host": "https://h",
        "version": "v1",
        "namespace": "_",
        "authToken": REF,
        "actionName": "a",
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "pulsar": {
        "url": "pulsar://h",
        "topic": "t",
        "tlsTrustCertsSecret": REF,
        "tlsAllowInsecureConnection": False,
        "tlsValidateHostname": True,
        "tls": {"clientCertSecret": REF, "clientKeySecret": REF},
        "authTokenSecret": REF,
        "authAthenzParams": {"a": "b"},
        "authAthenzSecret": REF,
        "connectionBackoff": {"steps": 3},
        "payload": PAYLOAD,
        "parameters": PAYLOAD,
    },
    "slack": {
        "slackToken": REF,
        "channel": "#general",
        "message": "m",
        "attachments": "[]",
        "blocks": "[]",
        "thread": {"messageAggregationKey": "k", "broadcastMessageToChannel": True},
        "sender": {"username": "u", "icon": ":x:"},
        "parameters": PAYLOAD,
    },
}
NOT_RUN = "does not run it"


def found(kind: str, spec: Any) -> list[Problem]:
    """Problems of the kind's part, without the one that says it is not run."""
    raw = {
        "dependencies": [{"name": "dep", "eventSourceName": "hooks", "eventName": "orders"}],
        "triggers": [{"template": {"name": "t", kind: spec}}],
    }
    problems = Problems()
    validation.validate_spec(SensorSpec.parse(raw), problems)
    return [problem for problem in problems if NOT_RUN not in problem.message]


def said(kind: str, spec: Any) -> list[str]:
    here = f"triggers[0].template.{kind}."
    return [f"{one.severity.value} {one.path.removeprefix(here)}" for one in found(kind, spec)]


@pytest.mark.parametrize("kind", WHOLE)
def test_every_field_is_taken_and_kept(kind: str) -> None:
    assert found(kind, WHOLE[kind]) == []
    template = TriggerTemplate.parse({"name": "t", kind: WHOLE[kind]})
    assert template.kinds == {kind: WHOLE[kind]}
    assert TRIGGERS.load(kind).Spec.parse(WHOLE[kind]).wire() == WHOLE[kind]


def test_every_kind_is_described() -> None:
    assert {*WHOLE, "argoWorkflow", "http", "k8s", "log"} == set(TRIGGERS)


REQUIRED = [
    ("awsLambda", "functionName"),
    ("awsLambda", "region"),
    ("awsLambda", "payload"),
    ("custom", "serverURL"),
    ("custom", "spec"),
    ("custom", "certSecret"),
    ("email", "host"),
    ("kafka", "url"),
    ("kafka", "topic"),
    ("kafka", "payload"),
    ("nats", "url"),
    ("nats", "subject"),
    ("nats", "payload"),
    ("openWhisk", "actionName"),
    ("openWhisk", "host"),
    ("openWhisk", "payload"),
    ("slack", "slackToken"),
]
EXPECTED = [
    ("azureEventHubs", "fqdn"),
    ("azureEventHubs", "hubName"),
    ("azureEventHubs", "sharedAccessKeyName"),
    ("azureEventHubs", "sharedAccessKey"),
    ("azureEventHubs", "payload"),
    ("azureServiceBus", "connectionString"),
    ("azureServiceBus", "queueName"),
    ("azureServiceBus", "payload"),
    ("pulsar", "url"),
    ("pulsar", "topic"),
    ("pulsar", "payload"),
    ("email", "from"),
    ("email", "to"),
    ("email", "subject"),
    ("email", "body"),
    ("slack", "channel"),
]


def without(kind: str, field: str) -> dict[str, Any]:
    return {name: value for name, value in WHOLE[kind].items() if name != field}


@pytest.mark.parametrize(("kind", "field"), REQUIRED)
def test_what_upstream_refuses_is_refused(kind: str, field: str) -> None:
    assert said(kind, without(kind, field)) == [f"error {field}"]


@pytest.mark.parametrize(("kind", "field"), EXPECTED)
def test_what_upstream_lets_through_and_cannot_work_is_warned_of(kind: str, field: str) -> None:
    assert said(kind, without(kind, field)) == [f"warning {field}"]


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("awsLambda", "error"),
        ("azureEventHubs", "warning"),
        ("azureServiceBus", "warning"),
        ("custom", "warning"),
        ("kafka", "error"),
        ("nats", "error"),
        ("openWhisk", "error"),
        ("pulsar", "warning"),
    ],
)
@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"dest": "x"}, "src"),
        ({"src": {}, "dest": "x"}, "src.dependencyName"),
        (GOOD | {"operation": "z"}, "operation"),
    ],
)
def test_a_wrong_payload(kind: str, severity: str, entry: dict[str, Any], field: str) -> None:
    assert said(kind, WHOLE[kind] | {"payload": [GOOD, entry]}) == [f"{severity} payload[1].{field}"]


@pytest.mark.parametrize("kind", ["awsLambda", "kafka", "nats", "openWhisk"])
def test_a_payload_needs_a_place_for_each_value(kind: str) -> None:
    entry = {"src": GOOD["src"]}
    assert said(kind, WHOLE[kind] | {"payload": [entry]}) == ["error payload[0].dest"]
    assert said(kind, WHOLE[kind] | {"payload": []}) == []


@pytest.mark.parametrize(
    ("kind", "severity"),
    [(kind, "error" if TRIGGERS.load(kind).checks_parameters else "warning") for kind in WHOLE],
)
def test_a_wrong_parameter(kind: str, severity: str) -> None:
    assert said(kind, WHOLE[kind] | {"parameters": [{"dest": "a"}]}) == [f"{severity} parameters[0].src"]


def test_kinds_whose_parameters_upstream_does_not_look_at() -> None:
    unchecked = {kind for kind in WHOLE if not TRIGGERS.load(kind).checks_parameters}
    assert unchecked == {"azureEventHubs", "azureServiceBus", "kafka", "nats", "pulsar"}


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("email", {"port": -1}, "error port"),
        ("email", {"port": 65536}, "error port"),
        ("email", {"port": "25"}, "error port"),
        ("email", {"port": 0}, ""),
        ("openWhisk", {"authToken": {"name": "n"}}, "error authToken.key"),
        ("awsLambda", {"secretKey": None}, "warning secretKey"),
        ("awsLambda", {"accessKey": None}, "warning accessKey"),
        ("awsLambda", {"roleARN": "arn"}, "warning roleARN"),
        ("awsLambda", {"invocationType": "event"}, "warning invocationType"),
        ("azureServiceBus", {"topicName": "t"}, "warning topicName"),
        ("azureServiceBus", {"subscriptionName": "t"}, "warning subscriptionName"),
        ("nats", {"tls": {}}, "warning tls"),
        ("kafka", {"tls": {"clientCertSecret": REF}}, "warning tls"),
        ("kafka", {"partition": 1}, "warning partition"),
        ("kafka", {"sasl": {"mechansim": "PLAIN"}}, "error sasl.mechansim"),
        ("slack", {"message": "", "attachments": None, "blocks": None}, "warning message"),
        ("slack", {"attachments": "{}"}, "warning attachments"),
        ("slack", {"blocks": "["}, "warning blocks"),
        ("slack", {"sender": {"icon": "x"}}, "warning sender.icon"),
    ],
)
def test_other_mistakes(kind: str, change: dict[str, Any], expected: str) -> None:
    spec = {name: value for name, value in (WHOLE[kind] | change).items() if value is not None}
    assert said(kind, spec) == ([expected] if expected else [])


@pytest.mark.parametrize("kind", list(TRIGGERS))
def test_a_kind_without_an_adapter_says_that_it_is_not_run(kind: str) -> None:
    adapter = TRIGGERS.load(kind)
    if issubclass(adapter, Trigger):
        return
    spec = SensorSpec.parse({"triggers": [{"template": {"name": "t", kind: WHOLE[kind]}}]})
    assert [str(problem).partition(": ")[0] for problem in validation.not_run(spec)] == [f"triggers[0].template.{kind}"]
    problems = Problems()
    validation.validate_spec(spec, problems)
    [warning] = [problem for problem in problems if NOT_RUN in problem.message]
    assert (warning.severity.value, warning.path) == ("warning", f"triggers[0].template.{kind}")


def test_a_dead_letter_trigger_that_is_not_run_is_listed() -> None:
    workflow = {"operation": "submit", "source": {"resource": {}}}
    raw = [
        {"template": {"name": "a", "log": {}}, "dlqTrigger": {"template": {"name": "b", "pulsar": {}}}},
        {"template": {"name": "c", "argoWorkflow": workflow}, "policy": {"k8s": {"labels": {"a": "b"}}}},
        {"template": {"name": "d", "argoWorkflow": workflow | {"operation": "retry"}}},
        {"template": {"name": "g", "kafka": {}}},
        {"template": {"name": "e", "k8s": {"operation": 5}}},
        {"template": {"name": "f", "log": {}, "pulsar": {}}},
        {},
    ]
    assert [problem.path for problem in validation.not_run(SensorSpec.parse({"triggers": raw}))] == [
        "triggers[0].dlqTrigger.template.pulsar",
        "triggers[3].template.kafka",
        "triggers[5].template.pulsar",
    ]
