"""Files of a folder on an SFTP server. Contract: eventsources 3.4."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Described, WatchPath, require


class SftpSpec(Described):
    """Changes of files in a folder of an SFTP server. Contract: eventsources 3.4."""

    event_type: str = Field("", description="CREATE or REMOVE.")
    watch_path_config: WatchPath = Field(default_factory=WatchPath, description="What to watch.")
    username: SecretRef | None = Field(None, description="Secret with the user name.")
    password: SecretRef | None = Field(None, description="Secret with the password.")
    ssh_key_secret: SecretRef | None = Field(None, description="Secret with a private key; wins over the password.")
    address: SecretRef | None = Field(None, description="Secret with host:port of the server.")
    poll_interval_duration: str = Field("", description="Pause between two looks, such as 30s; 10s.")

    def check(self, problems: Problems) -> None:
        """Contract 3.4."""
        require(problems, eventType=self.event_type)
        self.watch_path_config.check(problems.at("watchPathConfig"))


class SftpSource(Kind[SftpSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = SftpSpec, "sftp", True

    @classmethod
    def validate(cls, spec: SftpSpec, problems: Problems) -> None:
        spec.check(problems)
