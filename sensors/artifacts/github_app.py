"""Logging in as a GitHub App: its key signs a request for a token that reads a repository for an hour."""

from __future__ import annotations

import base64
import time
from datetime import datetime

import orjson

from events.credentials import Credentials
from events.errors import ActionError, CredentialError
from events.extras import extra
from sensors.artifacts.locations import GitHubApp
from sensors.base import TriggerContext

API = "https://api.github.com"
USER = "x-access-token"
SECONDS = 10.0
"""Until there must be an answer."""
_LIMIT = 64 * 1024
_CREATED = 201
# GitHub takes requests signed for at most ten minutes, and allows for clocks that differ a little.
_EARLIER_SECONDS, _LATER_SECONDS = 60, 540
_SPARE_SECONDS = 60


class AppLogin:
    """Tokens of one installation; one is used until shortly before its end."""

    def __init__(self, app: GitHubApp, context: TriggerContext, api: str = API) -> None:
        self._app, self._context, self._api = app, context, api
        self._token, self._ends = "", 0.0

    async def token(self) -> str:
        """A token; ActionError when GitHub gives none, CredentialError when the key is none."""
        if time.time() > self._ends - _SPARE_SECONDS:
            self._token, self._ends = await self._new()
        return self._token

    async def _new(self) -> tuple[str, float]:
        from sensors import http_client as client

        path = f"/app/installations/{self._app.installation_id}/access_tokens"
        headers, (url, _) = client.no_headers(), client.parse_url(f"{self._api}{path}")
        client.set_header(headers, "Accept", "application/vnd.github+json")
        client.set_header(headers, "Authorization", f"Bearer {_signed(self._app, self._context.secrets)}")
        request = client.Request("POST", url, client.complete(headers))
        answer = await client.fetch(self._context.http(), request, tls=None, seconds=SECONDS, limit=_LIMIT)
        if answer.status != _CREATED:
            raise ActionError(f"githubApp: {request}: status {answer.status}")
        try:
            found = orjson.loads(answer.body)
            return str(found["token"]), datetime.fromisoformat(found["expires_at"]).timestamp()
        except (ValueError, KeyError, TypeError) as error:
            raise ActionError(f"githubApp: {request}: the answer holds no token") from error


def _signed(app: GitHubApp, secrets: Credentials) -> str:
    """A JSON Web Token that says which app asks (RFC 7519, RS256)."""
    with extra("github"):
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    try:
        key = load_pem_private_key(secrets.value(app.private_key).encode(), None)
    except (ValueError, TypeError) as error:
        raise CredentialError("githubApp.privateKey is not a private key (PEM) without a password") from error
    if not isinstance(key, RSAPrivateKey):
        raise CredentialError("githubApp.privateKey is not an RSA key")
    now = int(time.time())
    claims = {"iat": now - _EARLIER_SECONDS, "exp": now + _LATER_SECONDS, "iss": str(app.app_id)}
    parts = [_encoded(orjson.dumps(part)) for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    text = b".".join(parts)
    return (text + b"." + _encoded(key.sign(text, PKCS1v15(), SHA256()))).decode()


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
