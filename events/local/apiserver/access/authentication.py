"""From the facts of a request to a User: a client certificate, a bearer token, or nobody."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.access import certificates, identity
from events.local.apiserver.access.identity import User
from events.local.apiserver.access.refusals import unauthorized
from events.local.apiserver.access.tokens import TokenError, Tokens

_PROTOCOL = "base64url.bearer.authorization.k8s.io."
"""Browsers cannot set headers of a websocket: the token comes as one of its protocols."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a request shows: its Authorization header, the verified client certificate, its websocket protocols."""

    authorization: str | None = None
    certificate: Mapping[str, Any] | None = None
    protocols: Iterable[str] = ()


def authenticate(facts: Facts, tokens: Tokens, now: float) -> User:
    """Who asks. Raises StatusError 401 for a token that is no good; without credentials it is `system:anonymous`."""
    if user := certificates.user_of(facts.certificate):
        return user
    token = _bearer(facts.authorization) or _from_protocols(facts.protocols)
    if not token:
        return identity.anonymous()
    try:
        verified = tokens.verify(token, now)
    except TokenError as error:
        raise unauthorized() from error
    if verified is None:
        raise unauthorized()
    return verified.user


def _bearer(header: str | None) -> str:
    """The token; another scheme is as good as no header."""
    scheme, _, rest = (header or "").strip().partition(" ")
    return rest.partition(" ")[0] if scheme.lower() == "bearer" else ""


def _from_protocols(protocols: Iterable[str]) -> str:
    for protocol in protocols:
        if protocol.startswith(_PROTOCOL):
            coded = protocol.removeprefix(_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
            except ValueError as error:
                raise unauthorized() from error
    return ""
