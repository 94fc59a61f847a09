"""The contract of a Kubernetes API: one suite, over memory and over the client on a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.kube_server import KubeServer

from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Resource
from events.kube.client import KubeClient, connect
from events.kube.memory import MemoryKube

POD = Resource("", "v1", "pods", "Pod", namespaced=True)
NODE = Resource("", "v1", "nodes", "Node", namespaced=False)
WORKFLOW = Resource("argoproj.io", "v1alpha1", "workflows", "Workflow", namespaced=True)


@pytest.fixture(params=["memory", "client"])
async def kube(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KubeApi]:
    if request.param == "memory":
        yield MemoryKube()
        return
    async with KubeServer() as server:
        client = await connect(server.kubeconfig(tmp_path / "config"))
        yield client
        await client.aclose()


def pod(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | metadata, "spec": {"x": 1}}


def workflow(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": {}}


async def refused(awaitable: Any) -> tuple[int, str]:
    with pytest.raises(KubeError) as caught:
        await awaitable
    return caught.value.status, caught.value.reason


async def take(events: Any, count: int) -> list[tuple[str, str]]:
    found = []
    async with contextlib.aclosing(events):
        async for event in events:
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
            if len(found) == count:
                break
    return found


# discovery


async def test_a_resource_by_its_name_in_paths(kube: KubeApi) -> None:
    assert await kube.resource_named("v1", "pods") == POD
    assert await kube.resource_named("argoproj.io/v1alpha1", "workflows") == WORKFLOW
    assert await refused(kube.resource_named("v1", "pod")) == (404, "NotFound")
    assert await refused(kube.resource_named("nobody.io/v1", "things")) == (404, "NotFound")


async def test_labels_that_are_numbers_are_compared(kube: KubeApi) -> None:
    for name, size in (("a", "3"), ("b", "4"), ("c", "large")):
        await kube.create(pod(name, labels={"size": size}), namespace="ns")
    for selector, names in (("size>3", ["b"]), ("size<4,size>-6", ["a"])):
        found = await kube.list(POD, label_selector=selector)
        assert [one["metadata"]["name"] for one in found["items"]] == names


@pytest.mark.parametrize("resource", [POD, NODE, WORKFLOW, Resource("", "v1", "endpoints", "Endpoints", True)])  # K3
async def test_a_kind_is_found_with_its_plural_and_scope(kube: KubeApi, resource: Resource) -> None:
    assert await kube.resource(resource.api_version, resource.kind) == resource


@pytest.mark.parametrize(("api_version", "kind"), [("v1", "Pdo"), ("nobody.io/v1", "Thing"), ("apps/v1", "Scale")])
async def test_an_unknown_kind_is_not_found(kube: KubeApi, api_version: str, kind: str) -> None:
    with pytest.raises(KubeError, match=f"no matches for kind '{kind}' in version '{api_version}'") as caught:
        await kube.resource(api_version, kind)
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")


# create


async def test_a_created_object_has_what_the_server_adds(kube: KubeApi) -> None:
    given = pod()
    made = await kube.create(given, namespace="ns")
    meta = made["metadata"]
    assert (meta["namespace"], meta["generation"], made["spec"]) == ("ns", 1, {"x": 1})
    assert meta["uid"]
    assert meta["resourceVersion"]
    assert meta["creationTimestamp"].endswith("Z")
    assert given == pod(), "what is given stays as it is"
    assert await kube.get(POD, "a", namespace="ns") == made


async def test_the_objects_own_namespace_wins(kube: KubeApi) -> None:
    made = await kube.create(pod(namespace="own"), namespace="other")
    assert made["metadata"]["namespace"] == "own"


async def test_a_cluster_scoped_object_has_no_namespace(kube: KubeApi) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "namespace": "own"}}
    made = await kube.create(node, namespace="other")
    assert "namespace" not in made["metadata"]
    assert (await kube.get(NODE, "n", namespace="other"))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_namespaced_object_needs_a_namespace(kube: KubeApi) -> None:
    assert (await refused(kube.create(pod())))[0] == 400
    assert (await refused(kube.get(POD, "a")))[0] == 400


async def test_a_name_is_generated_and_cut_to_63(kube: KubeApi) -> None:
    made = await kube.create(workflow(generateName="x" * 70), namespace="ns")
    name = made["metadata"]["name"]
    assert len(name) == 63
    assert name[:58] == "x" * 58
    assert set(name[58:]) <= set("bcdfghjklmnpqrstvwxz2456789")


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod(), (409, "AlreadyExists")),
        (pod("Not A Name"), (422, "Invalid")),
        (pod(""), (422, "Invalid")),
        (pod("b", labels={"x": "no spaces please"}), (422, "Invalid")),
        (pod("b") | {"kind": "Pdo"}, (404, "NotFound")),
        ({"kind": "Pod", "metadata": {}}, (400, "BadRequest")),
        ({"apiVersion": "v1", "kind": "Pod"}, (400, "BadRequest")),
    ],
)
async def test_what_cannot_be_created_is_refused(kube: KubeApi, obj: Any, expected: tuple[int, str]) -> None:
    await kube.create(pod(), namespace="ns")
    assert await refused(kube.create(obj, namespace="ns")) == expected


async def test_what_is_not_json_is_refused(kube: KubeApi) -> None:
    with pytest.raises(ActionError, match="not JSON"):
        await kube.create(pod() | {"spec": {1, 2}}, namespace="ns")


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a%2fb"])
async def test_a_name_never_leaves_its_place_in_the_path(kube: KubeApi, name: str) -> None:
    await kube.create(pod(), namespace="ns")
    assert (await refused(kube.get(POD, name, namespace="ns")))[0] == 400
    assert (await refused(kube.delete(POD, name, namespace="ns")))[0] == 400
    assert (await refused(kube.delete(POD, "a", namespace=name)))[0] == 400
    assert len((await kube.list(POD))["items"]) == 1


async def test_an_odd_name_is_quoted(kube: KubeApi) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:a b?c#ü"}}
    await kube.create(role)
    resource = await kube.resource(role["apiVersion"], "ClusterRole")
    assert (await kube.get(resource, "system:a b?c#ü"))["metadata"]["name"] == "system:a b?c#ü"


# get, list


async def test_what_is_not_there_is_not_found(kube: KubeApi) -> None:
    with pytest.raises(KubeError, match=r'workflows.argoproj.io "a" not found \(404 NotFound\)'):
        await kube.get(WORKFLOW, "a", namespace="ns")


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ({}, "abcd"),
        ({"namespace": "ns"}, "abc"),
        ({"label_selector": "app=x"}, "ad"),
        ({"label_selector": "app==x,tier"}, "a"),
        ({"label_selector": "app!=x"}, "bc"),
        ({"label_selector": "app in (x, y)"}, "abd"),
        ({"label_selector": "app notin (x,y)"}, "c"),
        ({"label_selector": "!app"}, "c"),
        ({"label_selector": "tier,app in (y)"}, ""),
        ({"field_selector": "metadata.name=a"}, "a"),
        ({"field_selector": "metadata.name!=a,metadata.namespace=ns"}, "bc"),
        ({"label_selector": "app=x", "field_selector": "metadata.namespace=other"}, "d"),
    ],
)
async def test_a_list_is_selected(kube: KubeApi, selectors: dict[str, str], expected: str) -> None:
    await kube.create(pod("a", labels={"app": "x", "tier": "1"}), namespace="ns")
    await kube.create(pod("b", labels={"app": "y"}), namespace="ns")
    await kube.create(pod("c"), namespace="ns")
    await kube.create(pod("d", labels={"app": "x"}), namespace="other")
    found = await kube.list(POD, **selectors)
    assert "".join(item["metadata"]["name"] for item in found["items"]) == expected
    assert (found["kind"], found["apiVersion"]) == ("PodList", "v1")
    assert found["metadata"]["resourceVersion"]


@pytest.mark.parametrize("selector", ["a=b=c", "in (x)y", "a in x", "=b"])
async def test_a_selector_that_cannot_be_read_is_refused(kube: KubeApi, selector: str) -> None:
    assert (await refused(kube.list(POD, label_selector=selector)))[0] == 400


# replace


async def test_a_replaced_object_has_a_new_version_and_generation(kube: KubeApi) -> None:
    made = await kube.create(pod(), namespace="ns")
    changed = await kube.replace(made | {"spec": {"x": 2}})
    assert changed["metadata"]["generation"] == 2
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert await refused(kube.replace(made | {"spec": {"x": 3}})) == (409, "Conflict")
    assert await kube.replace(changed) == changed, "nothing changed: the version stays"


async def test_a_change_of_labels_is_no_new_generation(kube: KubeApi) -> None:
    made = await kube.create(pod(), namespace="ns")
    made["metadata"]["labels"] = {"a": "b"}
    assert (await kube.replace(made))["metadata"]["generation"] == 1


async def test_a_missing_object_cannot_be_replaced(kube: KubeApi) -> None:
    assert await refused(kube.replace(pod(), namespace="ns")) == (404, "NotFound")


async def test_status_and_spec_are_written_apart(kube: KubeApi) -> None:
    made = await kube.create(pod() | {"status": {"phase": "Early"}}, namespace="ns")
    assert "status" not in made
    stated = await kube.replace(made | {"status": {"phase": "Up"}, "spec": {"x": 9}}, status=True)
    assert (stated["status"], stated["spec"], stated["metadata"]["generation"]) == ({"phase": "Up"}, {"x": 1}, 1)
    changed = await kube.replace(stated | {"status": {"phase": "Down"}, "spec": {"x": 9}})
    assert (changed["status"], changed["spec"]) == ({"phase": "Up"}, {"x": 9})


# patch


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (patches.MERGE, {"spec": {"x": None, "y": {"z": [1]}}}),
        (patches.STRATEGIC, {"spec": {"x": None, "y": {"z": [1]}}}),
        (patches.JSON, [{"op": "remove", "path": "/spec/x"}, {"op": "add", "path": "/spec/y", "value": {"z": [1]}}]),
        (
            patches.JSON,
            [
                {"op": "test", "path": "/spec/x", "value": 1},
                {"op": "move", "from": "/spec/x", "path": "/spec/w"},
                {"op": "replace", "path": "/spec/w", "value": {"z": []}},
                {"op": "copy", "from": "/spec/w", "path": "/spec/y"},
                {"op": "add", "path": "/spec/y/z/-", "value": 1},
                {"op": "remove", "path": "/spec/w"},
            ],
        ),
    ],
)
async def test_a_patch_changes_what_it_names(kube: KubeApi, content_type: str, body: Any) -> None:
    await kube.create(pod(), namespace="ns")
    changed = await kube.patch(POD, "a", body, content_type=content_type, namespace="ns")
    assert changed["spec"] == {"y": {"z": [1]}}
    assert changed["metadata"]["generation"] == 2


async def test_a_patch_of_the_status_leaves_the_rest(kube: KubeApi) -> None:
    await kube.create(pod(), namespace="ns")
    body = {"status": {"phase": "Up"}, "spec": {"x": 5}}
    changed = await kube.patch(POD, "a", body, content_type=patches.MERGE, namespace="ns", status=True)
    assert (changed["status"], changed["spec"]) == ({"phase": "Up"}, {"x": 1})


async def test_an_apply_creates_then_merges(kube: KubeApi) -> None:
    arguments: dict[str, Any] = {"content_type": patches.APPLY, "namespace": "ns", "params": {"fieldManager": "me"}}
    await kube.patch(POD, "a", pod(), **arguments)
    changed = await kube.patch(POD, "a", pod(labels={"a": "b"}), **arguments)
    assert (changed["metadata"]["labels"], changed["spec"]) == ({"a": "b"}, {"x": 1})


@pytest.mark.parametrize(
    ("resource", "content_type", "body", "status"),
    [
        (POD, patches.JSON, [{"op": "remove", "path": "/spec/nothing"}], 422),
        (POD, patches.JSON, [{"op": "test", "path": "/spec/x", "value": 2}], 422),
        (POD, patches.JSON, {"not": "a list"}, 400),
        (POD, patches.MERGE, {"metadata": {"name": "b"}}, 400),
        (POD, patches.MERGE, {"metadata": {"resourceVersion": "0"}}, 409),
        (POD, patches.APPLY, pod(), 400),
        (POD, "application/json", {}, 415),
        (WORKFLOW, patches.STRATEGIC, {}, 415),
    ],
)
async def test_a_patch_that_does_not_fit_is_refused(
    kube: KubeApi, resource: Resource, content_type: str, body: Any, status: int
) -> None:
    await kube.create(pod(), namespace="ns")
    await kube.create(workflow(name="a"), namespace="ns")
    assert (await refused(kube.patch(resource, "a", body, content_type=content_type, namespace="ns")))[0] == status


# delete


async def test_a_deleted_object_is_gone(kube: KubeApi) -> None:
    await kube.create(pod(), namespace="ns")
    assert (await kube.delete(POD, "a", namespace="ns"))["status"] == "Success"
    assert await refused(kube.get(POD, "a", namespace="ns")) == (404, "NotFound")
    assert await refused(kube.delete(POD, "a", namespace="ns")) == (404, "NotFound")


async def test_a_precondition_protects_a_successor(kube: KubeApi) -> None:
    made = await kube.create(pod(), namespace="ns")
    options = {"preconditions": {"uid": "another"}}
    assert await refused(kube.delete(POD, "a", namespace="ns", options=options)) == (409, "Conflict")
    options = {"preconditions": {"uid": made["metadata"]["uid"]}, "propagationPolicy": "Background"}
    await kube.delete(POD, "a", namespace="ns", options=options)


async def test_a_finalizer_holds_an_object(kube: KubeApi) -> None:
    await kube.create(pod(finalizers=["x/y"]), namespace="ns")
    marked = await kube.delete(POD, "a", namespace="ns")
    assert marked["metadata"]["deletionTimestamp"]
    assert await kube.get(POD, "a", namespace="ns") == marked
    marked["metadata"]["finalizers"] = []
    await kube.replace(marked)
    assert await refused(kube.get(POD, "a", namespace="ns")) == (404, "NotFound")


# watch


async def test_a_watch_starts_with_what_is_there_and_goes_on(kube: KubeApi) -> None:
    await kube.create(pod("a"), namespace="ns")
    events = kube.watch(POD)
    assert (await anext(events))["object"]["metadata"]["name"] == "a"
    made = await kube.create(pod("b"), namespace="other")
    await kube.create(workflow(name="w"), namespace="ns")
    await kube.replace(made | {"spec": {"x": 2}})
    await kube.delete(POD, "b", namespace="other")
    assert await take(events, 3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_a_watch_from_a_list_misses_nothing(kube: KubeApi) -> None:
    await kube.create(pod("a"), namespace="ns")
    version = (await kube.list(POD))["metadata"]["resourceVersion"]
    await kube.create(pod("b"), namespace="ns")
    await kube.delete(POD, "a", namespace="ns")
    assert await take(kube.watch(POD, resource_version=version), 2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_what_leaves_a_selection_is_deleted_from_its_watch(kube: KubeApi) -> None:
    made = await kube.create(pod("a", labels={"on": "y"}), namespace="ns")
    await kube.create(pod("b"), namespace="ns")
    await kube.create(pod("c", labels={"on": "y"}), namespace="other")
    events = kube.watch(POD, namespace="ns", label_selector="on=y")
    assert (await anext(events))["type"] == "ADDED"
    made["metadata"]["labels"] = {}
    made = await kube.replace(made)
    made["metadata"]["labels"] = {"on": "y"}
    await kube.replace(made)
    assert await take(events, 2) == [("DELETED", "a"), ("ADDED", "a")]


async def test_a_watch_ends_with_a_bookmark_after_its_time(kube: KubeApi) -> None:
    await kube.create(pod("a"), namespace="ns")
    found = await take(kube.watch(POD, timeout_seconds=1), 9)
    assert found == [("ADDED", "a"), ("BOOKMARK", "")]


async def test_a_version_that_is_forgotten_is_expired(kube: KubeApi) -> None:
    made = await kube.create(pod("a"), namespace="ns")
    for number in range(1001):
        made["spec"] = {"x": number + 10}
        made = await kube.replace(made)
    assert await refused(anext(kube.watch(POD, resource_version="1"))) == (410, "Expired")


async def test_a_watch_that_meets_forgotten_changes_is_expired(tmp_path: Path) -> None:
    async with KubeServer() as server:
        client = await connect(server.kubeconfig(tmp_path / "config"))
        await server.kube.create(pod("a"), namespace="ns")
        version = (await client.list(POD))["metadata"]["resourceVersion"]
        server.kube.forget()
        watch = client.watch(POD, resource_version=version, timeout_seconds=1)
        assert await take(watch, 9) == [("BOOKMARK", "")]
        await server.kube.create(pod("b"), namespace="ns")
        server.kube.forget()
        assert await refused(anext(client.watch(POD, resource_version=version))) == (410, "Expired")
        await client.aclose()


async def test_many_watches_and_calls_at_once(kube: KubeApi) -> None:
    watches = [kube.watch(POD, namespace="ns") for _ in range(20)]
    waiting = [asyncio.ensure_future(take(watch, 3)) for watch in watches]
    await asyncio.gather(*(kube.create(pod(f"p{number}"), namespace="ns") for number in range(3)))
    for found in await asyncio.gather(*waiting):
        assert sorted(found) == [("ADDED", "p0"), ("ADDED", "p1"), ("ADDED", "p2")]


def test_the_client_needs_no_kubernetes_to_be_imported() -> None:
    import subprocess
    import sys

    code = "import sys, events.kube.client; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert KubeClient
