"""The namespaces in which Argo Events' examples are applied, what they speak to, and what happens there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
from aiohttp import web
from support import minio as listening
from support.examples.published import ARGO_NAMESPACE, FILTERS, HOME, body_of
from support.examples.world import ARGO, PUBLISHED, World

from eventsources.eventing import SERVICE, Event, EventSource

EAST = "us-east-1"
STEPS = "tutorials"
HELLO = {
    "apiVersion": ARGO,
    "kind": "Workflow",
    "metadata": {"generateName": "hello-world-"},
    "spec": {
        "entrypoint": "hello",
        "templates": [
            {"name": "hello", "container": {"image": "busybox", "command": ["echo"], "args": ["hello world"]}}
        ],
    },
}
BUS = {
    "apiVersion": ARGO,
    "kind": "EventBus",
    "metadata": {"name": "default"},
    "spec": {"jetstream": {"version": "latest", "replicas": 1}},
}
CALENDAR = {
    "apiVersion": ARGO,
    "kind": "EventSource",
    "metadata": {"name": "calendar"},
    "spec": {"calendar": {"example-with-interval": {"interval": "5s"}}},
}
KEYS = {"accesskey": "minioadmin", "secretkey": "minioadmin"}
OFFLINE = ("slack-trigger", "trigger-source-git")
"""Sensors that cannot start: what they need is not there."""
IN_FILTERS = (
    "complete-trigger-parameterization",
    "context-filter-webhook",
    "filter-script",
    "filter-with-context",
    "filter-with-data-advanced",
    "filter-with-data-simple-1",
    "filter-with-data-simple-2",
    "filter-with-data-simple-3",
    "filter-with-data-simple-4",
    "filter-with-expressions",
    "filter-with-multiple-data-filters-in-or",
    "filter-with-multiple-filters-in-or",
    "filter-with-multiple-filters",
    "filter-with-time-timezone",
)


# ---- what they speak to


@asynccontextmanager
async def minio(world: World) -> AsyncIterator[str]:
    """A server for listening and for objects: moto cannot do the one, the stand-in not the other."""
    stand_in = listening.Minio(buckets={"input", "test"})

    async def handle(request: web.Request) -> web.StreamResponse:
        if "events" in request.query:
            return await stand_in.handle(request)
        headers = {name: text for name, text in request.headers.items() if name.lower() != "host"}
        async with aiohttp.ClientSession() as session:
            url = f"{world.aws.url}{request.path_qs}"
            async with session.request(request.method, url, headers=headers, data=await request.read()) as answer:
                kept = {name: text for name, text in answer.headers.items() if name.lower() in ("etag", "content-type")}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    world.outside["minio"] = stand_in
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        stand_in.cut()
        await runner.cleanup()


@asynccontextmanager
async def eventing() -> AsyncIterator[str]:
    """A server of events that tells what it was configured with."""

    async def start(request: Any, _context: Any) -> AsyncIterator[Any]:
        yield Event(name=request.name, payload=json.dumps({"config": bytes(request.config).decode()}).encode())
        await asyncio.Event().wait()

    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(start, EventSource.FromString, Event.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"StartEventSource": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def prepare_aws(world: World) -> None:
    """A queue, a function, and a Workflow in a bucket."""
    body = json.dumps(HELLO).encode()
    s3 = world.aws.client("s3", EAST)
    for bucket in ("workflows", "mybucket"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="hello-world.yaml", Body=body)
    queue = world.aws.client("sqs", EAST).create_queue(QueueName="test")["QueueUrl"]
    world.aws.client("sqs", EAST).send_message(QueueUrl=queue, MessageBody='{"message":"from the queue"}')
    world.aws.make_function("hello", EAST)


async def with_environment(world: World, namespace: str, kind: str, name: str, **variables: str) -> None:
    """What the account of a pod, or its machine, would give it elsewhere."""
    given = [{"name": key, "value": value} for key, value in variables.items()]
    await world.patch(namespace, kind, name, {"spec": {"template": {"container": {"env": given}}}})


async def namespaces(world: World) -> None:
    """With the accounts that the examples name; those that they only assume may do everything."""
    assumed = [
        (FILTERS, "default"),
        (STEPS, "operate-workflow-sa"),
        (STEPS, "k8s-resource-sa"),
        (HOME, "argo-events-sa"),
    ]
    assumed += [(HOME, "argo-events"), (HOME, "your-service-account"), (HOME, "operate-workflow-sa")]
    for namespace in (HOME, FILTERS, STEPS, ARGO_NAMESPACE):
        await world.kubectl("create", "namespace", namespace)
        await world.apply(namespace, PUBLISHED / "rbac")
    for namespace, account in assumed:
        await world.put(
            namespace,
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"{namespace}-{account}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
            },
        )


# ---- argo-events: everything at once


async def home(world: World) -> None:
    """All sources and most sensors in one namespace."""
    for name in ("artifacts-minio", "artifact-minio", "aws-secret"):
        await world.secret(HOME, name, **KEYS)
    await world.secret(HOME, "my-secret", **{"secret-key": "{}"})
    await world.put(HOME, CALENDAR)
    await world.apply(HOME, PUBLISHED / "event-sources")
    names = sorted(path.stem for path in (PUBLISHED / "sensors").glob("*.yaml"))
    mine = [name for name in names if name not in IN_FILTERS and name != "trigger-with-policy"]
    await world.apply(HOME, *(PUBLISHED / f"sensors/{name}.yaml" for name in mine))
    policy = PUBLISHED / "sensors/trigger-with-policy.yaml"
    code, _, world.outside["said"] = await world.here.run("apply", "-n", HOME, "-f", str(policy))
    assert code == 1
    await world.apply(HOME, policy, more=["--validate=warn"])
    environ = {"AWS_ENDPOINT_URL": world.aws.url, "AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "pass"}
    await with_environment(world, HOME, "sensor", "aws-lambda-trigger", **environ, LOG_LEVEL="debug")
    await with_environment(world, HOME, "eventsource", "aws-sqs", **environ)
    if world.google is not None:
        pubsub = {"PUBSUB_EMULATOR_HOST": world.google.address}
        await with_environment(world, HOME, "eventsource", "gcp-pubsub", **pubsub)
    example2 = {"port": "12000", "endpoint": "/example2", "method": "POST"}
    await world.patch(HOME, "eventsource", "webhook", {"spec": {"webhook": {"example-foo": example2}}})
    await world.put(HOME, BUS)
    await world.deployed(HOME, "EventSource", "webhook", "aws-sqs", "file", "generic", "minio", "resource", "calendar")
    renamed = {"mqtt-sensor": "mqtt"}
    started = [renamed.get(name, name) for name in mine if name not in (*OFFLINE, "trigger-openwhisk")]
    await world.deployed(HOME, "Sensor", *started, "trigger-with-policy")
    await happen(world)


async def happen(world: World) -> None:
    """One of everything that the sources wait for."""
    await world.post(HOME, "webhook", 12000, "/example", {"message": "posted", "a": "posted", "name": "ada"})
    await world.post(HOME, "webhook", 12000, "/example2", {"message": 7})
    [pod] = await world.pods(HOME, "EventSource", "file")
    await world.kubectl("exec", "-n", HOME, pod["metadata"]["name"], "--", "sh", "-c", "echo new > /test-data/x.txt")
    world.outside["minio"].tell(listening.told("in/new.csv"))
    labelled = {**HELLO, "metadata": {"name": "labelled", "labels": {"app": "my-workflow"}}}
    await world.put(HOME, labelled)
    if world.google is not None:
        await world.deployed(HOME, "EventSource", "gcp-pubsub")
        await asyncio.to_thread(world.google.publish, "projects/argo-events-XXXXX/topics/test", b'{"told":"published"}')
    pull = {"title": "a title", "number": 7, "state": "open", "base": {"ref": "master"}, "head": {"sha": "0123456789"}}
    request = {"headers": {"X-Github-Event": ["pull_request"]}, "body": {"action": "opened", "pull_request": pull}}
    kind = {
        "object_kind": "emoji",
        "object_attributes": {"name": "tada", "awardable_type": "Issue"},
        "user": {"username": "ada"},
        "issue": {"title": "wow"},
    }
    simple = [("azure-queue-storage", "example"), ("bitbucket", "example"), ("gitlab", "example"), ("kafka", "example")]
    simple += [(name, "example") for name in ("hdfs", "mqtt", "nsq", "pulsar", "redis", "storage-grid")]
    events: list[tuple[str, str, Any]] = [(name, event, {"body": "played"}) for name, event in simple]
    events += [("github", "example", request), ("gitlab", "group-example", {"body": kind})]
    events += [
        ("sftp", "example", {"name": "played.txt"}),
        ("slack", "example-insecure", {"body": {"message": "played"}}),
    ]
    events += [("aws-sns", "example", {"body": {"Message": "from the topic"}})]
    await world.publish(HOME, *events)


# ---- filters: each lets one event pass


async def filters(world: World) -> None:
    """Events of a webhook, and some whose data begin where the examples look."""
    await world.secret(FILTERS, "artifacts-minio", **KEYS)
    files = [PUBLISHED / f"sensors/{name}.yaml" for name in IN_FILTERS]
    await world.apply(FILTERS, PUBLISHED / "event-sources/webhook.yaml", *files)
    for name in ("filter-with-time-timezone",):
        variables = [{"name": "LOG_LEVEL", "value": "debug"}]
        await world.patch(FILTERS, "sensor", name, {"spec": {"template": {"container": {"env": variables}}}})
    await world.put(FILTERS, BUS)  # last, as in every scene: what is applied beside pods that start takes its time
    await world.deployed(FILTERS, "EventSource", "webhook")
    sensors = await world.list(ARGO, "Sensor", FILTERS)
    await world.deployed(FILTERS, "Sensor", *(one["metadata"]["name"] for one in sensors))
    where = ("webhook", "example")
    for body in ({"message": "hello"}, {"message": "good day"}, {"value": 50.0}, {"value": 51}):
        await world.post(FILTERS, "webhook", 12000, "/example", body)
    place = {"bucket": "mybucket", "key": "hello-world.yaml", "port": "", "image": "busybox", "namespace": FILTERS}
    await world.publish(
        FILTERS,
        (*where, {"bucket": "argo-workflow-input", "body": "x"}),
        (*where, {"a": True, "b": {"c": 3.14, "d": "hello, world"}, "name": "advanced"}),
        (*where, {"a": "b", "c": 10, "d": {"e": False}, "name": "or-all"}),
        (*where, {"body": {"a": "b", "d": {"e": "z"}}, "name": "lua"}),
        (
            *where,
            {"a": "b", "a-longer-name": 1, "nested": {"path": {"can-get": {"longer": False}}}, "name": "expressions"},
        ),
        (*where, {"b": {"d": "hello there"}, "name": "or-data"}),
        (*where, place | {"name": "from-the-event"}),
    )


# ---- the tutorials, step by step: their sensors have one name


async def tutorials(world: World) -> None:
    """Each step changes the Sensor of the one before."""
    steps: dict[str, Any] = world.outside.setdefault("steps", {})
    for name in ("artifacts-minio", "artifact-minio", "aws-secret"):
        await world.secret(STEPS, name, **KEYS)
    await world.put(STEPS, BUS)
    sources = [PUBLISHED / f"event-sources/{name}.yaml" for name in ("webhook", "minio")]
    await world.apply(STEPS, *sources)
    parameters = "02-parameterization/sensor-0"
    fifth = {"dependencyName": "test-dep", "dataKey": "body.say", "dest": "spec.arguments.parameters.0.value"}
    told: list[tuple[str, str, Any, str]] = [
        ("sensor-01", f"{parameters}1", {"message": "posted"}, "webhook"),
        ("sensor-02", f"{parameters}2", {"message": "posted"}, "posted"),
        ("sensor-03", f"{parameters}3", {"message": "posted"}, "wow! a default value."),
        ("sensor-04", f"{parameters}4", {"message": "posted"}, "postedhello world"),
        ("sensor-05", f"{parameters}5", fifth | {"say": "as the event says"}, "as the event says"),
        ("sensor-minio", "03-trigger-sources/sensor-minio", {}, "hello world"),
    ]
    for name, path, body, says in told:
        await kept(steps, name, lambda path=path, body=body, says=says: parameterized(world, path, body, says))
    await kept(steps, "sensor-cm", lambda: of_config_map(world))
    await kept(steps, "deployment", lambda: a_deployment(world))
    await kept(steps, "lambda", lambda: a_function(world))
    await kept(steps, "circuit-01", lambda: either(world))
    await kept(steps, "circuit-02", lambda: both(world))
    await kept(steps, "type", lambda: of_type(world))
    text = 'unknown field "spec.triggers[0].template.http.serverURL"'
    await kept(steps, "serverURL", lambda: applied(world, "sensor-02", 1, text))


async def kept(steps: dict[str, Any], name: str, step: Callable[[], Awaitable[None]]) -> None:
    """What became of a step; the next one is tried all the same."""
    try:
        await step()
        steps[name] = True
    except Exception as error:  # noqa: BLE001 - for the row of this step
        steps[name] = error


async def changed(world: World, path: str, name: str = "webhook") -> set[str]:
    """Apply a Sensor; the names of the Workflows that are there before it acts."""
    await world.apply(STEPS, PUBLISHED / f"tutorials/{path}.yaml")
    await world.deployed(STEPS, "Sensor", name)
    return {one["metadata"]["name"] for one in await world.workflows(STEPS, name)}


async def parameterized(world: World, path: str, body: Any, says: str) -> None:
    before = await changed(world, path)
    await world.post(STEPS, "webhook", 12000, "/example", body)
    await world.succeeded(STEPS, "webhook", says=says, before=before)


async def of_config_map(world: World) -> None:
    """It is in `argo-events`, where its Workflow is made; the Sensor looks in its own namespace."""
    store = PUBLISHED / "tutorials/03-trigger-sources/trigger-store.yaml"
    await world.apply(STEPS, store)
    await changed(world, "03-trigger-sources/sensor-cm")
    await world.post(STEPS, "webhook", 12000, "/example", {})
    labels = "events.argoproj.io/sensor=webhook,events.argoproj.io/trigger=minio-workflow-trigger"

    async def done() -> bool:
        found = await world.list(ARGO, "Workflow", HOME, labels)
        return any((one.get("status") or {}).get("phase") == "Succeeded" for one in found)

    await world.until(done, lambda: "a Workflow of the ConfigMap")


async def a_deployment(world: World) -> None:
    await changed(world, "04-standard-k8s-resources/sensor-deployment")
    await world.post(STEPS, "webhook", 12000, "/example", {"deploy": "this"})
    labels = "events.argoproj.io/sensor=webhook"

    async def done() -> bool:
        found = await world.list("apps/v1", "Deployment", STEPS, labels)
        return any("deploy" in body_of(one["spec"]["template"]["spec"]["containers"][0]["args"][0]) for one in found)

    await world.until(done, lambda: "a Deployment whose argument is the event")


async def a_function(world: World) -> None:
    environ = {"AWS_ENDPOINT_URL": world.aws.url, "LOG_LEVEL": "debug"}
    await world.apply(STEPS, PUBLISHED / "tutorials/10-aws-lambda-trigger/sensor.yaml")
    await with_environment(world, STEPS, "sensor", "webhook", **environ)
    await world.deployed(STEPS, "Sensor", "webhook")
    await world.post(STEPS, "webhook", 12000, "/example", {"name": "ada"})
    await world.says(STEPS, "webhook", "Successfully processed trigger 'lambda-trigger'")


async def either(world: World) -> None:
    before = await changed(world, "06-trigger-conditions/sensor-01", "circuit")
    await world.post(STEPS, "webhook", 12000, "/example", {"message": "group one"})
    await world.succeeded(STEPS, "circuit", "workflow-trigger-1", says="group one", before=before)
    world.outside["minio"].tell(listening.told("x", "s3:ObjectCreated:Put"))
    await world.succeeded(STEPS, "circuit", "workflow-trigger-2", says="input", before=before)


async def both(world: World) -> None:
    before = await changed(world, "06-trigger-conditions/sensor-02", "circuit")
    await world.post(STEPS, "webhook", 12000, "/example", {"message": "together"})
    world.outside["minio"].tell(listening.told("y", "s3:ObjectCreated:Put"))
    await world.succeeded(STEPS, "circuit", "workflow-trigger", says="together input", before=before)


async def of_type(world: World) -> None:
    """`type` is warned of; it is a source of MinIO like the other."""
    text = "spec.type: unknown event source or field (nobody reads it, it can go)"
    await applied(world, "minio-event-source", 0, text)
    await world.deployed(STEPS, "EventSource", "minio-event-source")


async def applied(world: World, name: str, ends: int, text: str) -> None:
    """How `kubectl apply` ends, and what it says."""
    path = PUBLISHED / f"tutorials/09-http-trigger/{name}.yaml"
    code, _, said = await world.here.run("apply", "-n", STEPS, "-f", str(path))
    assert (code, text in said) == (ends, True), said


SCENES = (home, filters, tutorials)


@asynccontextmanager
async def stage(world: World) -> AsyncIterator[None]:
    """Everything that the scenes share."""
    await asyncio.to_thread(prepare_aws, world)
    async with minio(world) as store, eventing() as server:
        await namespaces(world)
        await world.service(HOME, "minio-service", 9000, store)
        await world.service(HOME, "generic-event-source-server", 8080, server)
        yield
