"""What a process talks to besides the bus, made at first use and shared by all its objects."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from events.credentials import Credentials
from events.errors import UserError
from events.kube.api import KubeApi
from events.scripting.link import Limits
from events.scripting.pool import Scripts

_CONNECTIONS = 512
_KEEP_ALIVE_SECONDS = 30.0


class Clients:
    """Credentials, a Kubernetes API (when there is one), an HTTP client, the workers of jq and Lua."""

    def __init__(
        self,
        credentials: Credentials,
        make_kube: Callable[[], KubeApi] | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self.credentials, self._limits = credentials, limits or Limits()
        self._make_kube = make_kube
        self._kube: KubeApi | None = None
        self._http: aiohttp.ClientSession | None = None
        self._scripts: Scripts | None = None

    def kube(self) -> KubeApi:
        """The Kubernetes API; UserError when there is none."""
        if self._kube is None:
            if self._make_kube is None:
                raise UserError("there is no Kubernetes API to act on", cure="give --kubeconfig FILE or --dry-run")
            self._kube = self._make_kube()
        return self._kube

    def http(self) -> aiohttp.ClientSession:
        """The HTTP client of the process. It keeps no cookies: triggers must not see each other's."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._http

    def scripts(self) -> Scripts:
        """The jq programs and Lua scripts of the process."""
        if self._scripts is None:
            self._scripts = Scripts(self._limits)
        return self._scripts

    async def aclose(self) -> None:
        """Close what was made."""
        if self._scripts is not None:
            await self._scripts.aclose()
        if self._http is not None:
            await self._http.close()
        if self._kube is not None:
            await self._kube.aclose()
