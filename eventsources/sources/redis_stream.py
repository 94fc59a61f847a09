"""Entries of Redis streams. Contract: eventsources 3.25."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef, TLSConfig
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Described, check_tls, require


class RedisStreamSpec(Described):
    """Entries of Redis streams. Contract: eventsources 3.25."""

    host_address: str = Field("", description="host:port of the server.")
    streams: list[str] | None = Field(None, description="Streams, which must be there.")
    consumer_group: str = Field("", description="Name of the group; argo-events-cg.")
    max_msg_count_per_read: int | None = Field(None, description="Entries of a stream that are read at once; 10.")
    username: str = Field("", description="User name.")
    password: SecretRef | None = Field(None, description="Secret with the password.")
    db: int | None = Field(None, description="Number of the database.")
    tls: TLSConfig | None = Field(None, description="TLS of the connection.")

    def check(self, problems: Problems) -> None:
        """Contract 3.25."""
        require(problems, hostAddress=self.host_address, streams=self.streams)
        check_tls(self.tls, problems)


class RedisStreamSource(Kind[RedisStreamSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = RedisStreamSpec, "redisStream", True

    @classmethod
    def validate(cls, spec: RedisStreamSpec, problems: Problems) -> None:
        spec.check(problems)
