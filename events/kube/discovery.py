"""What a server serves, all at once: how people's names of kinds (`po`, `deploy.apps`, `all`) become resources."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from events.errors import UserError
from events.kube import objects
from events.kube.api import KubeError, Object, Resource
from events.kube.client import JSON, KubeClient
from events.problems import did_you_mean

_AGGREGATED = ",".join(
    (*(f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")), JSON)
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource with the names that people have for it."""

    resource: Resource
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """`pod`, `deployment.apps`: what stands before a name."""
        resource = self.resource
        return resource.kind.lower() + (f".{resource.group}" if resource.group else "")

    @property
    def words(self) -> str:
        """`pods`, `deployments.apps`."""
        resource = self.resource
        return f"{resource.plural}.{resource.group}" if resource.group else resource.plural

    def rank(self, name: str) -> int | None:
        """How well a name fits: 0 is best, None not at all."""
        if name in (self.resource.plural, self.singular, self.resource.kind.lower()):
            return 0
        return 1 if name in self.short_names else None


class Catalogue:
    """All kinds in the order of the server, the preferred version of each group first."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.kinds = kinds

    def find(self, text: str) -> Kind:
        """The kind of `po`, `Pod`, `deployments.apps` or `deployments.v1.apps`; UserError when there is none."""
        name, _, rest = text.lower().partition(".")
        found = [(rank, kind) for kind in self.kinds if (rank := kind.rank(name)) is not None and _is_in(kind, rest)]
        if not found:
            known = {name for kind in self.kinds for name in (kind.resource.plural, kind.singular, *kind.short_names)}
            cure = did_you_mean(text.lower(), sorted(known)) or "are its definitions installed?"
            raise UserError(f"the server doesn't have a resource type {text!r}", cure=cure)
        return min(found, key=lambda one: one[0])[1]

    def several(self, text: str) -> list[Kind]:
        """The kinds of `pods,svc` or of a category such as `all`; a name that is both is a kind."""
        chosen: list[Kind] = []
        for part in filter(None, text.split(",")):
            in_category = [kind for kind in self._preferred() if part.lower() in kind.categories]
            is_kind = any(kind.rank(part.lower()) is not None for kind in self.kinds)
            chosen += in_category if in_category and not is_kind else [self.find(part)]
        return list(dict.fromkeys(chosen))

    def _preferred(self) -> Iterator[Kind]:
        seen: set[tuple[str, str]] = set()
        for kind in self.kinds:
            key = kind.resource.group, kind.resource.plural
            if key not in seen:
                seen.add(key)
                yield kind


def _is_in(kind: Kind, rest: str) -> bool:
    """Whether `apps`, `v1.apps` or `v1` after a name means this kind; nothing means any."""
    group, version = kind.resource.group, kind.resource.version
    return rest in ("", group, f"{version}.{group}".rstrip("."))


async def catalogue(api: KubeClient) -> Catalogue:
    """Everything served; KubeError or ActionError when it cannot be asked for."""
    core, others = await asyncio.gather(*(api.call("GET", where, accept=_AGGREGATED) for where in ("/api", "/apis")))
    found: list[Kind] = []
    for answer, is_core in ((core, True), (others, False)):
        if answer.get("kind") == "APIGroupDiscoveryList":
            found += _aggregated(answer)
        else:
            found += await _listed(api, _versions(answer, is_core=is_core))
    return Catalogue(found)


def _aggregated(answer: Object) -> Iterator[Kind]:
    for group in answer.get("items") or []:
        for version in group.get("versions") or []:
            for one in version.get("resources") or []:
                if not (kind := (one.get("responseKind") or {}).get("kind")):
                    continue  # a resource that is nothing but its subresources
                name = group["metadata"].get("name") or ""
                resource = Resource(name, version["version"], one["resource"], kind, one["scope"] == "Namespaced")
                yield _kind(resource, one, one.get("singularResource") or "")


def _kind(resource: Resource, one: dict[str, Any], singular: str) -> Kind:
    several = (tuple(one.get(name) or ()) for name in ("shortNames", "categories", "verbs"))
    return Kind(resource, singular or resource.kind.lower(), *several)


def _versions(answer: Object, *, is_core: bool) -> list[str]:
    """Group-versions as servers before 1.26 list them, the preferred one of each group first."""
    if is_core:
        return [str(version) for version in answer.get("versions") or []]
    found: list[str] = []
    for group in answer.get("groups") or []:
        listed = [one["groupVersion"] for one in group.get("versions") or []]
        preferred = (group.get("preferredVersion") or {}).get("groupVersion")
        found += sorted(listed, key=lambda one: one != preferred)
    return found


async def _listed(api: KubeClient, versions: Iterable[str]) -> list[Kind]:
    async def of(version: str) -> list[Kind]:
        try:
            answer = await api.call("GET", objects.group_path(version))
        except KubeError:
            return []  # one aggregated server that is away does not hide the others
        group, _, number = version.rpartition("/")
        return [
            _kind(Resource(group, number, one["name"], one["kind"], bool(one["namespaced"])), one, one["singularName"])
            for one in answer.get("resources") or []
            if "/" not in one["name"]
        ]

    return [kind for several in await asyncio.gather(*map(of, versions)) for kind in several]
