"""Webhooks of GitHub. Contract: eventsources 3.10."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.model import Model
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook


class OwnedRepositories(Model):
    """Repositories of one owner."""

    owner: str = Field("", description="Owner.")
    names: list[str] | None = Field(None, description="Names of the repositories.")


class GithubApp(Model):
    """A GitHub App to act as."""

    private_key: SecretRef | None = Field(None, description="Secret with the private key.")
    app_id: int = Field(0, alias="appID", description="Id of the app.")
    installation_id: int = Field(0, alias="installationID", description="Id of its installation.")


class GithubSpec(Hook):
    """Webhooks of GitHub, registered by the source. Contract: eventsources 3.10."""

    id: int | None = Field(None, description="Not used.")
    repositories: list[OwnedRepositories] | None = Field(None, description="Repositories; or organizations.")
    organizations: list[str] | None = Field(None, description="Organizations; or repositories.")
    owner: str = Field("", description="Deprecated: write repositories.")
    repository: str = Field("", description="Deprecated: write repositories.")
    events: list[str] | None = Field(None, description="Kinds of event that the hook sends, or *.")
    api_token: SecretRef | None = Field(None, description="Secret with an API token, to manage the hook.")
    github_app: GithubApp | None = Field(None, description="App to manage the hook as, without a token.")
    webhook_secret: SecretRef | None = Field(None, description="Secret with which deliveries are signed.")
    insecure: bool | None = Field(None, description="GitHub does not verify our certificate.")
    active: bool | None = Field(None, description="Whether the hook that is made sends anything.")
    content_type: str = Field("", description="json or form.")
    github_base_url: str = Field("", alias="githubBaseURL", description="API of GitHub Enterprise.")
    github_upload_url: str = Field("", alias="githubUploadURL", description="Upload API of GitHub Enterprise.")
    delete_hook_on_finish: bool | None = Field(None, description="Remove the hook at the end.")

    def check(self, problems: Problems) -> None:
        """Contract 3.10."""
        self.check_webhook(problems)
        has_repositories = bool(self.repositories) or bool(self.owner and self.repository)
        if has_repositories and self.organizations:
            problems.error("organizations", "cannot be with repositories", "make two events of it")
        if not (has_repositories or self.organizations):
            problems.error("repositories", "repositories or organizations are required")
        manages = self.api_token is not None or self.github_app is not None
        if manages and self.webhook is not None and self.webhook.url and not self.events:
            problems.error("events", "required to make the hook", "such as push, or *")
        if self.content_type not in ("", "json", "form"):
            problems.error("contentType", f"{self.content_type!r} is neither json nor form")
        if bool(self.github_base_url) != bool(self.github_upload_url):
            problems.error("githubBaseURL", "githubBaseURL and githubUploadURL go together", "set both, or neither")


class GithubSource(Kind[GithubSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = GithubSpec, "github", False

    @classmethod
    def validate(cls, spec: GithubSpec, problems: Problems) -> None:
        spec.check(problems)
