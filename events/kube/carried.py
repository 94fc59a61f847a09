"""What a Deployment's pods read when they start: the object, its bus, in a ConfigMap that they mount. Pure. Flaw C6.

An environment variable ends at 96 KiB and shows the object to all who may read Deployments. A ConfigMap ends at 1 MiB;
what is larger is compressed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from events.errors import UserError
from events.kube import pods
from events.kube.api import Object
from events.kube.mounts import CARRIED

OBJECT, BUS, SINCE = "object.json", "bus.json", "since.json"
MAX_BYTES = (1 << 20) - 4096
_COMPRESS_BYTES = 512 << 10
_NOT_READ = ("eventBusName", "replicas", "revisionHistoryLimit", "service", "template")
"""Parts of a spec that pods do not read: a change of them alone rolls nothing that the Deployment itself does not."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What travels."""

    object: Object
    bus: Mapping[str, Any]
    since: Mapping[str, Any] | None = None
    """Of a Sensor: when its triggers first appeared."""

    @property
    def files(self) -> dict[str, str]:
        """Environment variable -> mounted file."""
        found = {"KERYX_OBJECT_FILE": f"{CARRIED}/{self._object_key}", "KERYX_BUS_FILE": f"{CARRIED}/{BUS}"}
        if self.since is not None:
            found["KERYX_SINCE_FILE"] = f"{CARRIED}/{SINCE}"
        return found

    @property
    def checksum(self) -> str:
        """Another one when a service would do something else, were it started again."""
        meta = {key: value for key, value in self.object["metadata"].items() if key != "generation"}
        spec = {key: value for key, value in self.object["spec"].items() if key not in _NOT_READ}
        return hashlib.sha256(_encoded([meta, spec, self.bus])).hexdigest()[:16]

    def config_map(self, name: str, owner: Object, role: pods.Role) -> Object:
        """The ConfigMap; UserError when the object is too large for one."""
        meta = {"name": name, **pods.metadata(owner, role)}
        found: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}}
        text = _encoded(self.object)
        size = len(text)
        if self._object_key == OBJECT:
            found["data"][OBJECT] = text.decode()
        else:
            packed = gzip.compress(text, mtime=0)
            found["binaryData"] = {self._object_key: base64.b64encode(packed).decode()}
            size = len(packed)
        if size > MAX_BYTES:
            message = f"it has {len(text)} bytes, {size} of them compressed, and at most {MAX_BYTES} travel to its pods"
            raise UserError(message, path="spec", cure="split it")
        found["data"][BUS] = _encoded(self.bus).decode()
        if self.since is not None:
            found["data"][SINCE] = _encoded(self.since).decode()
        return found

    @property
    def _object_key(self) -> str:
        return OBJECT if len(_encoded(self.object)) <= _COMPRESS_BYTES else f"{OBJECT}.gz"


def told(raw: Object, kind: str, spec: Mapping[str, Any]) -> Object:
    """The object as its pods get it: `spec`, and of the metadata what they use."""
    meta = raw["metadata"]
    kept = {key: meta[key] for key in ("name", "namespace", "uid", "creationTimestamp", "generation") if meta.get(key)}
    if election := (meta.get("annotations") or {}).get(pods.LEADER_ELECTION):
        kept["annotations"] = {pods.LEADER_ELECTION: election}
    return {"apiVersion": raw.get("apiVersion", ""), "kind": kind, "metadata": kept, "spec": dict(spec)}


def since_of(config_map: Object | None) -> dict[str, Any] | None:
    """What a ConfigMap of ours carries as `since`; None when there is nothing."""
    text = ((config_map or {}).get("data") or {}).get(SINCE)
    try:
        found = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise UserError(f"it cannot travel to its pods: {error}", path="spec") from error
