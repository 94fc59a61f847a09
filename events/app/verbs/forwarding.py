"""`keryx port-forward`: ports of this machine that lead to ports of a pod, or of one of the pods of something."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from events.app.verbs import pods
from events.app.verbs.session import FAILED, Session, told
from events.errors import ActionError, UserError
from events.kube import tunnel
from events.kube.api import KubeError, Object
from events.kube.discovery import Kind

START_SECONDS = 20.0
"""How long is waited for a pod that runs."""
MOST = 512
"""Connections at once, of all ports; more wait."""
_PAUSE = 0.3
_LOCALHOST = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))


@dataclass(frozen=True, slots=True)
class Port:
    """`LOCAL:REMOTE`; 0 takes any. The remote one may have a name."""

    local: int
    remote: str


@dataclass(frozen=True)
class Wanted:
    """Which ports lead where."""

    word: str
    ports: Sequence[Port]
    addresses: Sequence[str] = ("localhost",)
    start_seconds: float = START_SECONDS


@dataclass
class Place:
    """A pod, and the port of it that each of our ports means."""

    pod: str
    ports: dict[str, int]


def port(text: str) -> Port:
    """`8080`, `8080:80`, `:80`, `8080:http`; UserError for what is none."""
    first, colon, second = text.partition(":")
    local, remote = (first or "0", second) if colon else (first, first)
    is_one = (remote.isdecimal() and 0 < int(remote) < 65536) or (remote and not remote.isdecimal())
    if not colon and not first.isdecimal():
        local = "0"  # a name alone: any port of ours
    if not is_one or not local.isdecimal() or int(local) > 65535:
        raise UserError(f"{text!r} is no port", cure="write REMOTE, LOCAL:REMOTE, or :REMOTE for any local one")
    return Port(int(local), remote)


async def forward(session: Session, wanted: Wanted) -> int:
    """Forward until the one who typed it has enough, or the pod has gone for good."""
    forwarder = Forwarder(session, wanted)
    place = await forwarder.find()
    async with tunnel.opened(session.api, place.pod, session.namespace, next(iter(place.ports.values()))):
        pass  # what is not allowed is told now, not at the first connection
    async with contextlib.AsyncExitStack() as stack:
        for one in wanted.ports:
            for server in await _listen(wanted.addresses, one, forwarder, session):
                stack.push_async_callback(_close, server)
        return await forwarder.until_gone()


class Forwarder:
    """Carries connections; looks for another pod of the same when one has gone."""

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self._session, self._wanted = session, wanted
        self._place: Place | None = None
        self._turn, self._many = asyncio.Lock(), asyncio.Semaphore(MOST)
        self._gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def until_gone(self) -> int:
        """The exit code, once there is nothing left to forward to."""
        return await self._gone

    async def find(self) -> Place:
        """A pod that runs, and its ports. UserError when there is none in time, or not such a port."""
        async with self._turn:
            if self._place is None:
                self._place = await self._find()
            return self._place

    async def _find(self) -> Place:
        ends = asyncio.get_running_loop().time() + self._wanted.start_seconds
        while True:
            kind, obj, several = await pods.of(self._session, self._wanted.word)
            running = sorted(filter(pods.is_running, several), key=pods.is_ready)
            if running:
                return Place(pods.name_of(running[-1]), self._ports(kind, obj, running[-1]))
            if asyncio.get_running_loop().time() >= ends:
                phases = ", ".join(f"{pods.name_of(one)}: {(one.get('status') or {}).get('phase')}" for one in several)
                text = f"no pod of {self._wanted.word} runs ({phases or 'there is none'})"
                raise UserError(text, cure="`keryx describe` says why")
            await asyncio.sleep(_PAUSE)

    def _ports(self, kind: Kind | None, obj: Object | None, pod: Object) -> dict[str, int]:
        is_service = (
            kind is not None and obj is not None and (kind.resource.group, kind.resource.kind) == ("", "Service")
        )
        found: dict[str, int] = {}
        for one in self._wanted.ports:
            wanted = target(obj, one.remote) if is_service and obj else one.remote
            found[one.remote] = int(wanted) if wanted.isdecimal() else _named(pod, wanted)
        return found

    async def carry(self, one: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; what goes wrong with it is told, and the others go on."""
        try:
            async with self._many:
                await self._carry(one, reader, writer)
        except tunnel.Gone:
            pass
        except (UserError, tunnel.Broken) as error:
            self._note(f"port {one.remote}: {error}")
        except ActionError as error:
            self._note(f"port {one.remote}: {told(error)}")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _carry(self, one: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for is_last in (False, True):
            place = await self.find()
            try:
                async with tunnel.opened(
                    self._session.api, place.pod, self._session.namespace, place.ports[one.remote]
                ) as found:
                    with contextlib.suppress(OSError):  # forwarding goes on when nobody reads what is said
                        self._session.screen.line(f"Handling connection for {writer.get_extra_info('sockname')[1]}")
                        self._session.screen.flush()
                    await found.carry(reader, writer)
                    return
            except tunnel.Broken:
                await self._look(place)
                raise
            except KubeError as error:
                if error.status not in (400, 404, 500, 503) or is_last or not await self._look(place):
                    raise

    async def _look(self, place: Place) -> bool:
        """Whether the pod we forward to has gone; a pod that was named has no successor, and it is over."""
        try:
            found = await self._session.api.get(pods.POD, place.pod, namespace=self._session.namespace)
        except KubeError as error:
            if error.status != 404:
                return False
        else:
            if pods.is_running(found):
                return False
        if self._place is place:
            self._place = None
        if self._is_pod() and not self._gone.done():
            self._note(f"the pod {place.pod} has ended")
            self._gone.set_result(FAILED)
        return True

    def _note(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._session.screen.note(f"keryx: {text}")

    def _is_pod(self) -> bool:
        kind, slash, _ = self._wanted.word.partition("/")
        return not slash or kind.lower() in ("po", "pod", "pods")


def target(service: Object, wanted: str) -> str:
    """The port of the pods behind a port of a Service, by number or name."""
    ports = (service.get("spec") or {}).get("ports") or []
    for one in ports:
        if wanted in (str(one.get("port")), one.get("name")):
            return str(one.get("targetPort") or one["port"])
    known = ", ".join(str(one.get("port")) for one in ports) or "none"
    raise UserError(f"the Service has no port {wanted}", cure=f"its ports: {known}")


def _named(pod: Object, name: str) -> int:
    known = [one for container in pod["spec"]["containers"] for one in container.get("ports") or []]
    for one in known:
        if one.get("name") == name:
            return int(one["containerPort"])
    names = ", ".join(f"{one.get('name') or ''} {one['containerPort']}".strip() for one in known) or "none"
    raise UserError(f"pod {pods.name_of(pod)} has no port named {name!r}", cure=f"its ports: {names}")


async def _listen(addresses: Sequence[str], one: Port, forwarder: Forwarder, session: Session) -> list[asyncio.Server]:
    """Servers for one port on all addresses; of localhost's two, one is enough."""
    servers: list[asyncio.Server] = []
    local = one.local

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await forwarder.carry(one, reader, writer)

    for address in addresses:
        places = _LOCALHOST if address == "localhost" else ((address, socket.AF_UNSPEC),)
        errors: list[OSError] = []
        for host, family in places:
            try:
                server = await asyncio.start_server(serve, host, local, family=family)
            except OSError as error:
                errors.append(error)
                continue
            servers.append(server)
            local = server.sockets[0].getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            session.screen.line(f"Forwarding from {shown}:{local} -> {one.remote}")
            session.screen.flush()
        if len(errors) == len(places):
            raise taken(address, one, errors[0])
    return servers


def taken(address: str, one: Port, error: OSError) -> ActionError:
    """Why a port of ours cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        cure = f"take another: {one.local + 1}:{one.remote}, or :{one.remote} for any"
        return ActionError(str(UserError(f"port {one.local} of {address} is in use", cure=cure)))
    if error.errno == errno.EACCES:
        return ActionError(
            str(UserError(f"port {one.local} of {address} may not be taken", cure=f":{one.remote} takes any"))
        )
    return ActionError(f"port {one.local} of {address}: {error.strerror or error}")


async def _close(server: asyncio.Server) -> None:
    server.close()
