"""Messages of an Alibaba Cloud MNS queue. Contract: eventsources 3.30."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import EventSourceFilter, Kind, Spec
from eventsources.fields import require


class MnsSpec(Spec):
    """Messages of an Alibaba Cloud message service queue. Contract: eventsources 3.30."""

    queue: str = Field("", description="Name of the queue.")
    endpoint: str = Field("", description="Endpoint of the account.")
    access_key: SecretRef | None = Field(None, description="Secret with the access key.")
    secret_key: SecretRef | None = Field(None, description="Secret with the secret key.")
    json_body: bool | None = Field(None, description="Accepted for compatibility.")
    filter: EventSourceFilter | None = Field(None, description="Which events are published.")

    def check(self, problems: Problems) -> None:
        """Contract 3.30."""
        require(problems, queue=self.queue, endpoint=self.endpoint)


class MnsSource(Kind[MnsSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = MnsSpec, "mns", False

    @classmethod
    def validate(cls, spec: MnsSpec, problems: Problems) -> None:
        spec.check(problems)
