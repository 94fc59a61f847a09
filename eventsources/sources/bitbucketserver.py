"""Webhooks of Bitbucket Data Center. Contract: eventsources 3.13."""

from __future__ import annotations

from pydantic import Field

from events import durations
from events.credentials import SecretRef, TLSConfig
from events.errors import UserError
from events.model import Model
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook, require


class BitbucketServerRepository(Model):
    """A repository."""

    project_key: str = Field("", description="Key of the project.")
    repository_slug: str = Field("", description="Name of the repository.")


class BitbucketServerSpec(Hook):
    """Webhooks of Bitbucket Server, registered by the source. Contract: eventsources 3.13."""

    bitbucketserver_base_url: str = Field("", alias="bitbucketserverBaseURL", description="URL, with /rest.")
    projects: list[str] | None = Field(None, description="Keys of projects, with all their repositories.")
    repositories: list[BitbucketServerRepository] | None = Field(None, description="Repositories.")
    project_key: str = Field("", description="Deprecated: write repositories.")
    repository_slug: str = Field("", description="Deprecated: write repositories.")
    events: list[str] | None = Field(None, description="Kinds of event, such as repo:refs_changed.")
    access_token: SecretRef | None = Field(None, description="Secret with an API token, to manage the hook.")
    webhook_secret: SecretRef | None = Field(None, description="Secret with which deliveries are signed.")
    skip_branch_refs_changed_on_open_pr: bool | None = Field(
        None, alias="skipBranchRefsChangedOnOpenPR", description="No events for branches with an open pull request."
    )
    one_event_per_change: bool | None = Field(None, description="One event for each change of a push.")
    check_interval: str = Field("", description="How often the hook is looked after, such as 5m; 1m.")
    tls: TLSConfig | None = Field(None, description="TLS of the API client.")
    delete_hook_on_finish: bool | None = Field(None, description="Remove the hook at the end.")

    def check(self, problems: Problems) -> None:
        """Contract 3.13."""
        self.check_webhook(problems)
        require(problems, bitbucketserverBaseURL=self.bitbucketserver_base_url)
        has_places = bool(self.projects or self.repositories or (self.project_key and self.repository_slug))
        manages = has_places and self.access_token is not None
        if manages and self.webhook is not None and self.webhook.url and not self.events:
            problems.error("events", "required to make the hook", "such as repo:refs_changed")
        if self.check_interval:
            try:
                durations.delta(self.check_interval)
            except UserError as error:
                problems.error("checkInterval", error.message, error.cure)


class BitbucketServerSource(Kind[BitbucketServerSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = BitbucketServerSpec, "bitbucketserver", False

    @classmethod
    def validate(cls, spec: BitbucketServerSpec, problems: Problems) -> None:
        spec.check(problems)
