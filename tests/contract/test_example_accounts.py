"""The example accounts of `manifests/rbac` on an API server that enforces roles: each can do its work, and no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.event_sources import Member, events, until
from support.kube_world import DEFINED, World, definition, fire
from support.recorded_calls import Recorded, granted, recorded, user

from eventbus.memory import MemoryBroker
from events.app.manifests import examples
from events.errors import ActionError
from events.kube.api import KubeError
from events.kube.client import connect
from eventsources.service import EventRunner
from eventsources.sources.resource import ResourceSource, ResourceSpec

NAMESPACE = "builds"
WORKFLOW = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"generateName": "build-"},
    "spec": {},
}


@asynccontextmanager
async def account(place: Recorded, file: str) -> AsyncIterator[tuple[World, str, list[Any]]]:
    """The triggers of a pod with the account of an example; its user and its objects."""
    await place.namespace("ns")
    await place.apply(definition(plural, kind) for plural, kind in DEFINED)
    _, objects = examples.files()[file]
    await place.apply(objects, "ns")
    name = next(one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount")
    kube = await connect(str(await place.kubeconfig_of(name, "ns")))
    try:
        yield World(kube), user(name, "ns"), objects
    finally:
        await kube.aclose()


def rules(objects: list[Any]) -> list[Any]:
    return [rule for one in objects for rule in one.get("rules", ())]


async def test_the_creating_account_creates_workflows_once_per_firing_and_can_do_nothing_else(tmp_path: Path) -> None:
    async with recorded(tmp_path) as place, account(place, "create-serviceaccount.yaml") as (world, who, objects):
        made = await fire(world.trigger("argoWorkflow"))
        again = await fire(world.trigger("argoWorkflow"))  # P4: the name says that it is this firing's own
        assert again["metadata"]["name"] == made["metadata"]["name"]
        assert place.calls[who] == granted(rules(objects))
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
        with pytest.raises(ActionError, match="cannot create resource"):
            await fire(world.trigger("k8s", source={"resource": obj}))
        fixed = WORKFLOW | {"metadata": {"name": "fixed"}}
        await fire(world.trigger("k8s", source={"resource": fixed}))
        with pytest.raises(KubeError, match="cannot get resource"):
            await fire(world.trigger("k8s", source={"resource": fixed}), "f-2")


async def test_the_operating_account_does_what_operations_need_and_has_no_right_without_use(tmp_path: Path) -> None:
    async with recorded(tmp_path) as place, account(place, "sensor-rbac.yaml") as (world, who, objects):
        made = await fire(world.trigger("argoWorkflow"))
        assert await fire(world.trigger("argoWorkflow")) == made
        for operation in ("suspend", "resume", "stop", "terminate", "resubmit", "retry"):
            await tried(world, operation, made)
        for kind in ("WorkflowTemplate", "CronWorkflow", "ClusterWorkflowTemplate"):
            await tried(
                world, "submit-from", {"apiVersion": WORKFLOW["apiVersion"], "kind": kind, "metadata": {"name": "t"}}
            )
        assert place.refused == []
        assert place.calls[who] == granted(rules(objects))


async def test_the_account_of_a_resource_source_lists_and_watches_and_has_no_right_without_use(tmp_path: Path) -> None:
    async with recorded(tmp_path) as place, account(place, "resource-event-source.yaml") as (world, who, objects):
        member = Member(broker := MemoryBroker())
        member.shared.clients.kube = lambda: world.kube  # type: ignore[method-assign]
        watched = {"group": "argoproj.io", "version": "v1alpha1", "resource": "workflows", "namespace": "ns"}
        source = ResourceSource(ResourceSpec.parse(watched | {"eventTypes": ["ADD"]}))
        task = asyncio.create_task(EventRunner(source, "resource", "ev", "src", member.shared).run())
        try:
            await until(lambda: member.number("event_service_running_total", None) == 1)
            await place.admin.create(WORKFLOW | {"metadata": {"name": "one", "namespace": "ns"}})
            await until(lambda: len(events(broker)) == 1)
        finally:
            task.cancel()
            await asyncio.wait({task})
        assert place.refused == []
        assert place.calls[who] == granted(rules(objects))


async def tried(world: World, operation: str, obj: Any) -> None:
    """Whether it succeeds depends on the Workflow's state; what counts is what was asked."""
    with contextlib.suppress(ActionError):
        await fire(world.trigger("argoWorkflow", operation=operation, source={"resource": obj}), operation)
