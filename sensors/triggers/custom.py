"""Triggers of one's own, behind gRPC. Contract: sensors D.5."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from sensors import base, parameters, payloads
from sensors.types import TriggerParameter


class CustomSpec(base.Spec):
    """Calls a gRPC server of your own. Contract: sensors D.5."""

    server_url: str = Field("", alias="serverURL", description="Host and port of the gRPC server.")
    secure: bool | None = Field(None, description="Use TLS.")
    cert_secret: SecretRef | None = Field(
        None, description="Secret with the certificate (PEM) that the server's is verified with."
    )
    server_name_override: str | None = Field(None, description="Name that the server's certificate must have.")
    spec: dict[str, str] | None = Field(None, description="What the server is asked to fetch the resource for.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into the fetched resource.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the payload, as JSON.")


class CustomTrigger(base.Kind[CustomSpec]):
    """Fetch, execute and apply the policy, all by the server."""

    Spec = CustomSpec

    @classmethod
    def validate(cls, spec: CustomSpec, problems: Problems) -> None:
        payloads.required(spec, problems, "serverURL")
        if spec.spec is None:
            problems.error("spec", "required", "write {} when the server needs nothing")
        if spec.secure and spec.cert_secret is None:
            problems.error("certSecret", "required with secure: true", "name the secret with the server's certificate")
        parameters.validate_unchecked(spec.payload, problems.at("payload"), is_payload=True)
