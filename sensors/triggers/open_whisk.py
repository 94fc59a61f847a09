"""Actions of Apache OpenWhisk, invoked. Contract: sensors D.9."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from sensors import base, payloads
from sensors.types import TriggerParameter


class OpenWhiskSpec(base.Spec):
    """Calls an OpenWhisk action. Contract: sensors D.9."""

    host: str = Field("", description="Host, or URL, of the API; https when it names no scheme.")
    version: str | None = Field(None, description="Version of the API; v1 when absent.")
    namespace: str | None = Field(None, description="Namespace of the action; _ (one's own) when absent.")
    auth_token: SecretRef | None = Field(None, description="Secret with the token, as user:password.")
    action_name: str = Field("", description="Name of the action.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the action's input, as JSON.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class OpenWhiskTrigger(base.Kind[OpenWhiskSpec]):
    """One blocking invocation per firing."""

    Spec = OpenWhiskSpec

    @classmethod
    def validate(cls, spec: OpenWhiskSpec, problems: Problems) -> None:
        payloads.required(spec, problems, "actionName", "host")
        payloads.validate(spec.payload, problems.at("payload"))
        if spec.auth_token is not None:
            for field in ("name", "key"):
                if not getattr(spec.auth_token, field):
                    problems.error(f"authToken.{field}", "required")
