"""The front of the server: from a request to who asks and what for, or a refusal. One object, made at the start.

front = Front(data, store, store, now)           # store: ObjectLookup and RoleSource
entered = front.enter(method, path, query, headers.items(), peer_certificate, time.time())
escalation.check(front.roles, entered.user, entered.wanted, new, old)   # before a role or binding is written
reviews.REVIEWS[group, resource](it, front.roles, entered.user, namespace, now)
token_requests.request(it, namespace, name, front.tokens, store, now)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from events.local.apiserver.access import authentication, certificates, impersonation, refusals, requests, tokens
from events.local.apiserver.access.authentication import Facts
from events.local.apiserver.access.identity import Attributes, User
from events.local.apiserver.access.rbac.index import Index, RoleSource


@dataclass(frozen=True, slots=True)
class Entered:
    """A request that may go on."""

    user: User
    wanted: Attributes
    requestor: User
    """Who really asks: another than `user` when he impersonates."""


class Front:
    """Certificates, tokens and roles of one server."""

    def __init__(self, data: Path, objects: tokens.ObjectLookup, roles: RoleSource, now: datetime) -> None:
        self.authority = certificates.Authority(data, now)
        self.tokens = tokens.Tokens(data, objects)
        self.roles = Index()
        self.roles.follow(roles)

    def enter(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Iterable[tuple[str, str]],
        peer: Mapping[str, Any] | None,
        now: float,
    ) -> Entered:
        """Authenticate, impersonate, authorize. `path` is decoded. Raises StatusError 400, 401 or 403."""
        requestor = authentication.authenticate(_facts(headers := list(headers), peer), self.tokens, now)
        wanted = requests.attributes(method, path, query)
        other = impersonation.wanted(headers)
        user = impersonation.impersonate(self.roles, requestor, other, wanted) if other else requestor
        decision = self.roles.authorize(user, wanted)
        if not decision.allowed:
            raise refusals.forbidden(user, wanted, decision.reason)
        return Entered(user, wanted, requestor)


def _facts(headers: Iterable[tuple[str, str]], peer: Mapping[str, Any] | None) -> Facts:
    authorization, protocols = None, list[str]()
    for key, value in headers:
        lower = key.lower()
        if lower == "authorization":
            authorization = value if authorization is None else authorization
        elif lower == "sec-websocket-protocol":
            protocols += [one.strip() for one in value.split(",")]
    return Facts(authorization, peer, protocols)
