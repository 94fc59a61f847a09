"""The event sources, by spec key."""

from __future__ import annotations

from typing import Any

from events.registry import Registry
from eventsources.base import Kind

SOURCES: Registry[Kind[Any]] = Registry(
    "event source",
    {
        "amqp": "eventsources.sources.amqp:AmqpSource",
        "azureEventsHub": "eventsources.sources.azure_events_hub:AzureEventsHubSource",
        "azureQueueStorage": "eventsources.sources.azure_queue_storage:AzureQueueStorageSource",
        "azureServiceBus": "eventsources.sources.azure_service_bus:AzureServiceBusSource",
        "bitbucket": "eventsources.sources.bitbucket:BitbucketSource",
        "bitbucketserver": "eventsources.sources.bitbucketserver:BitbucketServerSource",
        "calendar": "eventsources.sources.calendar:CalendarSource",
        "emitter": "eventsources.sources.emitter:EmitterSource",
        "file": "eventsources.sources.file:FileSource",
        "generic": "eventsources.sources.generic:GenericSource",
        "gerrit": "eventsources.sources.gerrit:GerritSource",
        "github": "eventsources.sources.github:GithubSource",
        "gitlab": "eventsources.sources.gitlab:GitlabSource",
        "hdfs": "eventsources.sources.hdfs:HdfsSource",
        "kafka": "eventsources.sources.kafka:KafkaSource",
        "minio": "eventsources.sources.minio:MinioSource",
        "mns": "eventsources.sources.mns:MnsSource",
        "mqtt": "eventsources.sources.mqtt:MqttSource",
        "nats": "eventsources.sources.nats:NatsSource",
        "nsq": "eventsources.sources.nsq:NsqSource",
        "pubSub": "eventsources.sources.pub_sub:PubSubSource",
        "pulsar": "eventsources.sources.pulsar:PulsarSource",
        "redis": "eventsources.sources.redis:RedisSource",
        "redisStream": "eventsources.sources.redis_stream:RedisStreamSource",
        "resource": "eventsources.sources.resource:ResourceSource",
        "s3": "eventsources.sources.s3:S3Source",
        "sftp": "eventsources.sources.sftp:SftpSource",
        "slack": "eventsources.sources.slack:SlackSource",
        "sns": "eventsources.sources.sns:SnsSource",
        "sqs": "eventsources.sources.sqs:SqsSource",
        "storageGrid": "eventsources.sources.storage_grid:StorageGridSource",
        "stripe": "eventsources.sources.stripe:StripeSource",
        "webhook": "eventsources.sources.webhook:WebhookSource",
    },
)
