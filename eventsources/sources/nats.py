"""Messages of a NATS subject. Contract: eventsources 3.21."""

from __future__ import annotations

from pydantic import Field

from events.credentials import NATSAuth
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Connected, check_tls, require


class NatsSpec(Connected):
    """Messages of a NATS subject. Contract: eventsources 3.21."""

    url: str = Field("", description="URL of the server.")
    subject: str = Field("", description="Subject, wildcards included.")
    queue: str | None = Field(None, description="Group whose members share the messages.")
    auth: NATSAuth | None = Field(None, description="How to log in.")

    def check(self, problems: Problems) -> None:
        """Contract 3.21."""
        require(problems, url=self.url, subject=self.subject)
        if self.tls is not None:
            check_tls(self.tls, problems)
        elif self.queue == "":
            problems.error("queue", "must not be empty", "leave it out")


class NatsSource(Kind[NatsSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = NatsSpec, "nats", True

    @classmethod
    def validate(cls, spec: NatsSpec, problems: Problems) -> None:
        spec.check(problems)
