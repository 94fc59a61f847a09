"""Create, change and delete objects: decoded, owned, admitted, judged, stored.

Each call waits until what it wrote is on disk. Objects come in and go out as the resource shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from events.local.apiserver.access.front import Front
from events.local.apiserver.access.identity import Attributes
from events.local.apiserver.access.rbac import escalation
from events.local.apiserver.admission.chain import Admission
from events.local.apiserver.admission.request import Kind, Request
from events.local.apiserver.admission.request import Resource as ResourceName
from events.local.apiserver.entries import Entry
from events.local.apiserver.managed import tracking
from events.local.apiserver.managed.values import same
from events.local.apiserver.objects import errors, hooks, life, versions
from events.local.apiserver.objects.options import Options
from events.local.apiserver.resources import Resource, Resources
from events.local.apiserver.status import StatusError
from events.local.apiserver.store import Store

Object = dict[str, Any]
Changing = Callable[[Object], Object]
"""From the object as it is to the one that is wanted, decoded and owned."""

_NAMES_TRIED = 8
_WRITES_TRIED = 5


@dataclass(frozen=True)
class Written:
    """The object after a write, and whether it was made by it."""

    object: Object
    is_new: bool = False


class Operations:
    """The life of objects on one store."""

    def __init__(self, store: Store, resources: Resources, front: Front) -> None:
        self.store, self.resources, self.front = store, resources, front
        self.admission: Admission  # set once: it reads objects through us
        self.hooks = hooks.Hooks()

    # -- reading

    def find(self, resource: Resource, namespace: str, name: str) -> Entry:
        """Raises StatusError 404."""
        entry = self.store.get(resource.storage, namespace, name)
        if entry is None:
            raise errors.not_found(resource, name)
        return entry

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Raises StatusError 404."""
        found = versions.shown(resource, self.find(resource, namespace, name))
        await self.store.settled()
        return found

    # -- creating

    async def create(self, resource: Resource, namespace: str, it: Object, options: Options) -> Object:
        """A new object from a decoded one. Raises StatusError."""
        self._check_new(resource, namespace, it)
        owned = tracking.create(it, resource.managed, options.writer(resource))
        return await self._add(resource, namespace, owned, options)

    def _check_new(self, resource: Resource, namespace: str, it: Object) -> None:
        place_in_place(resource, namespace, it)
        if it["metadata"].pop("resourceVersion", "") not in ("", "0"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        terminating = hooks.is_terminating(resource)
        if terminating:
            name = it["metadata"].get("name", "")
            raise errors.forbidden(resource, name, terminating)

    async def _add(self, resource: Resource, namespace: str, owned: Object, options: Options) -> Object:
        given = owned["metadata"].get("name", "")
        request = self.request("CREATE", resource, "", namespace, given, options, owned, None)
        it = dict(await self.admission.mutate(request) or {})
        life.begin_in_place(resource, it, options.now)
        hooks.begin_in_place(resource, it)
        self.hooks.complete_in_place(resource, it)
        try:
            return await self._insert(resource, it, replace(request, name=it["metadata"].get("name", "")), options)
        except BaseException:
            self.hooks.give_back(resource, it)
            raise

    async def _insert(self, resource: Resource, it: Object, request: Request, options: Options) -> Object:
        name = it["metadata"].get("name", "")
        options.warnings += resource.rules.warnings(it, None)
        life.dedupe_owners_in_place(it)
        if causes := resource.rules.created(it):
            raise errors.invalid(resource, name, causes, it.get("kind", ""))
        await self.admission.validate(replace(request, new=it))
        self._check_grants(resource, request, it, None)
        life.settle_empty_in_place(resource, it)
        namespace = it["metadata"].get("namespace", "")
        was_named = bool(((request.new or {}).get("metadata") or {}).get("name"))
        for attempt in range(_NAMES_TRIED):
            there = self.store.get(resource.storage, namespace, name)
            if there is None:
                break
            if was_named or attempt + 1 == _NAMES_TRIED:
                is_ending = there.parsed()["metadata"].get("deletionTimestamp")
                raise errors.already_exists(resource, name, is_ending=bool(is_ending))
            name = it["metadata"]["name"] = life.generated(it["metadata"]["generateName"])
        if options.dry_run:
            self.hooks.give_back(resource, it)
            return it
        self.put(resource, it, None)
        await self.store.settled()
        return it

    # -- changing

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        subresource: str,
        changing: Changing,
        options: Options,
        *,
        is_replacing: bool = False,
    ) -> Written:
        """A new version of an object; `is_replacing`: by a whole one. Raises StatusError 404, 409, or as `changing`."""
        for attempt in range(_WRITES_TRIED):
            entry = self.find(resource, namespace, name)
            old = versions.shown(resource, entry)
            new = changing(old)
            check_place(resource, namespace, name, new)
            wanted = new["metadata"].get("resourceVersion")
            if wanted == "0":
                wanted = new["metadata"]["resourceVersion"] = ""
            if wanted and wanted != str(entry.version):
                if not wanted.isdigit():
                    raise errors.bad_request(f'resourceVersion: Invalid value: "{wanted}": it must be a number')
                raise errors.conflict(resource, name)
            if is_replacing:
                check_uid(resource, entry, old, new)
            written = await self._try_change(resource, entry, old, new, subresource, options)
            if written is not None:
                return written
            if attempt + 1 == _WRITES_TRIED:
                break
        raise errors.conflict(resource, name)

    async def _try_change(
        self, resource: Resource, entry: Entry, old: Object, new: Object, subresource: str, options: Options
    ) -> Written | None:
        """None when somebody else wrote meanwhile: webhooks take their time."""
        is_conditional = bool(new["metadata"].get("resourceVersion"))
        name, namespace = entry.name, entry.namespace
        request = self.request("UPDATE", resource, subresource, namespace, name, options, new, old)
        new = dict(await self.admission.mutate(request) or {})
        new["metadata"] = dict(new["metadata"])
        life.carry_in_place(resource, new, old, subresource)
        hooks.carry_in_place(resource, new, old, subresource)
        if not subresource:
            self.hooks.change_in_place(resource, new, old)
        if not is_conditional:
            hooks.check_version(resource, name, subresource)
            new["metadata"]["resourceVersion"] = str(entry.version)
        new = tracking.settle(old, new)
        options.warnings += resource.rules.warnings(new, old)
        life.dedupe_owners_in_place(new)
        if causes := resource.rules.updated(new, old, subresource):
            raise errors.invalid(resource, name, causes, new.get("kind", ""))
        await self.admission.validate(replace(request, new=new))
        self._check_grants(resource, request, new, old)
        if self.store.get(resource.storage, namespace, name) is not entry:
            return None
        if not options.dry_run:
            self._keep(resource, entry, old, new)
            await self.store.settled()
        return Written(new)

    def _keep(self, resource: Resource, entry: Entry, old: Object, new: Object) -> None:
        if life.is_over(new):
            self.store.remove(resource.storage, entry)
            self.hooks.give_back(resource, old)
        elif not same(old, new):
            self.put(resource, new, entry)
            self.hooks.changed(resource, old, new)

    def put(self, resource: Resource, it: Object, old: Entry | None) -> None:
        """Store an object as it is; it gets its version in place. Wait with `store.settled`."""
        if not versions.lies_otherwise(resource):
            self.store.put(resource.storage, it, old)
            return
        lying = versions.stored(resource, it)
        entry = self.store.put(resource.storage, lying, old)
        it.clear()
        it.update(versions.shown(resource, entry))

    async def finalize(
        self, resource: Resource, namespace: str, name: str, changing: Changing, options: Options
    ) -> Written:
        """Write the finalizers of a namespace's spec; it is gone when there are none left and nothing else holds it."""
        return await self.change(resource, namespace, name, "finalize", changing, options)

    async def apply(
        self, resource: Resource, namespace: str, name: str, subresource: str, config: Object, options: Options
    ) -> Written:
        """Server-side apply. Raises StatusError."""
        writer = options.writer(resource, subresource)

        def applied(live: Object | None) -> Object:
            result = tracking.apply(live, config, resource.managed, writer, force=options.force)
            return self.decode_again(resource, result)

        if self.store.get(resource.storage, namespace, name) is not None:
            return await self.change(resource, namespace, name, subresource, applied, options)
        if subresource:
            raise errors.not_found(resource, name)
        new = applied(None)
        check_place(resource, namespace, name, new)
        new["metadata"].pop("resourceVersion", None)
        if uid := new["metadata"].get("uid"):
            says = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(resource, name, says)
        self._check_new(resource, namespace, new)
        try:
            return Written(await self._add(resource, namespace, new, options), is_new=True)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return await self.change(resource, namespace, name, subresource, applied, options)

    def decode_again(self, resource: Resource, it: Object) -> Object:
        """An object that was put together from parts: with its defaults."""
        from events.local.apiserver.objects.bodies import read

        return read(resource, it).object

    # -- what all have in common

    def request(
        self,
        operation: str,
        resource: Resource,
        subresource: str,
        namespace: str,
        name: str,
        options: Options,
        new: Object | None,
        old: Object | None,
    ) -> Request:
        """What admission is asked about."""
        return Request(
            operation,
            options.user,
            Kind(resource.group, resource.version, resource.kind),
            ResourceName(resource.group, resource.version, resource.plural),
            subresource,
            namespace if resource.namespaced else "",
            name,
            new,
            old,
            options.told(operation),
            options.dry_run,
            options.warnings,
            lambda it: self.decode_again(resource, it),
        )

    def _check_grants(self, resource: Resource, request: Request, new: Object, old: Object | None) -> None:
        if resource.group != "rbac.authorization.k8s.io":
            return
        verb = "create" if old is None else "update"
        place = Attributes(verb, resource.group, resource.version, resource.plural, "", request.namespace, request.name)
        escalation.check(self.front.roles, request.user, place, new, old)


def check_uid(resource: Resource, entry: Entry, old: Object, new: Object) -> None:
    """Who replaces an object means the one whose uid he says. Raises StatusError 409."""
    uid, wanted = old["metadata"].get("uid", ""), new["metadata"].get("uid")
    if not wanted or wanted == uid:
        return
    group = f"{resource.group}/" if resource.is_custom else ""
    key = "/".join(part for part in (resource.plural, entry.namespace, entry.name) if part)
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
    place = f"Code: 4, Key: /registry/{group}{key}, ResourceVersion: 0"
    raise errors.conflict(resource, entry.name, f"StorageError: invalid object, {place}, AdditionalErrorMsg: {why}")


def place_in_place(resource: Resource, namespace: str, it: Object) -> None:
    """Put a new object where the path says. Raises StatusError 400."""
    metadata = it["metadata"] = dict(it.get("metadata") or {})
    said = metadata.get("namespace") or ""
    if resource.namespaced:
        if said and said != namespace:
            says = "the namespace of the provided object does not match the namespace sent on the request"
            raise errors.bad_request(says)
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)


def check_place(resource: Resource, namespace: str, name: str, it: Object) -> None:
    """An object that is written is the one of the path. Raises StatusError 400; fills in its namespace."""
    metadata = it["metadata"] = dict(it.get("metadata") or {})
    said = metadata.get("name") or ""
    if not said:
        says = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise errors.bad_request(says)
    if said != name:
        raise errors.bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
    place_in_place(resource, namespace, it)
