"""Which permission a trigger needs, as far as that is plain before any event."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from events.findings import Findings
from events.kube import permissions
from events.kube.api import Resource
from events.kube.memory import MemoryKube
from events.logs import Log
from sensors import preflight
from sensors.health import SensorHealth
from sensors.preflight import Wanted
from sensors.types import Trigger

WORKFLOW: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"generateName": "made-"},
}
ACCOUNT = "system:serviceaccount:ns:default"


def trigger(kind: str = "k8s", *, resource: Any = WORKFLOW, **fields: Any) -> Trigger:
    template = {"name": "t", kind: {"source": {"resource": resource}} | fields}
    return Trigger.parse({"template": template})


def moved(dest: str) -> list[dict[str, Any]]:
    return [{"src": {"dependencyName": "d", "dataKey": "x"}, "dest": dest}]


CREATE = Wanted("create", "argoproj.io/v1alpha1", "Workflow", "")


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (trigger(), CREATE),
        (trigger(operation="create"), CREATE),
        (trigger("argoWorkflow"), CREATE),
        (trigger("argoWorkflow", operation="submit"), CREATE),
        (trigger(parameters=moved("spec.arguments.parameters.0.value")), CREATE),
        (trigger(parameters=moved("metadata.generateName")), CREATE),
        (trigger(operation="patch"), Wanted("patch", "argoproj.io/v1alpha1", "Workflow", "")),
        (trigger(operation="delete"), Wanted("delete", "argoproj.io/v1alpha1", "Workflow", "")),
        (
            trigger(resource=WORKFLOW | {"metadata": {"name": "a", "namespace": "there"}}),
            Wanted("create", "argoproj.io/v1alpha1", "Workflow", "there"),
        ),
        (Trigger.parse({"template": {"name": "t", "k8s": {"source": {"inline": json.dumps(WORKFLOW)}}}}), CREATE),
    ],
)
def test_what_a_resource_in_the_sensor_needs_is_known(one: Trigger, wanted: Wanted) -> None:
    assert preflight.wanted(one) == wanted


@pytest.mark.parametrize(
    "one",
    [
        trigger(operation="update"),
        trigger("argoWorkflow", operation="resume"),
        trigger(parameters=moved("metadata.namespace")),
        trigger(parameters=moved("kind")),
        trigger(parameters=moved("metadata")),
        trigger(resource={"kind": "Workflow"}),
        trigger(resource=WORKFLOW | {"metadata": None}),
        Trigger.parse({"template": {"name": "t", "k8s": {"source": {"url": {"path": "http://x"}}}}}),
        Trigger.parse({"template": {"name": "t", "k8s": {"source": {"inline": "{: no"}}}}),
        Trigger.parse({"template": {"name": "t", "k8s": {}}}),
        Trigger.parse({"template": {"name": "t", "http": {"url": "http://x"}}}),
        Trigger.parse({"template": {"name": "t", "k8s": {"source": {"resource": WORKFLOW}}}, "parameters": moved("x")}),
        Trigger.parse({}),
    ],
)
def test_what_only_events_tell_is_not_guessed(one: Trigger) -> None:
    assert preflight.wanted(one) is None


class Reviewing(MemoryKube):
    """Allows nothing, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Any] = {"status": {"allowed": False}}
        self.asked = 0

    async def resource(self, api_version: str, kind: str) -> Resource:
        group, _, version = api_version.partition("/")
        return Resource(group, version, f"{kind.lower()}s", kind, namespaced=True)

    async def create(self, obj: dict[str, Any], *, namespace: str | None = None) -> dict[str, Any]:
        del namespace
        self.asked += 1
        return obj | self.answers


async def test_a_sensor_tells_before_any_event_what_its_account_may_not_do() -> None:
    found, kube = Findings(), Reviewing()
    health = SensorHealth(found, lambda: kube, Log("test"), namespace="ns")
    health.trigger("t", preflight.wanted(trigger()))
    health.trigger("unknown", None)
    await health.look_ahead("")
    assert (list(found), kube.asked) == ([], 0), "outside of a pod nobody knows the account"
    await health.look_ahead(ACCOUNT)
    (one,) = found
    assert (one.name, one.reason) == ("t", "Forbidden")
    who = "ServiceAccount 'default' of namespace 'ns'"
    assert f"{who} may not create workflows of API group 'argoproj.io' in namespace 'ns'" in one.message
    kube.answers = {"status": {"allowed": True}}
    await health.look_at_permissions()
    assert list(found) == []


async def test_an_api_without_reviews_says_nothing() -> None:
    found, kube = Findings(), Reviewing()
    kube.answers = {}
    health = SensorHealth(found, lambda: kube, Log("test"), namespace="ns")
    health.trigger("t", preflight.wanted(trigger()))
    await health.look_ahead(ACCOUNT)
    assert list(found) == []
    assert kube.asked == 1


def token(claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{part}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (token({"sub": ACCOUNT}), ACCOUNT),
        (token({"sub": "jane"}), ""),
        (token({"iss": "x"}), ""),
        (token([]), ""),
        ("no token", ""),
        ("a.!!!.c", ""),
        ("", ""),
    ],
)
def test_a_pod_knows_its_account_by_its_token(tmp_path: Path, text: str, account: str) -> None:
    (tmp_path / "token").write_text(text)
    assert permissions.own_account(str(tmp_path)) == account


def test_without_a_token_there_is_no_account(tmp_path: Path) -> None:
    assert permissions.own_account(str(tmp_path)) == ""
