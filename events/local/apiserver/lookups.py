"""The store, as access and admission want to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from events.local.apiserver.admission.request import Kind
from events.local.apiserver.admission.request import Resource as ResourceName
from events.local.apiserver.entries import Change, Entry
from events.local.apiserver.objects import versions
from events.local.apiserver.resources import Resource, Resources
from events.local.apiserver.store import Store

Object = dict[str, Any]
Changed = Callable[[Any, Any], None]

_RBAC = "rbac.authorization.k8s.io"
_ROLES = ("clusterroles", "roles", "clusterrolebindings", "rolebindings")
_ADMISSION = "admissionregistration.k8s.io"
_CONFIGURATIONS = (
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
)


class Lookups:
    """Reads of whole objects. Keeps the contracts `ObjectLookup`, `NamespaceLookup`, `RoleSource`, `ParameterLookup`,
    `Equivalents` and `ServiceResolver` of access and admission."""

    def __init__(self, store: Store, resources: Resources) -> None:
        self._store, self._resources = store, resources
        self._followed: dict[str, list[tuple[Resource, Changed]]] = {}
        store.follow(self._tell)

    # -- objects

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object of the core group."""
        entry = self._store.get(resource, namespace, name)
        found = self._resources.find("", "v1", resource)
        return versions.shown(found, entry) if entry is not None and found is not None else None

    def namespace(self, name: str) -> Object | None:
        """A namespace."""
        return self.get("namespaces", "", name)

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a resource."""
        entries = self._store.all(resource.storage).items()
        return [versions.shown(resource, entry) for key, entry in entries if not namespace or key[0] == namespace]

    # -- roles

    def role_objects(self) -> Iterable[Object]:
        """Roles and bindings."""
        for resource in self._of(_RBAC, _ROLES):
            yield from self.all(resource)

    def on_role_change(self, changed: Changed) -> None:
        """Tell of each write of a role or a binding."""
        self._follow(_RBAC, _ROLES, changed)

    # -- admission

    def configurations(self) -> Iterable[Object]:
        """Webhook configurations, policies, bindings."""
        for resource in self._of(_ADMISSION, _CONFIGURATIONS):
            yield from self.all(resource)

    def on_configuration_change(self, changed: Changed) -> None:
        """Tell of each write of one."""
        self._follow(_ADMISSION, _CONFIGURATIONS, changed)

    def is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """Whether a kind is in namespaces; None for a kind that there is not."""
        found = self._kind(api_version, kind)
        return found.namespaced if found is not None and found.storage else None

    def parameters(self, api_version: str, kind: str, namespace: str) -> Iterable[Object]:
        """All objects of a kind."""
        found = self._kind(api_version, kind)
        return self.all(found, namespace) if found is not None else ()

    def of(self, resource: ResourceName) -> Iterable[tuple[ResourceName, Kind]]:
        """The same objects under other versions or groups."""
        here = self._resources.find(*resource)
        for other in self._resources.every() if here is not None and here.storage else ():
            if here is not None and other.storage == here.storage and other is not here:
                name = ResourceName(other.group, other.version, other.plural)
                yield name, Kind(other.group, other.version, other.kind)

    def convert(self, it: Any, kind: Kind) -> Object:
        """An object as it is in another version."""
        target = self._resources.of_kind(*kind)
        if target is None:
            return dict(it)
        source = self._kind(it.get("apiVersion", ""), it.get("kind", ""))
        lying = versions.stored(source, it) if source is not None else dict(it)
        version = str(it.get("metadata", {}).get("resourceVersion") or "0")
        return versions.shown(target, Entry.of({**lying, "metadata": dict(lying["metadata"])}, int(version)))

    async def resolve(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Where a service is: the first address behind it. Raises LookupError."""
        service = self.get("services", namespace, name)
        if service is None:
            raise LookupError(f'services "{name}" not found')
        slices = self._resources.find("discovery.k8s.io", "v1", "endpointslices")
        spec = service.get("spec") or {}
        wanted = next((one for one in spec.get("ports") or () if one.get("port") == port), None)
        if wanted is None:
            raise LookupError(f'service "{name}" has no port {port}')
        for it in self.all(slices, namespace) if slices else ():
            if (it["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            ports = [one["port"] for one in it.get("ports") or () if one.get("name", "") == wanted.get("name", "")]
            for endpoint in it.get("endpoints") or ():
                if ports and endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready", True):
                    return endpoint["addresses"][0], ports[0]
        raise LookupError(f'no endpoints available for service "{name}"')

    # -- inside

    def _kind(self, api_version: str, kind: str) -> Resource | None:
        group, _, version = api_version.rpartition("/")
        return self._resources.of_kind(group, version, kind)

    def _of(self, group: str, plurals: Iterable[str]) -> Iterable[Resource]:
        for plural in plurals:
            found = self._resources.find(group, "v1", plural)
            if found is not None:
                yield found

    def _follow(self, group: str, plurals: Iterable[str], changed: Changed) -> None:
        for resource in self._of(group, plurals):
            self._followed.setdefault(resource.storage, []).append((resource, changed))

    def _tell(self, change: Change) -> None:
        for resource, changed in self._followed.get(change.storage, ()):
            old = versions.shown(resource, change.old) if change.old else None
            new = versions.shown(resource, change.new) if change.new else None
            changed(old, new)
