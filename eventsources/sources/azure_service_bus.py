"""Messages of an Azure Service Bus queue or topic. Contract: eventsources 3.28."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef, TLSConfig
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Message


class AzureServiceBusSpec(Message):
    """Messages of an Azure Service Bus queue or topic. Contract: eventsources 3.28."""

    connection_string: SecretRef | None = Field(None, description="Secret with a connection string.")
    fully_qualified_namespace: str = Field("", description="Host of the namespace, for a login by identity.")
    queue_name: str = Field("", description="Queue; or topic and subscription.")
    topic_name: str = Field("", description="Topic.")
    subscription_name: str = Field("", description="Subscription of the topic.")
    tls: TLSConfig | None = Field(None, description="TLS of the connection.")
    defer_delete: bool | None = Field(None, description="Messages are deleted after they were published, not before.")

    def check(self, problems: Problems) -> None:
        """Contract 3.28."""
        if self.connection_string is None and not self.fully_qualified_namespace:
            problems.error("connectionString", "connectionString or fullyQualifiedNamespace is required")
        if bool(self.topic_name) != bool(self.subscription_name):
            problems.error("subscriptionName", "topicName and subscriptionName go together")
        elif bool(self.queue_name) == bool(self.topic_name):
            problems.error("queueName", "either queueName, or topicName and subscriptionName, is required")


class AzureServiceBusSource(Kind[AzureServiceBusSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = AzureServiceBusSpec, "azureServiceBus", True

    @classmethod
    def validate(cls, spec: AzureServiceBusSpec, problems: Problems) -> None:
        spec.check(problems)
