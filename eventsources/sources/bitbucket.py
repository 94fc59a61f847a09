"""Webhooks of Bitbucket Cloud. Contract: eventsources 3.12."""

from __future__ import annotations

from pydantic import Field

from events.credentials import BasicAuth, SecretRef
from events.model import Model
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook, require


class BitbucketAuth(Model):
    """How to log in to Bitbucket; of several the first counts."""

    basic: BasicAuth | None = Field(None, description="User name and app password.")
    oauth_token: SecretRef | None = Field(None, description="Secret with an OAuth token.")


class BitbucketRepository(Model):
    """A repository."""

    owner: str = Field("", description="Workspace.")
    repository_slug: str = Field("", description="Name of the repository.")


class BitbucketSpec(Hook):
    """Webhooks of Bitbucket Cloud, registered by the source. Contract: eventsources 3.12."""

    auth: BitbucketAuth | None = Field(None, description="How to manage the hook.")
    events: list[str] | None = Field(None, description="Kinds of event, such as repo:push.")
    repositories: list[BitbucketRepository] | None = Field(None, description="Repositories.")
    owner: str = Field("", description="Deprecated: write repositories.")
    repository_slug: str = Field("", description="Deprecated: write repositories.")
    project_key: str = Field("", description="Not used.")
    delete_hook_on_finish: bool | None = Field(None, description="Remove the hook at the end.")

    def check(self, problems: Problems) -> None:
        """Contract 3.12; without `auth` upstream's validator itself ends."""
        self.check_webhook(problems)
        if not self.repositories and not (self.owner and self.repository_slug):
            problems.error("repositories", "required", "name at least one")
        require(problems, auth=self.auth)
        manages = self.auth is not None and (self.auth.basic is not None or self.auth.oauth_token is not None)
        if manages and self.webhook is not None and self.webhook.url and not self.events:
            problems.error("events", "required to make the hook", "such as repo:push")


class BitbucketSource(Kind[BitbucketSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = BitbucketSpec, "bitbucket", False

    @classmethod
    def validate(cls, spec: BitbucketSpec, problems: Problems) -> None:
        spec.check(problems)
