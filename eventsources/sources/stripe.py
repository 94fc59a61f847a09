"""Webhooks of Stripe. Contract: eventsources 3.17."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind, Spec
from eventsources.fields import require
from eventsources.webhooks import WebhookSpec


class StripeSpec(Spec):
    """Webhooks of Stripe. Contract: eventsources 3.17."""

    tolerated: ClassVar[frozenset[str]] = frozenset(("namespace",))

    webhook: WebhookSpec | None = Field(None, description="Where it listens.")
    create_webhook: bool | None = Field(None, description="Register the webhook at the start.")
    api_key: SecretRef | None = Field(None, description="Secret with the API key.")
    event_filter: list[str] | None = Field(None, description="Types of event; all when absent.")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")

    def check(self, problems: Problems) -> None:
        """Contract 3.17."""
        require(problems, webhook=self.webhook)
        if self.webhook is not None:
            self.webhook.check(problems.at("webhook"))
        if self.create_webhook:
            require(problems, apiKey=self.api_key)


class StripeSource(Kind[StripeSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = StripeSpec, "stripe", False

    @classmethod
    def validate(cls, spec: StripeSpec, problems: Problems) -> None:
        spec.check(problems)
