"""Events of an Azure Event Hub. Contract: eventsources 3.27."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Described, require


class AzureEventsHubSpec(Described):
    """Events of an Azure Event Hub. Contract: eventsources 3.27."""

    fqdn: str = Field("", description="Host of the namespace, <name>.servicebus.windows.net.")
    hub_name: str = Field("", description="Name of the hub.")
    shared_access_key_name: SecretRef | None = Field(None, description="Secret with the name of a key.")
    shared_access_key: SecretRef | None = Field(None, description="Secret with the key.")

    def check(self, problems: Problems) -> None:
        """Contract 3.27."""
        require(problems, fqdn=self.fqdn, hubName=self.hub_name)
        if (self.shared_access_key_name is None) != (self.shared_access_key is None):
            problems.error(
                "sharedAccessKey", "sharedAccessKeyName and sharedAccessKey go together", "set both, or neither"
            )


class AzureEventsHubSource(Kind[AzureEventsHubSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = AzureEventsHubSpec, "azureEventsHub", True

    @classmethod
    def validate(cls, spec: AzureEventsHubSpec, problems: Problems) -> None:
        spec.check(problems)
