"""Our API server in this process, writing down what each user asks of it: what roles are compared with."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support.kube_world import until_served

from events.kube.api import KubeApi
from events.kube.client import connect
from events.local.apiserver.access import kubeconfig
from events.local.apiserver.access.front import Entered
from events.local.apiserver.server import Server, Settings
from events.local.apiserver.status import StatusError
from events.logs import Log

APPLY = "application/apply-patch+yaml"
OURS = {"fieldManager": "installer", "force": "true"}


class Call(NamedTuple):
    """What was asked, as roles say it: `resource` with its part, such as `sensors/status`."""

    verb: str
    group: str
    resource: str


class Recorded:
    """A server with a client of its administrator."""

    def __init__(self, server: Server, admin: KubeApi, folder: Path) -> None:
        self.server, self.admin, self._folder = server, admin, folder
        self.calls: dict[str, set[Call]] = defaultdict(set)
        """What each user asked for and may do."""
        self.refused: list[str] = []
        """What was asked for that the roles do not allow, in the server's words."""
        self._enter = server.front.enter
        server.front.enter = self._recording  # type: ignore[method-assign]

    def _recording(self, *arguments: Any) -> Entered:
        try:
            entered = self._enter(*arguments)
        except StatusError as error:
            self.refused.append(str(error))
            raise
        wanted = entered.wanted
        if wanted.resource:
            part = f"/{wanted.subresource}" if wanted.subresource else ""
            self.calls[entered.user.name].add(Call(wanted.verb, wanted.group, wanted.resource + part))
        return entered

    async def apply(self, objects: Iterable[Mapping[str, Any]], namespace: str | None = None) -> None:
        """As an administrator who installs."""
        for one in objects:
            resource = await self.admin.resource(one["apiVersion"], one["kind"])
            meta = one["metadata"]
            home = meta.get("namespace", namespace) if resource.namespaced else None
            body = {**one, "metadata": {**meta, **({"namespace": home} if home else {})}}
            made = await self.admin.patch(resource, meta["name"], body, namespace=home, content_type=APPLY, params=OURS)
            if one["kind"] == "CustomResourceDefinition":
                await until_served(self.admin, made)

    async def namespace(self, name: str) -> None:
        """Made."""
        await self.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def kubeconfig_of(self, account: str, namespace: str) -> Path:
        """A kubeconfig with a token of a ServiceAccount that is there."""
        resource = await self.admin.resource("v1", "ServiceAccount")
        found = await self.admin.get(resource, account, namespace=namespace)
        tokens = self.server.front.tokens
        token = tokens.issue(found, [tokens.issuer], 3600, time.time(), {})
        config = kubeconfig.of_token(self.server.url, self.server.front.authority.pem, token, account, namespace)
        path = self._folder / f"{namespace}-{account}"
        kubeconfig.write(path, config)
        return path


def user(account: str, namespace: str) -> str:
    """The name of a ServiceAccount as a user."""
    return f"system:serviceaccount:{namespace}:{account}"


def granted(rules: Iterable[Mapping[str, Any]]) -> set[Call]:
    """All that rules allow."""
    return {
        Call(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@asynccontextmanager
async def recorded(folder: Path) -> AsyncIterator[Recorded]:
    """A server that is ready."""
    async with Server(Settings(folder / "api"), Log("test")) as server:
        kubeconfig.write(folder / "admin", server.kubeconfig())
        admin = await connect(str(folder / "admin"))
        try:
            yield Recorded(server, admin, folder)
        finally:
            await admin.aclose()
