"""The event sources, by spec key."""

from __future__ import annotations

from typing import Any

from events.registry import Registry
from eventsources.base import Source

SOURCES: Registry[Source[Any]] = Registry(
    "event source",
    {
        "calendar": "eventsources.sources.calendar:CalendarSource",
        "webhook": "eventsources.sources.webhook:WebhookSource",
    },
    missing=(
        "amqp",
        "azureEventsHub",
        "azureQueueStorage",
        "azureServiceBus",
        "bitbucket",
        "bitbucketserver",
        "emitter",
        "file",
        "generic",
        "gerrit",
        "github",
        "gitlab",
        "hdfs",
        "kafka",
        "minio",
        "mns",
        "mqtt",
        "nats",
        "nsq",
        "pubSub",
        "pulsar",
        "redis",
        "redisStream",
        "resource",
        "sftp",
        "slack",
        "sns",
        "sqs",
        "storageGrid",
        "stripe",
    ),
)
