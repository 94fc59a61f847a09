"""Messages of an emitter.io channel. Contract: eventsources 3.26."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Connected, check_tls, require


class EmitterSpec(Connected):
    """Messages of an Emitter channel. Contract: eventsources 3.26."""

    broker: str = Field("", description="URI of the broker.")
    channel_key: str = Field("", description="Key of the channel.")
    channel_name: str = Field("", description="Name of the channel.")
    username: SecretRef | None = Field(None, description="Secret with the user name.")
    password: SecretRef | None = Field(None, description="Secret with the password.")

    def check(self, problems: Problems) -> None:
        """Contract 3.26."""
        require(problems, broker=self.broker, channelKey=self.channel_key, channelName=self.channel_name)
        check_tls(self.tls, problems)


class EmitterSource(Kind[EmitterSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = EmitterSpec, "emitter", True

    @classmethod
    def validate(cls, spec: EmitterSpec, problems: Problems) -> None:
        spec.check(problems)
