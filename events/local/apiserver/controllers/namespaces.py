"""Namespaces: what each one has, and how one ends: emptied first, then released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from events.local.apiserver.controllers.base import Controller, Object, Objects, needed
from events.local.apiserver.objects.life import timestamp
from events.local.apiserver.resources import STATUS, Resource
from events.local.apiserver.status import StatusError
from events.logs import Log

MANAGER = "kube-controller-manager"
ALWAYS = ("default", "kube-node-lease", "kube-public", "kube-system")
ACCOUNT, AUTHORITY = "default", "kube-root-ca.crt"
_FINALIZER = "kubernetes"
_LOOK_AGAIN = 5.0
"""Seconds until a namespace whose objects are held is looked at, if nothing changed in it before."""


class Namespaces(Controller[str]):
    """By the name of the namespace."""

    name = "namespaces"

    def __init__(self, objects: Objects, authority: str, log: Log) -> None:
        super().__init__(log)
        self._objects, self._authority = objects, authority
        self._resource = needed(objects.resources, "", "namespaces")
        self._accounts = needed(objects.resources, "", "serviceaccounts")
        self._maps = needed(objects.resources, "", "configmaps")
        self._ending: set[str] = set()
        objects.follow(self._changed)
        for it in objects.list(self._resource):
            self.wake(it["metadata"]["name"])

    async def make_first(self) -> None:
        """The namespaces that are always there. One that is refused, as by a webhook that is down, is tried again."""
        for name in ALWAYS:
            try:
                await self._make_always(name)
            except StatusError as error:
                self._again(name, error)

    async def _make_always(self, name: str) -> None:
        if self._objects.get(self._resource, "", name) is None:
            it = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await self._objects.create(self._resource, it, manager="kube-apiserver")

    def _changed(self, resource: Resource, _old: Object | None, new: Object | None) -> None:
        it = new or _old
        assert it is not None
        metadata = it["metadata"]
        if resource is self._resource:
            self.wake(metadata["name"])
        elif new is None and resource.namespaced:
            namespace = metadata["namespace"]
            is_needed = metadata["name"] in (ACCOUNT, AUTHORITY) and resource in (self._accounts, self._maps)
            if is_needed or namespace in self._ending:
                self.wake(namespace)
        elif resource is self._maps and metadata["name"] == AUTHORITY:
            self.wake(metadata["namespace"])

    async def work(self, key: str) -> None:
        """Fill it, or empty it."""
        it = self._objects.get(self._resource, "", key)
        if it is None:
            self._ending.discard(key)
            if key in ALWAYS:
                await self._make_always(key)
        elif it["metadata"].get("deletionTimestamp"):
            self._ending.add(key)
            await self._end(key, it)
        else:
            await self._fill(key)

    async def _fill(self, namespace: str) -> None:
        place = {"namespace": namespace}
        if self._objects.get(self._accounts, namespace, ACCOUNT) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, **place}}
            await self._make(self._accounts, account)
        data = {"ca.crt": self._authority}
        found = self._objects.get(self._maps, namespace, AUTHORITY)
        if found is None:
            says = "Contains a CA bundle that can be used to verify the kube-apiserver"
            notes = {"kubernetes.io/description": says}
            metadata = {"name": AUTHORITY, **place, "annotations": notes}
            await self._make(self._maps, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
        elif found.get("data") != data:
            await self._objects.change(
                self._maps, namespace, AUTHORITY, lambda old: {**old, "data": data}, manager=MANAGER
            )

    async def _make(self, resource: Resource, it: Object) -> None:
        try:
            await self._objects.create(resource, it, manager=MANAGER)
        except StatusError as error:
            namespace = self._objects.get(self._resource, "", it["metadata"]["namespace"])
            is_going = namespace is None or namespace["metadata"].get("deletionTimestamp")
            if error.reason != "AlreadyExists" and not is_going:
                raise

    # -- the end

    async def _end(self, name: str, it: Object) -> None:
        left, held, failed = await self._empty(name)
        await self._report(name, left, held, failed)
        if left:
            self.wake_in(_LOOK_AGAIN, name)
            return

        def released(found: Object) -> Object | None:
            finalizers = [one for one in (found.get("spec") or {}).get("finalizers") or () if one != _FINALIZER]
            return {**found, "spec": {**(found.get("spec") or {}), "finalizers": finalizers}}

        if _FINALIZER in ((it.get("spec") or {}).get("finalizers") or ()):
            await self._objects.change(self._resource, "", name, released, manager=MANAGER, subresource="finalize")

    async def _empty(self, namespace: str) -> tuple[dict[str, int], dict[str, int], list[str]]:
        """Delete everything in it. How many are left by resource and by finalizer, and what went wrong."""
        left: dict[str, int] = {}
        held: dict[str, int] = {}
        failed: list[str] = []
        for resource in self._objects.resources.stored().values():
            if not resource.namespaced:
                continue
            for found in self._objects.list(resource, namespace):
                metadata = found["metadata"]
                if not metadata.get("deletionTimestamp"):
                    try:
                        await self._objects.delete(resource, namespace, metadata["name"], uid=metadata["uid"])
                    except StatusError as error:
                        failed.append(str(error))
            rest = self._objects.list(resource, namespace)
            if rest:
                left[f"{resource.plural}.{resource.group}"] = len(rest)  # `pods.`: upstream writes the point always
            for found in rest:
                for finalizer in found["metadata"].get("finalizers") or ():
                    held[finalizer] = held.get(finalizer, 0) + 1
        return left, held, failed

    async def _report(self, name: str, left: Mapping[str, int], held: Mapping[str, int], failed: Sequence[str]) -> None:
        now = timestamp(datetime.now(UTC))
        wanted = _conditions(left, held, failed)

        def told(found: Object) -> Object | None:
            status = found.get("status") or {}
            before = {one["type"]: one for one in status.get("conditions") or ()}
            conditions = []
            for kind, value, reason, message in wanted:
                old = before.get(kind)
                since = old["lastTransitionTime"] if old and old["status"] == value else now
                conditions.append(
                    {"type": kind, "status": value, "lastTransitionTime": since, "reason": reason, "message": message}
                )
            new = {**status, "phase": "Terminating", "conditions": conditions}
            return None if new == status else {**found, "status": new}

        await self._objects.change(self._resource, "", name, told, manager=MANAGER, subresource=STATUS)


def _conditions(
    left: Mapping[str, int], held: Mapping[str, int], failed: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Type, status, reason and message of each, in upstream's words."""
    remaining = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(left.items()))
    holding = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
    discovered, parsed = "All resources successfully discovered", "All legacy kube types successfully parsed"
    deleted = "All content successfully deleted, may be waiting on finalization"
    refused = f"Failed to delete all resource types, {len(failed)} remaining: {', '.join(sorted(failed))}"
    return [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", discovered),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", parsed),
        ("NamespaceDeletionContentFailure", "True", "ContentDeletionFailed", refused)
        if failed
        else ("NamespaceDeletionContentFailure", "False", "ContentDeleted", deleted),
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {remaining}")
        if left
        else ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
        (
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {holding}",
        )
        if held
        else (
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]
