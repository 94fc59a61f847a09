"""The way to one API server: kubeconfig or service account, session and credentials. The only importer of `kubernetes`.

From `kubernetes` comes what is hard and changes (contexts, exec plugins, OIDC, client certificates, the rotating
token of a pod); requests are ours, because its generated client wants models. It is imported in a thread when the
first connection is made: 0.2 to 0.4 s and 16 MB, which a process without Kubernetes does not pay. Nor does a pod, or
one whose kubeconfig has plain credentials (`kubeconfig`).
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from events.errors import ActionError, UserError
from events.kube import kubeconfig

_RENEW_PAUSE = 5.0
"""Seconds between two attempts to renew refused credentials."""
_READ_BYTES = 2**21
"""As the library's sessions: a watch event is large."""
_UNUSABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError)
"""What the loader lets through for a kubeconfig that is not one."""


@dataclass(slots=True)
class Link:
    """What one request needs: server, session, proxy."""

    server: str
    session: aiohttp.ClientSession
    arguments: dict[str, Any]
    """Further arguments of every request."""
    configuration: Any = None
    """The library's; None when the credentials are `plain`."""
    loader: Any = None
    plain: kubeconfig.Plain | None = None

    async def headers(self) -> dict[str, str]:
        """The credentials as headers; a token in a file is read again every minute."""
        try:
            if self.plain is not None:
                return self.plain.headers()
            settings = await self.configuration.auth_settings()
        except Exception as error:
            raise ActionError(f"no credentials for {self.server}: {error}") from error
        return {one["key"]: one["value"] for one in settings.values() if one["value"]}


class Connection:
    """One API server, connected when first used; credentials that it refuses are loaded again."""

    def __init__(self, kubeconfig: str | None, context: str | None, *, deadline: float) -> None:
        self._kubeconfig, self._context, self._deadline = kubeconfig, context, deadline
        self._lock = asyncio.Lock()
        self._link: Link | None = None
        self._retired: aiohttp.ClientSession | None = None
        self._renewed_at = -_RENEW_PAUSE
        self._closed = False

    async def link(self) -> Link:
        """The current link; UserError when there is no usable configuration."""
        if self._link is None:
            async with self._lock:
                if self._closed:
                    raise ActionError("the connection to the API server is closed")
                if self._link is None:
                    self._link = await self._open()
        return self._link

    async def renew(self, refused: Link) -> bool:
        """After a 401: load credentials again; whether it makes sense to ask once more."""
        async with self._lock:
            if self._link is not refused or self._closed:
                return not self._closed
            now = asyncio.get_running_loop().time()
            if now - self._renewed_at < _RENEW_PAUSE:
                return False
            self._renewed_at = now
            try:
                self._link = await self._open(refused)
            except UserError as error:
                # It was usable before: not the user's fault, and worth another attempt.
                raise ActionError(f"{refused.server} refused our credentials, new ones: {error}") from error
            # Watches may still use it: it is closed when its successor retires.
            if self._retired:
                await self._retired.close()
            self._retired = refused.session
            return True

    async def aclose(self) -> None:
        """Close the sessions."""
        self._closed = True
        async with self._lock:
            link, self._link = self._link, None
        for session in (self._retired, link.session if link else None):
            if session:
                await session.close()

    async def _open(self, former: Link | None = None) -> Link:
        where = self._kubeconfig or found()
        simple = await asyncio.to_thread(
            lambda: kubeconfig.plain(where, self._context) if where else kubeconfig.of_pod()
        )
        if simple:
            return _plain(simple)
        config, rest, configuration = await asyncio.to_thread(_imported)
        configuration.connection_pool_maxsize = 0  # watches hold connections: callers bound their own number
        # As kubectl: certificates of older clusters lack fields that OpenSSL's strict mode of Python 3.13 wants.
        configuration.disable_strict_ssl_verification = True
        try:
            async with asyncio.timeout(self._deadline):
                loader = await self._load(config, where, configuration, former)
            if not configuration.host:
                raise ValueError("the cluster has no server")
            if _is_here(configuration.host):
                # No proxy stands between, and netrc knows nothing: the session would read both for each request.
                configuration.client_session_kwargs = {"trust_env": False}
            # Its session is built as its own client would, TLS and proxy included.
            client = rest.RESTClientObject(configuration)
            session = client._create_pool_manager()
        except TimeoutError as error:
            raise ActionError(f"credentials of {where or 'this pod'} took longer than {self._deadline:g} s") from error
        except (config.ConfigException, *_UNUSABLE) as error:
            raise UserError(_explain(error), path=where or "service account of this pod") from error
        arguments = {"server_hostname": configuration.tls_server_name, "proxy": client.proxy}
        set_ones = {name: value for name, value in arguments.items() if value}
        return Link(configuration.host.rstrip("/"), session, set_ones, configuration, loader)

    async def _load(self, config: Any, where: str, configuration: Any, former: Link | None) -> Any:
        """Fill `configuration`; returns the loader of a kubeconfig."""
        if not where:
            config.load_incluster_config(client_configuration=configuration)
            return None
        if former and former.loader and former.loader.provider == "oidc":
            # Only the loader has the refresh token that came with the last one.
            await former.loader.load_and_set(configuration)
            return former.loader
        _check_exists(where)
        loader = await config.load_kube_config(
            config_file=where, context=self._context, client_configuration=configuration, persist_config=False
        )
        _check_plugin(loader, configuration)
        return loader


def _plain(simple: kubeconfig.Plain) -> Link:
    """A link without the library; watches hold connections, callers bound their number."""
    connector = aiohttp.TCPConnector(limit=0, ssl=simple.tls)
    is_here = _is_here(simple.server)
    session = aiohttp.ClientSession(connector=connector, trust_env=not is_here, read_bufsize=_READ_BYTES)
    arguments = {"server_hostname": simple.server_name} if simple.server_name else {}
    return Link(simple.server, session, arguments, plain=simple)


def _is_here(server: str) -> bool:
    """Whether a server is on this machine, by its address."""
    try:
        return ipaddress.ip_address(urlsplit(server).hostname or "").is_loopback
    except ValueError:
        return False


def found() -> str:
    """No kubeconfig was named: the service account of a pod (empty), else kubectl's default."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return ""
    default = Path("~/.kube/config").expanduser()
    if not default.is_file():
        raise UserError(
            f"no Kubernetes API: not in a pod, and there is no {default}", cure="set KUBECONFIG to a kubeconfig file"
        )
    return str(default)


def _imported() -> tuple[Any, Any, Any]:
    """Configuration loading, the HTTP layer, an empty configuration."""
    config = importlib.import_module("kubernetes.aio.config")
    client = importlib.import_module("kubernetes.aio.client.configuration")
    return config, importlib.import_module("kubernetes.aio.client.rest"), client.Configuration()


def _check_exists(where: str) -> None:
    """The loader would only log it, and fail later with something else."""
    if not any(Path(part).expanduser().is_file() for part in where.split(os.pathsep) if part):
        raise FileNotFoundError("no such file")


def _check_plugin(loader: Any, configuration: Any) -> None:
    """The loader only logs why a credential plugin failed, and goes on without credentials."""
    user = loader._user
    if user and "exec" in user and not (configuration.api_key or configuration.cert_file):
        raise ValueError(f"credential plugin {user['exec']['command']!r} gave no credentials; its error is in the log")


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, TypeError | KeyError | AttributeError):
        return f"is not a usable kubeconfig ({type(error).__name__}: {text})"
    return f"cannot be used: {text}"
