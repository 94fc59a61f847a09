"""The node: follows the pods of the API and has a worker for each of its own. Built by whoever starts it; see `run`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from events.errors import ActionError
from events.kube.informer import Informer
from events.kube.recording import Recorder
from events.local.kubelet import hosts, processes, registration, scheduling
from events.local.kubelet.addresses import Addresses
from events.local.kubelet.containers import now_text
from events.local.kubelet.engines import EngineError
from events.local.kubelet.forking import Forker
from events.local.kubelet.forwarding import Claim, Forwards
from events.local.kubelet.images import Images
from events.local.kubelet.pods import Parts, PodWorker, pods_on_disk
from events.local.kubelet.processes import Launch, StartError
from events.local.kubelet.runtimes import Processes
from events.local.kubelet.settings import Settings
from events.local.kubelet.sources import Authorities, NodeApi
from events.local.kubelet.streams import Streaming
from events.logs import Log

Object = dict[str, Any]

_LABEL = "label"
_HOSTS_PAUSE = 0.05
_BIND_PAUSE = 1.0
_STARTING = 8
"""Containers that are started at once: more would only wait for each other."""
_STOP_SLACK = 5.0


class Node:
    """`run` until cancelled or `stop`; `streaming` is what the API server asks for logs, exec and ports."""

    def __init__(self, api: NodeApi, settings: Settings, log: Log) -> None:
        self._api, self._settings, self._log = api, settings, log
        self._pods = Informer(api, "v1", "Pod", indexes={_LABEL: hosts.labels_of}, log=log)
        self._services = Informer(api, "v1", "Service", log=log)
        self._recorder = Recorder(api, "kubelet", instance=settings.name, log=log)
        self._addresses = Addresses(settings.network)
        self._forwards = Forwards(log)
        small = {file for one in settings.images for file in one.small.values()}
        self._forker = Forker(sorted(small))
        self._processes = Processes(self._forker)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._parts: Parts
        self._names_changed = asyncio.Event()
        self._known_names: dict[str, str] = {}
        self._are_claims_stale = False
        self._to_bind: asyncio.Queue[Object] = asyncio.Queue()
        self._group: asyncio.TaskGroup
        self._is_stopping = False
        self.ready = asyncio.Event()
        self.streaming = Streaming(self._workers, self._forwards)

    @property
    def mark(self) -> str:
        """Tells the processes of this node from those of another one on the machine."""
        return processes.mark_of(self._settings.data)

    async def run(self) -> None:
        """Until `stop` was called and everything has ended. Cancelled, its containers are killed."""
        await self._prepare()
        async with asyncio.TaskGroup() as group:
            self._group = group
            helpers = [group.create_task(work) for work in self._helpers()]
            await registration.register(self._api, self._settings)
            await self._pods.synced()
            await self._services.synced()
            self._pods.subscribe(self._pod_changed)
            self._services.subscribe(self._service_changed)
            self._clean_up()
            self.ready.set()
            await self._stopped.wait()
            for helper in helpers:
                helper.cancel()
        await self._forker.aclose()
        await self._recorder.drain(1.0)

    def _helpers(self) -> Iterable[Any]:
        yield self._pods.run()
        yield self._services.run()
        yield self._recorder.run()
        yield registration.keep_lease(self._api, self._settings)
        yield self._bind_pods()
        yield self._keep_names()
        if self._settings.forward_ports:
            yield self._forwards.run()

    async def _prepare(self) -> None:
        self._stopped = asyncio.Event()
        data = self._settings.data
        data.mkdir(parents=True, exist_ok=True)
        if left := await self._end_all():
            self._log.warning("Ended what an earlier node had left behind", processes=left)
        namespace = await namespaces(data) if self._settings.has_mounts else ""
        if not namespace:
            self._log.warning("No mount namespaces: pods are told where their volumes are instead")
        images = Images(self._settings.images, data / "programs", None if namespace else self._settings.unmounted)
        self._parts = Parts(
            self._settings,
            self._api,
            images,
            namespace,
            self._processes,
            self.mark,
            self._services.all,
            asyncio.Semaphore(_STARTING),
            Authorities(),
            self._recorder.event,  # type: ignore[arg-type]  # its kinds are two texts
        )

    async def _end_all(self) -> int:
        """Real containers first: what stands beside them as processes would only be missed."""
        engine = self._settings.engine
        count = await engine.end(self.mark) if engine else 0
        return count + await self._processes.end(self.mark)

    def _clean_up(self) -> None:
        """Folders of pods that nobody knows any more."""
        known = {one["metadata"]["uid"] for one in self._pods.all()}
        for uid in pods_on_disk(self._settings.data):
            if uid not in known:
                shutil.rmtree(self._settings.data / "pods" / uid, ignore_errors=True)

    async def stop(self) -> None:
        """End all containers; their pods go on when the node is started again."""
        self._is_stopping = True
        with contextlib.suppress(ActionError, TimeoutError):
            async with asyncio.timeout(2):
                await registration.tell(self._api, self._settings, is_ready=False)
        halting = [asyncio.ensure_future(worker.halt()) for worker in self._workers.values()]
        ending = {*halting, *self._tasks.values()}
        if ending:
            _, late = await asyncio.wait(ending, timeout=self._settings.stop_seconds + _STOP_SLACK)
            for task in late:
                self._log.warning("A pod does not end; killing it", task=task.get_name())
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        try:
            await self._end_all()
        except EngineError as error:
            self._log.warning("Containers may be left; `keryx down` ends them", reason=str(error))
        self._stopped.set()

    # ---- pods

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        uid = pod["metadata"]["uid"]
        self._names_changed.set()
        if old is not None and (new is None or old["metadata"]["uid"] != new["metadata"]["uid"]):
            if gone := self._workers.get(old["metadata"]["uid"]):
                gone.vanished()
            if new is None:
                return
        if self._is_stopping:
            return
        if scheduling.is_waiting(pod):
            self._to_bind.put_nowait(pod)
        elif pod["spec"].get("nodeName") == self._settings.name:
            if (worker := self._workers.get(uid)) is not None:
                worker.update(pod)
                self._claim(worker)
            else:
                self._start(pod)

    def _start(self, pod: Object) -> None:
        uid, status = pod["metadata"]["uid"], pod.get("status") or {}
        is_over = status.get("phase") in ("Succeeded", "Failed")
        address = status.get("podIP") or "" if is_over else self._addresses.take(status.get("podIP") or "")
        names = self._names(pod["metadata"]["namespace"])
        worker = self._workers[uid] = PodWorker(pod, address, self._parts, names)
        task = self._tasks[uid] = self._group.create_task(self._care(worker), name=f"pod {uid}")
        task.add_done_callback(lambda _: self._tasks.pop(uid, None))
        self._claim(worker)

    async def _care(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception as error:  # noqa: BLE001 - one pod's misfortune is not the others'
            self._log.exception("A pod met a defect of the node", error, pod=worker.uid)
        finally:
            self._workers.pop(worker.uid, None)
            self._addresses.give_back(worker.address)
            self._forwards.release(worker.uid)

    def _claim(self, worker: PodWorker) -> None:
        """Which ports of localhost are to lead to the pod."""
        pod = worker.pod
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or pod["metadata"].get(
            "deletionTimestamp"
        ):
            self._forwards.release(worker.uid)
            return
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        claims = claims_of(pod, self._services.all(pod["metadata"]["namespace"]))
        self._forwards.claim(worker.uid, name, worker.address, claims, worker.say_port, worker.said_of_ports())

    async def _bind_pods(self) -> None:
        """One after the other, so that they start in the order in which they came."""
        labels = registration.labels(self._settings)
        while True:
            pod = await self._to_bind.get()
            why = scheduling.refusal(pod, self._settings.name, labels)
            try:
                if why:
                    await scheduling.refuse(self._api, pod, why, now_text())
                else:
                    await scheduling.bind(self._api, pod, self._settings.name)
            except ActionError as error:
                self._log.warning("A pod cannot be bound; trying again", pod=pod["metadata"]["name"], reason=str(error))
                asyncio.get_running_loop().call_later(_BIND_PAUSE, self._to_bind.put_nowait, pod)

    # ---- names of services

    def _service_changed(self, _old: Object | None, _new: Object | None) -> None:
        self._are_claims_stale = True
        self._names_changed.set()

    def _names(self, namespace: str) -> str:
        """The names as they were when they changed last."""
        known = self._known_names.get(namespace)
        if known is None:
            server = self._settings.server.removeprefix("https://").rpartition(":")[0]
            services = self._services.all()
            pods = hosts.candidates(services, lambda label: self._pods.by(_LABEL, label))
            own = hosts.lines(services, pods, namespace, server)
            known = hosts.base(_machine_hosts()) + "".join(f"{line}\n" for line in own)
            self._known_names[namespace] = known
        return known

    async def _keep_names(self) -> None:
        written: dict[str, str] = {}
        while True:
            await self._names_changed.wait()
            await asyncio.sleep(_HOSTS_PAUSE)  # many changes come together
            self._names_changed.clear()
            self._known_names.clear()
            if self._are_claims_stale:
                self._are_claims_stale = False
                for worker in list(self._workers.values()):
                    self._claim(worker)
            for uid, worker in list(self._workers.items()):
                text = self._names(worker.pod["metadata"]["namespace"])
                if written.get(uid) != text:
                    written[uid] = text
                    worker.write_hosts(text)
            written = {uid: text for uid, text in written.items() if uid in self._workers}


def claims_of(pod: Object, services: Iterable[Object]) -> list[Claim]:
    """The ports of localhost that a pod's containers and services name; the containers' own come first. Pure."""
    spec, metadata = pod["spec"], pod["metadata"]
    found: dict[int, int] = {}
    named: dict[str, int] = {}
    for container in spec["containers"]:
        for port in container.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                named[port.get("name") or ""] = port["containerPort"]
                found.setdefault(port.get("hostPort") or port["containerPort"], port["containerPort"])
    for service in services:
        wanted = service.get("spec") or {}
        if not hosts.is_selected(pod, wanted.get("selector") or {}, metadata["namespace"]):
            continue
        for port in wanted.get("ports") or ():
            target = port.get("targetPort") or port["port"]
            number = target if isinstance(target, int) else named.get(target)
            if number and port.get("protocol", "TCP") == "TCP":
                found.setdefault(port["port"], number)
    return [Claim(port, target) for port, target in found.items()]


def _machine_hosts() -> str:
    try:
        return Path("/etc/hosts").read_text()
    except OSError:
        return ""


async def namespaces(data: Path) -> str:
    """How containers get a view of the file system of their own: as `root`, by a `user` namespace, or not at all."""
    root = data / "probe"
    root.mkdir(parents=True, exist_ok=True)
    for way in ("root", "user") if os.geteuid() == 0 else ("user",):
        with contextlib.suppress(StartError):
            launch = Launch(["true"], {"PATH": os.defpath}, "/", way, str(root))
            process = await processes.start(launch, stdin=None, stdout=None, stderr=None)
            if await process.wait() == 0:
                return way
    return ""
