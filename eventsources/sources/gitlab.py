"""Webhooks of GitLab. Contract: eventsources 3.11."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook, require


class GitlabSpec(Hook):
    """Webhooks of GitLab, registered by the source. Contract: eventsources 3.11."""

    events: list[str] | None = Field(None, description="Kinds of event that the hook sends, such as PushEvents.")
    access_token: SecretRef | None = Field(None, description="Secret with an API token, to manage the hook.")
    gitlab_base_url: str = Field("", alias="gitlabBaseURL", description="URL of GitLab.")
    projects: list[str] | None = Field(None, description="Ids or paths of projects.")
    project_id: str = Field("", alias="projectID", description="Deprecated: write projects.")
    groups: list[str] | None = Field(None, description="Ids or paths of groups.")
    secret_token: SecretRef | None = Field(None, description="Secret with the token that deliveries carry.")
    enable_ssl_verification: bool | None = Field(
        None, alias="enableSSLVerification", description="GitLab verifies our certificate."
    )
    delete_hook_on_finish: bool | None = Field(None, description="Remove the hook at the end.")

    def check(self, problems: Problems) -> None:
        """Contract 3.11."""
        self.check_webhook(problems)
        require(problems, events=self.events, accessToken=self.access_token, gitlabBaseURL=self.gitlab_base_url)


class GitlabSource(Kind[GitlabSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = GitlabSpec, "gitlab", False

    @classmethod
    def validate(cls, spec: GitlabSpec, problems: Problems) -> None:
        spec.check(problems)
