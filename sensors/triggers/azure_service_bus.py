"""Messages sent to Azure Service Bus. Contract: sensors D.12."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.credentials import SecretRef, TLSConfig
from events.problems import Problems
from sensors import base, payloads
from sensors.types import TriggerParameter


class AzureServiceBusSpec(base.Spec):
    """Sends a message to an Azure Service Bus queue or topic. Contract: sensors D.12."""

    connection_string: SecretRef | None = Field(None, description="Secret with the connection string.")
    queue_name: str | None = Field(None, description="Name of the queue.")
    topic_name: str | None = Field(None, description="Name of the topic, when there is no queue.")
    subscription_name: str | None = Field(None, description="Accepted for compatibility.")
    tls: TLSConfig | None = Field(None, description="TLS of the client; the system's CA certificates when absent.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the message's body, as JSON.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class AzureServiceBusTrigger(base.Kind[AzureServiceBusSpec]):
    """One message per firing."""

    Spec = AzureServiceBusSpec
    checks_parameters: ClassVar[bool] = False

    @classmethod
    def validate(cls, spec: AzureServiceBusSpec, problems: Problems) -> None:
        payloads.expected(spec, problems, "connectionString")
        if not spec.queue_name and not spec.topic_name:
            problems.warn("queueName", "neither queueName nor topicName: every attempt fails", "name one of them")
        elif spec.queue_name and spec.topic_name:
            problems.warn("topicName", "has no effect: queueName is given, too")
        if spec.subscription_name:
            problems.warn("subscriptionName", "has no effect: messages are sent to a queue or topic")
        payloads.validate_tls(spec.tls, problems.at("tls"))
        payloads.validate_unchecked(spec.payload, problems.at("payload"))
