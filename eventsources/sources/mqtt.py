"""Messages of an MQTT broker. Contract: eventsources 3.20."""

from __future__ import annotations

from pydantic import Field

from events.credentials import BasicAuth
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Connected, check_auth, check_tls, require


class MqttSpec(Connected):
    """Messages of an MQTT topic. Contract: eventsources 3.20."""

    url: str = Field("", description="tcp://, ssl:// or ws:// URL of the broker.")
    topic: str = Field("", description="Topic, wildcards included.")
    client_id: str = Field("", description="Id of the client.")
    auth: BasicAuth | None = Field(None, description="User name and password.")

    def check(self, problems: Problems) -> None:
        """Contract 3.20."""
        require(problems, url=self.url, topic=self.topic, clientId=self.client_id)
        if self.tls is not None:
            check_tls(self.tls, problems)
        else:
            check_auth(self.auth, problems)


class MqttSource(Kind[MqttSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = MqttSpec, "mqtt", True

    @classmethod
    def validate(cls, spec: MqttSpec, problems: Problems) -> None:
        spec.check(problems)
