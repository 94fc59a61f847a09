"""Secrets that ask for a token of a service account get one; without their account they go."""

from __future__ import annotations

from events.local.apiserver.access import account_secrets
from events.local.apiserver.access.tokens import Tokens
from events.local.apiserver.controllers.base import Controller, Object, Objects, needed
from events.local.apiserver.resources import Resource
from events.logs import Log

_MANAGER = "kube-controller-manager"


class AccountSecrets(Controller[tuple[str, str]]):
    """By namespace and name of the secret."""

    name = "secrets of service accounts"

    def __init__(self, objects: Objects, authority: str, tokens: Tokens, log: Log) -> None:
        super().__init__(log)
        self._objects, self._authority, self._tokens = objects, authority.encode(), tokens
        self._secrets = needed(objects.resources, "", "secrets")
        self._accounts = needed(objects.resources, "", "serviceaccounts")
        objects.follow(self._changed)
        for it in objects.list(self._secrets):
            self._look(it)

    def _look(self, secret: Object) -> None:
        if secret.get("type") == account_secrets.TYPE:
            self.wake((secret["metadata"]["namespace"], secret["metadata"]["name"]))

    def _changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        if resource is self._secrets and new is not None:
            self._look(new)
        elif resource is self._accounts and (old is None or new is None):
            it = new or old
            assert it is not None
            for secret in self._objects.list(self._secrets, it["metadata"]["namespace"]):
                self._look(secret)

    async def work(self, key: tuple[str, str]) -> None:
        """Fill it, or take it away."""
        secret = self._objects.get(self._secrets, *key)
        if secret is None:
            return
        name = (secret["metadata"].get("annotations") or {}).get(account_secrets.ACCOUNT, "")
        account = self._objects.get(self._accounts, key[0], name)
        if account is None or account_secrets.is_orphan(secret, account):
            await self._objects.delete(self._secrets, *key, uid=secret["metadata"]["uid"])
            return

        def completed(found: Object) -> Object | None:
            return account_secrets.completed(found, account, self._tokens, self._authority)

        await self._objects.change(self._secrets, *key, completed, manager=_MANAGER)
