"""`localhost:PORT` leads to the first pod that claims the port; later claims are told on their pods.

A forward begins once the pod listens on its own address: a program that listens on every address serves localhost
itself, and a listener of ours would keep it from doing so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from events.backoff import Endless
from events.logs import Log

LOCALHOST = "127.0.0.1"
_LOOK_SECONDS, _LOOK_MOST = 0.25, 5.0
"""Pauses between looks at who listens, which grow while nothing changes: some never listen where they say."""
_CONNECT_SECONDS = 10.0
_LISTENING = "0A"
_PIECE = 64 * 1024
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # as the kernel names it


@dataclass(frozen=True)
class Claim:
    """A port of localhost that a pod wants, and the port of the pod it stands for."""

    port: int
    target: int


@dataclass
class _Claimant:
    name: str
    address: str
    claims: frozenset[Claim]
    tell: Callable[[str], None]
    told: str = ""


@dataclass
class _Forward:
    owner: str
    claim: Claim
    server: asyncio.Server
    writers: set[asyncio.StreamWriter] = field(default_factory=set)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until the end, and hand the end on."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int) -> None:
    """Join a connection with one to `address`; both are closed in the end."""
    other: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            there, other = await asyncio.open_connection(address, port)
        await asyncio.gather(pump(reader, other), pump(there, writer))
    except (OSError, TimeoutError):
        writer.transport.abort()
    finally:
        for one in (writer, other):
            if one is not None:
                one.close()


class Forwards:
    """All ports of localhost that lead to pods of this node."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._claimants: dict[str, _Claimant] = {}
        self._forwards: dict[int, _Forward] = {}
        self._changed, self._is_settled = asyncio.Event(), False

    def claim(
        self, uid: str, name: str, address: str, claims: Iterable[Claim], tell: Callable[[str], None], told: str
    ) -> None:
        """What a pod wants from now on. `tell` hears why it does not get all of it, and when it does ("").

        `told`: what it heard last, perhaps from an earlier node.
        """
        known, wanted = self._claimants.get(uid), frozenset(claims)
        if known is None and not wanted:
            return
        if known is None or known.claims != wanted:
            self._claimants[uid] = _Claimant(name, address, wanted, tell, known.told if known else told)
            for port, forward in list(self._forwards.items()):
                if forward.owner == uid and forward.claim not in wanted:
                    self._close(port)
            self._changed.set()
        elif not self._is_settled:  # something else has changed: perhaps it listens now
            self._changed.set()

    def release(self, uid: str) -> None:
        """The pod is gone: who came next gets its ports."""
        if self._claimants.pop(uid, None) is not None:
            for port in [port for port, forward in self._forwards.items() if forward.owner == uid]:
                self._close(port)
            self._changed.set()

    def leads_elsewhere(self, uid: str, port: int) -> bool:
        """Whether a port of localhost is another pod's."""
        forward = self._forwards.get(port)
        return forward is not None and forward.owner != uid

    async def run(self) -> None:
        """Until cancelled."""
        pauses = Endless(_LOOK_SECONDS, _LOOK_MOST)
        try:
            while True:
                self._changed.clear()
                self._is_settled = await self._settle()
                seconds = None if self._is_settled else pauses.next()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._changed.wait()
                        pauses.reset()
        finally:
            for port in list(self._forwards):
                self._close(port)

    async def _settle(self) -> bool:
        """Give out what can be given; whether nothing is left to wait for."""
        owners: dict[int, str] = {}
        is_settled, listening = True, None
        for uid, claimant in list(self._claimants.items()):
            if self._claimants.get(uid) is not claimant:
                continue
            refused = []
            for claim in sorted(claimant.claims, key=lambda one: one.port):
                first = owners.setdefault(claim.port, uid)
                if first != uid:
                    refused.append(f"localhost:{claim.port} leads to pod {self._name_of(first)}, which was first")
                    continue
                if claim.port in self._forwards:
                    continue
                if listening is None:
                    listening = listeners()
                said = await self._open(uid, claimant, claim, listening)
                is_settled = False
                if said:
                    refused.append(said)
            self._tell(claimant, refused)
        return is_settled

    def _name_of(self, uid: str) -> str:
        found = self._claimants.get(uid)
        return found.name if found else "that is going"

    def _tell(self, claimant: _Claimant, refused: list[str]) -> None:
        text = "; ".join(refused)
        if text:
            text += f"; the pod itself listens on {claimant.address}"
        if text != claimant.told:
            claimant.told = text
            claimant.tell(text)

    async def _open(self, uid: str, claimant: _Claimant, claim: Claim, listening: set[tuple[str, int]]) -> str:
        """Forward if it is time; why it cannot be done."""
        if any((address, claim.target) in listening for address in _EVERYWHERE) and claim.port == claim.target:
            return ""  # reached already
        if (claimant.address, claim.target) not in listening:
            return ""  # not yet

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            forward = self._forwards.get(claim.port)
            if forward is None:
                writer.transport.abort()
                return
            forward.writers.add(writer)
            try:
                await carry(reader, writer, claimant.address, claim.target)
            finally:
                forward.writers.discard(writer)

        try:
            server = await asyncio.start_server(serve, LOCALHOST, claim.port)
        except OSError as error:
            why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            return f"localhost:{claim.port} is not to be had: {why}"
        if self._claimants.get(uid) is not claimant:  # gone meanwhile
            server.close()
            return ""
        self._forwards[claim.port] = _Forward(uid, claim, server)
        return ""

    def _close(self, port: int) -> None:
        forward = self._forwards.pop(port)
        forward.server.close()
        for writer in list(forward.writers):
            writer.transport.abort()


def listeners() -> set[tuple[str, int]]:
    """Every address and port of this machine on which somebody listens (Linux)."""
    found = set()
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(file).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTENING:
                address, _, port = columns[1].partition(":")
                found.add((_address(address), int(port, 16)))
    return found


def _address(text: str) -> str:
    if len(text) == 8:
        return ".".join(str(part) for part in reversed(bytes.fromhex(text)))
    return "::" if not text.strip("0") else text
