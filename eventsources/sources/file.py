"""Files of a folder that come, change and go. Contract: eventsources 3.3."""

from __future__ import annotations

from pydantic import Field

from events.problems import Problems, did_you_mean
from eventsources.base import Kind
from eventsources.fields import Described, WatchPath, require

OPERATIONS = ("CREATE", "WRITE", "REMOVE", "RENAME", "CHMOD")


class FileSpec(Described):
    """Contract: eventsources 3.3."""

    event_type: str = Field("", description="CREATE, WRITE, REMOVE, RENAME or CHMOD.")
    watch_path_config: WatchPath = Field(default_factory=WatchPath, description="What to watch.")
    polling: bool | None = Field(None, description="Look at the folder again and again instead of being told.")

    def check(self, problems: Problems) -> None:
        """Contract 3.3."""
        require(problems, eventType=self.event_type)
        if self.event_type and self.event_type not in OPERATIONS:
            cure = did_you_mean(self.event_type, OPERATIONS) or f"one of {', '.join(OPERATIONS)}"
            problems.warn("eventType", f"{self.event_type!r} never happens", cure)
        self.watch_path_config.check(problems.at("watchPathConfig"))


class FileSource(Kind[FileSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = FileSpec, "file", True

    @classmethod
    def validate(cls, spec: FileSpec, problems: Problems) -> None:
        spec.check(problems)
