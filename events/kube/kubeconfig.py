"""kubeconfig files and the account of a pod, read without the library of Kubernetes: what is said there, as it is.

Importing the library costs 0.3 s and 16 MB, which neither a command that is typed nor each of many pods should take.
Whatever is not plain (plugins, OIDC, a proxy) and whatever is wrong is left to the library: None is returned for it.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from events import mounted

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its own."""
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
_READ_AGAIN = 60.0
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_UNUSABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError, binascii.Error)


class Token:
    """A token in a file, where it is replaced before it ends: read again every minute, as clients of Kubernetes do."""

    def __init__(self, path: Path) -> None:
        self._path, self._text, self._read_at = path, "", 0.0
        self.text()

    def text(self) -> str:
        """Raises OSError and ValueError."""
        now = time.monotonic()
        if not self._text or now - self._read_at >= _READ_AGAIN:
            text = self._path.read_text(encoding="utf-8").strip()
            if not text:
                raise ValueError(f"{self._path} is empty")
            self._text, self._read_at = text, now
        return self._text


@dataclass(frozen=True, slots=True)
class Plain:
    """One server and who we are there: by a token, by a client certificate, or nobody."""

    server: str
    tls: ssl.SSLContext
    server_name: str = ""
    token: str = field(default="", repr=False)
    file: Token | None = None

    def headers(self) -> dict[str, str]:
        """The credentials. Raises OSError and ValueError."""
        token = self.file.text() if self.file else self.token
        return {"authorization": f"Bearer {token}"} if token else {}


def plain(where: str, context: str | None) -> Plain | None:
    """The server and the credentials of a context, when they are plain; reads files."""
    try:
        config = _merged(where)
        chosen = config["contexts"][context or config["current-context"]]
        cluster = config["clusters"][chosen["cluster"]]
        user = config["users"][chosen["user"]] if chosen.get("user") else {}
        if not (cluster.keys() <= _CLUSTER and user.keys() <= _USER and isinstance(cluster["server"], str)):
            return None
        token = str(user.get("token") or "")
        file = Token(Path(user["tokenFile"])) if user.get("tokenFile") and not token else None
        name = cluster.get("tls-server-name") or ""
        return Plain(cluster["server"].rstrip("/"), _tls(cluster, user), name, token, file)
    except _UNUSABLE:
        return None


def of_pod(environ: Mapping[str, str] = os.environ) -> Plain | None:
    """The server and the account of the pod that this process runs in, where all of it is there; reads files."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    folder = Path(mounted.where(ACCOUNT, environ))
    try:
        tls = _tls({"certificate-authority": str(folder / "ca.crt")}, {})
        return Plain(f"https://{f'[{host}]' if ':' in host else host}:{port}", tls, file=Token(folder / "token"))
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
