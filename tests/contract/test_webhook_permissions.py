"""The roles of the admission webhook against what it asks for: nothing refused, nothing to spare."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.keryx import keryx
from support.ports import free_port
from support.recorded_calls import Recorded, granted, recorded, user

from events.app import manifests
from events.app.manifests import roles
from events.kube import patches
from events.kube.api import Object

pytest.importorskip("events.app.admission")

BEHIND: Object = {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]}


async def webhook_installed(place: Recorded, port: int) -> None:
    """With a process of this machine behind its Service."""
    await place.apply(manifests.cluster_install())
    for one in manifests.webhook_install():
        if one["kind"] == "Service":
            one["spec"]["ports"] = [{"name": "webhook", "port": port}]
        await place.apply([one])
    meta = {"name": "events-webhook", "labels": {"kubernetes.io/service-name": "events-webhook"}}
    slices = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, **BEHIND}
    await place.admin.create(slices | {"ports": [{"name": "webhook", "port": port}]}, namespace=roles.NAMESPACE)


async def spoiled(place: Recorded) -> None:
    """The Secret is damaged, and somebody changed the configuration."""
    for api_version, kind, name, body in (
        ("v1", "Secret", "events-webhook-certs", {"data": {"server-cert.pem": None}}),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "webhook.argo-events.argoproj.io",
            {"webhooks": []},
        ),
    ):
        resource = await place.admin.resource(api_version, kind)
        home = roles.NAMESPACE if resource.namespaced else None
        await place.admin.patch(resource, name, body, content_type=patches.MERGE, namespace=home)


async def test_the_webhook_asks_for_what_its_roles_allow_and_for_all_of_it(tmp_path: Path) -> None:
    port = free_port()
    async with recorded(tmp_path) as place:
        await place.namespace(roles.NAMESPACE)
        await place.namespace("work")
        await webhook_installed(place, port)
        environ = {
            "KUBECONFIG": str(await place.kubeconfig_of(roles.WEBHOOK, roles.NAMESPACE)),
            "NAMESPACE": roles.NAMESPACE,
            "PORT": str(port),
            "KERYX_ADDRESS": "127.0.0.1",
            "KERYX_METRICS_PORT": "0",
            "KERYX_GRACE": "1",
        }
        for life in ("first", "second"):
            async with keryx(tmp_path / life, "webhook-service", environ=environ) as running:
                await running.ready()
                dependency = {"name": "d", "eventSourceName": "s", "eventName": "e"}
                trigger = {"template": {"name": "t", "log": {}}}
                spec = {"dependencies": [dependency], "triggers": [trigger]}
                sensor = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": life}}
                await place.admin.create(sensor | {"spec": spec}, namespace="work")
                assert await running.stop() == 0
            await spoiled(place)
        assert place.refused == []
        asked = place.calls[user(roles.WEBHOOK, roles.NAMESPACE)]
        assert asked == granted([*roles.WEBHOOK_RULES, *roles.WEBHOOK_HOME_RULES])
