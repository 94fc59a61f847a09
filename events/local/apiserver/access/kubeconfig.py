"""A kubeconfig file: one cluster, one user, one context."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from events.local.apiserver.access import files
from events.local.apiserver.access.certificates import Pair

_NAME = "keryx"


def of_certificate(server: str, authority: bytes, pair: Pair, user: str = "admin") -> dict[str, Any]:
    """For who shows a client certificate; `server` is a URL, `authority` its CA in PEM."""
    who = {"client-certificate-data": _base64(pair.pem), "client-key-data": _base64(pair.key_pem)}
    return _config(server, authority, user, who)


def of_token(server: str, authority: bytes, token: str, user: str, namespace: str = "") -> dict[str, Any]:
    """For who shows a token."""
    return _config(server, authority, user, {"token": token}, namespace)


def write(path: Path, config: dict[str, Any]) -> None:
    """Write a file in one step, mode 0600: who waits for it never reads a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, yaml.safe_dump(config, sort_keys=False).encode())


def _config(
    server: str, authority: bytes, user: str, credentials: dict[str, str], namespace: str = ""
) -> dict[str, Any]:
    context = {"cluster": _NAME, "user": user} | ({"namespace": namespace} if namespace else {})
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": _NAME, "context": context}],
        "current-context": _NAME,
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
