"""The EventBus custom resource and BusConfig, what services are told of a bus. Contract: sensors E.1 to E.5."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from events.credentials import SASLConfig, SecretRef, TLSConfig
from events.model import Model
from events.resources import Condition, Metadata, ObjectMeta

KIND = "EventBus"


class JetStreamConfig(Model):
    """A JetStream server that is already there."""

    url: str = Field("", description="Address of the server, such as nats://host:4222.")
    access_secret: SecretRef | None = Field(
        None, description="Secret with YAML of `username` and `password`, or `token`."
    )
    stream_config: str | None = Field(
        None, description="YAML of the stream: maxBytes, maxMsgs, maxAge, replicas, duplicates, retention, discard."
    )
    tls: TLSConfig | None = Field(None, description="TLS to the server.")


class PersistenceStrategy(Model):
    """A volume for each server instead of the pod's own disk, which goes when the pod does."""

    storage_class_name: str | None = Field(None, description="Storage class; the cluster's default when absent.")
    access_mode: str | None = Field(None, description="ReadWriteOnce when absent.")
    volume_size: str | int | None = Field(None, description="Size of each volume, such as 20Gi.")


class ContainerTemplate(Model):
    """What may be set on one container of the bus's pods."""

    resources: dict[str, Any] | None = Field(None, description="Compute resources.")
    image_pull_policy: str | None = Field(None, description="Always, IfNotPresent or Never.")
    security_context: dict[str, Any] | None = Field(None, description="Security context of the container.")


class BusPods(Model):
    """What may be set on the pods of a bus that the controller runs."""

    container_template: ContainerTemplate | None = Field(None, description="The server's container.")
    metrics_container_template: ContainerTemplate | None = Field(None, description="The container with metrics.")
    persistence: PersistenceStrategy | None = Field(
        None, description="Keep the data on volumes; without it, it lives as long as the pods. Fixed once deployed."
    )
    metadata: Metadata | None = Field(None, description="Labels and annotations of the pods.")
    node_selector: dict[str, str] | None = Field(None, description="Labels that the nodes must carry.")
    tolerations: list[dict[str, Any]] | None = Field(None, description="Taints that the pods tolerate.")
    security_context: dict[str, Any] | None = Field(
        None, description="Security context of the pods; {} for none instead of a restricted one."
    )
    image_pull_secrets: list[dict[str, Any]] | None = Field(None, description="Secrets to pull the images with.")
    priority_class_name: str | None = Field(None, description="Priority class of the pods.")
    priority: int | None = Field(None, description="Priority of the pods.")
    affinity: dict[str, Any] | None = Field(
        None, description="Affinity of the pods; without it, different nodes are preferred."
    )
    service_account_name: str | None = Field(None, description="Service account of the pods.")


class JetStreamBus(BusPods):
    """A JetStream cluster that this project runs."""

    version: str = Field("", description="Version out of the controller's configuration, or `latest`.")
    replicas: int | None = Field(None, description="Servers: 1, or 3 and more.")
    reloader_container_template: ContainerTemplate | None = Field(
        None, description="The container that has the server read changed credentials."
    )
    settings: str | None = Field(
        None, description="Lines for the server's jetstream block, instead of the controller's."
    )
    start_args: list[str] | None = Field(None, description="Further arguments of the server.")
    stream_config: str | None = Field(
        None, description="YAML of the stream, over the controller's defaults. Fixed once deployed."
    )
    max_payload: str | None = Field(None, description="Largest message, such as 1MB.")

    @property
    def servers(self) -> int:
        """How many servers: three unless said otherwise. Whether that is a sensible number is for validation."""
        return 3 if self.replicas is None else self.replicas


class NativeStrategy(BusPods):
    """NATS Streaming, in whose place a JetStream bus is run. What it alone could be told has no effect."""

    replicas: int | None = Field(None, description="Servers; fewer than 3 are 3.")
    auth: str | None = Field(None, description="none or token; the bus that is run has users in any case.")
    max_age: str | None = Field(None, description="How long an event is kept: the stream's maxAge.")
    max_msgs: int | None = Field(None, description="How many events are kept: the stream's maxMsgs.")
    max_bytes: str | None = Field(None, description="How many bytes of events are kept: the stream's maxBytes.")
    max_subs: int | None = Field(None, description="Without effect.")
    max_payload: str | None = Field(None, description="Largest message, such as 1MB.")
    raft_heartbeat_timeout: str | None = Field(None, description="Without effect.")
    raft_election_timeout: str | None = Field(None, description="Without effect.")
    raft_lease_timeout: str | None = Field(None, description="Without effect.")
    raft_commit_timeout: str | None = Field(None, description="Without effect.")


class NatsConfig(Model):
    """NATS Streaming that is already there. Not run: it is past its end of life."""

    url: str = Field("", description="Address of the server.")
    cluster_id: str = Field("", alias="clusterID", description="Id of the cluster.")
    auth: str | None = Field(None, description="none or token.")
    access_secret: SecretRef | None = Field(None, description="Secret with YAML of `token`.")


class NatsStreaming(Model):
    """NATS Streaming, which is past its end of life."""

    native: NativeStrategy | None = Field(None, description="A JetStream bus in its place, run by the controller.")
    exotic: NatsConfig | None = Field(None, description="NATS Streaming that is already there: refused.")


class KafkaConsumerGroup(Model):
    """How the sensors on a Kafka bus share its partitions."""

    elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType({"startOldest": "under the name `oldest`"})

    group_name: str | None = Field(None, description="Name of the group; `<namespace>-<sensor>` when absent.")
    oldest: bool | None = Field(None, description="Begin with the oldest event instead of with what comes.")
    rebalance_strategy: str | None = Field(None, description="range (default), sticky or roundrobin.")


class KafkaBus(Model):
    """A Kafka that is already there."""

    url: str = Field("", description="Brokers, with commas between them.")
    topic: str | None = Field(None, description="Topic of the events; `<namespace>-<bus>` when absent.")
    version: str | None = Field(None, description="Version of the protocol.")
    tls: TLSConfig | None = Field(None, description="TLS to the brokers.")
    sasl: SASLConfig | None = Field(None, description="How to log in to the brokers.")
    consumer_group: KafkaConsumerGroup | None = Field(None, description="The group that reads.")
    partitioner: str | None = Field(None, description="random (default), hash, roundrobin or manual.")


class EventBusSpec(Model):
    """One of the kinds of bus."""

    nats: NatsStreaming | None = Field(None, description="NATS Streaming (deprecated).")
    jetstream: JetStreamBus | None = Field(None, description="JetStream run by the controller.")
    kafka: KafkaBus | None = Field(None, description="A Kafka that is already there.")
    jetstream_exotic: JetStreamConfig | None = Field(None, description="A JetStream that is already there.")


class BusConfig(Model):
    """What a service is told of its bus: exactly one is set."""

    nats: NatsConfig | None = Field(None, description="NATS Streaming.")
    jetstream: JetStreamConfig | None = Field(None, description="JetStream.")
    kafka: KafkaBus | None = Field(None, description="Kafka.")


class EventBusStatus(Model):
    """Status of an EventBus."""

    model_config = ConfigDict(extra="ignore")

    conditions: list[Condition] | None = Field(None, description="What is the matter with the bus, by aspect.")
    config: BusConfig | None = Field(None, description="How Sensors and EventSources reach the bus.")


class EventBus(Model):
    """An EventBus object."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: EventBusSpec
    status: EventBusStatus | None = None
