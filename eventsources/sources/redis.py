"""Messages of Redis Pub/Sub channels. Contract: eventsources 3.24."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef, TLSConfig
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Message, check_tls, require


class RedisSpec(Message):
    """Messages of Redis channels. Contract: eventsources 3.24."""

    host_address: str = Field("", description="host:port of the server.")
    channels: list[str] | None = Field(None, description="Channels.")
    username: str = Field("", description="User name.")
    password: SecretRef | None = Field(None, description="Secret with the password.")
    namespace: str = Field("", description="Accepted for compatibility.")
    db: int | None = Field(None, description="Number of the database.")
    tls: TLSConfig | None = Field(None, description="TLS of the connection.")

    def check(self, problems: Problems) -> None:
        """Contract 3.24."""
        require(problems, hostAddress=self.host_address, channels=self.channels)
        if self.password is not None:
            require(problems, namespace=self.namespace)
        check_tls(self.tls, problems)


class RedisSource(Kind[RedisSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = RedisSpec, "redis", True

    @classmethod
    def validate(cls, spec: RedisSpec, problems: Problems) -> None:
        spec.check(problems)
