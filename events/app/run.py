"""`keryx run PATH…`: the objects of some files as one process, without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventbus import validation as bus_validation
from eventbus.types import EventBus
from events import logs
from events.app import documents, references
from events.app.data_directory import DataDirectory
from events.app.objects import Fingerprint, Key, Loader, Objects
from events.app.running import Running
from events.clients import Clients
from events.credentials import MOUNTED, Credentials
from events.errors import UserError
from events.kube.api import KubeApi
from events.logs import Log
from events.metrics import Metrics
from events.problems import Problem, Problems, Severity, join
from events.process import Process
from events.settings import script_limits
from eventsources import validation
from eventsources.http import ports
from eventsources.http.routes import HttpSettings
from eventsources.http.server import HttpServers
from eventsources.types import EventSource
from eventsources.webhooks import WebhookSpec
from eventsources.workers.plan import Surroundings
from sensors import validation as sensor_validation

LOOK_SECONDS = 1.0
_LISTEN_SECONDS = 5.0


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

    @property
    def roots(self) -> list[Path]:
        """Where credentials are besides the files."""
        return [*([self.credentials] if self.credentials else []), MOUNTED]


def load(options: Options) -> tuple[Objects, list[Problem]]:
    """The objects of all files, and every problem of any of them. UserError when a path is not there."""
    seen = _fingerprint(options)  # before they are read: what is written meanwhile is a change
    found, problems = documents.read(options.paths, options.data)
    loader = Loader(options.namespace)
    loader.load(found, can_create=options.can_create)
    objects = loader.objects
    objects.seen = seen
    for document, one in objects.all():
        for problem in references.problems(one, objects.values, options.roots):
            problems.append(document.located(problem))
    return objects, sorted(loader.problems + problems, key=lambda problem: (problem.file, problem.line))


def refused(problems: Iterable[Problem]) -> bool:
    """Whether any problem is more than a warning."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def blocked(objects: Objects) -> list[Problem]:
    """What this version describes and does not run: valid, and still a reason not to start."""
    found = []
    for document, one in objects.all():
        problems = Problems()
        if isinstance(one, EventBus):
            problems.extend(bus_validation.not_run(one))
        elif isinstance(one, EventSource):
            problems.extend(validation.not_run(one))
        else:
            problems.at("spec").extend(sensor_validation.not_run(one.spec))
        found += [document.located(problem) for problem in problems]
    return found


async def run(options: Options, objects: Objects) -> int:
    """Run until a signal; the exit code. UserError for what its user can cure."""
    if not (objects.sources or objects.sensors or options.watch):
        where = ", ".join(map(str, options.paths))
        raise UserError("there is no EventSource and no Sensor: nothing to run", path=where)
    log = Log("run")
    process = Process(
        Metrics(options.version),
        log,
        grace=options.grace,
        metrics_port=options.metrics_port,
        address=options.address,
    )
    with DataDirectory(options.data) as data:
        process.at_once = data.forget
        clients = Clients(Credentials([data.credentials, *options.roots]), _kube(options), limits=script_limits())
        http = HttpServers(HttpSettings(address=options.address))
        running = Running(process, clients, http, data.path, _surroundings(options, clients.credentials))

        async def work(process: Process) -> None:
            try:
                await _check(options, objects)
                data.keep(objects.values)
                await running.apply(objects)
                await _announce(objects, options, process)
                process.started()
                await _until_stopped(options, objects, running, data, process)
            finally:
                try:
                    await running.aclose()
                finally:
                    await http.aclose()
                    await clients.aclose()

        return await process.run(work)


# ---- before anything starts


async def _check(options: Options, objects: Objects) -> None:
    """What a file alone does not show: ports that are taken, a kubeconfig that cannot be used. UserError."""
    taken: list[Problem] = []
    tried: dict[str, OSError | None] = {}
    for key, path, spec in _endpoints(objects):
        if spec.port not in tried:
            tried[spec.port] = ports.can_bind(options.address, int(spec.port))
        if (error := tried[spec.port]) is not None:
            document = objects.places["EventSource", key]
            reason = error.strerror or str(error)
            cure = f"choose another port, or stop what listens there (ss -ltnp 'sport = :{spec.port}' names it)"
            where = f"{options.address or '*'}:{spec.port}"
            problem = Problem(join(path, "port"), f"cannot listen on {where}: {reason}", cure)
            taken.append(document.located(problem))
    if taken:
        raise UserError("\n".join(map(str, taken)))
    if options.kubeconfig is not None and not options.dry_run:
        from events.kube.client import KubeClient

        client = KubeClient(str(options.kubeconfig))
        try:
            await client.open()
        finally:
            await client.aclose()


def _endpoints(objects: Objects) -> Iterator[tuple[Key, str, WebhookSpec]]:
    for key, source in objects.sources.items():
        for path, spec in validation.endpoints(source):
            yield key, path, spec


# ---- while it runs


async def _until_stopped(
    options: Options, objects: Objects, running: Running, data: DataDirectory, process: Process
) -> None:
    if not options.watch:
        await process.stopping.wait()
        return
    seen = objects.seen
    while not process.stopping.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await process.stopping.wait()
        now = await asyncio.to_thread(_fingerprint, options)
        if now != seen and not process.stopping.is_set():
            seen = now
            objects = await _reload(options, objects, running, data, process)


async def _reload(
    options: Options, current: Objects, running: Running, data: DataDirectory, process: Process
) -> Objects:
    """Take changed files, unless they have problems: then what runs goes on as it is. The objects that count now."""
    log = process.log
    try:
        objects, problems = await asyncio.to_thread(load, options)
        problems += blocked(objects)
        for problem in problems:
            (log.error if problem.severity is Severity.ERROR else log.warning)(str(problem))
        if refused(problems):
            log.error("The changed files are not used; what runs goes on")
            return current
        data.keep({**current.values, **objects.values})  # what still runs keeps what it uses
        await running.apply(objects)
        data.keep(objects.values)
    except UserError as error:
        log.error("The changed files cannot be used; what runs goes on", reason=str(error))
        return current
    log.info("Reloaded", eventSources=len(objects.sources), sensors=len(objects.sensors))
    await _announce(objects, options, process)
    return objects


def _fingerprint(options: Options) -> Fingerprint:
    """What tells that a file was changed, added or removed."""
    found: Fingerprint = {}
    for path in options.paths:
        with contextlib.suppress(UserError):  # said by whoever loads it
            for file in documents.files([path], options.data):
                with contextlib.suppress(OSError):
                    stat = file.stat()
                    found[file] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


async def _announce(objects: Objects, options: Options, process: Process) -> None:
    """The endpoints that can be called, once they listen; a source that cannot says so itself."""
    await asyncio.sleep(0)  # what was just started says what it waits for when it first runs
    endpoints = list(_endpoints(objects))
    parts = {key: f"event source {key} " for key, _, _ in endpoints}
    waiting = [name for name in process.readiness.reasons if name.startswith(tuple(parts.values()))]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LISTEN_SECONDS):
            await process.readiness.until_ready(waiting)
    for key, path, spec in endpoints:
        event = path.split(".")[2]
        if parts[key] + event in process.readiness.reasons:
            continue
        scheme = "https" if spec.server_cert_secret else "http"
        host = options.address if options.address not in ("", "127.0.0.1") else "localhost"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{spec.port}{spec.endpoint}"
        process.log.info("Listening", url=url, method=spec.method, eventSource=f"{key.name}/{event}")


def _surroundings(options: Options, credentials: Credentials) -> Surroundings:
    kubeconfig = options.kubeconfig if not options.dry_run else None
    return Surroundings(
        [str(root.absolute()) for root in credentials.roots],
        options.grace,
        logs.level(),
        options.address,
        None if kubeconfig is None else str(kubeconfig.absolute()),
    )


def _kube(options: Options) -> Callable[[], KubeApi] | None:
    """How to make the Kubernetes API that was asked for; imported only then."""
    if options.dry_run:
        from events.kube.dry_run import DryRunKube

        return lambda: DryRunKube(sys.stdout)
    if options.kubeconfig is not None:
        from events.kube.client import KubeClient

        return lambda: KubeClient(str(options.kubeconfig))
    return None
