"""The contract of a Kubernetes API: raw dicts in and out. `client` keeps it against a server, `memory` in-process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from events.errors import ActionError

Object = dict[str, Any]


class KubeError(ActionError):
    """The API server refused. `status` is the HTTP code, `reason` the Status reason (`NotFound`, `Conflict`…).

    `details` are those of the Status: `causes` with the fields that are wrong, for one.
    """

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{message} ({status} {reason})" if reason else f"{message} ({status})")
        self.status, self.reason, self.message, self.details = status, reason, message, details or {}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as discovery knows it. `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`…"""
        return f"{self.group}/{self.version}" if self.group else self.version


class WatchEvent(TypedDict):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; of a bookmark, `object` has `metadata.resourceVersion` alone."""

    type: str
    object: Object


class KubeApi(Protocol):
    """What this project needs of an API server. Every call has a deadline; failures are KubeError, or ActionError
    when no answer came."""

    async def resource(self, api_version: str, kind: str) -> Resource:
        """The resource of a kind, by discovery, cached; KubeError 404 when the server does not know it."""
        ...

    async def resource_named(self, api_version: str, plural: str) -> Resource:
        """The resource with this name in its path (`pods`), as `resource`."""
        ...

    async def create(self, obj: Object, *, namespace: str | None = None) -> Object:
        """Create `obj`; a namespaced kind without a namespace of its own goes to `namespace`."""
        ...

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object: ...

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Object:
        """The whole list object: `items`, and `metadata.resourceVersion` to watch from."""
        ...

    async def replace(self, obj: Object, *, namespace: str | None = None, status: bool = False) -> Object: ...

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
    ) -> Object: ...

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, options: Object | None = None
    ) -> Object: ...

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
        """Changes after `resource_version`, until the server ends the watch; its bookmarks too.

        Without a version it begins with what is there. KubeError 410 when the version is too old: list again.
        """
        ...

    async def aclose(self) -> None: ...


async def find(api: KubeApi, resource: Resource, name: str, *, namespace: str | None = None) -> Object | None:
    """The object, or None where there is none. Raises KubeError for every other refusal."""
    try:
        return await api.get(resource, name, namespace=namespace)
    except KubeError as error:
        if error.status == 404:
            return None
        raise
