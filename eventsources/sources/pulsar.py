"""Messages of Apache Pulsar topics. Contract: eventsources 3.23."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Connected, require


class PulsarSpec(Connected):
    """Messages of Pulsar topics. Contract: eventsources 3.23."""

    topics: list[str] | None = Field(None, description="Topics.")
    type: str = Field("", description="exclusive or shared.")
    url: str = Field("", description="pulsar:// or pulsar+ssl:// URL.")
    tls_trust_certs_secret: SecretRef | None = Field(None, description="Secret with CA certificates (PEM).")
    tls_allow_insecure_connection: bool | None = Field(None, description="Do not verify the server's certificate.")
    tls_validate_hostname: bool | None = Field(None, description="Verify the server's name.")
    auth_token_secret: SecretRef | None = Field(None, description="Secret with a token.")
    auth_athenz_params: dict[str, str] | None = Field(None, description="Parameters of Athenz.")
    auth_athenz_secret: SecretRef | None = Field(None, description="Secret with the private key for Athenz.")

    def check(self, problems: Problems) -> None:
        """Contract 3.23."""
        require(problems, topics=self.topics, url=self.url)
        if self.type not in ("exclusive", "shared"):
            problems.error("type", f"{self.type!r} is neither exclusive nor shared" if self.type else "required")


class PulsarSource(Kind[PulsarSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = PulsarSpec, "pulsar", True

    @classmethod
    def validate(cls, spec: PulsarSpec, problems: Problems) -> None:
        spec.check(problems)
