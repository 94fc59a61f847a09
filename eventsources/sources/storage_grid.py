"""Notifications of a NetApp StorageGRID bucket. Contract: eventsources 3.16."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef, TLSConfig
from events.problems import Problems
from eventsources.base import Kind, Spec
from eventsources.fields import KeyFilter, require
from eventsources.webhooks import WebhookSpec


class StorageGridSpec(Spec):
    """Notifications of a NetApp StorageGRID bucket. Contract: eventsources 3.16."""

    webhook: WebhookSpec | None = Field(None, description="Where it listens.")
    events: list[str] | None = Field(None, description="Kinds of event, such as s3:ObjectCreated:*.")
    filter: KeyFilter | None = Field(None, description="Which keys.")
    topic_arn: str = Field("", description="URN of the endpoint.")
    bucket: str = Field("", description="Name of the bucket.")
    region: str = Field("", description="Not used.")
    auth_token: SecretRef | None = Field(None, description="Secret with a token of the tenant API.")
    api_url: str = Field("", alias="apiURL", description="URL of the tenant API.")
    tls: TLSConfig | None = Field(None, description="TLS of the API client.")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")

    def check(self, problems: Problems) -> None:
        """Contract 3.16."""
        require(problems, webhook=self.webhook, events=self.events, topicArn=self.topic_arn, bucket=self.bucket)
        require(problems, authToken=self.auth_token, apiURL=self.api_url)
        if self.webhook is not None:
            self.webhook.check(problems.at("webhook"))


class StorageGridSource(Kind[StorageGridSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = StorageGridSpec, "storagegrid", False

    @classmethod
    def validate(cls, spec: StorageGridSpec, problems: Problems) -> None:
        spec.check(problems)
