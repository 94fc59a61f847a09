"""Messages of an Azure Storage queue. Contract: eventsources 3.29."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Message, require


class AzureQueueStorageSpec(Message):
    """Messages of an Azure storage queue. Contract: eventsources 3.29."""

    connection_string: SecretRef | None = Field(None, description="Secret with a connection string.")
    storage_account_name: str = Field("", description="Account, for a login by identity.")
    queue_name: str = Field("", description="Name of the queue.")
    decode_message: bool | None = Field(None, description="Messages are base64 text.")
    dlq: bool | None = Field(None, description="Leave messages that cannot be decoded in the queue.")
    wait_time_in_seconds: int | None = Field(None, description="Pause after an empty read; 3.")

    def check(self, problems: Problems) -> None:
        """Contract 3.29."""
        require(problems, queueName=self.queue_name)
        if self.connection_string is None and not self.storage_account_name:
            problems.error("connectionString", "connectionString or storageAccountName is required")


class AzureQueueStorageSource(Kind[AzureQueueStorageSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = AzureQueueStorageSpec, "azureQueueStorage", False

    @classmethod
    def validate(cls, spec: AzureQueueStorageSpec, problems: Problems) -> None:
        spec.check(problems)
