"""Messages of an AMQP 0.9.1 broker, such as RabbitMQ. Contract: eventsources 3.18."""

from __future__ import annotations

from pydantic import Field

from events.credentials import BasicAuth, SecretRef
from events.model import Model
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Connected, check_auth, check_tls, require


class ExchangeDeclare(Model):
    """How the exchange is declared; what is absent is false."""

    durable: bool = Field(default=False, description="It outlives the broker.")
    auto_delete: bool = Field(default=False, description="It goes with its last queue.")
    internal: bool = Field(default=False, description="Nobody publishes to it directly.")
    no_wait: bool = Field(default=False, description="Do not wait for the broker's answer.")


class QueueDeclare(Model):
    """How the queue is declared; what is absent is false."""

    name: str = Field("", description="Name; the broker makes one up when absent.")
    durable: bool = Field(default=False, description="It outlives the broker.")
    auto_delete: bool = Field(default=False, description="It goes with its last consumer.")
    exclusive: bool = Field(default=False, description="It is this connection's alone.")
    no_wait: bool = Field(default=False, description="Do not wait for the broker's answer.")
    arguments: str = Field("", description="Further arguments, as a YAML map.")


class QueueBind(Model):
    """How the queue is bound."""

    no_wait: bool = Field(default=False, description="Do not wait for the broker's answer.")


class Consume(Model):
    """How messages are taken; what is absent is false."""

    consumer_tag: str = Field("", description="Name of the consumer.")
    auto_ack: bool = Field(default=False, description="The broker forgets messages as it sends them.")
    exclusive: bool = Field(default=False, description="Nobody else consumes from the queue.")
    no_local: bool = Field(default=False, description="Not what this connection published.")
    no_wait: bool = Field(default=False, description="Do not wait for the broker's answer.")


class AmqpSpec(Connected):
    """Messages of an AMQP queue (RabbitMQ). Contract: eventsources 3.18."""

    url: str = Field("", description="amqp:// or amqps:// URI; or urlSecret.")
    url_secret: SecretRef | None = Field(None, description="Secret with the URI.")
    exchange_name: str = Field("", description="Name of the exchange.")
    exchange_type: str = Field("", description="fanout, direct, topic or headers.")
    routing_key: str = Field("", description="Routing key.")
    auth: BasicAuth | None = Field(None, description="User name and password.")
    exchange_declare: ExchangeDeclare | None = Field(None, description="How the exchange is declared; durable.")
    queue_declare: QueueDeclare | None = Field(None, description="How the queue is declared; exclusive.")
    queue_bind: QueueBind | None = Field(None, description="How the queue is bound.")
    consume: Consume | None = Field(None, description="How messages are taken; autoAck.")

    def check(self, problems: Problems) -> None:
        """Contract 3.18."""
        if bool(self.url) == (self.url_secret is not None):
            problems.error("url", "exactly one of url and urlSecret is required")
        require(problems, exchangeType=self.exchange_type, routingKey=self.routing_key)
        if self.tls is not None:
            check_tls(self.tls, problems)
        else:
            check_auth(self.auth, problems)


class AmqpSource(Kind[AmqpSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = AmqpSpec, "amqp", True

    @classmethod
    def validate(cls, spec: AmqpSpec, problems: Problems) -> None:
        spec.check(problems)
