"""What Argo Events publishes as examples, and what each must be seen to do. `published_scenes` plays them.

Sources that this version does not have are played on the bus, where their sensors listen.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from support.examples.rows import NOT_YET, Check, Row, logged, made, not_run, waits_for
from support.examples.world import ARGO, World

HOME, FILTERS, ARGO_NAMESPACE = "argo-events", "filters", "argo"
REFUSED = "refused by kubectl, with the place; what it meant is done with `--validate=warn`"
TOO_OLD = "refused by kubectl, with the place: Argo Events refuses it, too"
AS_WRITTEN = "ran; the Workflow that it makes is not valid as it is written, and says so"
WARNED = "ran; `kubectl apply` warns of a field that nobody reads"
NO_SOURCE = "ran; its source, which is not yet, was played on the bus"


ENCODED_KEY = "in%2Fnew.csv"
"""Of in/new.csv: servers encode the keys that they tell."""


def source(path: str, shows: str, name: str = "", part: str = "example") -> Row:
    """An EventSource of a kind that is not there yet."""
    return Row(f"event-sources/{path}.yaml", shows, not_run(HOME, "EventSource", name or path, part), NOT_YET)


def sensor(path: str, shows: str, check: Check | str = "", outcome: str = "ran") -> Row:
    """A Sensor whose name is that of its file; a text: its Workflow says it."""
    seen = made(HOME, path, check) if isinstance(check, str) else check
    return Row(f"sensors/{path}.yaml", shows, seen, outcome)


def filtered(path: str, shows: str, name: str, says: str = "") -> Row:
    """A Sensor in the namespace of filters: of a dozen events, one or two pass, and say this."""

    async def look(world: World) -> None:
        found = await world.succeeded(FILTERS, name, says=says)
        assert len(found) <= 3, [one["metadata"]["name"] for one in found]

    return Row(f"sensors/{path}.yaml", shows, look)


async def a_pod_is_made(world: World) -> None:
    labels = "events.argoproj.io/sensor=trigger-standard-k8s-resource"

    async def done() -> bool:
        found = await world.list("v1", "Pod", HOME, labels)
        return any("posted" in one["spec"]["containers"][0]["args"][0] for one in found)

    await world.until(done, lambda: "a pod that says what was posted")


async def both_transformed(world: World) -> None:
    await world.succeeded(HOME, "transform", "webhook-workflow-trigger", says="updated")
    await world.succeeded(HOME, "transform", "webhook-workflow-trigger-1", says="14")


async def two_triggers(world: World) -> None:
    for number in (1, 2):
        await world.succeeded(HOME, "multi-trigger-sensor", f"multi-trigger-workflow-{number}", says="hello world")


async def two_conditions(world: World) -> None:
    for trigger in ("webhook-workflow-trigger", "webhook-workflow-trigger-2"):
        await world.succeeded(HOME, "dependencies-conditions", trigger, says="hello world")


async def all_refused(world: World) -> None:
    await world.succeeded(FILTERS, "with-multiple-filters")  # a late one of the events that it was handed, too
    assert not await world.workflows(FILTERS, "with-ctx-filter")


async def two_at_once(world: World) -> None:
    async def made() -> bool:
        found = await world.workflows(HOME, "multi-dependencies")
        values = [one["value"] for it in found[:1] for one in it["spec"]["arguments"]["parameters"]]
        return len(values) == 2 and values[0] == "posted" and values[1] != "hello world"

    await world.until(made, lambda: "a Workflow with both")


async def the_hour_decides(world: World) -> None:
    """It passes from 9 to 17 o'clock in New York: either a Workflow, or the log that says why there is none."""

    async def decided() -> bool:
        found = await world.workflows(FILTERS, "filter-with-time-timezone")
        return bool(found) or '"reason":"time"' in await world.log(FILTERS, "Sensor", "filter-with-time-timezone")

    await world.until(decided, lambda: "a Workflow, or why not")


async def refused_key(world: World) -> None:
    """`policy` is where nobody reads it: kubectl says so, and refuses it unless told to warn."""
    assert 'unknown field "spec.triggers[0].template.policy"' in world.outside["said"]
    await world.succeeded(HOME, "trigger-with-policy", says="posted")


async def errors_only(world: World) -> None:
    await world.deployed(HOME, "Sensor", "log-debug")
    assert '"level":"info"' not in await world.log(HOME, "Sensor", "log-debug")


def body_of(event: str) -> Any:
    """What was posted, of a whole event."""
    return json.loads(base64.b64decode(json.loads(event)["data"]))["body"]


def whole_event(name: str, body: str) -> Check:
    """A Workflow of the sensor says its event."""

    async def look(world: World) -> None:
        said = [body_of(await world.said(one)) for one in await world.succeeded(HOME, name)]
        assert body in said, said

    return look


async def emoji(world: World) -> None:
    labels = "events.argoproj.io/sensor=gitlab-emoji"

    async def done() -> bool:
        found = await world.list(ARGO, "Workflow", ARGO_NAMESPACE, labels)
        return any((one.get("status") or {}).get("phase") == "Succeeded" for one in found)

    await world.until(done, lambda: "a Workflow in namespace argo")
    await world.says(HOME, "gitlab-emoji", '"triggerType":"Log"')


async def accounts(world: World) -> None:
    await world.get("v1", "ServiceAccount", "operate-workflow-sa", HOME)


def step(name: str) -> Check:
    """A step of a tutorial: they have one name, so they were followed one after another."""

    async def look(world: World) -> None:
        found: Any = world.outside["steps"][name]
        if isinstance(found, BaseException):
            raise found
        assert found

    return look


def running(name: str) -> Check:
    async def look(world: World) -> None:
        await world.deployed(HOME, "EventSource", name)

    return look


ROWS = [
    Row("rbac/sensor-rbac.yaml", "the account of the sensors", accounts),
    source("amqp", "messages of RabbitMQ"),
    Row("event-sources/aws-sqs.yaml", "messages of an SQS queue", made(HOME, "aws-sqs", "from the queue")),
    source("azure-events-hub", "events of Azure"),
    source("azure-queue-storage", "messages of Azure"),
    source("azure-service-bus", "messages of Azure"),
    source("bitbucket", "webhooks of Bitbucket"),
    source("bitbucketserver", "webhooks of Bitbucket Server"),
    source("emitter", "messages of Emitter"),
    Row("event-sources/file.yaml", "a file that is made in a volume", made(HOME, "file", "/test-data/x.txt")),
    Row("event-sources/gcp-pubsub.yaml", "messages of Pub/Sub (the emulator)", made(HOME, "gcp-pubsub", "published")),
    Row("event-sources/generic.yaml", "events of a gRPC server of one's own", running("generic")),
    source("gerrit", "webhooks of Gerrit"),
    source("github", "webhooks of GitHub"),
    source("gitlab", "webhooks of GitLab"),
    source("kafka", "records of Kafka"),
    Row("event-sources/minio.yaml", "an upload to a bucket of MinIO", made(HOME, "minio", ENCODED_KEY)),
    source("mqtt", "messages of MQTT"),
    source("nats", "messages of NATS"),
    source("nsq", "messages of NSQ"),
    source("pulsar", "messages of Pulsar"),
    source("redis-streams", "entries of Redis", "redis-stream"),
    source("redis", "messages of Redis"),
    Row("event-sources/resource.yaml", "a Workflow that is made", made(HOME, "resource", "labelled")),
    source("storage-grid", "uploads to StorageGRID"),
    source("stripe", "webhooks of Stripe"),
    Row("event-sources/webhook.yaml", "a POST", made(HOME, "webhook", "posted")),
    sensor(
        "aws-lambda-trigger",
        "a function of AWS is called in another role",
        logged(HOME, "aws-lambda-trigger", "Successfully processed trigger 'lambda-trigger'"),
    ),
    sensor("aws-sns", "a script and a step of a dag", "from the topic", NO_SOURCE),
    sensor("aws-sqs", "the message as a parameter", "from the queue"),
    sensor("azure-queue-storage", "the message as a parameter", "played", NO_SOURCE),
    sensor("bitbucket", "the whole event as a parameter", whole_event("bitbucket", "played"), NO_SOURCE),
    Row(
        "sensors/complete-trigger-parameterization.yaml",
        "where the Workflow comes from is said by the event",
        made(FILTERS, "complete-trigger-parameterization", "hello world"),
    ),
    Row(
        "sensors/context-filter-webhook.yaml",
        "a filter on the context; a Workflow from S3",
        made(FILTERS, "context-filter-webhook", "hello world", count=4),
    ),
    sensor("dependencies-conditions", "triggers that wait for different events", two_conditions),
    sensor("file", "the name of the file as an argument", "/test-data/x.txt"),
    filtered("filter-script", "a filter in Lua", "with-script-filter", "lua"),
    Row("sensors/filter-with-context.yaml", "a filter on the source, which refuses what `webhook` sends", all_refused),
    filtered("filter-with-data-advanced", "three filters on data", "with-advanced-data-filters", "advanced"),
    filtered("filter-with-data-simple-1", "a text", "with-simple-data-filter-1", "hello"),
    filtered("filter-with-data-simple-2", "one of several texts", "with-simple-data-filter-2"),
    filtered("filter-with-data-simple-3", "a number", "with-simple-data-filter-3"),
    filtered("filter-with-data-simple-4", "a number that is larger", "with-simple-data-filter-4", "51"),
    filtered("filter-with-expressions", "expressions", "with-expression-filters", "expressions"),
    filtered(
        "filter-with-multiple-data-filters-in-or", "one filter of three", "with-multiple-data-filters-in-or", "or-data"
    ),
    filtered("filter-with-multiple-filters-in-or", "filters, joined by or", "with-multiple-filters-in-or", "or-all"),
    filtered("filter-with-multiple-filters", "filters, joined by and", "with-multiple-filters", "or-all"),
    Row("sensors/filter-with-time-timezone.yaml", "only in office hours of New York", the_hour_decides),
    sensor("gcp-pubsub", "the message as a parameter", "published"),
    sensor("github", "what a pull request says, in several parameters and the name", "a title", NO_SOURCE),
    sensor("gitlab-emoji", "one event, two triggers; a Workflow in another namespace", emoji, NO_SOURCE),
    sensor("gitlab", "the whole event as a parameter", whole_event("gitlab", "played"), NO_SOURCE),
    sensor("hdfs", "an argument is added", "played", NO_SOURCE),
    sensor("kafka-ttl", "a Workflow that goes after a while", logged(HOME, "kafka-ttl", "Sensor started"), NO_SOURCE),
    sensor("kafka", "the record as a parameter", "played", NO_SOURCE),
    sensor("log-debug", "the log level of a sensor", errors_only),
    sensor("log", "events in the sensor's log", logged(HOME, "log", '"triggerType":"Log"')),
    sensor("minio", "the key as a parameter", ENCODED_KEY),
    Row("sensors/mqtt-sensor.yaml", "the message as a parameter", made(HOME, "mqtt", "played"), NO_SOURCE),
    sensor("multi-dependencies", "a POST and the time, together", two_at_once, AS_WRITTEN),
    sensor("multi-trigger-sensor", "one event, two triggers", two_triggers),
    sensor("nsq", "the message as a parameter", "played", NO_SOURCE),
    sensor("pulsar", "the message as a parameter", "played", NO_SOURCE),
    sensor("redis", "the message as an argument", "played", NO_SOURCE),
    sensor("resource", "the whole object as a parameter", "labelled"),
    sensor("sftp", "the name as an argument", "played.txt", NO_SOURCE),
    sensor(
        "slack-trigger",
        "a message to Slack",
        waits_for(HOME, "Sensor", "slack-trigger", 'secret "slack-secret" not found'),
        "needs an account of Slack",
    ),
    sensor("slack", "the text as a parameter", "played", NO_SOURCE),
    sensor("special-workflow-trigger-shortened", "a Workflow of a fixed name, submitted", "posted"),
    sensor("storage-grid", "the notification as a parameter", "played", NO_SOURCE),
    sensor("transform", "events are changed before they are looked at, by Lua and jq", both_transformed),
    sensor(
        "trigger-openwhisk",
        "an action of OpenWhisk",
        not_run(HOME, "Sensor", "trigger-openwhisk", "openwhisk-trigger"),
        NOT_YET,
    ),
    sensor(
        "trigger-source-git",
        "Workflows from git",
        waits_for(HOME, "Sensor", "trigger-source-git", "not found"),
        "needs github.com, and keys for it",
    ),
    sensor("trigger-standard-k8s-resource", "a pod is made", a_pod_is_made),
    sensor("trigger-with-policy", "`policy` where nobody reads it", refused_key, REFUSED),
    sensor(
        "url-sensor",
        "a Workflow from the web",
        logged(HOME, "url-sensor", "artifact 'url'", "raw.githubusercontent.com"),
        "needs raw.githubusercontent.com",
    ),
    sensor("webhook-shortened", "the body as a parameter", "posted"),
    sensor("webhook", "the body as a parameter", "posted"),
    Row("tutorials/02-parameterization/sensor-01.yaml", "a value of the context", step("sensor-01")),
    Row("tutorials/02-parameterization/sensor-02.yaml", "a value of the data", step("sensor-02")),
    Row("tutorials/02-parameterization/sensor-03.yaml", "a default", step("sensor-03")),
    Row("tutorials/02-parameterization/sensor-04.yaml", "a value put before what is there", step("sensor-04")),
    Row("tutorials/02-parameterization/sensor-05.yaml", "parameters of parameters", step("sensor-05")),
    Row("tutorials/03-trigger-sources/trigger-store.yaml", "a Workflow in a ConfigMap", step("sensor-cm")),
    Row("tutorials/03-trigger-sources/sensor-cm.yaml", "a Workflow from a ConfigMap", step("sensor-cm")),
    Row("tutorials/03-trigger-sources/sensor-minio.yaml", "a Workflow from a bucket", step("sensor-minio")),
    Row("tutorials/04-standard-k8s-resources/sensor-deployment.yaml", "a Deployment is made", step("deployment")),
    Row("tutorials/06-trigger-conditions/sensor-01.yaml", "a trigger for either event", step("circuit-01")),
    Row("tutorials/06-trigger-conditions/sensor-02.yaml", "a trigger for both events", step("circuit-02")),
    Row("tutorials/09-http-trigger/minio-event-source.yaml", "`type`, which nobody reads", step("type"), WARNED),
    Row("tutorials/09-http-trigger/sensor-02.yaml", "`serverURL` of long ago", step("serverURL"), TOO_OLD),
    Row("tutorials/10-aws-lambda-trigger/sensor.yaml", "a function of AWS is called", step("lambda")),
]
