"""The API of `--dry-run`: prints what would be created, touches nothing."""

# ruff: noqa: ARG002 - a contract's parameters, most of them for what is refused here
from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn, TextIO

from events import yamls
from events.errors import ActionError
from events.kube import kinds, objects
from events.kube.api import KubeApi, Object, Resource, WatchEvent

# Without discovery: of other kinds the namespace is shown, a server ignores it where it has no place.
_CLUSTER_SCOPED = frozenset((one.api_version, one.kind) for one, _ in kinds.known() if not one.namespaced)


class DryRunKube(KubeApi):
    """`create` writes one YAML document per object; everything else needs a cluster and is an ActionError."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def resource(self, api_version: str, kind: str) -> Resource:
        _refuse(f"looking up {api_version} {kind}")

    async def resource_named(self, api_version: str, plural: str) -> Resource:
        _refuse(f"looking up {api_version} {plural}")

    async def create(self, obj: Object, *, namespace: str | None = None) -> Object:
        created = objects.copied(obj)
        meta = objects.metadata(created)
        if namespace and objects.kind_of(obj) not in _CLUSTER_SCOPED:
            meta.setdefault("namespace", namespace)
        # One write: documents of concurrent triggers do not mix.
        self._stream.write(f"---\n{yamls.dump(created)}")
        self._stream.flush()
        if not meta.get("name"):
            suffix = "".join(random.choices(objects.SUFFIX_ALPHABET, k=5))
            meta["name"] = objects.generated(meta.get("generateName") or "", suffix)
        meta["uid"] = str(uuid.uuid4())
        return created

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        _refuse(f"reading {resource.kind} {name}")

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Object:
        _refuse(f"listing {resource.plural}")

    async def replace(self, obj: Object, *, namespace: str | None = None, status: bool = False) -> Object:
        _refuse(f"replacing {objects.describe(obj)}")

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
        _refuse(f"patching {resource.kind} {name}")

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, options: Object | None = None
    ) -> Object:
        _refuse(f"deleting {resource.kind} {name}")

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncIterator[WatchEvent]:
        _refuse(f"watching {resource.plural}")

    async def aclose(self) -> None:
        """Nothing is held."""


def _refuse(what: str) -> NoReturn:
    raise ActionError(f"{what} is not possible with --dry-run")
