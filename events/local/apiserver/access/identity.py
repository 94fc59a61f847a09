"""Who asks (`User`) and for what (`Attributes`): what every decision about access is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

Extra = Mapping[str, tuple[str, ...]]

ANONYMOUS = "system:anonymous"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
"""Members may do everything, whatever the roles say."""
SERVICE_ACCOUNTS = "system:serviceaccounts"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_NOTHING: Extra = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class User:
    """An identity: a person, a node or a service account."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Extra = field(default_factory=lambda: _NOTHING, hash=False)

    def info(self) -> dict[str, Any]:
        """The `UserInfo` of reviews; empty parts are absent."""
        shown: dict[str, Any] = {"username": self.name, "uid": self.uid, "groups": list(self.groups)}
        shown["extra"] = {key: list(values) for key, values in self.extra.items()}
        return {key: value for key, value in shown.items() if value}

    def with_group(self, group: str) -> User:
        """The same, in one more group."""
        return self if group in self.groups else replace(self, groups=(*self.groups, group))


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for: a verb on a resource, or, when `resource` is empty, on a path."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

    @property
    def full_resource(self) -> str:
        """With its subresource, as roles write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def anonymous() -> User:
    """Who did not say who he is."""
    return User(ANONYMOUS, groups=(UNAUTHENTICATED,))


def service_account(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{_SERVICE_ACCOUNT}{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups each service account of a namespace is in."""
    return (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")


def service_account_of(username: str) -> tuple[str, str] | None:
    """Namespace and name, when a user name is a service account's."""
    if not username.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, colon, name = username.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return (namespace, name) if colon and namespace and name and ":" not in name else None
