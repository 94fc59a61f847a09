"""Events sent to Azure Event Hubs. Contract: sensors D.11."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from sensors import base, payloads
from sensors.types import TriggerParameter


class AzureEventHubsSpec(base.Spec):
    """Sends an event to an Azure Event Hub. Contract: sensors D.11."""

    fqdn: str = Field("", description="Host name of the namespace.")
    hub_name: str = Field("", description="Name of the event hub.")
    shared_access_key_name: SecretRef | None = Field(None, description="Secret with the name of the shared access key.")
    shared_access_key: SecretRef | None = Field(None, description="Secret with the shared access key.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the event's body, as JSON.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class AzureEventHubsTrigger(base.Kind[AzureEventHubsSpec]):
    """One event per firing."""

    Spec = AzureEventHubsSpec
    checks_parameters: ClassVar[bool] = False

    @classmethod
    def validate(cls, spec: AzureEventHubsSpec, problems: Problems) -> None:
        payloads.expected(spec, problems, "fqdn", "hubName", "sharedAccessKeyName", "sharedAccessKey")
        payloads.validate_unchecked(spec.payload, problems.at("payload"))
