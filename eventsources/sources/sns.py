"""Notifications of an AWS SNS topic, by HTTP. Contract: eventsources 3.7."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook, require


class SnsSpec(Hook):
    """Contract: eventsources 3.7."""

    topic_arn: str = Field("", description="ARN of the topic.")
    region: str = Field("", description="AWS region.")
    access_key: SecretRef | None = Field(None, description="Secret with the access key.")
    secret_key: SecretRef | None = Field(None, description="Secret with the secret key.")
    role_arn: str | None = Field(None, alias="roleARN", description="Role to assume.")
    validate_signature: bool | None = Field(None, description="Refuse messages without a valid signature.")
    endpoint: str | None = Field(None, description="Endpoint instead of AWS's.")

    def check(self, problems: Problems) -> None:
        """Contract 3.7."""
        self.check_webhook(problems)
        require(problems, topicArn=self.topic_arn, region=self.region)


class SnsSource(Kind[SnsSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = SnsSpec, "sns", False

    @classmethod
    def validate(cls, spec: SnsSpec, problems: Problems) -> None:
        spec.check(problems)
