"""Events of a server of one's own, by gRPC. Contract: eventsources 3.31."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Message, require


class GenericSpec(Message):
    """Contract: eventsources 3.31."""

    url: str = Field("", description="Address of the gRPC server.")
    config: str = Field("", description="Handed to the server as it is.")
    insecure: bool | None = Field(None, description="No TLS.")
    auth_secret: SecretRef | None = Field(None, description="Secret with a bearer token for the server.")

    def check(self, problems: Problems) -> None:
        """Contract 3.31."""
        require(problems, url=self.url, config=self.config)


class GenericSource(Kind[GenericSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = GenericSpec, "generic", True

    @classmethod
    def validate(cls, spec: GenericSpec, problems: Problems) -> None:
        spec.check(problems)
