"""Resource templates: what their pod does, against a real API server. Contract: workflows B.2."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from support.api_server import ApiServer

from events.kube.api import KubeError, Object
from events.kube.client import KubeClient, connect
from events.local.workflows import resource_pod
from events.local.workflows.errors import WorkflowError

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWNER = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w", "uid": "u", "controller": True}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"k": "v"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    running = await ApiServer(tmp_path_factory.mktemp("api")).start()
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def api(server: ApiServer) -> AsyncIterator[KubeClient]:
    found = await connect(str(server.kubeconfig))
    yield found
    resource = await found.resource("v1", "ConfigMap")
    for one in (await found.list(resource, namespace="default"))["items"]:
        if one["metadata"]["name"] != "kube-root-ca.crt":
            await found.delete(resource, one["metadata"]["name"], namespace="default")
    await found.aclose()


def plan(action: str, manifest: Any = None, **more: Any) -> Object:
    text = {"manifest": manifest if isinstance(manifest, str) else yaml.safe_dump(manifest)} if manifest else {}
    given = {"namespace": "default", "owner": OWNER, "inputs": {}, "fetched": {}}
    return {**given, "resource": {"action": action, **text, **more}}


async def act(api: KubeClient, *arguments: Any, **more: Any) -> Object | None:
    async with asyncio.timeout(60):
        return await resource_pod.act(api, plan(*arguments, **more), pause=0.05)


async def data(api: KubeClient) -> Object:
    resource = await api.resource("v1", "ConfigMap")
    return dict((await api.get(resource, "m", namespace="default")).get("data") or {})


async def test_objects_are_created_read_replaced_applied_and_deleted(api: KubeClient) -> None:
    made = await act(api, "create", MAP, setOwnerReference=True)
    assert made is not None
    assert made["metadata"]["ownerReferences"] == [{**OWNER}]
    with pytest.raises(KubeError, match="already exists"):
        await act(api, "create", MAP)
    await act(api, "replace", {**MAP, "data": {"k": "w"}})
    assert await data(api) == {"k": "w"}
    await act(api, "apply", {**MAP, "data": {"other": "x"}})
    assert await data(api) == {"k": "w", "other": "x"}
    await act(api, "replace", {**MAP, "data": {"new": "1"}}, flags=["--force"])
    found = await act(api, "get", flags=["cm", "m", "-n", "default", "-o", "json"])
    assert found is not None
    assert (found["kind"], found["data"]) == ("ConfigMap", {"new": "1"})
    assert await act(api, "delete", flags=["configmap/m", "--wait=false", "--grace-period=0"]) is None
    assert await act(api, "delete", MAP) is None, "what is not there is as good"
    with pytest.raises(KubeError, match="not found"):
        await act(api, "get", MAP)


@pytest.mark.parametrize(
    ("patch", "more", "becomes"),
    [
        ({**MAP, "data": {"p": "1"}}, {}, {"k": "v", "p": "1"}),
        ({"data": {"k": None, "p": "1"}}, {"mergeStrategy": "merge", "flags": ["cm", "m"]}, {"p": "1"}),
        ({"data": {"p": "1"}}, {"flags": ["configmaps", "m", "--type=strategic"]}, {"k": "v", "p": "1"}),
        (
            '[{"op": "add", "path": "/data/p", "value": "1"}]',
            {"mergeStrategy": "json", "flags": ["configmap", "m"]},
            {"k": "v", "p": "1"},
        ),
        (None, {"flags": ["cm", "m", "--type", "merge", "-p", '{"data": {"p": "1"}}']}, {"k": "v", "p": "1"}),
    ],
)
async def test_a_patch_goes_to_what_the_manifest_or_the_flags_name(
    api: KubeClient, patch: Any, more: Object, becomes: Object
) -> None:
    await act(api, "create", MAP)
    await act(api, "patch", patch, **more)
    assert await data(api) == becomes


async def test_objects_are_deleted_by_selector(api: KubeClient) -> None:
    for name, label in (("one", "b"), ("two", "b"), ("three", "c")):
        await act(api, "create", {**MAP, "metadata": {"name": name, "labels": {"a": label}}})
    await act(api, "delete", flags=["cm", "-l", "a=b"])
    resource = await api.resource("v1", "ConfigMap")
    left = [one["metadata"]["name"] for one in (await api.list(resource, namespace="default"))["items"]]
    assert "three" in left
    assert not {"one", "two"} & set(left)


async def test_conditions_are_waited_for_and_a_failure_names_itself(api: KubeClient) -> None:
    await act(api, "create", MAP)

    async def change(value: str) -> None:
        await asyncio.sleep(0.2)
        await act(api, "patch", {"data": {"k": value}}, mergeStrategy="merge", flags=["cm", "m"])

    waiting = {"successCondition": "data.k == done", "failureCondition": "data.k in (broken, lost)"}
    _, found = await asyncio.gather(change("done"), act(api, "get", MAP, **waiting))
    assert found is not None
    assert found["data"] == {"k": "done"}
    await change("new")
    with pytest.raises(WorkflowError, match=r"failure condition 'data.k in .*' evaluated true"):
        await asyncio.gather(change("broken"), act(api, "apply", {**MAP, "data": {}}, **waiting))


async def test_a_manifest_comes_from_an_artifact(api: KubeClient, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.yaml").write_text(yaml.safe_dump(MAP))
    given = plan("create", manifestFrom={"artifact": {"name": "a"}})
    found = await resource_pod.act(api, {**given, "fetched": {"a": str(tmp_path / "folder")}})
    assert found is not None
    await act(api, "delete", MAP)
    raw = {"artifacts": [{"name": "a", "raw": {"data": yaml.safe_dump(MAP)}}]}
    assert await resource_pod.act(api, {**given, "inputs": raw}) is not None


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        (("get",), {"flags": ["cm"]}, "Kind and name are both required"),
        (("get",), {"flags": ["widgets", "x"]}, "the server knows no kind 'widgets'"),
        (("get",), {}, "flags name no object"),
        (("create",), {"flags": ["configmap", "x"]}, "create takes a manifest here"),
        (("delete",), {"flags": ["cm"]}, "delete takes a manifest, a name, a selector or --all"),
        (("get",), {"flags": ["cm", "m", "--raw"]}, "the flag --raw of a resource template is not available here"),
        (("patch", {"data": {}}), {"flags": ["cm", "m"], "mergeStrategy": "json"}, "json takes a list of operations"),
        (("patch", {"data": {}}), {"flags": ["cm", "m"], "mergeStrategy": "smart"}, "must be one of json, merge"),
    ],
)
async def test_what_cannot_be_done_says_why(api: KubeClient, arguments: Any, more: Object, says: str) -> None:
    with pytest.raises(WorkflowError, match=says):
        await act(api, *arguments, **more)


async def test_outputs_are_read_or_have_their_default(api: KubeClient, tmp_path: Path) -> None:
    found = await act(api, "create", MAP)
    outputs = {
        "parameters": [
            {"name": "path", "valueFrom": {"jsonPath": "{.metadata.labels.a}"}},
            {"name": "gone", "valueFrom": {"jsonPath": "{.status.phase}"}},
            {"name": "jq", "valueFrom": {"jqFilter": ".data | keys[]"}},
            {"name": "bad", "valueFrom": {"jqFilter": ".data | error", "default": "d"}},
        ]
    }
    await resource_pod.save(outputs, found, tmp_path)
    written = {one.name: one.read_text() for one in (tmp_path / "parameters").iterdir()}
    assert written == {"path": "b", "gone": "", "jq": "k", "bad": "d"}
    await resource_pod.save(outputs, None, tmp_path)
    written = {one.name: one.read_text() for one in (tmp_path / "parameters").iterdir()}
    assert written == {"path": "", "gone": "", "jq": "", "bad": "d"}
    assert json.dumps(found)
