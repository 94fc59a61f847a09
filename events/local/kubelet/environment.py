"""What a container's process finds in its environment: pure, but for the lookups handed in.

Order as a kubelet's: services, `envFrom`, `env`; later ones win, and `$(NAME)` sees what came before.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from events.errors import KeryxError
from events.local.apiserver import quantities

Object = dict[str, Any]
Lookup = Callable[[str, str], Object | None]
"""`("ConfigMap", name)` -> the object in the pod's namespace, or None."""

_REFERENCE = re.compile(r"\$\$|\$\(([^()$\s]+)\)")
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_SUBSCRIPT = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")
_UNLIMITED = {"cpu": "1", "memory": "0"}


class ConfigError(KeryxError):
    """The container cannot be made from what it refers to; it may be there later."""


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` by its value, `$$` by `$`; a name that is not known stays as it is written."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return known.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def of_services(services: Iterable[Object], namespace: str) -> dict[str, str]:
    """`NAME_SERVICE_HOST` and its kin, for the services of a namespace that have an address."""
    found: dict[str, str] = {}
    for it in services:
        spec = it.get("spec") or {}
        address = spec.get("clusterIP")
        if it["metadata"].get("namespace") != namespace or address in (None, "", "None") or not spec.get("ports"):
            continue
        name = it["metadata"]["name"].upper().replace("-", "_")
        ports = spec["ports"]
        found |= {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
        first = f"{ports[0].get('protocol', 'TCP').lower()}://{address}:{ports[0]['port']}"
        found[f"{name}_PORT"] = first
        for port in ports:
            found |= _of_port(name, address, port)
    return found


def _of_port(name: str, address: str, port: Object) -> dict[str, str]:
    protocol, number = port.get("protocol", "TCP"), port["port"]
    prefix = f"{name}_PORT_{number}_{protocol}"
    found = {
        prefix: f"{protocol.lower()}://{address}:{number}",
        f"{prefix}_PROTO": protocol.lower(),
        f"{prefix}_PORT": str(number),
        f"{prefix}_ADDR": address,
    }
    if port.get("name"):
        found[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(number)
    return found


def of_container(pod: Object, container: Object, base: Mapping[str, str], lookup: Lookup) -> dict[str, str]:
    """`base` with what `envFrom` and `env` add. Raises ConfigError naming what is missing."""
    found = dict(base)
    for source in container.get("envFrom") or ():
        found |= _from_source(source, lookup)
    for one in container.get("env") or ():
        name = one["name"]
        if "valueFrom" not in one or one["valueFrom"] is None:
            found[name] = expand(one.get("value") or "", found)
            continue
        value = _from_value(pod, container, one["valueFrom"], lookup)
        if value is not None:
            found[name] = value
    return found


def _from_source(source: Object, lookup: Lookup) -> dict[str, str]:
    kind, reference = (
        ("ConfigMap", source["configMapRef"]) if source.get("configMapRef") else ("Secret", source.get("secretRef"))
    )
    if reference is None:
        return {}
    it = lookup(kind, reference.get("name", ""))
    if it is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind.lower()} "{reference.get("name", "")}" not found')
    prefix = source.get("prefix") or ""
    return {
        f"{prefix}{key}": value.decode("utf-8", "surrogateescape")
        for key, value in data_of(it).items()
        if _NAME.fullmatch(f"{prefix}{key}")
    }


def data_of(it: Object) -> dict[str, bytes]:
    """The entries of a config map or secret."""
    if it.get("kind") == "Secret":
        return {key: base64.b64decode(value or "") for key, value in (it.get("data") or {}).items()}
    texts = {key: str(value).encode() for key, value in (it.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value or "") for key, value in (it.get("binaryData") or {}).items()}


def _from_value(pod: Object, container: Object, source: Object, lookup: Lookup) -> str | None:
    if field := source.get("fieldRef"):
        return field_of(pod, field["fieldPath"])
    if resource := source.get("resourceFieldRef"):
        return resource_of(pod, container, resource)
    for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if reference := source.get(key):
            return _entry(kind, reference, pod, lookup)
    return ""


def _entry(kind: str, reference: Object, pod: Object, lookup: Lookup) -> str | None:
    name, key = reference.get("name", ""), reference["key"]
    it = lookup(kind, name)
    if it is not None and key in (data := data_of(it)):
        return data[key].decode("utf-8", "surrogateescape")
    if reference.get("optional"):
        return None
    if it is None:
        raise ConfigError(f'{kind.lower()} "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in {kind} {pod['metadata'].get('namespace')}/{name}")


def field_of(pod: Object, path: str) -> str:
    """A field of the downward API. Raises ConfigError for one that it does not have."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = sorted((metadata.get(path.partition(".")[2]) or {}).items())
        return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in entries)
    plain = {
        "metadata.name": metadata.get("name"),
        "metadata.namespace": metadata.get("namespace"),
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.podIP": status.get("podIP"),
        "status.podIPs": status.get("podIP"),
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": status.get("hostIP"),
    }
    if path not in plain:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(plain[path] or "")


def resource_of(pod: Object, container: Object, reference: Object) -> str:
    """`limits.memory` and its kin in units of the divisor; what has no limit has that of the node, here 1 CPU."""
    wanted = reference.get("containerName") or container.get("name")
    named = next((one for one in pod["spec"]["containers"] if one["name"] == wanted), container)
    group, _, name = reference["resource"].partition(".")
    amount = ((named.get("resources") or {}).get(group) or {}).get(name) or _UNLIMITED.get(name, "0")
    divisor = _number(str(reference.get("divisor") or "1")) or Fraction(1)
    return str(math.ceil(_number(str(amount)) / divisor))


def _number(text: str) -> Fraction:
    quantity = quantities.parse(text)
    return Fraction(quantity.unscaled) * Fraction(10) ** quantity.exponent
