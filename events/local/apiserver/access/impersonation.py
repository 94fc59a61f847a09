"""To ask as somebody else (`Impersonate-*` headers), when one may.

Two ways, tried in this order. Constrained: the verb `impersonate:MODE` on the identity, and `impersonate-on:MODE:VERB`
on what is asked for; it never gives `system:masters`. Plain: the verb `impersonate` on each part of the identity.
When none is open, the first refusal is the answer.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import replace

from events.local.apiserver import names
from events.local.apiserver.access import identity
from events.local.apiserver.access.identity import MASTERS, UNAUTHENTICATED, Attributes, User
from events.local.apiserver.access.rbac.index import Index
from events.local.apiserver.access.rbac.rules import ALL
from events.local.apiserver.access.refusals import bad_request, forbidden
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation.causes import quoted

_USER, _UID, _GROUP, _EXTRA = "impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"
_NODE = "system:node:"
_NODES = "system:nodes"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_MANY = 4
"""So many groups or extras are asked for at once first."""


def wanted(headers: Iterable[tuple[str, str]]) -> User | None:
    """The identity that the headers of a request ask for; None without such headers. Raises StatusError 400."""
    name, uid, groups, extra = "", "", [], dict[str, tuple[str, ...]]()
    for key, value in headers:
        lower = key.lower()
        if lower == _USER:
            name = name or value
        elif lower == _UID:
            uid = uid or value
        elif lower == _GROUP:
            groups.append(value)
        elif lower.startswith(_EXTRA):
            field = urllib.parse.unquote(lower.removeprefix(_EXTRA))
            extra[field] = (*extra.get(field, ()), value)
    user = User(name, uid, tuple(groups), extra)
    if not name and (uid or groups or extra):
        raise bad_request(f"requested {_as_go(user)} without impersonating a user name")
    return user if name else None


def impersonate(index: Index, requestor: User, user: User, target: Attributes) -> User:
    """`user`, completed, when `requestor` may ask for `target` as him. Raises StatusError 403."""
    refusals: list[StatusError] = []
    for mode in _modes(requestor, user):
        try:
            return mode.check(index, requestor, user, target)
        except StatusError as error:
            refusals.append(error)
    raise refusals[0]


def _modes(requestor: User, user: User) -> Iterator[_Mode]:
    """The modes that fit the identity."""
    node = _node_of(user.name)
    plain_name = not (user.uid or user.groups or user.extra)
    if node and plain_name:
        if identity.service_account_of(requestor.name) and requestor.extra.get(_NODE_NAME) == (node,):
            yield _Mode("associated-node")
        yield _Mode("arbitrary-node")
    elif identity.service_account_of(user.name):
        if plain_name:
            yield _Mode("serviceaccount")
    elif not node:
        yield _Mode("user-info")
    yield _Mode("")


class _Mode:
    """One way to impersonate; the plain one has no name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.verb = f"impersonate:{name}" if name else "impersonate"
        self.group = _AUTHENTICATION if name else ""

    def check(self, index: Index, requestor: User, user: User, target: Attributes) -> User:
        if self.name:
            _require(index, requestor, replace(target, verb=f"impersonate-on:{self.name}:{target.verb}"))
        actual = self._name(index, requestor, user)
        if user.uid:
            _require(index, requestor, self._part("uids", user.uid, _AUTHENTICATION))
        self._groups(index, requestor, user.groups)
        self._extra(index, requestor, user)
        if actual.name == identity.ANONYMOUS:
            return actual.with_group(UNAUTHENTICATED)
        return actual if UNAUTHENTICATED in actual.groups else actual.with_group(identity.AUTHENTICATED)

    def _part(self, resource: str, name: str, group: str, subresource: str = "") -> Attributes:
        return Attributes(self.verb, group, "v1", resource, subresource, name=name)

    def _name(self, index: Index, requestor: User, user: User) -> User:
        part, actual = self._part("users", user.name, self.group), user
        node, account = _node_of(user.name), identity.service_account_of(user.name)
        if account:
            part = replace(part, resource="serviceaccounts", namespace=account[0], name=account[1])
            actual = user if user.groups else replace(user, groups=identity.service_account_groups(account[0]))
        elif node and self.name:
            shown = ALL if self.name == "associated-node" else node
            part, actual = replace(part, resource="nodes", name=shown), replace(user, groups=(_NODES,))
        _require(index, requestor, part)
        return actual

    def _groups(self, index: Index, requestor: User, groups: tuple[str, ...]) -> None:
        part = self._part("groups", "", self.group)
        if self.name and "" in groups:
            raise forbidden(requestor, part, "impersonating the empty string group is not allowed")
        if self.name and MASTERS in groups:
            says = f"impersonating the {MASTERS} group is not allowed"
            raise forbidden(requestor, replace(part, name=MASTERS), says)
        if self.name and len(groups) >= _MANY and index.authorize(requestor, replace(part, name=ALL)).allowed:
            return
        for group in groups:
            _require(index, requestor, replace(part, name=group))

    def _extra(self, index: Index, requestor: User, user: User) -> None:
        part = self._part("userextras", "", _AUTHENTICATION)
        if self.name:
            for key, values in user.extra.items():
                if wrong := _wrong_extra(key, values):
                    raise forbidden(requestor, part, wrong)
            if sum(map(len, user.extra.values())) >= _MANY:
                every = replace(part, subresource=ALL, name=ALL)
                if index.authorize(requestor, every).allowed:
                    return
        for key, values in user.extra.items():
            for value in values:
                _require(index, requestor, replace(part, subresource=key, name=value))


def _require(index: Index, requestor: User, part: Attributes) -> None:
    decision = index.authorize(requestor, part)
    if not decision.allowed:
        raise forbidden(requestor, part, decision.reason)


def _wrong_extra(key: str, values: tuple[str, ...]) -> str:
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    domain, slash, path = key.partition("/")
    if not slash or not path or names.dns1123_subdomain(domain):
        says = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return f"impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {quoted(key)}: {says}"
    if "" in values:
        return "impersonating the empty string value in extra is not allowed"
    return ""


def _node_of(username: str) -> str:
    """The node that a user name stands for, else empty."""
    name = username.removeprefix(_NODE)
    return name if username.startswith(_NODE) and not names.dns1123_subdomain(name) else ""


def _as_go(user: User) -> str:
    """As the message of a real server shows it."""
    groups = f"[]string{{{', '.join(map(quoted, user.groups))}}}" if user.groups else "[]string(nil)"
    shown = (
        f"{quoted(key)}:[]string{{{', '.join(map(quoted, values))}}}" for key, values in sorted(user.extra.items())
    )
    extra = f"map[string][]string{{{', '.join(shown)}}}" if user.extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quoted(user.uid)}, Groups:{groups}, Extra:{extra}}}'
