"""Volumes and mounts of a generated pod. Pure. Contract: sensors 0.2, F.6; eventsources 1.4.

The author's come first, as they are. Ours are sorted by name; no path is mounted twice (flaw C7), no name is used
twice, and every name is one that Kubernetes takes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from events.credentials import MOUNTED, ConfigMapRef, SecretRef
from events.errors import UserError
from events.kube.api import Object
from events.resources import dns_label
from events.settings import BUS_AUTH_FILE

CARRIED = "/etc/keryx"
"""Where the ConfigMap with the object is mounted."""
_AUTH_FOLDER, _, _AUTH_FILE = BUS_AUTH_FILE.rpartition("/")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_TLS = ("caCertSecret", "clientCertSecret", "clientKeySecret")


class Mounts:
    """Volumes of a pod and mounts of its container, being gathered."""

    def __init__(self, volumes: Sequence[Object], mounts: Sequence[Object]) -> None:
        self._theirs = last_of_each(volumes, "name", "spec.template.volumes")
        self._their_mounts = last_of_each(mounts, "mountPath", "spec.template.container.volumeMounts")
        self._names = {volume["name"] for volume in self._theirs}
        self._paths = {mount["mountPath"].rstrip("/") for mount in self._their_mounts}
        self._volumes: list[Object] = []
        self._mounts: list[Object] = []

    @property
    def volumes(self) -> list[Object]:
        """All volumes."""
        return [*self._theirs, *sorted(self._volumes, key=itemgetter("name"))]

    @property
    def mounts(self) -> list[Object]:
        """All mounts."""
        return [*self._their_mounts, *sorted(self._mounts, key=itemgetter("name"))]

    def scratch(self) -> None:
        """The one folder that can be written to."""
        self._add("tmp", "/tmp", {"emptyDir": {}}, is_read_only=False)  # noqa: S108 - of the pod alone

    def carried(self, config_map: str) -> None:
        """The ConfigMap with the object and its bus."""
        self._add("keryx", CARRIED, {"configMap": {"name": config_map}})

    def references(self, found: Iterable[SecretRef | ConfigMapRef]) -> None:
        """Whole Secrets and ConfigMaps, each once. A ref without a name is reported by validation."""
        for ref in found:
            if not ref.name:
                continue
            if isinstance(ref, SecretRef):
                source: Object = {"secret": {"secretName": ref.name}}
                self._add(_volume("secret", ref.name), f"{MOUNTED}/secrets/{ref.name}", source)
            else:
                source = {"configMap": {"name": ref.name}}
                self._add(_volume("cm", ref.name), f"{MOUNTED}/config/{ref.name}", source)

    def bus(self, config: Mapping[str, Any]) -> None:
        """What the way to the bus needs: credentials, certificates."""
        kafka = config.get("kafka")
        if kafka is not None:
            self.references(_selectors(kafka))
            return
        server = config.get("nats") or config.get("jetstream") or {}
        access = server.get("accessSecret")
        if access:
            items = [{"key": access.get("key"), "path": _AUTH_FILE}]
            source = {"secret": {"secretName": access.get("name"), "items": items}}
            self._add("auth-volume", _AUTH_FOLDER, source, is_read_only=False)
        keys: dict[str, list[str]] = {}
        for part in _TLS:
            ref = (server.get("tls") or {}).get(part)
            if ref and ref["key"] not in keys.setdefault(ref["name"], []):
                keys[ref["name"]].append(ref["key"])
        for name, used in keys.items():
            items = [{"key": key, "path": key} for key in used]
            source = {"secret": {"secretName": name, "items": items, "optional": False}}
            self._add(dns_label(name), f"{MOUNTED}/secrets/{name}", source, is_read_only=False)

    def _add(self, name: str, path: str, source: Object, *, is_read_only: bool = True) -> None:
        if path in self._paths:
            return
        if name in self._names or not _LABEL.fullmatch(name):
            name = f"{dns_label(name)[:54]}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        self._names.add(name)
        self._paths.add(path)
        self._volumes.append({"name": name, **source})
        read_only = {"readOnly": True} if is_read_only else {}
        self._mounts.append({"name": name, "mountPath": path, **read_only})


def last_of_each(listed: Iterable[Object], key: str, path: str) -> list[Object]:
    """Of elements with the same `key`, which the API server would refuse, the last. UserError for one without."""
    found: dict[str, Object] = {}
    for index, one in enumerate(listed):
        if not isinstance(one.get(key), str):
            raise UserError("required, as text", path=f"{path}[{index}].{key}")
        found[one[key]] = one
    return list(found.values())


def _volume(prefix: str, name: str) -> str:
    return f"{prefix}-{name}".replace("_", "-")


def _selectors(raw: Any) -> Iterable[SecretRef]:
    """The secret selectors of raw data: a name and a key, and nothing else but `optional`."""
    if isinstance(raw, dict):
        if isinstance(raw.get("name"), str) and isinstance(raw.get("key"), str) and raw.keys() <= _SELECTOR:
            yield SecretRef(name=raw["name"], key=raw["key"])
        else:
            for value in raw.values():
                yield from _selectors(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _selectors(value)


_SELECTOR = {"name", "key", "optional"}
