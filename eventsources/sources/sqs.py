"""Messages of an AWS SQS queue. Contract: eventsources 3.8."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Message, require


class SqsSpec(Message):
    """Contract: eventsources 3.8."""

    region: str = Field("", description="AWS region.")
    queue: str = Field("", description="Name of the queue.")
    queue_account_id: str | None = Field(None, description="Account that owns the queue.")
    wait_time_seconds: int | None = Field(None, description="Seconds that a request waits for messages, 1 to 20; 3.")
    access_key: SecretRef | None = Field(None, description="Secret with the access key.")
    secret_key: SecretRef | None = Field(None, description="Secret with the secret key.")
    session_token: SecretRef | None = Field(None, description="Secret with the session token.")
    role_arn: str | None = Field(None, alias="roleARN", description="Role to assume.")
    endpoint: str | None = Field(None, description="Endpoint instead of AWS's.")
    dlq: bool | None = Field(None, description="Leave what cannot be parsed to the queue's dead-letter policy.")

    def check(self, problems: Problems) -> None:
        """Contract 3.8."""
        require(problems, region=self.region, queue=self.queue)


class SqsSource(Kind[SqsSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = SqsSpec, "sqs", False

    @classmethod
    def validate(cls, spec: SqsSpec, problems: Problems) -> None:
        spec.check(problems)
