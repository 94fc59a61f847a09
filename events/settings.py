"""The process environment, read once into one frozen Settings. Contract: sensors 0.4, eventsources 1.7."""

from __future__ import annotations

import base64
import binascii
import gzip
import os
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from events import mounted
from events.errors import UserError
from events.scripting.link import Limits

METRICS_PORT = 7777
GRACE = 25.0
BUS_AUTH_FILE = "/etc/eventbus/auth/auth.yaml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a service learns from its environment."""

    sensor_object: dict[str, Any] | None = None
    """KERYX_OBJECT_FILE, else SENSOR_OBJECT, decoded."""
    event_source_object: dict[str, Any] | None = None
    """KERYX_OBJECT_FILE, else EVENTSOURCE_OBJECT, decoded."""
    bus_config: dict[str, Any] | None = None
    """KERYX_BUS_FILE, else EVENTBUS_CONFIG, decoded: exactly one of nats, jetstream, kafka."""
    since: dict[str, Any] | None = None
    """KERYX_SINCE_FILE: when each trigger first appeared, and whether these are all; None: nobody knows."""
    pod_name: str = ""
    """POD_NAME, else the host's name: who we are in logs and leases."""
    namespace: str = ""
    """NAMESPACE, else the object's."""
    kubeconfig: str = ""
    """KUBECONFIG; empty: in-cluster."""
    log_level: str = "info"
    """LOG_LEVEL: debug, info, warn or error; anything else is info."""
    metrics_port: int = METRICS_PORT
    """KERYX_METRICS_PORT: where /metrics, /healthz and /readyz are served; 0 = any free port."""
    grace: float = GRACE
    """KERYX_GRACE: seconds that running actions get after SIGTERM."""
    script_limits: Limits = Limits()  # noqa: RUF009 - immutable
    """KERYX_SCRIPT_SECONDS and KERYX_SCRIPT_MEMORY (MiB): what one run of a jq program or Lua script may take."""
    image: str = ""
    """ARGO_EVENTS_IMAGE: what the controller lets the pods of objects run."""
    image_pull_policy: str = "Always"
    """IMAGE_PULL_POLICY of those pods, where an object says nothing."""
    leader_election: str = ""
    """LEADER_ELECTION: `k8s` has ownership kept by a Kubernetes Lease."""
    election_times: Mapping[str, str] = field(default_factory=dict)
    """LEADER_ELECTION_LEASE_DURATION, _RENEW_DEADLINE and _RETRY_PERIOD, as far as they are set."""
    bus_auth_file: str = BUS_AUTH_FILE
    """KERYX_BUS_AUTH_FILE: credentials of the bus, when its config names an access secret."""
    address: str = ""
    """KERYX_LISTEN: where endpoints and health listen; empty: every interface. Pods that share a machine set it."""


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment; UserError naming the variable that cannot be used."""
    level = environ.get("LOG_LEVEL", "").lower()
    carried = _file(environ, "KERYX_OBJECT_FILE")
    return Settings(
        sensor_object=carried or _decoded(environ, "SENSOR_OBJECT"),
        event_source_object=carried or _decoded(environ, "EVENTSOURCE_OBJECT"),
        bus_config=_file(environ, "KERYX_BUS_FILE") or _decoded(environ, "EVENTBUS_CONFIG"),
        since=_file(environ, "KERYX_SINCE_FILE"),
        pod_name=environ.get("POD_NAME") or socket.gethostname(),
        namespace=environ.get("NAMESPACE", ""),
        kubeconfig=environ.get("KUBECONFIG", ""),
        log_level=level if level in ("debug", "info", "warn", "error") else "info",
        metrics_port=int(_number(environ, "KERYX_METRICS_PORT", METRICS_PORT, most=65535)),
        grace=_number(environ, "KERYX_GRACE", GRACE),
        script_limits=script_limits(environ),
        image=environ.get("ARGO_EVENTS_IMAGE", ""),
        image_pull_policy=environ.get("IMAGE_PULL_POLICY") or "Always",
        leader_election=environ.get("LEADER_ELECTION", ""),
        election_times={key: text for key, text in environ.items() if key.startswith("LEADER_ELECTION_")},
        bus_auth_file=mounted.where(environ.get("KERYX_BUS_AUTH_FILE") or BUS_AUTH_FILE, environ),
        address=environ.get("KERYX_LISTEN", ""),
    )


def script_limits(environ: Mapping[str, str] = os.environ) -> Limits:
    """What scripts may take, from the environment; UserError naming the variable that cannot be used."""
    seconds = _number(environ, "KERYX_SCRIPT_SECONDS", 0)
    memory = int(_number(environ, "KERYX_SCRIPT_MEMORY", 0, most=1 << 20)) << 20
    usual = Limits()
    return Limits(seconds or usual.seconds, memory or usual.memory)


def _decoded(environ: Mapping[str, str], name: str) -> dict[str, Any] | None:
    text = environ.get(name, "")
    if not text:
        return None
    try:
        value = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise UserError(f"is not base64 of JSON: {error}", path=name) from error
    if not isinstance(value, dict):
        raise UserError("is not a JSON object", path=name)
    return value


def _file(environ: Mapping[str, str], name: str) -> dict[str, Any] | None:
    """The JSON object of the file that a variable names; `.gz` is unpacked. UserError when it cannot be read."""
    path = environ.get(name, "")
    if not path:
        return None
    try:
        data = Path(path).read_bytes()
        value = orjson.loads(gzip.decompress(data) if path.endswith(".gz") else data)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", path=name) from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is not a JSON object", path=name)
    return value


def _number(environ: Mapping[str, str], name: str, default: float, most: float = 1e9) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        number = float(text.removesuffix("s"))
    except ValueError as error:
        raise UserError(f"{text!r} is not a number", path=name) from error
    if not 0 <= number <= most:
        raise UserError(f"{text!r} is out of range", path=name)
    return number
