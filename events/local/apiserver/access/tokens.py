"""Tokens of service accounts: signed JWTs with the claims of a real cluster, good while their objects live.

Keys are in `<data>/pki`: `sa.key` signs, `sa-*.key` are earlier ones that still verify. A verified signature is
remembered; that the account and the bound object are still the same is asked each time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from events.local.apiserver.access import certificates, files
from events.local.apiserver.access.identity import (
    AUTHENTICATED,
    User,
    service_account,
    service_account_groups,
)
from events.local.apiserver.access.rbac.rules import listed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

Object = Mapping[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Also the audience of tokens for the server itself."""
LASTING = "kubernetes/serviceaccount"
"""Issuer of tokens that live in a secret, and as long as it."""
LEEWAY = 60.0
"""Seconds that clocks may differ, and that a deleted object's tokens go on."""
LONGEST = 16 * 1024
"""Characters of a token that is looked at."""
_MOST_REMEMBERED = 2_000
_ALGORITHM = "ES256"
_EXTRA = "authentication.kubernetes.io/"
_BOUND = (("secret", "secrets"), ("pod", "pods"), ("node", "nodes"))
_LASTING = "kubernetes.io/serviceaccount/"
_LASTING_CLAIMS = ("namespace", "service-account.name", "service-account.uid", "secret.name")
_INVALIDATED = "service account token has been invalidated"


class TokenError(Exception):
    """The token is ours, but no good; the message is what a TokenReview says."""


class ObjectLookup(Protocol):
    """Reads objects of the core group."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """An object by resource (`serviceaccounts`, `pods`, `secrets`, `nodes`), None when it is not there."""


@dataclass(frozen=True)
class Verified:
    """Whose token it is, and for which of the audiences that were asked about."""

    user: User
    audiences: tuple[str, ...]


class Tokens:
    """Issues and verifies."""

    def __init__(self, data: Path, objects: ObjectLookup, issuer: str = ISSUER) -> None:
        directory = files.private_directory(data / certificates.DIRECTORY)
        self.issuer, self._objects = issuer, objects
        self._key = _signing_key(directory)
        self._key_id = key_id(self._key)
        earlier = (certificates.read_key(path) for path in sorted(directory.glob("sa-*.key")))
        self._public = {key_id(key): key.public_key() for key in (self._key, *earlier) if key}
        self._remembered: OrderedDict[bytes, Mapping[str, Any]] = OrderedDict()

    def issue(
        self,
        account: Object,
        audiences: Sequence[str],
        seconds: int,
        now: float,
        bound: Mapping[str, Object] | None = None,
    ) -> str:
        """A token for a service account; `bound` are the objects it lives with, by `pod`, `secret`, `node`."""
        import jwt

        metadata = account["metadata"]
        private = {"namespace": metadata["namespace"], "serviceaccount": _reference(account)}
        private |= {kind: _reference(it) for kind, it in (bound or {}).items()}
        claims = {
            "aud": list(audiences),
            "exp": int(now) + seconds,
            "iat": int(now),
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": int(now),
            "sub": service_account(metadata["namespace"], metadata["name"]),
        }
        return jwt.encode(claims, self._key, _ALGORITHM, headers={"kid": self._key_id})

    def issue_lasting(self, account: Object, secret: Object) -> str:
        """A token that does not expire, good while `secret` holds it."""
        import jwt

        metadata = account["metadata"]
        claims = {
            "iss": LASTING,
            "sub": service_account(metadata["namespace"], metadata["name"]),
            f"{_LASTING}namespace": metadata["namespace"],
            f"{_LASTING}secret.name": secret["metadata"]["name"],
            f"{_LASTING}service-account.name": metadata["name"],
            f"{_LASTING}service-account.uid": metadata["uid"],
        }
        return jwt.encode(claims, self._key, _ALGORITHM, headers={"kid": self._key_id})

    def verify(self, token: str, now: float, audiences: Sequence[str] = ()) -> Verified | None:
        """Whose token it is; None when it is not one of ours. Raises `TokenError`."""
        claims = self._claims(token)
        if claims is None:
            return None
        wanted = tuple(audiences) or (self.issuer,)
        given = tuple(claims.get("aud") or (self.issuer,))
        common = tuple(one for one in given if one in wanted)
        if not common:
            says = f"token audiences {listed(given)} is invalid for the target audiences {listed(wanted)}"
            raise TokenError(says)
        if claims["iss"] == LASTING:
            return Verified(self._lasting_user(claims, token, now), common)
        _check_times(claims, now)
        return Verified(self._user(claims, now), common)

    def configuration(self, jwks_uri: str) -> dict[str, Any]:
        """The OpenID configuration, for `/.well-known/openid-configuration`."""
        return {
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
        }

    def public_keys(self) -> dict[str, Any]:
        """The JSON web key set, for `/openid/v1/jwks`."""
        return {"keys": [_web_key(identifier, public) for identifier, public in self._public.items()]}

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        import jwt

        if len(token) > LONGEST or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._remembered.get(digest)) is not None:
            self._remembered.move_to_end(digest)
            return known
        if _issuer_of(token) not in (self.issuer, LASTING):
            return None
        try:
            key = self._public.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                raise TokenError("invalid signature, no keys found")
            options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
            claims: dict[str, Any] = jwt.decode(token, key, [_ALGORITHM], options=options)  # type: ignore[arg-type]  # any keys
        except jwt.InvalidSignatureError as error:
            raise TokenError("go-jose/go-jose: error in cryptographic primitive") from error
        except jwt.InvalidTokenError:
            return None
        self._remembered[digest] = claims
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return claims

    def _user(self, claims: Mapping[str, Any], now: float) -> User:
        private = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        self._check_account(namespace, account, now)
        extra = {f"{_EXTRA}credential-id": (f"JTI={claims['jti']}",)} if claims.get("jti") else {}
        for kind, resource in _BOUND:
            reference = private.get(kind)
            if reference is None:
                continue
            if kind != "node" or "pod" not in private:  # beside a pod, the node is only told
                self._check_bound(kind, resource, "" if kind == "node" else namespace, reference, now)
            if kind != "secret":
                extra |= {
                    f"{_EXTRA}{kind}-name": (reference["name"],),
                    f"{_EXTRA}{kind}-uid": (reference.get("uid", ""),),
                }
        groups = (*service_account_groups(namespace), AUTHENTICATED)
        return User(service_account(namespace, account["name"]), account["uid"], groups, extra)

    def _lasting_user(self, claims: Mapping[str, Any], token: str, now: float) -> User:
        namespace, name, uid, secret_name = (claims[f"{_LASTING}{key}"] for key in _LASTING_CLAIMS)
        secret = self._objects.get("secrets", namespace, secret_name)
        if secret is None or _long_deleted(secret, now):
            raise TokenError("Token has been invalidated")
        held = (secret.get("data") or {}).get("token", "")
        if not hmac.compare_digest(held.encode(), base64.b64encode(token.encode())):
            raise TokenError("Token does not match server's copy")
        self._check_account(namespace, {"name": name, "uid": uid}, now)
        return User(service_account(namespace, name), uid, (*service_account_groups(namespace), AUTHENTICATED))

    def _check_account(self, namespace: str, reference: Object, now: float) -> None:
        account = self._objects.get("serviceaccounts", namespace, reference["name"])
        if account is None:
            raise TokenError(f'serviceaccounts "{reference["name"]}" not found')
        uid = account["metadata"]["uid"]
        if uid != reference["uid"]:
            raise TokenError(f"service account UID ({uid}) does not match claim ({reference['uid']})")
        if _long_deleted(account, now):
            raise TokenError(f"service account {namespace}/{reference['name']} has been deleted")

    def _check_bound(self, kind: str, resource: str, namespace: str, reference: Object, now: float) -> None:
        it = self._objects.get(resource, namespace, reference["name"])
        if it is None:
            raise TokenError(_INVALIDATED)
        uid = it["metadata"]["uid"]
        if uid != reference["uid"]:
            claim = f"service account {kind} ref claim ({reference['uid']})"
            raise TokenError(f"{kind} UID ({uid}) does not match {claim}")
        if _long_deleted(it, now):
            raise TokenError(_INVALIDATED)


def key_id(key: EllipticCurvePrivateKey) -> str:
    """The identifier of a key: a digest of its public half."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _base64url(hashlib.sha256(public).digest())


def _signing_key(directory: Path) -> EllipticCurvePrivateKey:
    path = directory / "sa.key"
    key = certificates.read_key(path)
    if key is None:
        key = certificates.new_key()
        files.write(path, certificates.private_pem(key))
    return key


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    if now - LEEWAY > claims["exp"]:
        raise TokenError("service account token has expired")
    if now + LEEWAY < claims["nbf"]:
        raise TokenError("service account token is not valid yet")
    if now + LEEWAY < claims["iat"]:
        raise TokenError("service account token is issued in the future")


def _long_deleted(it: Object, now: float) -> bool:
    from datetime import datetime

    stamp = it["metadata"].get("deletionTimestamp")
    return stamp is not None and datetime.fromisoformat(stamp).timestamp() < now - LEEWAY


def _issuer_of(token: str) -> object:
    """Who a JWT says it is from; nothing is verified yet."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims.get("iss") if isinstance(claims, dict) else None


def _reference(it: Object) -> dict[str, str]:
    shown = {"name": it["metadata"]["name"], "uid": it["metadata"].get("uid", "")}
    return {key: value for key, value in shown.items() if value}


def _web_key(identifier: str, public: Any) -> dict[str, str]:
    numbers = public.public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"use": "sig", "kty": "EC", "kid": identifier, "crv": "P-256", "alg": _ALGORITHM, "x": x, "y": y}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
