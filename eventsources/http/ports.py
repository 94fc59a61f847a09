"""Ports: bound by one process, or held by one for the workers that share it."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Callable

from events.errors import UserError


class SharedPorts:
    """The ports that this process shares with others like it. Somebody holds each of them for us first."""

    def __init__(self) -> None:
        self.wanted: dict[str, str] = {}
        """Port -> the first event that wants it."""
        self.on_wanted: Callable[[], None] = lambda: None
        """Called when there is another one."""
        self._held: frozenset[str] = frozenset()
        self._changed = asyncio.Condition()

    async def until_held(self, port: str, event: str) -> None:
        """Returns when the port may be listened on."""
        if port not in self.wanted:
            self.wanted[port] = event
            self.on_wanted()
        async with self._changed:
            await self._changed.wait_for(lambda: port in self._held)

    async def hold(self, ports: frozenset[str]) -> None:
        """These are held."""
        async with self._changed:
            self._held = ports
            self._changed.notify_all()


def bind(address: str, port: str, event: str, *, shared: bool = False) -> socket.socket:
    """A bound socket; UserError, naming the event, when that cannot be. `shared`: beside others like it."""
    try:
        return _bound(address, _number(port), shared=shared)
    except OSError as error:
        raise _refusal(address, port, event, error) from error


def reserve(address: str, port: str, event: str) -> socket.socket:
    """A socket that never listens and keeps a port for those that bind it with `shared`. UserError as `bind`.

    It is bound as if nobody else were to have the port, so it finds out whether somebody has; then it lets in others
    of this user that share, and nobody who does not. Without it two programs would share the port unawares.
    """
    number = _number(port)
    if not number:
        raise UserError("0 is a port of its own for each worker", path="port", cure="a number from 1 to 65535")
    try:
        reserved = _bound(address, number)
    except OSError as error:
        raise _refusal(address, port, event, error) from error
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # else the next one could bind, too
    return reserved


def can_bind(address: str, number: int) -> OSError | None:
    """Why a server could not listen there; None when it could."""
    try:
        _bound(address, number).close()
    except OSError as error:
        return error
    return None


def _number(port: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise UserError(f"{port!r} is not a port", path="port")
    return int(port)


def _refusal(address: str, port: str, event: str, error: OSError) -> UserError:
    where = f"{address}:{port}" if address else f"port {port}"
    cures = {
        errno.EADDRINUSE: f"choose another port, or stop what listens there (ss -ltnp 'sport = :{port}' names it)",
        errno.EACCES: "choose a port from 1024 up, or give the process the right to bind lower ones",
    }
    reason = "is in use by another process" if error.errno == errno.EADDRINUSE else f"cannot be bound: {error}"
    cure = cures.get(error.errno or 0, "")
    return UserError(f"{where}, for event {event}, {reason}", path="port", cure=cure)


def _bound(address: str, number: int, *, shared: bool = False) -> socket.socket:
    """A socket bound where a server would listen; OSError."""
    if address:
        return _socket(socket.AF_INET6 if ":" in address else socket.AF_INET, address, number, shared=shared)
    if socket.has_dualstack_ipv6():
        try:
            return _socket(socket.AF_INET6, "", number, shared=shared)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return _socket(socket.AF_INET, "", number, shared=shared)


def _socket(family: int, address: str, number: int, *, shared: bool) -> socket.socket:
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(address)))
        made.bind((address, number))
    except BaseException:
        made.close()
        raise
    return made
