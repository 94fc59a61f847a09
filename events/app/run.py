"""`keryx run PATH…`: the objects of some files as one process, without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from events.app import documents
from events.app.objects import Loader, Objects
from events.app.running import Running
from events.clients import Clients
from events.credentials import MOUNTED, Credentials
from events.errors import InvalidObject
from events.kube.api import KubeApi
from events.logs import Log
from events.metrics import Metrics
from events.problems import Problem, Severity
from events.process import Process
from eventsources.http.routes import HttpSettings
from eventsources.http.server import HttpServers

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    paths: Sequence[Path]
    namespace: str
    data: Path
    address: str
    credentials: Path | None
    kubeconfig: Path | None
    dry_run: bool
    watch: bool
    metrics_port: int | None
    grace: float
    version: str

    @property
    def can_create(self) -> bool:
        """Whether Kubernetes objects have somewhere to go."""
        return self.dry_run or self.kubeconfig is not None


def load(options: Options) -> tuple[Objects, list[Problem]]:
    """The objects of all files, and every problem of any of them."""
    found, problems = documents.read(options.paths)
    loader = Loader(options.namespace)
    loader.load(found, can_create=options.can_create)
    return loader.objects, problems + loader.problems


def refused(problems: Iterable[Problem]) -> bool:
    """Whether any problem is more than a warning."""
    return any(problem.severity is Severity.ERROR for problem in problems)


async def run(options: Options, objects: Objects) -> int:
    """Run until a signal; the exit code."""
    log = Log("run")
    process = Process(Metrics(options.version), log, grace=options.grace, metrics_port=options.metrics_port)
    with _credentials(options, objects) as credentials:
        clients = Clients(credentials, _kube(options))
        http = HttpServers(HttpSettings(address=options.address))
        running = Running(process, clients, http, options.data)

        async def work(process: Process) -> None:
            try:
                await running.apply(objects)
                _announce(objects, options, log)
                await _until_stopped(options, running, process)
            finally:
                await running.aclose()
                await http.aclose()
                await clients.aclose()

        return await process.run(work)


async def _until_stopped(options: Options, running: Running, process: Process) -> None:
    seen = _fingerprint(options.paths)
    while not process.stopping.is_set():
        if not options.watch:
            await process.stopping.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await process.stopping.wait()
        now = _fingerprint(options.paths)
        if now != seen and not process.stopping.is_set():
            seen = now
            await _reload(options, running, process.log)


async def _reload(options: Options, running: Running, log: Log) -> None:
    """Take changed files, unless they have problems: then what runs goes on as it is."""
    try:
        objects, problems = await asyncio.to_thread(load, options)
    except InvalidObject as error:
        log.error("The files cannot be read; what runs goes on", reason=str(error))
        return
    for problem in problems:
        (log.error if problem.severity is Severity.ERROR else log.warning)(str(problem))
    if refused(problems):
        log.error("The changed files are not used; what runs goes on")
        return
    await running.apply(objects)
    log.info("Reloaded", eventSources=len(objects.sources), sensors=len(objects.sensors))
    _announce(objects, options, log)


def _fingerprint(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in paths:
        for file in documents.files([path]) if path.exists() else []:
            with contextlib.suppress(OSError):
                stat = file.stat()
                found[file] = (stat.st_mtime_ns, stat.st_size)
    return found


def _announce(objects: Objects, options: Options, log: Log) -> None:
    """The endpoints that can be called now."""
    for key, source in objects.sources.items():
        for event, raw in source.spec.sources.get("webhook", {}).items():
            scheme = "https" if raw.get("serverCertSecret") else "http"
            host = options.address if options.address not in ("", "0.0.0.0", "127.0.0.1") else "localhost"  # noqa: S104
            url = f"{scheme}://{host}:{raw.get('port')}{raw.get('endpoint')}"
            log.info("Listening", url=url, method=raw.get("method"), eventSource=f"{key.name}/{event}")


def _kube(options: Options) -> Callable[[], KubeApi] | None:
    """How to make the Kubernetes API that was asked for; imported only then."""
    if options.dry_run:
        from events.kube.dry_run import DryRunKube

        return lambda: DryRunKube(sys.stdout)
    if options.kubeconfig is not None:
        from events.kube.client import KubeClient

        return lambda: KubeClient(str(options.kubeconfig))
    return None


@contextlib.contextmanager
def _credentials(options: Options, objects: Objects) -> Iterator[Credentials]:
    """Secrets and config maps of the files, in a private folder of the layout that pods have; gone afterwards."""
    folder = options.data / "credentials"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for (kind, name), values in objects.values.items():
            place = folder / kind / name
            place.mkdir(parents=True, mode=0o700, exist_ok=True)
            for key, value in values.items():
                file = place / key
                file.touch(0o600)
                file.write_bytes(value)
        roots = [folder, *([options.credentials] if options.credentials else []), MOUNTED]
        yield Credentials(roots)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
