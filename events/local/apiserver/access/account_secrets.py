"""Secrets of the type `kubernetes.io/service-account-token`: the server writes a token into them that does not expire.

Older manifests ask for tokens this way. Run it for each such secret when it, or its account, was written or removed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from events.local.apiserver.access.tokens import Tokens

Object = Mapping[str, Any]

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
_UID = "kubernetes.io/service-account.uid"


def is_orphan(secret: Object, account: Object | None) -> bool:
    """Whether its account is not there, or another of the same name: then the secret is to be deleted."""
    uid = _annotations(secret).get(_UID)
    return account is None or (uid is not None and uid != account["metadata"]["uid"])


def completed(secret: Object, account: Object, tokens: Tokens, authority: bytes) -> dict[str, Any] | None:
    """The secret with token, namespace and authority (PEM); None when it has them already."""
    metadata, data = secret["metadata"], dict(secret.get("data") or {})
    annotations = {**_annotations(secret), _UID: account["metadata"]["uid"]}
    data["ca.crt"] = base64.b64encode(authority).decode()
    data["namespace"] = base64.b64encode(metadata["namespace"].encode()).decode()
    if not data.get("token"):
        data["token"] = base64.b64encode(tokens.issue_lasting(account, secret).encode()).decode()
    whole = {**secret, "metadata": {**metadata, "annotations": annotations}, "data": data}
    return None if whole == secret else whole


def _annotations(secret: Object) -> Mapping[str, str]:
    return secret["metadata"].get("annotations") or {}
