"""One pod on this node, from the moment it is bound to it until it is gone from the API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events.backoff import Endless
from events.errors import ActionError, KeryxError
from events.kube import patches
from events.kube.api import KubeError
from events.local.kubelet import environment, hosts, states
from events.local.kubelet.addresses import HOST
from events.local.kubelet.containers import Container, now_text
from events.local.kubelet.images import Images
from events.local.kubelet.processes import Mount
from events.local.kubelet.runtimes import Runtime
from events.local.kubelet.settings import Settings
from events.local.kubelet.sources import Authorities, NodeApi, Sources
from events.local.kubelet.volumes import VolumeError, Volumes

Object = dict[str, Any]

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a path
_HOSTS_PATH = "/etc/hosts"
_PORTS = "LocalhostPorts"
_LAST_WORD_SECONDS = 5.0
_REPORT_PAUSE = 0.1
_FORCED_SECONDS = 2.0
_OVER = ("Succeeded", "Failed")
_NO_MOUNTS = (
    "no mount namespaces: paths of volumes in command, args and env are told as what they are on this machine; "
    "programs find others below KERYX_ROOT"
)
_INTERRUPTED = "the node was stopped, or ended, while the pod ran"


@dataclass(frozen=True)
class Parts:
    """What all pods of a node share."""

    settings: Settings
    api: NodeApi
    images: Images
    namespace: str
    processes: Runtime
    mark: str
    services: Callable[[], list[Object]]
    starting: asyncio.Semaphore
    authorities: Authorities
    event: Callable[[Object, str, str, str], None]


class PodWorker:
    """Keeps the contract `containers.Home`. Its owner awaits `run`, and calls `update` and `halt`."""

    def __init__(self, pod: Object, address: str, parts: Parts, host_names: str) -> None:
        self._parts, self.settings, self.images = parts, parts.settings, parts.images
        self.namespace, self.processes, self.engine = parts.namespace, parts.processes, parts.settings.engine
        self.starting = parts.starting
        self.pod, self.address = pod, address
        self.uid: str = pod["metadata"]["uid"]
        self.mark = f"{parts.mark}/{self.uid}"
        self.folder: Path = parts.settings.data / "pods" / self.uid
        self._sources = Sources(parts.api, pod["metadata"]["namespace"], parts.authorities)
        self.volumes = Volumes(pod, self.folder / "volumes", self._sources)
        spec = pod["spec"]
        policy = spec.get("restartPolicy") or "Always"
        self._inits = [Container(one, self, self._init_policy(one, policy)) for one in spec.get("initContainers") or ()]
        self._mains = [Container(one, self, one.get("restartPolicy") or policy) for one in spec["containers"]]
        self._since = (pod.get("status") or {}).get("startTime") or now_text()
        self._status: Object = dict(pod.get("status") or {})
        self._is_initialized = self._is_over = self._was_over = False
        self._failure: tuple[str, str] = ("", "")
        self._extra: dict[str, Object] = {}
        self._dirty, self._written, self._turned = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._deleted, self._urgent = asyncio.Event(), asyncio.Event()
        self._sidecars: dict[Container, asyncio.Task[None]] = {}
        self._stopping = self._is_halted = self._gone = False
        self._host_names = host_names

    @staticmethod
    def _init_policy(container: Object, policy: str) -> str:
        if own := container.get("restartPolicy"):  # Always: a sidecar
            return str(own)
        return "Never" if policy == "Never" else "OnFailure"

    # ---- what others ask

    def container(self, name: str) -> Container | None:
        """By name."""
        return next((one for one in (*self._mains, *self._inits) if one.name == name), None)

    def update(self, pod: Object) -> None:
        """The pod as it is in the API now: marked for deletion, perhaps; our own part of its status is newer here."""
        ours = {one["type"]: one for one in self._status.get("conditions") or ()}
        theirs = [one for one in (pod.get("status") or {}).get("conditions") or () if one["type"] not in ours]
        self.pod = pod | {"status": self._status | {"conditions": [*ours.values(), *theirs]}}
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()
        elif pod["spec"].get("readinessGates"):
            self.changed()

    def vanished(self) -> None:
        """It is no longer in the API."""
        self._gone = True
        self._deleted.set()

    def say_port(self, text: str) -> None:
        """Which of its ports localhost does not lead to, and why."""
        status = "False" if text else "True"
        self.condition(_PORTS, status, "PortTaken" if text else "Forwarded", text)
        if text:
            self.event("Warning", "PortTaken", text)

    def said_of_ports(self) -> str:
        """What its condition says, perhaps since an earlier node."""
        known = (self.pod.get("status") or {}).get("conditions") or ()
        found = (one for one in known if one["type"] == _PORTS and one["status"] == "False")
        return next((str(one.get("message", "")) for one in found), "")

    def condition(self, kind: str, status: str, reason: str, message: str) -> None:
        """One of our own, beside those that every pod has."""
        self._extra[kind] = states.condition(kind, status, reason, message)
        self.changed()

    def changed(self) -> None:
        self._dirty.set()
        self._turned.set()

    def event(self, kind: str, reason: str, message: str) -> None:
        self._parts.event(self.pod, kind, reason, message)

    async def environment(self, container: Object, *, is_contained: bool = False) -> dict[str, str]:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        lookups = await self._lookups(container)
        found = {} if is_contained else dict(self.settings.environ)
        found |= {"HOSTNAME": spec.get("hostname") or metadata["name"]}
        host, _, port = self.settings.server.removeprefix("https://").rpartition(":")
        found |= {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
        }
        found |= {"KERYX_POD_IP": self.address, "POD_IP": self.address}
        if not is_contained:
            found |= self._of_the_machine(container)
        if spec.get("enableServiceLinks") is not False:
            services = [one for one in self._parts.services() if one["metadata"]["name"] != "kubernetes"]
            found |= environment.of_services(services, metadata["namespace"])
        return environment.of_container(self.pod, container, found, lambda kind, name: lookups.get((kind, name)))

    def _of_the_machine(self, container: Object) -> dict[str, str]:
        """Where a process finds on it what a container has in itself."""
        found = {"KERYX_HOSTS": str(self._hosts_file())}
        for volume in self.pod["spec"].get("volumes") or ():
            if place := self.volumes.place(volume["name"]):
                found[f"KERYX_VOLUME_{volume['name'].upper().replace('-', '_').replace('.', '_')}"] = str(place)
        if self._token_folder(container) is not None:
            found["KUBECONFIG"] = str(self.folder / "kubeconfig")
        return found

    async def _lookups(self, container: Object) -> Mapping[tuple[str, str], Object | None]:
        wanted: set[tuple[str, str]] = set()
        for source in container.get("envFrom") or ():
            wanted |= {(kind, source[key].get("name") or "") for key, kind in _FROM.items() if source.get(key)}
        for one in container.get("env") or ():
            value = one.get("valueFrom") or {}
            wanted |= {(kind, value[key].get("name") or "") for key, kind in _FROM_KEY.items() if value.get(key)}
        return {(kind, name): await self._find(kind, name) for kind, name in wanted}

    async def _find(self, kind: str, name: str) -> Object | None:
        try:
            return await self._sources.find(kind, name)
        except ActionError as error:
            raise environment.ConfigError(f"{kind} {name} cannot be read: {error}") from error

    def extra_mounts(self) -> list[Mount]:
        return [Mount(str(self._hosts_file()), _HOSTS_PATH)]

    # ---- files of its own

    def _hosts_file(self) -> Path:
        return self.folder / "hosts"

    def write_hosts(self, text: str) -> None:
        """The names of services have changed. In place: containers see this very file."""
        self._host_names = text
        if self.folder.is_dir() and not self._is_over:
            lines = hosts.of_pod(self.pod, self.address)
            with contextlib.suppress(OSError):
                self._hosts_file().write_text(text + "\n".join(lines) + "\n")

    def _token_folder(self, container: Object) -> Path | None:
        mounts = container.get("volumeMounts") or ()
        names = [str(one["name"]) for one in mounts if one["mountPath"].rstrip("/") == TOKEN_PATH]
        return self.volumes.place(names[0]) if names else None

    def _write_kubeconfig(self) -> None:
        containers = [one.spec for one in (*self._mains, *self._inits)]
        folder = next((found for one in containers if (found := self._token_folder(one))), None)
        if folder is None:
            return
        authority = self.folder / "ca.crt"
        authority.write_bytes(self.settings.authority)
        cluster = {"server": self.settings.server, "certificate-authority": str(authority)}
        context = {"cluster": "keryx", "user": "pod", "namespace": self.pod["metadata"]["namespace"]}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "keryx", "cluster": cluster}],
            "users": [{"name": "pod", "user": {"tokenFile": str(folder / "token")}}],
            "contexts": [{"name": "keryx", "context": context}],
            "current-context": "keryx",
        }
        (self.folder / "kubeconfig").write_text(json.dumps(config))

    # ---- its life

    async def run(self) -> None:
        """Until it is gone from the API; returns early when the node stops (`halt`)."""
        self._was_over = self._is_over = self._status.get("phase") in _OVER
        self._begin()
        reporting = asyncio.create_task(self._report(), name=f"status of {self.uid}")
        working = asyncio.create_task(self._work(), name=f"pod {self.uid}")
        deleted = asyncio.create_task(self._deleted.wait())
        try:
            await asyncio.wait({working, deleted}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            await deleted
            if self._is_halted:
                await working
            else:
                await self._end(working)
        finally:
            for task in (working, reporting, deleted):
                task.cancel()
            await asyncio.gather(working, reporting, deleted, return_exceptions=True)

    def _begin(self) -> None:
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        self._status |= {"podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": HOST}
        self.update(self.pod)
        self.write_hosts(self._host_names)
        for one in (*self._inits, *self._mains):
            one.restore()
        if not self.namespace and any(one.spec.get("volumeMounts") for one in self._mains):
            self._extra["VolumesMounted"] = states.condition("VolumesMounted", "False", "NoMountNamespace", _NO_MOUNTS)

    async def _work(self) -> None:
        lost = [one for one in (*self._inits, *self._mains) if one.was_interrupted and one.is_done]
        if self._was_over:
            return
        if lost:
            self._failure = ("Terminated", _INTERRUPTED)
            self._extra["DisruptionTarget"] = states.condition(
                "DisruptionTarget", "True", "TerminationByKubelet", _INTERRUPTED
            )
            self._finish()
            return
        watching = asyncio.create_task(self._deadline())
        refreshing = asyncio.create_task(self._refresh())
        try:
            if await self._volumes_ready() and await self._initialize():
                await self._run_mains()
        finally:
            for task in (watching, refreshing):
                task.cancel()
            await asyncio.gather(watching, refreshing, return_exceptions=True)

    async def _volumes_ready(self) -> bool:
        pauses = Endless(0.5, 10)
        while not self._stopping and not self._deleted.is_set():
            try:
                await self.volumes.prepare(self.pod)
                self._write_kubeconfig()
            except (VolumeError, ActionError, OSError) as error:
                self.event("Warning", "FailedMount", f"MountVolume.SetUp failed: {error}")
                for one in (*self._inits, *self._mains):
                    one.state.state = states.kept_waiting(str(error))
                self.changed()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pauses.next()):
                        await self._deleted.wait()
            else:
                return True
        return False

    async def _initialize(self) -> bool:
        """Whether all init containers have done their part."""
        for one in self._inits:
            if self._stopping:
                return False
            if states.is_sidecar(one.spec):
                self._sidecars[one] = asyncio.create_task(one.run(), name=f"sidecar {one.name}")
                await self._until(lambda one=one: one.state.started and one.state.is_running)  # type: ignore[misc]
                continue
            if one.state.exit_code != 0:
                await one.run()
            if one.state.exit_code != 0:
                if not self._stopping:
                    await self._stop_sidecars(_FORCED_SECONDS)
                    self._finish()
                return False
        self._is_initialized = True
        self.changed()
        return not self._stopping

    async def _until(self, is_so: Callable[[], bool]) -> None:
        """Returns once it is so, or the pod is to stop."""
        while not (is_so() or self._stopping):
            self._turned.clear()
            await self._turned.wait()

    async def _run_mains(self) -> None:
        async with asyncio.TaskGroup() as group:
            for one in self._mains:
                group.create_task(one.run(), name=f"container {one.name}")
        if not self._stopping or self._failure[0]:
            await self._stop_sidecars(self._grace())
            self._finish()

    async def _stop_sidecars(self, grace: float) -> None:
        for one, task in reversed(list(self._sidecars.items())):
            await one.stop(grace)
            await task

    def _finish(self) -> None:
        self._is_over = True
        self._urgent.set()
        self.changed()

    async def _deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds:
            await asyncio.sleep(float(seconds))
            self._failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            self.event("Normal", "DeadlineExceeded", self._failure[1])
            await self._stop_all(self._grace())
            self._finish()

    async def _refresh(self) -> None:
        """Follow config maps, secrets, and tokens that expire."""
        while True:
            await asyncio.sleep(self.settings.refresh_seconds)
            if self.volumes.is_live:
                with contextlib.suppress(KeryxError, OSError):  # the old content stays; it is tried again
                    await self.volumes.prepare(self.pod)

    def _grace(self) -> float:
        found = self.pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if found is None else float(found)

    async def _stop_all(self, grace: float, *, by_node: bool = False) -> None:
        self._stopping = True
        self._turned.set()
        async with asyncio.TaskGroup() as group:
            for one in (*self._mains, *(one for one in self._inits if one not in self._sidecars)):
                group.create_task(one.stop(grace, by_node=by_node))
        for one in reversed(list(self._sidecars)):
            await one.stop(grace, by_node=by_node)

    async def halt(self) -> None:
        """The node stops: containers end, and go on when the node is there again."""
        self._is_halted = True
        if not self._is_over:
            await self._stop_all(min(self._grace(), self.settings.stop_seconds), by_node=True)
        self._stopping = self._is_halted = True
        self._deleted.set()

    async def _end(self, working: asyncio.Task[None]) -> None:
        """It was deleted: stop, say how it ended, let go of everything."""
        metadata = self.pod["metadata"]
        grace = metadata.get("deletionGracePeriodSeconds")
        seconds = _FORCED_SECONDS if self._gone or not grace else float(grace)
        if not self._is_over:
            self.event("Normal", "Killing", "Stopping the containers of the pod")
        await self._stop_all(seconds)
        await asyncio.wait({working})
        if not self._gone:
            if not self._was_over:
                self._finish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_SECONDS):
                    await self._written.wait()
            await self._remove()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _remove(self) -> None:
        metadata, pauses = self.pod["metadata"], Endless(0.2, 10)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while not self._gone:
            try:
                pods = await self._parts.api.resource("v1", "Pod")
                await self._parts.api.delete(pods, metadata["name"], namespace=metadata["namespace"], options=options)
                return
            except KubeError as error:
                if error.status in (404, 409):
                    return
            except ActionError:
                pass
            await asyncio.sleep(pauses.next())

    # ---- what is said of it

    def status(self) -> Object:
        """As it is now."""
        known = {one.name: one.state for one in (*self._inits, *self._mains)}
        waits = any(one.state.exit_code != 0 and not states.is_sidecar(one.spec) for one in self._inits)
        if waits and not self._is_initialized:
            for one in self._mains:
                if one.state.state == states.WAITING:
                    one.state.state = dict(states.INITIALIZING)
        overall = states.Overall(
            self.address,
            HOST,
            self._since,
            self._is_initialized or not self._inits,
            self._is_over,
            bool(self._failure[0]) and self._is_over,
            *self._failure,
            extra=tuple(self._extra.values()),
        )
        return states.pod_status(self.pod, known, overall, now_text())

    async def _report(self) -> None:
        """Write the status whenever it changes. What was said of one that had ended stays."""
        pauses, metadata = Endless(0.1, 10), self.pod["metadata"]
        if self._was_over:
            self._written.set()
            return
        self.changed()
        while True:
            await self._dirty.wait()
            with contextlib.suppress(TimeoutError):  # short lives have several changes at once
                async with asyncio.timeout(_REPORT_PAUSE):
                    await self._urgent.wait()
            self._dirty.clear()
            self._written.clear()
            status = self.status()
            self._status = status
            self.update(self.pod)
            body = {"metadata": {"uid": self.uid}, "status": status}
            try:
                pods = await self._parts.api.resource("v1", "Pod")
                await self._parts.api.patch(
                    pods,
                    metadata["name"],
                    body,
                    content_type=patches.MERGE,
                    namespace=metadata["namespace"],
                    status=True,
                )
            except KubeError as error:
                if error.status == 404 or (error.status == 409 and "uid" in error.message.lower()):
                    self._written.set()
                    continue
                self._dirty.set()
                await asyncio.sleep(pauses.next())
            except ActionError:
                self._dirty.set()
                await asyncio.sleep(pauses.next())
            else:
                pauses.reset()
                if not self._dirty.is_set():
                    self._written.set()


_FROM = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_FROM_KEY = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}


def pods_on_disk(data: Path) -> list[str]:
    """The uids of pods that have a folder here."""
    with contextlib.suppress(OSError):
        return sorted(os.listdir(data / "pods"))
    return []
