"""Messages of an NSQ topic. Contract: eventsources 3.22."""

from __future__ import annotations

from pydantic import Field

from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Connected, check_tls, require


class NsqSpec(Connected):
    """Messages of an NSQ topic. Contract: eventsources 3.22."""

    host_address: str = Field("", description="host:port of nsqlookupd.")
    topic: str = Field("", description="Topic.")
    channel: str = Field("", description="Channel.")

    def check(self, problems: Problems) -> None:
        """Contract 3.22."""
        require(problems, hostAddress=self.host_address, topic=self.topic, channel=self.channel)
        check_tls(self.tls, problems)


class NsqSource(Kind[NsqSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = NsqSpec, "nsq", True

    @classmethod
    def validate(cls, spec: NsqSpec, problems: Problems) -> None:
        spec.check(problems)
