"""The EventBus custom resource and BusConfig, what services are told of a bus. Contract: sensors E.1 to E.5."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from events.credentials import SecretRef, TLSConfig
from events.model import Model
from events.resources import Condition, ObjectMeta

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


class JetStreamBus(Model):
    """A JetStream cluster that this project runs. Pod settings are read by the controller."""

    model_config = ConfigDict(extra="allow")

    version: str = Field("", description="Version out of the controller's configuration, or `latest`.")
    replicas: int | None = Field(None, description="Servers: 1, or 3 and more.")
    stream_config: str | None = Field(None, description="YAML of the stream, over the controller's defaults.")
    settings: str | None = Field(None, description="Lines for the server's jetstream block.")
    max_payload: str | None = Field(None, description="Largest message, such as 1MB.")

    @property
    def servers(self) -> int:
        """How many servers: three unless said otherwise. Whether that is a sensible number is for validation."""
        return 3 if self.replicas is None else self.replicas


class NatsStreaming(Model):
    """NATS Streaming, which is past its end of life."""

    native: dict[str, Any] | None = Field(None, description="NATS Streaming run by the controller.")
    exotic: dict[str, Any] | None = Field(None, description="NATS Streaming that is already there.")


class EventBusSpec(Model):
    """One of the kinds of bus."""

    nats: NatsStreaming | None = Field(None, description="NATS Streaming (deprecated).")
    jetstream: JetStreamBus | None = Field(None, description="JetStream run by the controller.")
    kafka: dict[str, Any] | None = Field(None, description="A Kafka that is already there.")
    jetstream_exotic: JetStreamConfig | None = Field(None, description="A JetStream that is already there.")


class BusConfig(Model):
    """What a service is told of its bus: exactly one is set."""

    nats: dict[str, Any] | None = None
    jetstream: JetStreamConfig | None = None
    kafka: dict[str, Any] | None = None


class EventBusStatus(Model):
    """Status of an EventBus."""

    model_config = ConfigDict(extra="ignore")

    conditions: list[Condition] | None = None
    config: BusConfig | None = None


class EventBus(Model):
    """An EventBus object."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: EventBusSpec
    status: EventBusStatus | None = None
