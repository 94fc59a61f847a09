"""`keryx webhook-service` over HTTPS: what it answers, what it keeps, what happens when things break."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from support.keryx import until
from support.ports import free_port

from events.app.admission import certificates, server
from events.app.admission.certificates import Chain
from events.app.admission.keeping import CONFIGURATION, SECRET, Keeper, Names
from events.app.admission.service import Options, Webhook, options
from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object, Resource
from events.kube.memory import MemoryKube
from events.logs import Log
from events.metrics import Metrics
from events.process import Process
from events.settings import Settings

NAMES = Names("argo-events")
GOOD_BUS = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "EventBus",
    "metadata": {"name": "default", "namespace": "n", "generation": 1},
    "spec": {"jetstream": {"version": "latest"}},
}


async def read(kube: MemoryKube, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
    return await kube.get(await kube.resource(api_version, kind), name, namespace=namespace)


async def configuration(kube: MemoryKube) -> Object:
    return await read(kube, "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", CONFIGURATION)


async def secret(kube: MemoryKube) -> Object:
    return await read(kube, "v1", "Secret", SECRET, "argo-events")


def bundle(found: Object) -> str:
    return base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"]).decode()


async def cluster() -> MemoryKube:
    kube = MemoryKube()
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    await kube.create(role | {"metadata": {"name": "argo-events-webhook"}})
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "events-webhook"}}
    await kube.create(deployment, namespace="argo-events")
    return kube


async def test_secret_and_configuration_are_made_with_owners() -> None:
    kube = await cluster()
    chain = await Keeper(kube, NAMES).keep()
    stored = await secret(kube)
    assert sorted(stored["data"]) == ["ca-cert.pem", "server-cert.pem", "server-key.pem"]
    assert stored["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
    found = await configuration(kube)
    assert found["metadata"]["ownerReferences"][0]["name"] == "argo-events-webhook"
    hook = found["webhooks"][0]
    assert bundle(found) == chain.authorities
    assert hook.pop("clientConfig")["service"] == {"name": "events-webhook", "namespace": "argo-events", "port": 443}
    assert hook == {
        "name": CONFIGURATION,
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 10,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1", "v1beta1"],
        "rules": [
            {
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "apiGroups": ["argoproj.io"],
                "apiVersions": ["v1alpha1"],
                "resources": ["eventbus", "eventsources", "sensors"],
                "scope": "*",
            }
        ],
    }


async def test_what_is_good_is_not_written_again() -> None:
    kube = await cluster()
    first = await Keeper(kube, NAMES).keep()
    before = (await secret(kube), await configuration(kube))
    assert await Keeper(kube, NAMES).keep() == first
    assert (await secret(kube), await configuration(kube)) == before


async def test_what_those_who_run_the_cluster_chose_stays() -> None:
    kube = await cluster()
    await Keeper(kube, NAMES).keep()
    found = await configuration(kube)
    chosen = {"failurePolicy": "Fail", "timeoutSeconds": 3, "namespaceSelector": {"matchLabels": {"a": "b"}}}
    found["webhooks"][0] |= chosen | {"rules": []}
    await kube.replace(found)
    await Keeper(kube, NAMES).keep()
    hook = (await configuration(kube))["webhooks"][0]
    assert {key: hook[key] for key in chosen} == chosen
    assert hook["rules"]


async def test_a_secret_of_argo_events_is_used_until_it_is_due() -> None:
    kube = await cluster()
    made = certificates.ensured(Chain(), NAMES.dns, datetime.now(UTC))
    coded = {key: base64.b64encode(value).decode() for key, value in made.data().items()}
    named = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}}
    await kube.create(named | {"data": coded}, namespace="argo-events")
    assert await Keeper(kube, NAMES).keep() == made
    assert bundle(await configuration(kube)) == made.authorities


async def test_replicas_agree() -> None:
    kube = await cluster()
    chains = await asyncio.gather(*(Keeper(kube, NAMES).keep() for _ in range(5)))
    assert len(set(chains)) == 1
    due = datetime.now(UTC) + certificates.LIFE - certificates.DUE + timedelta(minutes=1)
    told = await asyncio.gather(*(Keeper(kube, NAMES).keep(due) for _ in range(5)))
    assert len(set(told)) == 1
    assert bundle(await configuration(kube)).count("BEGIN CERTIFICATE") == 2
    served = await asyncio.gather(*(Keeper(kube, NAMES).keep(due + certificates.OVERLAP) for _ in range(5)))
    assert {one.cert for one in served} == {told[0].next_cert}


def verified_by(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authorities)


class Running:
    """A webhook on a free port of the loopback."""

    def __init__(self, kube: MemoryKube, port: int, grace: float = 2.0) -> None:
        self.kube = kube
        self.metrics = Metrics("")
        self.process = Process(self.metrics, Log("webhook"), grace=grace, metrics_port=None)
        names = Names("argo-events", port=port)
        self.webhook = Webhook(kube, Options(names, "127.0.0.1", 0.02), self.process, Log("webhook"))
        self.url = f"https://127.0.0.1:{port}"

    async def post(self, body: Any, content_type: str = "application/json") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        context = verified_by(bundle(await configuration(self.kube)))
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.url}/any/path?timeout=10s",
                data=io.BytesIO(data),
                ssl=context,
                server_hostname="events-webhook.argo-events.svc",
                headers={"Content-Type": content_type},
            ) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text


@asynccontextmanager
async def running(kube: MemoryKube, grace: float = 2.0) -> AsyncIterator[Running]:
    one = Running(kube, free_port(), grace)
    task = asyncio.create_task(one.webhook.run())
    try:
        await until(lambda: task.done() or not one.process.readiness.reasons, 60)
        yield one
    finally:
        one.process.stopping.set()
        await task


def review(new: Object | None, operation: str = "CREATE", version: str = "v1", **more: Any) -> Object:
    asked = {"uid": "7", "kind": {"kind": (new or {}).get("kind", "EventBus")}, "operation": operation, "object": new}
    return {"apiVersion": f"admission.k8s.io/{version}", "kind": "AdmissionReview", "request": asked | more}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_reviews_are_answered_in_the_version_they_came_in(version: str) -> None:
    async with running(await cluster()) as one:
        assert await one.post(review(GOOD_BUS, version=version)) == (
            200,
            {
                "apiVersion": f"admission.k8s.io/{version}",
                "kind": "AdmissionReview",
                "response": {"uid": "7", "allowed": True},
            },
        )
        bad = GOOD_BUS | {"spec": {"jetstream": {"version": "", "replicas": 2}}}
        _, answer = await one.post(review(bad, version=version))
        assert answer["response"]["allowed"] is False
        assert answer["response"]["status"]["message"] == (
            "invalid EventBus: spec.jetstream.version: required (latest); "
            "spec.jetstream.replicas: 2 replicas have no majority (1, or 3 and more)"
        )
        text = one.metrics.text().decode()
        assert 'admission_reviews_total{kind="EventBus",operation="CREATE",outcome="denied"} 1.0' in text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (review(GOOD_BUS), "text/plain", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        ({"apiVersion": "admission.k8s.io/v9", "kind": "AdmissionReview"}, "application/json", 400),
        (review(GOOD_BUS) | {"request": None}, "application/json", 400),
        (b" " * (server.MAX_BODY + 1), "application/json", 413),
        (b"[" * 100_000, "application/json", 400),
    ],
)
async def test_bad_bodies_are_refused(body: Any, content_type: str, status: int) -> None:
    async with running(await cluster()) as one:
        assert (await one.post(body, content_type))[0] == status
        assert (await one.post(review(GOOD_BUS)))[0] == 200


async def test_a_renewed_certificate_is_served_without_a_restart() -> None:
    kube = await cluster()
    async with running(kube) as one:
        assert (await one.post(review(GOOD_BUS)))[0] == 200
        stored = await secret(kube)
        made = certificates.ensured(Chain(), NAMES.dns, datetime.now(UTC))
        stored["data"] = {key: base64.b64encode(value).decode() for key, value in made.data().items()}
        await kube.replace(stored)

        async def is_served() -> bool:
            try:
                context = verified_by(made.authorities)
                async with aiohttp.ClientSession() as session:
                    name = "events-webhook.argo-events.svc"
                    async with session.get(f"{one.url}/readyz", ssl=context, server_hostname=name) as answer:
                        return answer.status == 200
            except aiohttp.ClientConnectorCertificateError:
                return False

        for _ in range(400):
            if await is_served():
                break
            await asyncio.sleep(0.05)
        assert await is_served()
        assert bundle(await configuration(kube)) == made.authorities


class Refusing(MemoryKube):
    """An API server that is away until told otherwise."""

    is_away = True
    asked = 0

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        self.asked += 1
        if self.is_away:
            raise ActionError("connection refused")
        return await super().get(resource, name, namespace=namespace)


async def test_it_is_ready_only_once_the_api_server_knows_it() -> None:
    kube = Refusing()
    one = Running(kube, free_port())
    task = asyncio.create_task(one.webhook.run())
    try:
        await until(lambda: kube.asked > 1, 60)
        assert one.process.readiness.reasons
        kube.is_away = False
        await until(lambda: not one.process.readiness.reasons, 60)
        assert (await one.post(review(GOOD_BUS)))[0] == 200
        kube.is_away = True  # what it serves, it goes on serving
        asked = kube.asked
        await until(lambda: kube.asked > asked, 60)
        assert not one.process.readiness.reasons
    finally:
        one.process.stopping.set()
        await task


async def test_a_stop_answers_what_runs_and_is_told_to_probes() -> None:
    kube = await cluster()
    async with running(kube, grace=5) as one:
        one.process.stopping.set()
        await until(lambda: bool(one.process.readiness.reasons), 60)
        assert (await one.post(review(GOOD_BUS)))[0] == 200


async def test_a_client_certificate_is_verified_if_presented() -> None:
    from support.certificates import make_certificate

    kube = await cluster()
    key, cert = make_certificate("kube-apiserver")
    data = {"requestheader-client-ca-file": cert.decode()}
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extension-apiserver-authentication"}}
    await kube.create(named | {"data": data}, namespace="kube-system")
    async with running(kube) as one:
        assert (await one.post(review(GOOD_BUS)))[0] == 200  # none presented
        assert await presented(one, key, cert) == 200
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await presented(one, *make_certificate("stranger"))


async def presented(one: Running, key: bytes, cert: bytes) -> int:
    import tempfile
    from pathlib import Path

    context = verified_by(bundle(await configuration(one.kube)))
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", key), ("cert", cert)):
            Path(folder, name).write_bytes(content)
        context.load_cert_chain(Path(folder, "cert"), Path(folder, "key"))
    name = "events-webhook.argo-events.svc"
    async with (
        aiohttp.ClientSession() as session,
        session.post(one.url, json=review(GOOD_BUS), ssl=context, server_hostname=name) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(
    ("environment", "path"), [({"PORT": "x"}, "PORT"), ({"PORT": "0"}, "PORT"), ({"PORT": "70000"}, "PORT")]
)
def test_a_bad_environment_is_told(environment: dict[str, str], path: str) -> None:
    with pytest.raises(UserError) as refused:
        options(Settings(namespace="n"), environment)
    assert refused.value.path == path


def test_names_come_from_the_environment() -> None:
    with pytest.raises(UserError):
        options(Settings(), {})
    given = {"PORT": "8443", "SERVICE_NAME": "s", "DEPLOYMENT_NAME": "d", "CLUSTER_ROLE_NAME": "r"}
    assert options(Settings(namespace="n"), given).names == Names("n", "s", "d", "r", 8443)


async def test_a_refusal_of_the_api_server_is_told() -> None:
    class Forbidding(MemoryKube):
        async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
            raise KubeError(403, "Forbidden", "no")

    with pytest.raises(KubeError):
        await Keeper(Forbidding(), NAMES).keep()
    assert await Keeper(Forbidding(), NAMES).client_authority() == ""
