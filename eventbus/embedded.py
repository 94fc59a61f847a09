"""A nats-server of our own: started, supervised and stopped with us. The bus of `keryx run`, where there is no cluster.

    async with EmbeddedServer(directory) as server:
        ...  # connect to server.url as server.username with server.password

It never outlives us (`embedded_child`), never shares its directory (`embedded_lock`), is started again on the same port
and data when it dies or cannot write (`embedded_health`), and lets nobody in without the password, which is random per
directory. Clients see a restart as a lost connection and reconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from eventbus import embedded_health
from eventbus.embedded_config import HOST, CannotStart, Files, Options, PortTaken, Server, find_server, free_port
from eventbus.embedded_lock import DirectoryLock, acquire
from events.errors import Unavailable

__all__ = ["CannotStart", "EmbeddedServer", "find_server"]

log = logging.getLogger("keryx.eventbus")

_GRACE = 5.0  # seconds from SIGTERM to SIGKILL
_START_TIMEOUT = 600.0  # a large store after a power loss is read as a whole before the server answers
_START_SLOW = 10.0  # seconds after which a start is worth a line
_START_ANSWER_TIMEOUT = 1.0  # short: it may be a silent stranger on the port, and ours gone already
_FIRST_DELAY, _LAST_DELAY = 0.1, 5.0  # seconds before the first restart, and before one of many
_STABLE_AFTER = 30.0  # seconds of health after which the next trouble is a new one
_HEALTH_INTERVAL = 5.0
_ANSWER_TIMEOUT = 5.0
_SILENCES = 3  # unanswered questions in a row that count as a death: a disk that stalls for a while does not


class EmbeddedServer:
    """A nats-server on 127.0.0.1 with its data in `directory`, as long as the `async with` lasts.

    `on_restart` is called with the reason each time the server answers again after a restart.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        sync_always: bool = False,
        max_payload: int = 1 << 20,
        max_store_bytes: int | None = None,
        name: str = "keryx",
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self._files = Files(directory.expanduser().resolve())
        self._port = port
        # The name is how a probe tells ours from a stranger on the same port, so it differs from life to life.
        self._options = Options(f"{name}-{os.urandom(4).hex()}", max_payload, sync_always, max_store_bytes)
        self._on_restart = on_restart
        self._server = Server()
        self._binary = Path()
        self._version = ""
        self._lock: DirectoryLock | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._exited: asyncio.Task[int] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._restarts = 0  # since the server was last stable

    @property
    def url(self) -> str:
        """Where clients connect; the same through all restarts."""
        return f"nats://{HOST}:{self._server.port}"

    @property
    def username(self) -> str:
        """The only user of the bus."""
        return self._server.username

    @property
    def password(self) -> str:
        """Its password: random per directory, kept there in `server.json` (0600)."""
        return self._server.password

    @property
    def pid(self) -> int | None:
        """The pid of the server, nothing while it is down."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def version(self) -> str:
        """The version of the server, such as 2.15.1."""
        return self._version

    async def __aenter__(self) -> Self:
        """Return when the server answers; CannotStart says what to mend. A start that fails leaves nothing behind."""
        self._binary, self._version = await asyncio.to_thread(find_server)
        self._files.make()
        self._lock = await acquire(self._files)
        try:
            began, self._restarts = asyncio.get_running_loop().time(), 0
            await self._start_on_a_free_port()
        except BaseException:
            await self.aclose()
            raise
        took = asyncio.get_running_loop().time() - began
        log.info("nats-server %s (pid %s) on %s, data in %s, after %.2f s", *self._identity(), took)
        self._supervisor = asyncio.create_task(self._supervise(), name="nats-server supervisor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the server and let go of the directory; cancelling this makes it quick, not undone."""
        supervisor, self._supervisor = self._supervisor, None
        try:
            if supervisor:
                supervisor.cancel()
                await asyncio.wait({supervisor})
        finally:
            try:
                await self._stop()
            finally:
                lock, self._lock = self._lock, None
                if lock:
                    lock.release(server_is_gone=self.pid is None)
        if supervisor and not supervisor.cancelled():
            supervisor.result()

    def _identity(self) -> tuple[str, int | None, str, Path]:
        return self._version, self.pid, self.url, self._files.directory

    async def _start_on_a_free_port(self) -> None:
        """The first start: settle port and password, keep them, start; again if the port was taken meanwhile."""
        former = self._files.read()
        password = former.password or os.urandom(24).hex()
        for attempt in range(5):
            port = free_port(self._port, 0 if attempt else former.port)
            self._server = replace(former, port=port, password=password, keryx=os.getpid())
            self._files.write(self._server, self._options.config(self._server, self._files))
            try:
                return await self._start()
            except PortTaken as error:
                if self._port:
                    raise
                log.debug("%s; trying another", error)
        raise CannotStart("no port stays free long enough", cure="choose a port")

    async def _start(self) -> None:
        """One server process, answering; CannotStart with its last words if it does not come so far."""
        if self.pid is not None:  # the lock is ours either way, so nothing else would keep them apart
            raise CannotStart(
                f"nats-server {self.pid} does not end, even killed", cure="see why its disk does not answer"
            )
        self._files.require_space()
        log_size = self._files.log_size()
        self._process = await self._spawn()
        self._exited = asyncio.create_task(self._process.wait(), name="nats-server exit")
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                health = await self._answers(self._exited, log_size)
        except TimeoutError as error:
            await self._stop()
            raise CannotStart(
                f"nats-server did not answer within {_START_TIMEOUT:.0f} s", cure=self._see_log()
            ) from error
        except BaseException:
            await self._stop()
            raise
        self._version = health.version or self._version

    async def _spawn(self) -> asyncio.subprocess.Process:
        assert self._lock is not None
        child = Path(__file__).with_name("embedded_child.py")
        stderr = self._files.open_stderr()
        try:
            # From this thread, the loop's: see embedded_child about the thread that forks.
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", child, str(os.getpid()), self._binary, "-c", self._files.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                pass_fds=(self._lock.fd,),
            )
        except OSError as error:
            raise CannotStart(f"cannot run {self._binary}: {error}", cure="look at the limits of this user") from error
        finally:
            os.close(stderr)

    async def _answers(self, exited: asyncio.Task[int], log_size: int) -> embedded_health.Health:
        clock = asyncio.get_running_loop().time
        slow, pause = clock() + _START_SLOW, 0.005
        while not exited.done():
            try:
                health = await self._ask(_START_ANSWER_TIMEOUT)
            except Unavailable as error:
                last = str(error)
            else:
                if health.has_jetstream:
                    return health
                raise CannotStart("nats-server has no JetStream", cure=self._see_log())
            await asyncio.wait({exited}, timeout=pause)
            pause = min(pause * 1.5, 0.25)
            if clock() > slow:
                log.info("nats-server of %s is still starting, reading its data (%s)", self._files.directory, last)
                slow = float("inf")
        words = self._files.last_words(log_size)
        if "address already in use" in words:
            raise PortTaken(self._server.port)
        raise CannotStart(f"nats-server {_ending(exited)} at start:\n{words}", cure=self._see_log())

    async def _ask(self, timeout: float) -> embedded_health.Health:
        options = self._options
        return await embedded_health.ask(
            self._server.port, options.name, options.watcher, options.watcher_password, timeout=timeout
        )

    def _see_log(self) -> str:
        return f"see {self._files.log}"

    async def _stop(self) -> None:
        """SIGTERM, a grace, SIGKILL; when cancelled, SIGKILL at once."""
        process, exited = self._process, self._exited
        if process is None or exited is None or exited.done():
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            _, late = await asyncio.wait({exited}, timeout=_GRACE)
            if late:
                log.warning("nats-server %d did not stop within %.0f s: killing it", process.pid, _GRACE)
        finally:
            if not exited.done():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.wait({exited}, timeout=_GRACE)

    async def _supervise(self) -> None:
        try:
            while True:
                await self._restart(await self._trouble())
        except Exception:
            log.exception("nats-server of %s is not supervised any more", self._files.directory)
            raise

    async def _trouble(self) -> str:
        """Watch the server until only a restart can help; why."""
        assert self._exited is not None
        clock = asyncio.get_running_loop().time
        started, silences = clock(), 0
        seen: tuple[str, ...] = ()
        told: tuple[str, ...] = ()
        while True:
            await asyncio.wait({self._exited}, timeout=_HEALTH_INTERVAL)
            if self._exited.done():
                return f"{_ending(self._exited)} {self._files.panic()}".strip()
            if self._restarts and clock() - started >= _STABLE_AFTER:
                if self._restarts > 1:
                    log.info("nats-server on %s is stable again after %d restarts", self.url, self._restarts)
                self._restarts = 0
            try:
                health = await self._ask(_ANSWER_TIMEOUT)
            except Unavailable as error:
                silences += 1
                if silences == _SILENCES:
                    return f"did not answer {silences} times ({error})"
                continue
            silences = 0
            if health.curable:
                return f"reports {health.curable[0]}"
            # Twice in a row: a stream that is being made or deleted looks lost for a moment.
            if health.errors == seen != told:
                log.error("nats-server on %s reports %s", self.url, "; ".join(seen) or "that all is well again")
                told = seen
            seen = health.errors

    async def _restart(self, reason: str) -> None:
        """Stop what is left of the server and start it, as often as it takes."""
        while True:
            self._restarts += 1
            delay = min(_FIRST_DELAY * 2 ** min(self._restarts - 1, 10), _LAST_DELAY)
            # Of a long row of restarts each 2nd, 4th, 8th … is told.
            if self._restarts & (self._restarts - 1) == 0:
                log.warning(
                    "nats-server on %s %s; restart %d follows in %.1f s", self.url, reason, self._restarts, delay
                )
            await asyncio.sleep(delay)
            try:
                self._files.require_space()  # or else a sick server, which still delivers, is better than none
                await self._stop()
                await self._start()
            except CannotStart as error:
                reason = f"cannot be started: {error}"
                continue
            break
        if self._restarts == 1:
            log.info("nats-server %s (pid %s) is back on %s, data in %s", *self._identity())
        if self._on_restart:
            self._on_restart(reason)


def _ending(exited: asyncio.Task[int]) -> str:
    """`was killed by signal 9 (Killed)`, `ended with status 1`."""
    status = exited.result()
    return (
        f"was killed by signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"ended with status {status}"
    )
