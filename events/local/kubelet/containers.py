"""One container of a pod: started, probed, started again with growing pauses, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from events.local.kubelet import container_log, engines, environment, hooks, images, probes, processes, restarts, states
from events.local.kubelet.container_log import Writer
from events.local.kubelet.engines import Engine
from events.local.kubelet.images import Images, PullError
from events.local.kubelet.lives import Life
from events.local.kubelet.probes import Prober
from events.local.kubelet.processes import MARK, Launch, Mount, StartError
from events.local.kubelet.records import Record, restore_in_place
from events.local.kubelet.runtimes import Runtime
from events.local.kubelet.settings import Settings
from events.local.kubelet.states import ContainerState
from events.local.kubelet.unmounted import Unmounted
from events.local.kubelet.volumes import VolumeError, Volumes

Object = dict[str, Any]

_MESSAGE_PATH = "/dev/termination-log"
_MESSAGE_BYTES, _MESSAGE_LINES = 4096, 80
_START_CODE = 128
_NO_IMAGE = "ErrImagePull"
_PREPARE_FIRST = 2.0
_WORDS = ("command", "args")


class Home(Protocol):
    """What the containers of a pod share. Contract between a pod and its containers."""

    settings: Settings
    images: Images
    namespace: str
    processes: Runtime
    engine: Engine | None
    pod: Object
    folder: Path
    address: str
    mark: str
    volumes: Volumes
    starting: asyncio.Semaphore
    """How many may start at once."""

    async def environment(self, container: Object, *, is_contained: bool = False) -> dict[str, str]:
        """Contained, it has nothing of the machine. Raises ConfigError."""

    def extra_mounts(self) -> list[Mount]:
        """What every container sees, such as the names of services."""

    def changed(self) -> None:
        """A state is another: the status is to be written."""

    def event(self, kind: str, reason: str, message: str) -> None:
        """Say it on the pod."""


def now_text() -> str:
    """As times stand in a status."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Container:
    """Its owner awaits `run` and calls `stop`."""

    def __init__(self, spec: Object, home: Home, policy: str) -> None:
        self.spec, self._home, self._policy = spec, home, policy
        self.name: str = spec["name"]
        self.state = ContainerState(self.name, spec.get("image") or "")
        self.life: Life | None = None
        self.was_interrupted = False
        """The node ended while it ran: nobody knows how it would have ended."""
        self._record = Record(home.folder / "containers" / f"{self.name}.json")
        self._stopping = asyncio.Event()
        self._env: dict[str, str] = {}
        self.runtime: Runtime = home.processes
        self._unmounted: Unmounted | None = None
        """Where nothing can be mounted: how it is told of its mounts."""

    # ---- its past

    def restore(self) -> None:
        """Go on with what the last node knew of it."""
        found = self._record.load()
        if found is None:
            return
        self.was_interrupted = restore_in_place(self.state, found)
        if self.state.is_running:
            since = self.state.state["running"]["startedAt"]
            self.state.state = states.terminated(
                states.UNKNOWN_CODE,
                started=since,
                finished=now_text(),
                container_id=self.state.container_id,
                reason="ContainerStatusUnknown",
                message="the node ended while the container ran",
            )

    @property
    def is_done(self) -> bool:
        """It has ended and will not run again."""
        code = self.state.exit_code
        return code is not None and not self._is_wanted(code)

    def _is_wanted(self, code: int) -> bool:
        if self.was_interrupted and self._policy != "Never":
            return True
        return restarts.is_wanted(self._policy, code, self.spec.get("restartPolicyRules") or ())

    def log_path(self, number: int) -> Path:
        """The log of its nth life."""
        return self._home.folder / "logs" / self.name / f"{number}.log"

    # ---- its lives

    async def run(self) -> None:
        """Until it has ended and is not to run again, or was told to stop."""
        settings = self._home.settings
        pauses = restarts.Backoff(settings.backoff_first, settings.backoff_most)
        if self.state.exit_code is not None:
            if self.is_done:
                return
            self._again()
        while not self._stopping.is_set():
            launch = await self._prepared()
            if launch is None:
                return
            ran = await self._live(launch)
            if self._stopping.is_set() or self.is_done:
                return
            await self._pause(pauses.next(ran))

    async def _pause(self, seconds: float) -> None:
        metadata = self._home.pod["metadata"]
        if seconds:
            pod = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
            text = f"back-off {restarts.shown(seconds)} restarting failed container={self.name} pod={pod}"
            ended = self.state.state
            self._set({"waiting": {"reason": "CrashLoopBackOff", "message": text}}, last=ended)
            self._home.event("Warning", "BackOff", f"Back-off restarting failed container {self.name} in pod {pod}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
            if self._stopping.is_set():
                self._set(ended)
                return
        self._again()

    def _again(self) -> None:
        if "terminated" in self.state.state:
            self.state.last = self.state.state
        self.state.restarts += 1
        container_log.remove(self.log_path(self.state.restarts - 2))

    async def _prepared(self) -> Launch | None:
        """What to start, once everything for it is there; None when it is to stop before."""
        pauses = restarts.Backoff(_PREPARE_FIRST, self._home.settings.backoff_most)
        pauses.next(0)
        reasons = {PullError: _NO_IMAGE, environment.ConfigError: "CreateContainerConfigError"}
        while not self._stopping.is_set():
            try:
                return await self._prepare()
            except (PullError, environment.ConfigError, VolumeError) as error:
                reason = reasons.get(type(error), "CreateContainerError")
                self._wait(reason, str(error))
                text = f"Failed to pull image: {error}" if reason == _NO_IMAGE else f"Error: {error}"
                self._home.event("Warning", "Failed", text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pauses.next(0)):
                    await self._stopping.wait()
            if reason == _NO_IMAGE and not self._stopping.is_set():
                self._wait("ImagePullBackOff", f'Back-off pulling image "{self.state.image}"')
        return None

    def _wait(self, reason: str, message: str) -> None:
        self._set({"waiting": {"reason": reason, "message": message}})

    def _mark(self) -> str:
        return f"{self._home.mark}/{self.name}/{self.state.restarts}/"

    async def _prepare(self) -> Launch:
        home, spec = self._home, self.spec
        if home.engine is not None and not home.images.has(self.state.image):
            self.runtime = home.engine
            return await self._prepare_real(home.engine)
        chosen = home.images.choose(spec)
        own = await home.environment(spec)
        env = {name: environment.expand(value, own) for name, value in chosen.env.items()} | own
        if chosen.folder:
            env["PATH"] = f"{chosen.folder}:{env.get('PATH', '')}"
        env[MARK] = self._mark()
        work = home.folder / "work" / self.name
        work.mkdir(parents=True, exist_ok=True)
        env.setdefault("HOME", str(work))
        mounts = [*home.extra_mounts(), *home.volumes.mounts(spec, env), self._message_mount()]
        keep = [str(home.settings.data.resolve()), *home.settings.keep]
        if not home.namespace:
            self._unmounted = Unmounted(mounts, keep, home.folder / "unmounted" / self.name)
            self._unmounted.lay_out()
            env = self._unmounted.environment(env, home.settings.environ)
            mounts = []
        self._env = env
        launch = self._launch([environment.expand(word, env) for word in chosen.argv], tty=bool(spec.get("tty")))
        images.check_program(replace(chosen, argv=launch.argv), self.state.image, env.get("PATH", ""))
        root = home.folder / "root"
        root.mkdir(exist_ok=True)
        launch = replace(launch, namespace=home.namespace, root=str(root), mounts=mounts, keep=keep)
        inner = home.images.inner if home.namespace else {}
        return replace(launch, stdin=bool(spec.get("stdin")), inner=inner)

    async def _prepare_real(self, engine: Engine) -> Launch:
        """A container with an image of its own, which has nothing of the machine but what it mounts."""
        home, spec = self._home, self.spec
        if said := await engine.fetch(self.state.image, spec.get("imagePullPolicy") or ""):
            home.event("Warning", "Failed", said)
        self._env = env = await home.environment(spec, is_contained=True)
        command, arguments = ([environment.expand(one, env) for one in spec.get(key) or ()] for key in _WORDS)
        return Launch(
            [*command, *arguments],
            env,
            spec.get("workingDir") or "",
            mounts=[*home.extra_mounts(), *home.volumes.mounts(spec, env), self._message_mount()],
            tty=bool(spec.get("tty")),
            mark=self._mark(),
            image=self.state.image,
            has_command=bool(command),
            options=engines.options(home.pod["spec"], spec),
            stdin=bool(spec.get("stdin")),
        )

    def _launch(self, argv: Sequence[str], *, tty: bool) -> Launch:
        """A process with the container's environment, in its working folder."""
        if self.runtime is not self._home.processes:
            return Launch(argv, self._env, self.spec.get("workingDir") or "", tty=tty)
        cwd = self.spec.get("workingDir") or str(self._home.folder / "work" / self.name)
        if self._unmounted is None:
            return Launch(argv, self._env, cwd, tty=tty)
        return Launch(self._unmounted.argv(argv), self._env, self._unmounted.text(cwd), tty=tty)

    def _message_mount(self) -> Mount:
        file = self._message_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
        return Mount(str(file), self.spec.get("terminationMessagePath") or _MESSAGE_PATH)

    def _message_file(self) -> Path:
        return self._home.folder / "containers" / f"{self.name}.message"

    async def _live(self, launch: Launch) -> float:
        """One life, from start to end; the seconds it lasted."""
        loop = asyncio.get_running_loop()
        began, started = loop.time(), now_text()
        self.state.container_id = f"{self.runtime.scheme}://{uuid.uuid4().hex}"
        writer = Writer(self.log_path(self.state.restarts), time.time_ns)
        mark = self._mark()
        try:
            async with self._home.starting:
                life = await Life.start(self.runtime, launch, mark, writer)
        except StartError as error:
            writer.close()
            self._home.event("Warning", "Failed", f"Error: failed to start container {self.name}: {error}")
            self._ended(_START_CODE, "", "StartError", f"failed to start container: {error}")
            return 0.0
        self.life, self.was_interrupted = life, self._stopping.is_set()
        if self._stopping.is_set():  # while it was being started, when there was nothing to stop yet
            await life.signal(signal.SIGKILL)
        self.state.started = not self.spec.get("startupProbe")
        self.state.ready = self.state.started and not self.spec.get("readinessProbe")
        self._set({"running": {"startedAt": started}})
        self._home.event("Normal", "Started", f"Started container {self.name}")
        async with self._watched(life):
            code = await life.wait()
        self.life = None
        self._ended(code, started, "", self._message(code))
        return loop.time() - began

    @contextlib.asynccontextmanager
    async def _watched(self, life: Life) -> AsyncIterator[None]:
        """Hooks and probes, while it lives."""
        watching = asyncio.create_task(self._watch(life), name=f"probes of {life.mark}")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _ended(self, code: int, started: str, reason: str, message: str) -> None:
        self.state.ready = self.state.started = False
        ended = states.terminated(
            code,
            started=started or now_text(),
            finished=now_text(),
            container_id=self.state.container_id,
            reason=reason,
            message=message,
        )
        self._set(ended)

    def _message(self, code: int) -> str:
        """What the container left as its last word."""
        with contextlib.suppress(OSError):
            if text := self._message_file().read_bytes()[-_MESSAGE_BYTES:]:
                return text.decode("utf-8", "replace")
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            return container_log.last_lines(self.log_path(self.state.restarts), _MESSAGE_LINES, 2048)
        return ""

    def _set(self, state: Object, last: Object | None = None) -> None:
        self.state.state = state
        if last is not None and "terminated" in last:
            self.state.last = last
        pid = self.life.pid if self.life else 0
        self._record.save(
            self.state,
            pid=pid,
            start=processes.start_time(pid) if pid else "",
            was_interrupted=self.was_interrupted,
        )
        self._home.changed()

    # ---- while it lives

    async def _watch(self, life: Life) -> None:
        began = asyncio.get_running_loop().time()
        lifecycle = self.spec.get("lifecycle") or {}
        if lifecycle.get("postStart"):
            said = await hooks.run(lifecycle["postStart"], self.spec, self._home.address, self.run_inside)
            if said:
                self._home.event("Warning", "FailedPostStartHook", said)
                await self.end(life, self._grace())
                return
        startup = self.spec.get("startupProbe")
        if startup and not await self._probe(life, "Startup", startup, began, is_once=True):
            return
        self.state.started = True
        self.state.ready = not self.spec.get("readinessProbe")
        self._home.changed()
        kinds = [(kind, self.spec.get(f"{kind.lower()}Probe")) for kind in ("Readiness", "Liveness")]
        async with asyncio.TaskGroup() as group:
            for kind, spec in kinds:
                if spec:
                    group.create_task(self._probe(life, kind, spec, began))

    async def _probe(self, life: Life, kind: str, spec: Object, began: float, *, is_once: bool = False) -> bool:
        """Look again and again; with `is_once` until it passes. False when the container was killed for it.

        The delay counts from `began`, when the container was started.
        """
        prober = Prober(spec)
        await asyncio.sleep(began + prober.delay - asyncio.get_running_loop().time())
        while True:
            good, why = await probes.look(spec, self.spec, self._home.address, self.run_inside, prober.timeout)
            decided = prober.saw(is_success=good, message=why)
            if not good:
                self._home.event("Warning", "Unhealthy", f"{kind} probe failed: {why}")
            if decided and kind == "Readiness":
                self.state.ready = good
                self._home.changed()
            elif decided and not good:
                text = f"Container {self.name} failed {kind.lower()} probe, will be restarted"
                self._home.event("Normal", "Killing", text)
                await self.end(life, float(spec.get("terminationGracePeriodSeconds") or self._grace()))
                return False
            if good and is_once and prober.passed:
                return True
            await asyncio.sleep(prober.period)

    def _grace(self) -> float:
        found = self._home.pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if found is None else float(found)

    async def run_inside(self, argv: list[str], seconds: float) -> tuple[int, str]:
        """Run a command beside the container's own process: its exit code and output."""
        process = await self.runtime.start(
            self.launch_inside(argv, tty=False),
            stdin=None,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                processes.signal_group(process.pid, signal.SIGKILL)
                await process.wait()
        return process.returncode or 0, out.decode("utf-8", "replace")

    def launch_inside(self, argv: list[str], *, tty: bool) -> Launch:
        """Another process with the container's environment and files. Raises StartError when it does not run."""
        life = self.life
        if life is None:
            raise StartError(f"container {self.name} is not running")
        launch = self._launch(argv, tty=tty)
        env = self._env | ({"TERM": "xterm"} if tty else {})
        return replace(launch, env=env, join=life.pid if self._home.namespace else 0, mark=life.mark, is_beside=True)

    # ---- its end

    async def stop(self, grace: float, *, by_node: bool = False) -> None:
        """For good: hook, SIGTERM, and SIGKILL once `grace` seconds are over. Returns when it has ended."""
        self.was_interrupted = self.was_interrupted or (by_node and self.life is not None)
        self._stopping.set()
        if life := self.life:
            await self.end(life, grace)

    async def end(self, life: Life, grace: float) -> None:
        """The end of this life."""
        end = asyncio.get_running_loop().time() + grace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                hook = (self.spec.get("lifecycle") or {}).get("preStop")
                if hook and (said := await hooks.run(hook, self.spec, self._home.address, self.run_inside)):
                    self._home.event("Warning", "FailedPreStopHook", said)
                await life.signal(signal.SIGTERM)
                await life.ended.wait()
                return
        await life.signal(signal.SIGKILL)
        await life.ended.wait()
