"""Roles: those that a cluster has from the start, and those that gather the rules of others."""

from __future__ import annotations

from events.local.apiserver.access.rbac import aggregation, bootstrap
from events.local.apiserver.controllers.base import Controller, Object, Objects, needed
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.logs import Log

_GROUP = "rbac.authorization.k8s.io"
_MANAGER = "kube-apiserver"
_PAUSE = 0.02
"""Seconds in which changes of roles gather."""
_ALL = "cluster roles"
_FIRST = "bootstrap"


class Roles(Controller[str]):
    """Looks at all cluster roles whenever one changed."""

    name = "aggregated roles"

    def __init__(self, objects: Objects, log: Log) -> None:
        super().__init__(log)
        self._objects = objects
        self._resource = needed(objects.resources, _GROUP, "clusterroles")
        self._is_waiting = False
        objects.follow(self._changed)

    async def make_first(self) -> None:
        """The roles and bindings of a fresh cluster, and what an older data directory lost of them.

        When they are refused, by a webhook that is down, the server starts without and they are tried again.
        """
        try:
            await self._reconcile()
        except StatusError as error:
            self._again(_FIRST, error)
        self.wake(_ALL)

    async def _reconcile(self) -> None:
        for wanted in bootstrap.objects():
            kind = self._objects.resources.of_kind(_GROUP, "v1", wanted["kind"])
            assert kind is not None
            namespace = wanted["metadata"].get("namespace", "")
            existing = self._objects.get(kind, namespace, wanted["metadata"]["name"])
            it = bootstrap.reconciled(existing, wanted)
            if it is not None and existing is None:
                await self._objects.create(kind, it, manager=_MANAGER)
            elif it is not None:
                await self._objects.change(
                    kind,
                    namespace,
                    wanted["metadata"]["name"],
                    lambda old, wanted=wanted: bootstrap.reconciled(old, wanted),  # type: ignore[misc]
                    manager=_MANAGER,
                )

    def _changed(self, resource: Resource, _old: Object | None, _new: Object | None) -> None:
        if resource is self._resource and not self._is_waiting:
            self._is_waiting = True
            self.wake_in(_PAUSE, _ALL)

    async def work(self, key: str) -> None:
        """Write the rules of the roles that gather others'."""
        if key == _FIRST:
            await self._reconcile()
            return
        self._is_waiting = False
        for name, rules in aggregation.outdated(self._objects.list(self._resource)):
            it = {
                "apiVersion": f"{_GROUP}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": name},
                "rules": list(rules),
            }
            await self._objects.apply(self._resource, it, manager=aggregation.MANAGER)
