"""A key of a ConfigMap as an artifact: a mounted file. Contract: sensors D.16, 0.2."""

from __future__ import annotations

from events.credentials import ConfigMapRef, Credentials


class ConfigMapReader:
    """One key; `Credentials` reads the file again when the ConfigMap has changed, which is 1 MiB at most."""

    def __init__(self, location: ConfigMapRef, credentials: Credentials) -> None:
        self._location, self._credentials = location, credentials

    async def read(self) -> str:
        """The value; CredentialError when there is none."""
        return self._credentials.value(self._location)
