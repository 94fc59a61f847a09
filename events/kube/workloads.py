"""What runs for the objects of one kind: a Deployment and a ConfigMap each, maybe a Service. Contract: F.6, F.7.

Everything is found by owner: what Argo Events made is taken over under the name it has, what is there twice is reduced
to one (flaw C10), and nothing of anybody else's is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from events.errors import UserError
from events.kube import objects, pods
from events.kube.api import KubeApi, Object, find
from events.kube.applying import Applier
from events.kube.conditions import Condition
from events.kube.controller import Controller, Key, owner_keys
from events.kube.informer import Informer, Informers, without_notes
from events.kube.recording import Recorder
from events.kube.rollout import condition
from events.logs import Log

SELECTOR = "controller in (eventsource-controller,sensor-controller)"
_OWNER = "owner"
POD = "pod"
"""The index of pods by `namespace/controller/name` of the object that they run for."""


def pods_of(informers: Informers, selector: str = SELECTOR) -> Informer:
    """The informer of pods that we have made, of Sensors and EventSources unless said; what is not looked at is cut."""
    return informers.of("v1", "Pod", label_selector=selector, indexes={POD: _of_object}, trim=_of_a_pod)


class Workloads:
    """The Deployments, ConfigMaps and Services of one role."""

    def __init__(
        self, role: pods.Role, api: KubeApi, informers: Informers, applier: Applier, recorder: Recorder, log: Log
    ) -> None:
        self.role, self._api, self._applier, self._recorder, self._log = role, api, applier, recorder, log
        by_owner = {_OWNER: _owner}
        self._deployments = informers.of("apps/v1", "Deployment", label_selector=SELECTOR, indexes=by_owner)
        self._config_maps = informers.of("v1", "ConfigMap", label_selector=SELECTOR, indexes=by_owner)
        self._pods = pods_of(informers)
        self._services = (
            informers.of("v1", "Service", label_selector=SELECTOR, indexes=by_owner)
            if role is pods.EVENT_SOURCE
            else None
        )

    def watch(self, controller: Controller) -> None:
        """Have the owner looked at when anything of its is changed by anybody."""
        keys = owner_keys(self.role.kind)
        for informer in (self._deployments, self._config_maps, self._services):
            if informer is not None:
                controller.on(informer, keys)
        controller.on(self._pods, self._pod_keys)

    def _pod_keys(self, pod: Object) -> Iterator[Key]:
        meta = pod["metadata"]
        name = (meta.get("labels") or {}).get(f"{self.role.word}-name")
        if name:
            yield Key(meta.get("namespace") or "", name)

    # ---- what is there

    async def deployment(self, owner: Object) -> Object | None:
        """The one Deployment of an object, the oldest; what is there besides is deleted."""
        found = sorted(self._deployments.by(_OWNER, owner["metadata"]["uid"]), key=_age)
        for other in found[1:]:
            self._log.warning("Deleting a second Deployment of one object", deployment=objects.describe(other))
            text = f"{other['metadata']['name']} is a second Deployment; {found[0]['metadata']['name']} stays"
            self._recorder.event(owner, "Warning", "DuplicateDeployment", text)
            await self._applier.delete(other)
        return found[0] if found else None

    async def config_map(self, owner: Object, name: str, *, is_fresh: bool = False) -> Object | None:
        """The ConfigMap of a Deployment; `is_fresh`: as the server has it now."""
        namespace = owner["metadata"].get("namespace") or ""
        if not is_fresh:
            return self._config_maps.get(namespace, name)
        return await self._live("v1", "ConfigMap", namespace, name)

    def condition(self, deployment: Object, waiting: Callable[[Object], str] = lambda _: "") -> Condition:
        """The condition `Deployed` of the object that a Deployment runs for; `waiting`: what a pod says of itself."""
        meta = deployment["metadata"]
        name = meta["labels"][f"{self.role.word}-name"]
        mine = self._pods.by(POD, f"{meta.get('namespace')}/{self.role.controller}/{name}")
        return condition(deployment, mine, waiting)

    # ---- what is to be

    async def bring(self, owner: Object, name: str, config_map: Object, deployment: Object) -> Object:
        """The Deployment, with its ConfigMap, as they are to be; left-over ConfigMaps of the object go."""
        existing = self._deployments.get(owner["metadata"].get("namespace") or "", name)
        known = await self.config_map(owner, name)
        await self._applier.apply(config_map, known)
        desired = objects.copied(deployment)
        desired["metadata"].pop("generateName", None)
        desired["metadata"]["name"] = name
        made = await self._applier.apply(desired, existing)
        for other in self._config_maps.by(_OWNER, owner["metadata"]["uid"]):
            if other["metadata"]["name"] != name:
                await self._applier.delete(other)
        return made

    async def serve(self, owner: Object, desired: Object | None) -> None:
        """The Service as it is to be; those that are not wanted (any more) go. UserError: the name is somebody's."""
        assert self._services is not None
        existing = None
        for one in self._services.by(_OWNER, owner["metadata"]["uid"]):
            if desired is not None and one["metadata"]["name"] == desired["metadata"]["name"]:
                existing = one
            else:
                await self._applier.delete(one)
        if desired is None:
            return
        if existing is None:
            await self._claim(owner, desired)
        if existing is not None and _has_another_address(desired, existing):
            self._log.info("Making a Service anew: its address is for life", service=objects.describe(existing))
            await self._applier.delete(existing)
            existing = None
        await self._applier.apply(desired, existing)

    async def _claim(self, owner: Object, desired: Object) -> None:
        """The informer sees only what carries our labels: what is there without them is not ours."""
        meta = desired["metadata"]
        there = await self._live("v1", "Service", meta["namespace"], meta["name"])
        if there is not None and owner["metadata"]["uid"] not in _owner(there):
            message = f"there is a Service {meta['name']!r} that this {self.role.kind} does not control"
            raise UserError(message, path="spec.service", cure="delete that one, or remove spec.service")

    async def _live(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        return await find(self._api, await self._api.resource(api_version, kind), name, namespace=namespace)


def _owner(obj: Object) -> list[str]:
    return [one["uid"] for one in obj["metadata"].get("ownerReferences") or [] if one.get("controller")]


def _has_another_address(desired: Object, existing: Object) -> bool:
    """Whether a Service cannot become what it is to be. Without a word, any address will do, but not to have none."""
    wanted, has = desired["spec"].get("clusterIP"), existing["spec"].get("clusterIP")
    return has not in (None, "", wanted) if wanted else has == "None"


def _of_object(pod: Object) -> list[str]:
    """`namespace/controller/name` of the object that a pod runs for."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    return [f"{meta.get('namespace')}/{labels.get('controller')}/{labels.get('owner-name')}"]


def _of_a_pod(pod: Object) -> Object:
    """What is looked at of a pod: a fifth of it."""
    meta, status = without_notes(pod)["metadata"], pod.get("status") or {}
    kept: dict[str, Any] = {name: meta[name] for name in _METADATA if name in meta}
    told = {name: status[name] for name in _STATUS if name in status}
    spec = pod.get("spec") or {}
    volumes = [one for one in spec.get("volumes") or [] if "secret" in one or "configMap" in one]
    ports = [{"ports": one["ports"]} for one in spec.get("containers") or [] if one.get("ports")]
    kept_spec = {"volumes": volumes, "containers": ports}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": kept, "spec": kept_spec, "status": told}


_METADATA = ("name", "namespace", "uid", "labels", "resourceVersion", "deletionTimestamp")
_STATUS = ("phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses", "podIP")


def _age(obj: Object) -> tuple[str, str]:
    return str(obj["metadata"].get("creationTimestamp") or ""), obj["metadata"]["name"]
