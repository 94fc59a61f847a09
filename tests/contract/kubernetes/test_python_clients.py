"""The Python clients of the field: `kubernetes` (sync and aio), kr8s, lightkube. The same story told to each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import kr8s.asyncio
import lightkube
import pytest
import yaml
from kr8s import NotFoundError as Kr8sNotFound
from kr8s import ServerError as Kr8sServerError
from kr8s.asyncio.objects import ConfigMap as Kr8sConfigMap
from kr8s.asyncio.objects import Deployment as Kr8sDeployment
from kr8s.asyncio.objects import Namespace as Kr8sNamespace
from kr8s.asyncio.objects import new_class
from kubernetes import aio, client, utils, watch
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.informer import SharedInformer
from lightkube import ApiError, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import CascadeType, PatchType
from support.cluster import Cluster, config_map, deployment, widget

Later = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version .* is not supported:UserWarning")  # kr8s

# -- kubernetes, sync


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(cluster.api)


def test_official_objects(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", {"k": "v"}, x="1"))
    assert made.metadata.uid
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "v"}
    core.create_namespaced_config_map(namespace, config_map("b", x="2"))
    listed = core.list_namespaced_config_map(namespace, label_selector="x in (1,3)")
    assert [one.metadata.name for one in listed.items] == ["a"]
    first = core.list_namespaced_config_map(namespace, limit=1)
    assert first.metadata._continue
    rest = core.list_namespaced_config_map(namespace, _continue=first.metadata._continue)
    assert len(first.items) + len(rest.items) == 3
    assert core.patch_namespaced_config_map("a", namespace, {"data": {"l": "w"}}).data == {"k": "v", "l": "w"}
    operations = [{"op": "remove", "path": "/data/k"}]
    assert core.patch_namespaced_config_map("a", namespace, operations).data == {"l": "w"}
    assert core.replace_namespaced_config_map("a", namespace, config_map("a", {"n": "1"})).data == {"n": "1"}
    core.delete_namespaced_config_map("a", namespace)
    core.delete_collection_namespaced_config_map(namespace, label_selector="x=2")
    left = core.list_namespaced_config_map(namespace).items
    assert [one.metadata.name for one in left] == ["kube-root-ca.crt"]


def test_official_refusals(core: client.CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    stale = core.read_namespaced_config_map("a", namespace)
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "newer"}})
    for wanted, ask in (
        (404, lambda: core.read_namespaced_config_map("nobody", namespace)),
        (409, lambda: core.create_namespaced_config_map(namespace, config_map("a"))),
        (409, lambda: core.replace_namespaced_config_map("a", namespace, stale)),
        (422, lambda: core.create_namespaced_config_map(namespace, config_map("Not A Name"))),
        (410, lambda: core.list_namespaced_config_map(namespace, limit=1, _continue="nonsense")),
    ):
        with pytest.raises(ApiException) as caught:
            ask()
        assert caught.value.status == wanted or (wanted, caught.value.status) == (410, 400)


def test_official_watch(core: client.CoreV1Api, namespace: str) -> None:
    version = core.list_namespaced_config_map(namespace).metadata.resource_version

    def act() -> None:
        core.create_namespaced_config_map(namespace, config_map("a"))
        core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
        core.delete_namespaced_config_map("a", namespace)

    actor = threading.Thread(target=act)
    actor.start()
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=10
    )
    seen = []
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    actor.join()
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_official_informer(core: client.CoreV1Api, namespace: str, later: Later) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    informer = SharedInformer(
        core.list_namespaced_config_map, namespace, field_selector="metadata.name!=kube-root-ca.crt"
    )
    seen: list[tuple[str, str]] = []
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(kind, lambda it, kind=kind: seen.append((kind, it.metadata.name)))
    informer.start()
    try:
        later(lambda: ("ADDED", "a") in seen)
        core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
        core.create_namespaced_config_map(namespace, config_map("b"))
        core.delete_namespaced_config_map("a", namespace)
        later(lambda: ("DELETED", "a") in seen)
        assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
        assert [one.metadata.name for one in informer.cache.list()] == ["b"]
    finally:
        ending = threading.Thread(target=informer.stop)
        ending.start()
        ending.join(0.1)
        core.delete_namespaced_config_map("b", namespace)  # it looks up when something happens
        ending.join(20)
    assert not ending.is_alive()


def test_official_files(cluster: Cluster, core: client.CoreV1Api, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "several.yaml").write_text(yaml.safe_dump_all([config_map("a"), deployment()]))
    utils.create_from_yaml(cluster.api, str(tmp_path / "several.yaml"), namespace=namespace)
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "v"}
    with pytest.raises(utils.FailToCreateError):
        utils.create_from_yaml(cluster.api, str(tmp_path / "several.yaml"), namespace=namespace)


def test_official_typed_workloads(cluster: Cluster, namespace: str) -> None:
    apps = client.AppsV1Api(cluster.api)
    made = apps.create_namespaced_deployment(namespace, deployment())
    assert made.spec.strategy.type == "RollingUpdate"
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 5}})
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 5
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 5
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")


def test_official_custom_objects(cluster: Cluster, namespace: str, group: str) -> None:
    api = client.CustomObjectsApi(cluster.api)
    place = (group, "v1", namespace, "widgets")
    api.create_namespaced_custom_object(*place, widget(group, size=1))
    assert api.get_namespaced_custom_object(*place, "one")["spec"] == {"size": 1, "colour": "blue"}
    api.patch_namespaced_custom_object_status(*place, "one", {"status": {"ready": 1}})
    assert api.list_namespaced_custom_object(*place)["items"][0]["status"] == {"ready": 1}
    with pytest.raises(ApiException) as caught:
        api.create_namespaced_custom_object(*place, widget(group, "two", size=-1))
    assert caught.value.status == 422
    api.delete_namespaced_custom_object(*place, "one")


def test_official_dynamic_client(cluster: Cluster, namespace: str, group: str) -> None:
    dynamic = DynamicClient(cluster.api)
    resource = dynamic.resources.get(api_version=f"{group}/v1", kind="Widget")
    applied = resource.server_side_apply(
        body=widget(group, size=4), namespace=namespace, field_manager="tests", force_conflicts=True
    )
    assert applied.spec.size == 4
    assert applied.metadata.managedFields[0].manager == "tests"
    assert [one.metadata.name for one in resource.get(namespace=namespace).items] == ["one"]
    with pytest.raises(ApiException) as caught:
        resource.server_side_apply(body=widget(group, size=5), namespace=namespace, field_manager="other")
    assert caught.value.status == 409
    assert dynamic.resources.get(kind="Deployment", api_version="apps/v1").name == "deployments"


def test_official_reviews_and_tokens(cluster: Cluster, core: client.CoreV1Api, namespace: str) -> None:
    request = {"spec": {"audiences": None, "expirationSeconds": 3600}}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", **request}
    token = core.create_namespaced_service_account_token("default", namespace, body).status.token
    review = client.AuthenticationV1Api(cluster.api).create_token_review({"spec": {"token": token}})
    assert review.status.authenticated
    assert review.status.user.username == f"system:serviceaccount:{namespace}:default"
    question = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}}
    assert client.AuthorizationV1Api(cluster.api).create_self_subject_access_review(question).status.allowed
    assert client.VersionApi(cluster.api).get_code().major == "1"


# -- kubernetes, aio


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Any]:
    async with await aio.config.new_client_from_config(config_file=cluster.kubeconfig) as made:
        yield made


async def test_aio_objects_and_watch(api: Any, namespace: str) -> None:
    core = aio.client.CoreV1Api(api)
    version = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async with aio.watch.Watch().stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=10
        ) as stream:
            async for event in stream:
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await core.create_namespaced_config_map(namespace, config_map("a"))
        patched = await core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
        assert patched.data == {"k": "2"}
        await core.delete_namespaced_config_map("a", namespace)
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/merge-patch+json", {"spec": {"size": 9}}),
        ("application/json-patch+json", [{"op": "replace", "path": "/spec/size", "value": 9}]),
    ],
)
async def test_aio_patches_of_custom_objects(api: Any, namespace: str, group: str, media: str, body: Any) -> None:
    custom = aio.client.CustomObjectsApi(api)
    place = (group, "v1", namespace, "widgets")
    await custom.create_namespaced_custom_object(*place, widget(group, size=1))
    changed = await custom.patch_namespaced_custom_object(*place, "one", body, _content_type=media)
    assert changed["spec"]["size"] == 9
    with pytest.raises(aio.client.ApiException) as caught:
        await custom.get_namespaced_custom_object(*place, "nobody")
    assert caught.value.status == 404


async def test_aio_dynamic_client(api: Any, namespace: str, group: str) -> None:
    dynamic = await aio.dynamic.DynamicClient(api)
    resource = await dynamic.resources.get(api_version=f"{group}/v1", kind="Widget")
    await dynamic.server_side_apply(
        resource, body=widget(group, size=4), name="one", namespace=namespace, field_manager="tests"
    )
    assert (await resource.get(name="one", namespace=namespace)).spec.size == 4
    await resource.delete(name="one", namespace=namespace)


# -- kr8s


@pytest.fixture
async def kr(cluster: Cluster, namespace: str) -> AsyncIterator[Any]:
    made = await kr8s.asyncio.api(kubeconfig=cluster.kubeconfig, namespace=namespace)
    yield made
    await made._session.aclose()  # it has no way of its own to end


async def test_kr8s_objects(kr: Any, namespace: str) -> None:
    made = await Kr8sConfigMap(config_map("a", x="1"), namespace=namespace, api=kr)
    await made.create()
    assert await made.exists()
    await made.patch({"data": {"k": "2"}})
    assert made.data["k"] == "2"
    await made.label({"y": "2"})
    await made.annotate({"note": "here"})
    found = [one async for one in kr.get("configmaps", namespace=namespace, label_selector={"y": "2"})]
    assert [(one.name, one.annotations["note"]) for one in found] == [("a", "here")]
    await made.delete()
    with pytest.raises(Kr8sNotFound):
        await Kr8sConfigMap.get("a", namespace=namespace, api=kr)
    with pytest.raises(Kr8sServerError) as caught:
        await (await Kr8sConfigMap(config_map("No"), namespace=namespace, api=kr)).create()
    assert caught.value.response is not None
    assert caught.value.response.status_code == 422
    assert (await Kr8sNamespace.get(namespace, api=kr)).status.phase == "Active"


async def test_kr8s_scale_wait_and_watch(kr: Any, namespace: str) -> None:
    web = await Kr8sDeployment(deployment(), namespace=namespace, api=kr)
    await web.create()
    await web.patch({"status": {"conditions": [{"type": "Tested", "status": "True"}]}}, subresource="status")
    async with asyncio.timeout(60):
        await web.wait("condition=Tested")
        async with aclosing(kr.watch("deployments", namespace=namespace)) as changes:
            kind, seen = await anext(changes)
    assert (kind, seen.name) == ("ADDED", "web")
    await web.delete(propagation_policy="Background")


async def test_kr8s_custom_objects_and_discovery(kr: Any, namespace: str, group: str) -> None:
    Widget = new_class("Widget", f"{group}/v1", asyncio=True, namespaced=True, plural="widgets")
    one = await Widget(widget(group, size=3), namespace=namespace, api=kr)
    await one.create()
    assert [found.raw["spec"]["size"] async for found in Widget.list(namespace=namespace, api=kr)] == [3]
    assert (await kr.version())["major"] == "1"
    assert {"Widget", "ConfigMap"} <= {found["kind"] for found in await kr.api_resources()}
    assert f"{group}/v1" in [found async for found in kr.api_versions()]
    assert (await kr.whoami()) is not None


# -- lightkube


@pytest.fixture
async def light(cluster: Cluster, namespace: str) -> AsyncIterator[lightkube.AsyncClient]:
    config = KubeConfig.from_file(cluster.kubeconfig)
    async with lightkube.AsyncClient(config=config, namespace=namespace, field_manager="tests") as made:
        yield made


async def test_lightkube_objects(light: lightkube.AsyncClient) -> None:
    await light.create(ConfigMap(metadata=ObjectMeta(name="a", labels={"x": "1"}), data={"k": "v"}))
    assert (await light.get(ConfigMap, "a")).data == {"k": "v"}
    patched = await light.patch(ConfigMap, "a", {"data": {"l": "w"}}, patch_type=PatchType.MERGE)
    assert patched.data == {"k": "v", "l": "w"}
    applied = await light.apply(
        ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="a"), data={"m": "x"})
    )
    assert applied.data == {"k": "v", "l": "w", "m": "x"}
    assert [one.metadata.name async for one in light.list(ConfigMap, labels={"x": "1"}) if one.metadata] == ["a"]
    assert (await light.set(ConfigMap, "a", labels={"x": None, "y": "2"})).metadata.labels == {"y": "2"}
    await light.delete(ConfigMap, "a", cascade=CascadeType.BACKGROUND)
    with pytest.raises(ApiError) as caught:
        await light.get(ConfigMap, "a")
    assert caught.value.status.code == 404


async def test_lightkube_workloads_and_waiting(light: lightkube.AsyncClient) -> None:
    labels = {"app": "web"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels),
        spec=PodSpec(containers=[Container(name="web", image="registry.invalid/web")]),
    )
    spec = DeploymentSpec(selector=LabelSelector(matchLabels=labels), template=template, replicas=1)
    await light.create(Deployment(metadata=ObjectMeta(name="web"), spec=spec))
    await light.patch(Deployment.Scale, "web", {"spec": {"replicas": 3}}, patch_type=PatchType.MERGE)
    found = await light.get(Deployment.Scale, "web")
    assert found.spec is not None
    assert found.spec.replicas == 3
    status = {"status": {"conditions": [{"type": "Tested", "status": "True"}]}}
    await light.patch(Deployment.Status, "web", status, patch_type=PatchType.MERGE)
    async with asyncio.timeout(60):
        waited = await light.wait(Deployment, "web", for_conditions=["Tested"])
    assert waited.metadata is not None
    async with asyncio.timeout(60):
        async with aclosing(light.watch(Deployment, resource_version="0")) as changes:
            kind, seen = await anext(changes)
    assert (kind, seen.metadata and seen.metadata.name) == ("ADDED", "web")


async def test_lightkube_custom_objects(light: lightkube.AsyncClient, group: str) -> None:
    Widget = create_namespaced_resource(group, "v1", "Widget", "widgets")
    await light.create(Widget(metadata=ObjectMeta(name="one"), spec={"size": 1}))
    with pytest.raises(ApiError) as caught:  # its strategic patch, which custom objects do not take
        await light.patch(Widget, "one", {"spec": {"size": 2}})
    assert caught.value.status.code == 415
    changed = await light.patch(Widget, "one", {"spec": {"size": 2}}, patch_type=PatchType.MERGE)
    assert changed["spec"]["size"] == 2
    await light.delete(Widget, "one")


def test_lightkube_without_asyncio(cluster: Cluster, namespace: str) -> None:
    with lightkube.Client(config=KubeConfig.from_file(cluster.kubeconfig), namespace=namespace) as light:
        light.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "v"}))
        assert {one.metadata.name for one in light.list(ConfigMap) if one.metadata} >= {"a"}
        light.delete(ConfigMap, "a")
