"""policy, its `execute` cases: the k8s trigger and its policy, against an API that records what it is asked."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Outcome, events, judge

from events.credentials import Credentials
from events.errors import KeryxError
from events.kube.api import KubeError, Object, Resource
from events.logs import Log
from sensors import kubernetes_objects, policies, types
from sensors.base import Firing, TriggerContext
from sensors.firing import arm, kind_of

_GUESSED = {"ConfigMap": "configmaps", "Thing": "things", "Namespace": "namespaces", "StorageClass": "storageclasses"}
_CLUSTER = ("ClusterRole", "ClusterRoleBinding", "Namespace", "Node", "PersistentVolume", "StorageClass")


class Recording:
    """Keeps the contract of a KubeApi over the objects of a case; `polls` answers what is read after `polling`."""

    def __init__(self, existing: list[Object], polls: list[dict[str, Any]]) -> None:
        self.objects, self.polls = list(existing), polls
        self.actions: list[dict[str, Any]] = []
        self.is_polling, self.polled = False, 0

    async def resource(self, api_version: str, kind: str) -> Resource:
        group, _, version = api_version.rpartition("/")
        plural = _GUESSED.get(kind, f"{kind.lower()}s")
        return Resource(group, version, plural, kind, namespaced=kind not in _CLUSTER)

    def _record(self, verb: str, resource: Resource, namespace: str | None, **more: Any) -> None:
        action = {"verb": verb, "group": resource.group, "version": resource.version, "resource": resource.plural}
        self.actions.append(action | ({"namespace": namespace} if namespace else {}) | copy.deepcopy(more))

    async def _of(self, obj: Object, namespace: str | None) -> tuple[Resource, str | None, Object]:
        resource = await self.resource(obj["apiVersion"], obj["kind"])
        home = (obj["metadata"].get("namespace") or namespace) if resource.namespaced else None
        meta = obj["metadata"] | ({"namespace": home} if home else {})
        return resource, home, obj | {"metadata": meta}

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        if self.is_polling:
            answer = self.polls[min(self.polled, len(self.polls) - 1)]
            self.polled += 1
            if "error" in answer:
                raise KubeError(404, "NotFound", f'{resource.plural} "{name}" not found')
            return {"metadata": {"name": name, "labels": answer.get("labels")}}
        self._record("get", resource, namespace, name=name)
        for one in self.objects:
            if one["kind"] == resource.kind and one["metadata"]["name"] == name:
                return copy.deepcopy(one)
        raise KubeError(404, "NotFound", f'{resource.plural} "{name}" not found')

    async def create(self, obj: Object, *, namespace: str | None = None) -> Object:
        resource, home, made = await self._of(obj, namespace)
        self._record("create", resource, home, object=made)
        return made

    async def replace(self, obj: Object, *, namespace: str | None = None, status: bool = False) -> Object:
        resource, home, made = await self._of(obj, namespace)
        self._record("update", resource, home, object=made)
        return made

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        *,
        content_type: str,
        namespace: str | None = None,
        params: Mapping[str, str] | None = None,
        status: bool = False,
    ) -> Object:
        self._record("patch", resource, namespace, name=name, body=body, patchType=content_type)
        return body  # type: ignore[no-any-return]

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, options: Object | None = None
    ) -> Object:
        self._record("delete", resource, namespace, name=name)
        return {}

    async def list(self, *_: Any, **__: Any) -> Object:
        return {"items": []}

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Object]:
        raise NotImplementedError
        yield {}

    async def aclose(self) -> None:
        """Nothing is open."""


def run(case: Case) -> Outcome:
    """Compare what the API was asked, how often the policy looked, and whether the firing counts."""
    return judge(case, asyncio.run(executed(case)), INTENTS, wanted=wanted(case))


def wanted(case: Case) -> Any:
    """Upstream's, also what it did before an error."""
    value = case.expect.get("value") or {}
    actions = [comparable(action) for action in value.get("actions") or ()]
    return {"ok": case.expect["ok"], "stage": value.get("stage"), "actions": actions, "polls": value.get("polls") or 0}


async def executed(case: Case) -> Any:
    """Fetch, parameters, execute, policy, as `firing.Action` does them; where it ended."""
    given = case.input
    trigger = types.Trigger.parse(given["trigger"])
    kube = Recording(given.get("existing") or [], given.get("polls") or [])
    sensor = given["sensor"]
    context = TriggerContext(
        sensor["namespace"],
        sensor["name"],
        trigger.template.name if trigger.template else "",
        Log("conformance"),
        Credentials(()),
        lambda: kube,
        _refuse,
    )
    stage, ok = "fetch", False
    try:
        assert trigger.template is not None
        kind = kind_of(trigger.template)
        armed = arm(kind, trigger.template.kinds[kind], context)
        resource = await armed.trigger.fetch()
        if armed.parameters is not None:
            resource = armed.parameters.apply(resource, events(case))
        stage = "execute"
        result = await armed.trigger.execute(resource, Firing("f", events(case)))
        stage, kube.is_polling = "policy", True
        check = policies.compile(trigger.policy, kind)
        if check is not None:
            await check(result, context)
        ok = True
    except KeryxError:
        pass
    actions = [comparable(action) for action in kube.actions]
    return {"ok": ok, "stage": stage, "actions": actions, "polls": kube.polled}


def comparable(action: dict[str, Any]) -> dict[str, Any]:
    """An action without what differs by design: the time, and our annotation with the id of the firing."""
    one = copy.deepcopy(action)
    meta = one.get("object", {}).get("metadata", {})
    annotations = meta.get("annotations") or {}
    annotations.pop(kubernetes_objects.FIRING, None)
    if "annotations" in meta and not annotations:
        del meta["annotations"]
    if kubernetes_objects.TIMESTAMP in (meta.get("labels") or {}):
        meta["labels"][kubernetes_objects.TIMESTAMP] = "<unix-ms>"
    return one


def _refuse() -> Any:
    raise AssertionError("not needed here")


def at_cluster_scope(case: Case) -> Any:
    """K3: what the API server knows as cluster-scoped gets no namespace."""
    expected = wanted(case)
    for action in expected["actions"]:
        action.pop("namespace", None)
        action.get("object", {}).get("metadata", {}).pop("namespace", None)
    return expected


def deleted(case: Case) -> Any:
    """A policy on labels says nothing of what was deleted."""
    return AS_UPSTREAM if case.expect["ok"] else wanted(case) | {"ok": True}


INTENTS = {"K2": deleted, "K3": at_cluster_scope}
