"""Fields that many sources share, and what is wrong with them. Contract: eventsources 1.3, 2.1."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from events import regexes
from events.backoff import Backoff
from events.credentials import BasicAuth, TLSConfig
from events.model import Model
from events.problems import Problems
from eventsources.base import EventSourceFilter, Spec
from eventsources.webhooks import WebhookSpec


def require(problems: Problems, **fields: Any) -> None:
    """An error for each field (by its name in the object) without a value; an empty list is one."""
    for name, value in fields.items():
        if value is None or value == "":
            problems.error(name, "required")


def check_tls(tls: TLSConfig | None, problems: Problems) -> None:
    """The rules of contract 1.3; paths are relative to the spec."""
    if tls is not None and (problem := tls.problem()):
        problems.error("tls", problem)


def check_auth(auth: BasicAuth | None, problems: Problems) -> None:
    """A user name and a password go together; paths are relative to the spec."""
    if auth is not None:
        require(problems.at("auth"), username=auth.username, password=auth.password)


class Described(Spec):
    """What nearly every source has."""

    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")
    filter: EventSourceFilter | None = Field(None, description="Which events are published.")


class Message(Described):
    """A source whose messages have a body."""

    json_body: bool | None = Field(None, description="The body is JSON; else it is published as base64 text.")


class Connected(Message):
    """A message source that keeps a connection open."""

    connection_backoff: Backoff | None = Field(None, description="How connecting is repeated.")
    tls: TLSConfig | None = Field(None, description="TLS of the connection.")


class Hook(Described):
    """A source that others call."""

    webhook: WebhookSpec | None = Field(None, description="Where it listens.")

    def check_webhook(self, problems: Problems) -> None:
        """It must be there, and right; paths are relative to the spec."""
        require(problems, webhook=self.webhook)
        if self.webhook is not None:
            self.webhook.check(problems.at("webhook"))


class WatchPath(Model):
    """A folder, and which of its files."""

    directory: str = Field("", description="Absolute path of the folder.")
    path: str = Field("", description="File in it; this or pathRegexp.")
    path_regexp: str = Field("", description="RE2 expression that the file's path below the folder has a match of.")

    def check(self, problems: Problems) -> None:
        """Contract 1.3; paths are relative to this object."""
        if not self.directory:
            problems.error("directory", "required", "the absolute path of a folder")
        elif not self.directory.startswith("/"):
            problems.error("directory", f"{self.directory!r} is not absolute", "begin it with a slash")
        if bool(self.path) == bool(self.path_regexp):
            what = "only one of path and pathRegexp counts" if self.path else "path or pathRegexp is required"
            problems.error("path", what, "give exactly one of them")
        if self.path.startswith("/"):
            problems.error("path", f"{self.path!r} is not relative", "leave out the folder")
        try:
            regexes.compile(self.path_regexp)
        except ValueError as error:
            problems.error("pathRegexp", str(error), "an RE2 expression")


class KeyFilter(Model):
    """Beginning and end of an object's key."""

    prefix: str = Field("", description="Beginning of the key.")
    suffix: str = Field("", description="End of the key.")
