"""What Slack sends: events, interactions, slash commands. Contract: eventsources 3.15."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook, require


class SlackSpec(Hook):
    """Events, commands and interactions of Slack. Contract: eventsources 3.15."""

    token: SecretRef | None = Field(None, description="Secret with the verification token.")
    signing_secret: SecretRef | None = Field(None, description="Secret with which requests are signed.")

    def check(self, problems: Problems) -> None:
        """Contract 3.15."""
        self.check_webhook(problems)
        require(problems, token=self.token, signingSecret=self.signing_secret)


class SlackSource(Kind[SlackSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = SlackSpec, "slack", False

    @classmethod
    def validate(cls, spec: SlackSpec, problems: Problems) -> None:
        spec.check(problems)
