"""The API server: its parts put together, started and stopped.

async with Server(Settings(data), log) as server:
    server.url, server.kubeconfig()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from events.errors import UserError
from events.local.apiserver import controllers, kinds
from events.local.apiserver.access import kubeconfig
from events.local.apiserver.access.certificates import Serving
from events.local.apiserver.access.front import Front
from events.local.apiserver.admission.calling import Caller
from events.local.apiserver.admission.chain import Admission
from events.local.apiserver.controllers.services import NETWORK
from events.local.apiserver.faults import Faults, Handler
from events.local.apiserver.http.counts import Counts
from events.local.apiserver.http.general import General
from events.local.apiserver.http.objects import Objects
from events.local.apiserver.http.routing import Router
from events.local.apiserver.http.special import Special
from events.local.apiserver.lookups import Lookups
from events.local.apiserver.objects.inside import Inside
from events.local.apiserver.objects.operations import Operations
from events.local.apiserver.pods.kubelet import Kubelets
from events.local.apiserver.resources import Resources
from events.local.apiserver.store import Store
from events.local.apiserver.validation import Kinds
from events.logs import Log

_BACKLOG = 512
_RENEW_SECONDS = 24 * 3600.0
_KEEP_ALIVE = 300.0
_STOP_SECONDS, _IDLE_SECONDS = 2.0, 0.1
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Settings:
    """`port` 0: a free one. `names`: what else clients call the server. `faults`: a seed, or none.

    `addresses`: the network whose addresses services get. `first`: what is there, and as it is here, before the first
    request is answered; `manager` is who says so.
    """

    data: Path
    host: str = LOOPBACK
    port: int = 0
    names: Sequence[str] = ()
    faults: int | None = None
    addresses: str = NETWORK
    first: Sequence[Mapping[str, Any]] = ()
    manager: str = "kube-apiserver"


class Server:
    """One server on one data directory."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings, self._log = settings, log
        self._closing = asyncio.Event()
        self.kubelets = Kubelets()
        """Whoever runs pods registers here: logs, exec and port-forward go to him."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listening, with everything that must be there in place. Raises UserError."""
        now = datetime.now(UTC)
        data = self._settings.data
        self._store = store = Store(data, self._log)
        store.open()
        listening = self._listen()
        resources = Resources(kinds.builtin(Kinds()))
        lookups = Lookups(store, resources)
        self.front = front = Front(data, lookups, lookups, now)
        operations = Operations(store, resources, front)
        self._admission = admission = Admission(lookups, lookups, lookups, Caller(lookups), lookups)
        operations.admission = admission
        for it in lookups.configurations():
            admission.changed(None, it)
        lookups.on_configuration_change(admission.changed)
        self._address = f"{_shown(self._settings.host)}:{listening.getsockname()[1]}"
        inside = Inside(operations)
        self._controllers = await controllers.start(
            inside, front.authority.pem.decode(), front.tokens, self._log, operations.hooks, self._settings.addresses
        )
        for given in self._settings.first:
            it = dict(given)
            group, _, version = it["apiVersion"].rpartition("/")
            resource = resources.of_kind(group, version, it["kind"])
            assert resource is not None, f"{it['kind']} is a built-in kind"
            await inside.apply(resource, it, manager=self._settings.manager)
        counts = Counts()
        router = Router(
            front,
            resources,
            General(resources, front.tokens, self._address, counts),
            Objects(operations, self._closing),
            Special(operations, lookups, self.kubelets),
            counts,
            self._log,
        )
        await self._serve(router, listening, now)

    async def _serve(self, router: Router, listening: socket.socket, now: datetime) -> None:
        self._serving = Serving(self.front.authority, self._settings.names, now)
        handler: Handler = router.serve
        if self._settings.faults is not None:
            handler = Faults(self._settings.faults, self._log).around(handler)
        self._web = web.Server(
            handler,
            keepalive_timeout=_KEEP_ALIVE,
            access_log=None,
            logger=_quiet(),
            lingering_time=0.0,
            max_field_size=32 * 1024,
            max_line_size=32 * 1024,
        )
        self._socket = await asyncio.get_running_loop().create_server(
            self._web, sock=listening, ssl=self._serving.context, backlog=_BACKLOG, ssl_handshake_timeout=10.0
        )
        self._renewing = asyncio.create_task(self._renew(), name="certificates")

    def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            listening.close()
            raise UserError(
                f"the API server cannot listen on {host}:{port}: {error.strerror}", cure="give another --port, or 0"
            ) from error
        return listening

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            self._serving.renew(datetime.now(UTC))

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"https://{self._address}"

    def kubeconfig(self) -> dict[str, Any]:
        """The administrator's."""
        pair = self.front.authority.admin(datetime.now(UTC))
        return kubeconfig.of_certificate(self.url, self.front.authority.pem, pair)

    async def close(self) -> None:
        """No new requests, the running ones answered, what waits on disk."""
        self._closing.set()
        self._socket.close()
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        await self._controllers.close()
        self._web.pre_shutdown()  # who asks nothing is let go
        await self._web.shutdown(_STOP_SECONDS)
        with contextlib.suppress(TimeoutError):  # of clients that keep connections without asking anything
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._socket.wait_closed()
        await self._admission.close()
        await self._store.close()


def _quiet() -> logging.Logger:
    """What the HTTP library says of requests that it cannot read is of no use to anybody here."""
    logger = logging.getLogger("events.local.apiserver.parser")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # what is listened on when told so; clients of this machine use the loopback
        return LOOPBACK
    return f"[{host}]" if ":" in host else host
