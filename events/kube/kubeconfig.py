"""kubeconfig files, read without the library of Kubernetes: what a context says, and plain credentials.

Importing the library costs 0.3 s and 16 MB, which a command that is typed should not take. Whatever is not plain
(plugins, OIDC, a proxy) and whatever is wrong is left to the library: `plain` returns None for it.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CLUSTER = {
    *("server", "tls-server-name", "extensions"),
    *("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"),
}
_USER = {
    *("token", "tokenFile", "extensions"),
    *("client-certificate", "client-certificate-data", "client-key", "client-key-data"),
}
"""The fields that are plain."""
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_UNUSABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError, binascii.Error)


@dataclass(frozen=True, slots=True)
class Plain:
    """One server and who we are there."""

    server: str
    tls: ssl.SSLContext
    headers: Mapping[str, str]
    server_name: str = ""


def plain(where: str, context: str | None) -> Plain | None:
    """The server and the credentials of a context, when they are plain; reads files."""
    try:
        config = _merged(where)
        chosen = config["contexts"][context or config["current-context"]]
        cluster = config["clusters"][chosen["cluster"]]
        user = config["users"][chosen["user"]] if chosen.get("user") else {}
        if not (cluster.keys() <= _CLUSTER and user.keys() <= _USER and isinstance(cluster["server"], str)):
            return None
        headers = {"authorization": f"Bearer {token}"} if (token := _token(user)) else {}
        return Plain(cluster["server"].rstrip("/"), _tls(cluster, user), headers, cluster.get("tls-server-name") or "")
    except _UNUSABLE:
        return None


def namespace(where: str, context: str | None) -> str:
    """The namespace of a context; empty when it names none, or cannot be read."""
    try:
        config = _merged(where)
        found = config["contexts"][context or config["current-context"]].get("namespace")
    except _UNUSABLE:
        return ""
    return found if isinstance(found, str) else ""


def _merged(where: str) -> dict[str, Any]:
    """All files of a path as one: as kubectl, what stands first counts."""
    merged: dict[str, Any] = {"contexts": {}, "clusters": {}, "users": {}}
    for part in where.split(os.pathsep):
        path = Path(part).expanduser()
        if not part or not path.is_file():
            continue
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER) or {}  # noqa: S506 - a safe one
        if config.get("current-context"):
            merged.setdefault("current-context", config["current-context"])
        for several, one in (("contexts", "context"), ("clusters", "cluster"), ("users", "user")):
            for entry in config.get(several) or []:
                merged[several].setdefault(entry["name"], _absolute(entry.get(one) or {}, path.parent))
    return merged


def _absolute(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Files are named as seen from the kubeconfig."""
    return {name: str(folder / value) if name in _FILES and value else value for name, value in entry.items()}


def _token(user: Mapping[str, Any]) -> str:
    if user.get("token"):
        return str(user["token"])
    return Path(user["tokenFile"]).read_text(encoding="utf-8").strip() if user.get("tokenFile") else ""


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    authority = _decoded(cluster, "certificate-authority-data")
    context = ssl.create_default_context(
        cafile=None if authority else cluster.get("certificate-authority"), cadata=authority or None
    )
    # As kubectl: certificates of older clusters lack fields that OpenSSL's strict mode of Python 3.13 wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := _decoded(user, "client-certificate-data"):
        _load(context, certificate, _decoded(user, "client-key-data") or Path(user["client-key"]).read_text())
    elif user.get("client-certificate"):
        if key := _decoded(user, "client-key-data"):
            _load(context, Path(user["client-certificate"]).read_text(), key)
        else:
            context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context


def _decoded(entry: Mapping[str, Any], name: str) -> str:
    text = entry.get(name)
    return base64.b64decode(text, validate=True).decode() if text else ""


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL reads certificates from files alone."""
    with tempfile.TemporaryDirectory(prefix="keryx-") as folder:
        file = Path(folder, "pair.pem")
        file.touch(mode=0o600)
        file.write_text(f"{certificate}\n{key}")
        context.load_cert_chain(file)
