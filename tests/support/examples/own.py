"""Our own examples, all in one namespace, with their counterparts on this machine; and what each must be seen to do."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from aiosmtpd.controller import Controller
from support import git_server
from support import minio as listening
from support.aws import REGION
from support.examples.rows import Check, Row, logged, made
from support.examples.world import ARGO, OURS, World
from support.git_server import Repository
from support.http_target import Received, http_target, status
from support.nats_server import NatsServer
from support.ports import free_port

HOME, EXOTIC = "examples", "exotic"
DEBUG = {"LOG_LEVEL": "debug"}
"""For what a sensor says of a success."""
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: order-\ndata: {}\n"
NOT_APPLIED = ("walkthrough", "eventbus")
AWS = ("aws", "s3.yaml", "bucket-pipeline", "aws-lambda.yaml")
SHOP: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop", "labels": {"shop.example.com/ready": "yes"}},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "600"]}]},
        },
    },
}
LONG: dict[str, Any] = {
    "apiVersion": ARGO,
    "kind": "Workflow",
    "metadata": {"name": "to-be-stopped"},
    "spec": {
        "entrypoint": "wait",
        "templates": [{"name": "wait", "container": {"image": "busybox", "command": ["sleep", "600"]}}],
    },
}
FAILING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "failing", "labels": {"team": "web"}},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox", "command": ["false"]}]},
}


# ---- what is seen


def config_map(sensor: str, **data: str) -> Check:
    async def look(world: World) -> None:
        async def done() -> bool:
            found = await world.list("v1", "ConfigMap", HOME, f"events.argoproj.io/sensor={sensor}")
            return any(one.get("data") == data for one in found)

        await world.until(done, lambda: f"a ConfigMap of {sensor} with {data}")

    return look


def outside(name: str, is_so: Callable[[Any], Any]) -> Check:
    """What a counterpart of the test's own got."""

    async def look(world: World) -> None:
        async def done() -> bool:
            return bool(is_so(world.outside[name]))

        await world.until(done, lambda: f"{name}: {world.outside[name]}")

    return look


def object_is(api_version: str, kind: str, name: str, is_so: Callable[[Any], Any], namespace: str = HOME) -> Check:
    async def look(world: World) -> None:
        async def done() -> bool:
            return bool(is_so(await world.get(api_version, kind, name, namespace)))

        await world.until(done, lambda: f"{kind} {name}")

    return look


def bodies(path: str) -> Callable[[Any], list[bytes]]:
    return lambda target: [one.body for one in target.received if one.target == path]


async def retried(world: World) -> None:
    said = await world.says(HOME, "retry-dead-letter", '"triggerName":"tell-somebody"', "Failed to execute a trigger")
    calls = bodies("/shipments")(world.outside["http"])
    assert calls == [b'{"number":7}'] * 3, (calls, said)


async def one_by_one(world: World) -> None:
    async def three() -> bool:
        return (await world.log(HOME, "Sensor", "rate-limit")).count('"triggerType":"Log"') == 3

    await world.until(three, lambda: "three lines")


async def large_alone(world: World) -> None:
    await world.succeeded(HOME, "transform-filter", says="130")


async def tree(world: World) -> None:
    [found] = await world.succeeded(HOME, "workflow-dag")
    tasks = {one["displayName"]: one["phase"] for one in found["status"]["nodes"].values() if one["type"] == "Pod"}
    assert tasks == dict.fromkeys(("build", "unit", "lint", "release"), "Succeeded"), tasks


async def every_ten_seconds(world: World) -> None:
    async def done() -> bool:
        found = await world.workflows(HOME, "calendar-workflow")
        return any((one.get("status") or {}).get("phase") == "Succeeded" for one in found)

    await world.until(done, lambda: "a Workflow of the calendar")


async def at_the_minute(world: World) -> None:
    async def done() -> bool:
        found = await world.list(ARGO, "Workflow", HOME, "workflows.argoproj.io/cron-workflow=minutely")
        return any((one.get("status") or {}).get("phase") == "Succeeded" for one in found)

    await world.until(done, lambda: "a Workflow of the CronWorkflow")


async def published(world: World) -> None:
    if world.google is not None:
        await world.says(HOME, "pubsub-orders", '"triggerType":"Log"', "150")


async def subscribed(world: World) -> None:
    async def done() -> bool:
        client = world.aws.client("sns")
        found = await asyncio.to_thread(client.list_subscriptions)
        return any(one["Endpoint"] == "https://hooks.example.com/alarms" for one in found["Subscriptions"])

    await world.until(done, lambda: "a subscription")


async def awaited(world: World) -> None:
    await world.succeeded(HOME, "workflow-policy", says="wait for me")
    await world.says(HOME, "workflow-policy", "Successfully processed trigger 'await-it'")


async def deployed(world: World) -> None:
    await world.deployed(HOME, "EventBus", "default")


TOLD = '"triggerType":"Log"'
ROWS = [
    Row("accounts.yaml", "the account of the others", object_is("v1", "ServiceAccount", "examples", bool)),
    Row("aws/sns.yaml", "notifications of SNS", subscribed, "needs AWS, which must reach its endpoint"),
    Row("aws/sqs.yaml", "messages of SQS", logged(HOME, "orders", TOLD, "total")),
    Row(
        "eventbus/jetstream-exotic.yaml",
        "a JetStream that is there",
        object_is(ARGO, "EventBus", "default", lambda it: it.get("status", {}).get("config"), EXOTIC),
    ),
    Row("eventbus/jetstream.yaml", "a bus of three servers", deployed),
    Row("eventsources/minio.yaml", "uploads to MinIO", logged(HOME, "minio-uploads", TOLD, "new.csv")),
    Row("eventsources/s3.yaml", "uploads to S3, with their content", logged(HOME, "s3-uploads", TOLD, "in/new.csv")),
    Row("file/file.yaml", "files in a folder", logged(HOME, "file", TOLD, "new.csv")),
    Row("generic/generic.yaml", "events of a gRPC server", logged(HOME, "counter", TOLD, "hello")),
    Row("pubsub/pubsub.yaml", "messages of Pub/Sub, filtered", published),
    Row("resource/resource.yaml", "pods that failed", logged(HOME, "resource", TOLD, "failing")),
    Row("sensors/artifact-git.yaml", "an object from git", config_map("artifact-git", number="7")),
    Row("sensors/artifact-s3.yaml", "an object from S3", config_map("artifact-s3", number="7")),
    Row("sensors/aws-lambda.yaml", "a function of AWS", logged(HOME, "aws-lambda", "Successfully processed trigger")),
    Row("sensors/calendar-workflow.yaml", "a Workflow every ten seconds", every_ten_seconds),
    Row(
        "sensors/concurrency.yaml",
        "actions side by side, in order per customer",
        outside("http", lambda it: bodies("/bills")(it) == [b'{"amount":5}']),
    ),
    Row(
        "sensors/email.yaml",
        "a mail",
        outside("mails", lambda it: it == ["on-call@example.com", "archive@example.com"]),
    ),
    Row(
        "sensors/k8s-scale.yaml",
        "a Deployment is scaled",
        object_is("apps/v1", "Deployment", "shop", lambda it: it["spec"]["replicas"] == 3),
    ),
    Row("sensors/nats.yaml", "a message of NATS", outside("heard", lambda it: it == ["orders.pl"])),
    Row("sensors/rate-limit.yaml", "one action a second", one_by_one),
    Row("sensors/retry-dead-letter.yaml", "attempts, then a dead-letter trigger", retried),
    Row(
        "sensors/slack.yaml", "a message to Slack", logged(HOME, "slack", "Sensor started"), "needs an account of Slack"
    ),
    Row("sensors/transform-filter.yaml", "events reshaped, then filtered", large_alone),
    Row("sensors/workflow-dag.yaml", "a Workflow of several tasks", tree),
    Row("sensors/workflow-policy.yaml", "done when its Workflow has succeeded", awaited),
    Row(
        "sensors/workflow-stop.yaml",
        "a Workflow is stopped",
        object_is(ARGO, "Workflow", "to-be-stopped", lambda it: (it.get("status") or {}).get("phase") == "Failed"),
    ),
    Row("tutorials/bucket-pipeline", "an upload starts a pipeline", made(HOME, "pipeline", "s3://pipeline/in/new.csv")),
    Row(
        "tutorials/http-relay",
        "another service is called",
        outside("http", lambda it: bodies("/deployments")(it) == [b'{"repository":"shop","commits":2}']),
    ),
    Row("tutorials/schedule", "events by the clock", logged(HOME, "calendar", TOLD)),
    Row("tutorials/two-events", "two events, together", config_map("release", version="1", approver="Ada")),
    Row("tutorials/webhook-workflow", "a POST becomes a Workflow", made(HOME, "webhook", "hello")),
    Row("workflows/cron.yaml", "a Workflow every minute", at_the_minute),
]


# ---- the counterparts


class Mailbox:
    def __init__(self, mails: list[str]) -> None:
        self._mails = mails

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self._mails.extend(envelope.rcpt_tos)
        return "250 OK"


def answer(request: Received) -> bytes:
    return status(500 if request.target == "/shipments" else 200)


def prepare_aws(world: World) -> None:
    s3, sqs = world.aws.client("s3"), world.aws.client("sqs")
    where = {"LocationConstraint": REGION}
    for bucket in ("templates", "uploads", "pipeline"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    s3.put_object(Bucket="templates", Key="order.yaml", Body=TEMPLATE.encode())
    for queue in ("uploads-notifications", "pipeline-notifications", "orders"):
        sqs.create_queue(QueueName=queue)
    url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"total":50}')
    world.aws.client("sns").create_topic(Name="alarms")
    world.aws.make_function("ship-order")


@asynccontextmanager
async def stage(world: World, folder: Path) -> AsyncIterator[None]:
    """All counterparts; `ours` of what is outside is the folder of the examples, with the addresses of this test."""
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(http_target())
        target.answer = answer
        store = await stack.enter_async_context(listening.minio())
        repository = Repository(folder)
        repository.commit("orders/order.yaml", TEMPLATE, ref="refs/heads/main")
        git = await stack.enter_async_context(git_server.http(repository.root, "keryx", "let-me-in"))
        mails: list[str] = []
        smtp = Controller(Mailbox(mails), "127.0.0.1", free_port(), server_hostname="mx")
        smtp.start()
        stack.callback(smtp.stop)
        server, heard = NatsServer(folder / "nats", 'authorization { token: "let-me-in" }'), []
        await server.start()
        stack.callback(server.kill)
        client = await nats.connect(server.url, token="let-me-in")
        stack.push_async_callback(client.close)

        async def hear(message: Any) -> None:
            heard.append(message.subject)

        await client.subscribe("orders.*", cb=hear)
        counter = await asyncio.create_subprocess_exec(
            sys.executable, str(OURS / "generic/server.py"), "--port", "0", stdout=asyncio.subprocess.PIPE
        )
        stack.callback(counter.kill)
        assert counter.stdout is not None
        counts = (await counter.stdout.readline()).decode().split()[-1]
        await asyncio.to_thread(prepare_aws, world)
        world.outside |= {"http": target, "listening": store, "mails": mails, "heard": heard}
        world.outside["dropped"] = folder / "dropped"
        world.outside["dropped"].mkdir()
        world.outside["ours"] = copied(
            folder / "ours",
            ("127.0.0.1:9102", target.host),
            ("127.0.0.1:9122", target.host),
            ("billing.example.com", target.host),
            ("port: 2525", f"port: {smtp.port}"),
            ("nats://127.0.0.1:4222", server.url),
            ("127.0.0.1:9000", world.aws.host),
            ("localhost:9000", store.host),
            ("localhost:50051", counts),
            ("http://127.0.0.1:9418/templates.git", f"{git.url}/flows.git"),
            ("/tmp/keryx-example", str(world.outside["dropped"])),
            ("namespace: default", f"namespace: {HOME}"),
        )
        for file in (world.outside["ours"] / "tutorials/bucket-pipeline").iterdir():
            text = file.read_text().replace("buckets: [uploads]", "buckets: [pipeline]")
            file.write_text(text.replace("uploads-notifications", "pipeline-notifications"))
        yield


def copied(folder: Path, *replaced: tuple[str, str]) -> Path:
    shutil.copytree(OURS, folder)
    for file in folder.rglob("*.yaml"):
        text = file.read_text()
        for old, new in replaced:
            text = text.replace(old, new)
        file.write_text(text)
    return folder


# ---- what happens


async def ours(world: World) -> None:
    """All of `examples/` in one namespace."""
    folder: Path = world.outside["ours"]
    for namespace in (HOME, EXOTIC):
        await world.kubectl("create", "namespace", namespace)
    await world.apply(EXOTIC, folder / "eventbus/jetstream-exotic.yaml")
    files = [one for one in sorted(folder.rglob("*.yaml")) if one.parent.name not in NOT_APPLIED]
    await world.apply(HOME, *(one for one in files if one.name != "eventbus.yaml"))
    await world.put(HOME, SHOP, LONG)
    environ = {"AWS_ENDPOINT_URL": world.aws.url, "AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "pass"}
    sources = ["alarms", "orders", "s3-uploads", "uploads"]
    changes = [("eventsource", name, environ) for name in sources] + [
        ("sensor", "aws-lambda", environ | DEBUG),
        ("sensor", "workflow-policy", DEBUG),
    ]
    if world.google is not None:
        changes.append(("eventsource", "pubsub-orders", {"PUBSUB_EMULATOR_HOST": world.google.address}))
    for kind, name, variables in changes:
        given = [{"name": key, "value": value} for key, value in variables.items()]
        await world.patch(HOME, kind, name, {"spec": {"template": {"container": {"env": given}}}})
    await world.apply(HOME, folder / "eventbus/jetstream.yaml")
    sensors = [one["metadata"]["name"] for one in await world.list(ARGO, "Sensor", HOME)]
    await world.deployed(HOME, "Sensor", *sensors)
    found = [one["metadata"]["name"] for one in await world.list(ARGO, "EventSource", HOME)]
    late = {"alarms"} | (set() if world.google is not None else {"pubsub-orders"})
    await world.deployed(HOME, "EventSource", *(name for name in found if name not in late))
    await happen(world)


POSTS: list[tuple[str, int, str, Any]] = [
    ("artifact-git", 9115, "/order", {"number": 7}),
    ("artifact-s3", 9114, "/order", {"number": 7}),
    ("aws-lambda", 9110, "/order", {"number": 7}),
    ("bills", 9118, "/order", {"customer": "ada", "amount": 5}),
    ("email", 9111, "/alert", {"service": "shop", "text": "disk full"}),
    ("scale", 9116, "/load", {"replicas": 3}),
    ("nats", 9112, "/order", {"country": "pl", "number": 7}),
    ("rate-limit", 9123, "/order", {"number": 1}),
    ("rate-limit", 9123, "/order", {"number": 2}),
    ("rate-limit", 9123, "/order", {"number": 3}),
    ("retry-dead-letter", 9121, "/order", {"number": 7}),
    ("transform-filter", 9120, "/order", {"items": [{"price": 60}]}),
    ("transform-filter", 9120, "/order", {"items": [{"price": 60}, {"price": 70}]}),
    ("workflow-dag", 9125, "/push", {"commit": "abc"}),
    ("workflow-policy", 9124, "/order", {"message": "wait for me"}),
    ("cancel", 9117, "/cancelled", {"build": "to-be-stopped"}),
    ("relay", 9101, "/push", {"ref": "refs/heads/topic", "size": 2, "repository": "shop"}),
    ("relay", 9101, "/push", {"ref": "refs/heads/main", "size": 2, "repository": "shop"}),
    ("release", 9103, "/built", {"ok": True, "version": "1"}),
    ("release", 9103, "/approved", {"by": "Ada"}),
    ("webhook", 9100, "/example", {"message": "hello"}),
]


async def happen(world: World) -> None:
    for source, port, path, body in POSTS:
        await world.post(HOME, source, port, path, body)
    await world.put(HOME, FAILING)
    (world.outside["dropped"] / "new.csv").write_text("1,2\n")
    world.outside["listening"].tell(listening.told("in/new.csv"))
    put = world.aws.client("s3").put_object
    for bucket in ("uploads", "pipeline"):
        await asyncio.to_thread(put, Bucket=bucket, Key="in/new.csv", Body=b"1,2\n", ContentType="text/csv")
    if world.google is not None:
        topic = "projects/my-project/topics/orders"
        await asyncio.to_thread(world.google.publish, topic, b'{"total":50}', b'{"total":150}')
