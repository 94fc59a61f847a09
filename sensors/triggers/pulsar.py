"""Messages of Apache Pulsar. Contract: sensors D.13."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.backoff import Backoff
from events.credentials import SecretRef, TLSConfig
from events.problems import Problems
from sensors import base, payloads
from sensors.types import TriggerParameter


class PulsarSpec(base.Spec):
    """Sends a message to a Pulsar topic. Contract: sensors D.13."""

    url: str = Field("", description="URL of the service.")
    topic: str = Field("", description="Topic.")
    tls_trust_certs_secret: SecretRef | None = Field(
        None, description="Secret with the CA certificates (PEM) to trust."
    )
    tls_allow_insecure_connection: bool | None = Field(None, description="Do not verify the server's certificate.")
    tls_validate_hostname: bool | None = Field(None, description="Verify the host name in the server's certificate.")
    tls: TLSConfig | None = Field(None, description="Client certificate to log in with.")
    auth_token_secret: SecretRef | None = Field(None, description="Secret with a token to log in with.")
    auth_athenz_params: dict[str, str] | None = Field(None, description="Parameters to log in with Athenz.")
    auth_athenz_secret: SecretRef | None = Field(None, description="Secret with the private key for Athenz.")
    connection_backoff: Backoff | None = Field(None, description="How often to try to connect.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the message, as JSON.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class PulsarTrigger(base.Kind[PulsarSpec]):
    """One message per firing."""

    Spec = PulsarSpec
    checks_parameters: ClassVar[bool] = False

    @classmethod
    def validate(cls, spec: PulsarSpec, problems: Problems) -> None:
        payloads.expected(spec, problems, "url", "topic")
        payloads.validate_unchecked(spec.payload, problems.at("payload"))
