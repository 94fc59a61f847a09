"""Reviews: allowed, denied, warned; and never held up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from events.app.admission import review
from events.app.admission.review import Answer, Request, Reviewer
from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object, Resource
from events.kube.memory import MemoryKube

GOOD = {
    "dependencies": [{"name": "d", "eventSourceName": "a", "eventName": "b"}],
    "triggers": [{"template": {"name": "t", "log": {}}}],
}


def raw(kind: str, spec: Any, name: str = "x", **metadata: Any) -> Object:
    named = {"name": name, "namespace": "n", "generation": 1} | metadata
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": named, "spec": spec}


def request(new: Object | None, operation: str = "CREATE", old: Object | None = None, kind: str = "") -> Request:
    kind = kind or str((new or old or {}).get("kind"))
    return Request("u", kind, operation, "n", "x", new, old)


@pytest.fixture
async def kube() -> MemoryKube:
    kube = MemoryKube()
    await kube.create(raw("EventBus", {"jetstream": {"version": "latest"}}, "default"), namespace="n")
    return kube


async def test_what_lint_accepts_is_allowed(kube: MemoryKube) -> None:
    assert await Reviewer(kube).review(request(raw("Sensor", GOOD))) == Answer()


async def test_a_denial_has_every_problem(kube: MemoryKube) -> None:
    bad = GOOD | {"triggers": [{"template": {"name": "t", "log": {}, "polcy": 1}}, {"template": {"name": ""}}]}
    answer = await Reviewer(kube).review(request(raw("Sensor", bad)))
    assert answer.denial.startswith("invalid Sensor: spec.triggers[0].template.polcy: ")
    response = answer.wire("u")
    assert response["uid"] == "u"
    assert response["allowed"] is False
    assert (response["status"]["reason"], response["status"]["code"]) == ("BadRequest", 400)
    two = {"webhook": {"a.b": {"port": "1", "endpoint": "x"}}}
    answer = await Reviewer(kube).review(request(raw("EventSource", two)))
    assert answer.denial.startswith("invalid EventSource: ")
    assert answer.denial.count("; ") >= 1


async def test_warnings_come_back(kube: MemoryKube) -> None:
    native = raw("EventBus", {"nats": {"native": {}}})
    answer = await Reviewer(kube).review(request(native))
    assert answer.wire("u")["warnings"] == [
        "spec.nats.native: NATS Streaming is past its end of life; a JetStream bus takes its place"
    ]


async def test_a_missing_bus_is_a_warning(kube: MemoryKube) -> None:
    """C13: it may come later."""
    answer = await Reviewer(kube).review(request(raw("Sensor", GOOD | {"eventBusName": "own"})))
    assert answer.denial == ""
    assert answer.warnings == [
        "spec.eventBusName: there is no EventBus 'own' in n yet: the Sensor waits for it",
    ]


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
async def test_other_operations_are_allowed(kube: MemoryKube, operation: str) -> None:
    assert await Reviewer(kube).review(request(None, operation, raw("Sensor", {}))) == Answer()


async def test_an_unknown_kind_is_denied(kube: MemoryKube) -> None:
    assert "unknown kind 'Workflow'" in (await Reviewer(kube).review(request(raw("Workflow", {})))).denial


async def test_a_change_that_is_none_of_the_spec_is_not_judged(kube: MemoryKube) -> None:
    """What is stored is never stuck: finalizers can be removed from a bad object."""
    bad = raw("Sensor", {})
    assert await Reviewer(kube).review(request(bad, "UPDATE", bad)) == Answer()
    assert (await Reviewer(kube).review(request(raw("Sensor", {}, generation=2), "UPDATE", bad))).denial


async def test_a_change_of_what_cannot_change_is_denied(kube: MemoryKube) -> None:
    old = raw("EventBus", {"jetstream": {"version": "latest"}})
    new = raw("EventBus", {"jetstreamExotic": {"url": "nats://x"}}, generation=2)
    answer = await Reviewer(kube).review(request(new, "UPDATE", old))
    assert answer.denial == (
        "invalid EventBus: spec.jetstreamExotic: another kind of bus cannot take the place of jetstream"
        " (make another EventBus)"
    )
    unreadable = old | {"spec": {"jetstream": 5}}
    assert (await Reviewer(kube).review(request(new, "UPDATE", unreadable))).denial == ""


async def test_a_generated_name_is_as_good_as_a_name(kube: MemoryKube) -> None:
    new = raw("EventSource", {"calendar": {"e": {"interval": "1h"}}}, "")
    new["metadata"] = {"generateName": "every-", "namespace": "n"}
    assert (await Reviewer(kube).review(Request("u", "EventSource", "CREATE", "n", "", new, None))).denial == ""


class Away(MemoryKube):
    """An API server that fails, or does not answer."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        if self.error is None:
            await asyncio.Event().wait()
        assert self.error is not None
        raise self.error


@pytest.mark.parametrize("error", [None, ActionError("gone"), KubeError(403, "Forbidden", "no")])
async def test_an_api_server_that_is_away_does_not_hold_up(error: Exception | None) -> None:
    answer = await Reviewer(Away(error), look_up_seconds=0.05).review(request(raw("Sensor", GOOD)))
    assert answer.denial == ""
    assert answer.warnings[0].startswith("failed to get EventBus eventBusName=default: ")


async def test_what_takes_too_long_is_allowed_with_a_warning(kube: MemoryKube) -> None:
    answer = await Reviewer(kube, check_seconds=0).review(request(raw("Sensor", {})))
    assert answer.denial == ""
    assert answer.warnings == ["Sensor was not checked: that took more than 0 s"]


def test_warnings_are_short_and_few() -> None:
    shown = Answer(warnings=["x" * 999, *map(str, range(50))]).wire("u")["warnings"]
    assert len(shown) == review.MAX_WARNINGS + 1
    assert max(map(len, shown)) == review.MAX_WARNING
    assert shown[-1] == "and 35 more: see keryx lint"


@pytest.mark.parametrize(
    "body", [None, 5, {}, {"uid": "u"}, {"kind": {"kind": "Sensor"}}, {"uid": "u", "kind": {}, "object": 5}]
)
def test_what_is_no_request_is_refused(body: Any) -> None:
    with pytest.raises(UserError):
        Request.parse(body)
