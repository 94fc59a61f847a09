"""The bus that exists already, for a command beside what runs: `--bus URL`, `--data DIR`, or a pod's environment."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from eventbus import connecting, embedded_lock
from eventbus.embedded import EmbeddedServer
from eventbus.embedded_config import HOST, Files
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.types import BusConfig, JetStreamConfig
from events import mounted
from events.app.data_directory import DataDirectory
from events.credentials import MOUNTED, Credentials
from events.errors import UserError
from events.logs import Log
from events.metrics import Metrics
from events.settings import Settings
from events.version import VERSION

DATA = Path(".keryx")
_PAUSE = 0.1
_PATIENCE = 10.0
"""Seconds for a `keryx run` that is just starting, or whose server is, and for other commands."""


@dataclass(frozen=True, slots=True)
class Where:
    """What the command line says of the bus. Empty: not said."""

    url: str = ""
    data: Path | None = None
    namespace: str = ""
    event_bus: str = ""


@asynccontextmanager
async def bus(where: Where, settings: Settings, log: Log) -> AsyncIterator[JetStreamBus]:
    """A connection that makes nothing new there. UserError when there is no bus."""
    async with AsyncExitStack() as stack:
        if where.url or (where.data is None and settings.bus_config is not None):
            made = _configured(where, settings, log)
        else:
            namespace = where.namespace or "default"
            files = Files(_directory(where.data or DATA, namespace, where.event_bus))
            access = await _embedded(where.data or DATA, files, stack)
            made = JetStreamBus(lambda: access, namespace, name="keryx", log=log, is_guest=True)
        stack.push_async_callback(made.aclose)
        await made.start()
        yield made


def _configured(where: Where, settings: Settings, log: Log) -> JetStreamBus:
    if where.url:
        config = BusConfig(jetstream=JetStreamConfig(url=where.url))
    else:
        config = BusConfig.parse(settings.bus_config or {}, lenient=True)
    return connecting.bus(
        config,
        where.namespace or settings.namespace or "default",
        name="keryx",
        credentials=Credentials((Path(mounted.where(str(MOUNTED))),)),
        auth_file=Path(settings.bus_auth_file),
        metrics=Metrics(VERSION),
        log=log,
        is_guest=True,
    )


def _directory(data: Path, namespace: str, name: str) -> Path:
    """Where the embedded bus of a namespace has its data."""
    found = sorted(path.parent.relative_to(data / "bus") for path in data.glob("bus/*/*/store"))
    here = [path for path in found if path.parts[0] == namespace]
    wanted = [path for path in here if name in ("", path.parts[1])]
    if len(wanted) == 1:
        return (data / "bus" / wanted[0]).expanduser().resolve()
    if not found:
        raise UserError(f"{data} has no bus", cure="give the directory of `keryx run` as --data, or a server as --bus")
    if not here:
        others = ", ".join(sorted({path.parts[0] for path in found}))
        raise UserError(f"{data} has no bus of namespace {namespace}", cure=f"--namespace is one of {others}")
    buses = ", ".join(path.parts[1] for path in here)
    why = f"has no bus {name}" if name else "has several buses"
    raise UserError(f"namespace {namespace} of {data} {why}", cure=f"--event-bus is one of {buses}")


async def _embedded(data: Path, files: Files, stack: AsyncExitStack) -> Access:
    """The server of a `keryx run`; where none runs, one for the moment. UserError when neither comes to be."""
    mark = data / "command.lock"
    clock = asyncio.get_running_loop().time
    deadline = clock() + _PATIENCE
    while True:
        server = embedded_lock.running(files)
        if server is not None and not _is_locked(mark):
            return Access(f"nats://{HOST}:{server.port}", server.username, server.password)
        try:
            stack.enter_context(DataDirectory(data))
        except UserError:  # a keryx that is just starting, or another command's server for the moment
            if clock() > deadline:
                raise
            await asyncio.sleep(_PAUSE)
            continue
        stack.enter_context(_locked(mark))
        own = await stack.enter_async_context(EmbeddedServer(files.directory))
        return Access(own.url, own.username, own.password)


@contextlib.contextmanager
def _locked(mark: Path) -> Iterator[None]:
    """Tells other commands that the server is here for the moment only."""
    with mark.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_locked(mark: Path) -> bool:
    try:
        with mark.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
