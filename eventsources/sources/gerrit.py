"""Webhooks of Gerrit. Contract: eventsources 3.14."""

from __future__ import annotations

from pydantic import Field

from events.credentials import BasicAuth
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Hook, require


class GerritSpec(Hook):
    """Webhooks of Gerrit, registered by the source. Contract: eventsources 3.14."""

    hook_name: str = Field("", description="Name of the hook.")
    events: list[str] | None = Field(None, description="Kinds of stream event; an empty list is all.")
    auth: BasicAuth | None = Field(None, description="User name and password, to manage the hook.")
    gerrit_base_url: str = Field("", alias="gerritBaseURL", description="URL of Gerrit.")
    projects: list[str] | None = Field(None, description="Projects.")
    ssl_verify: bool | None = Field(None, description="Gerrit verifies our certificate.")
    max_tries: int | None = Field(None, description="How often Gerrit tries to deliver.")
    delete_hook_on_finish: bool | None = Field(None, description="Remove the hook at the end.")

    def check(self, problems: Problems) -> None:
        """Contract 3.14."""
        self.check_webhook(problems)
        require(problems, events=self.events, auth=self.auth, gerritBaseURL=self.gerrit_base_url)
        if not self.projects:
            problems.error("projects", "required", "name at least one")


class GerritSource(Kind[GerritSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = GerritSpec, "gerrit", False

    @classmethod
    def validate(cls, spec: GerritSpec, problems: Problems) -> None:
        spec.check(problems)
