"""Rules of services and ingresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes, metadata
from events.local.apiserver.validation.builtin import containers
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITIES = ("ClientIP", "None")
_MOST_AFFINITY = 86400


def service(it: Object) -> list[Cause]:
    """Type, ports, names, addresses."""
    spec = it["spec"]
    kind, ports, address = spec.get("type", ""), spec.get("ports") or (), spec.get("clusterIP", "")
    found: list[Cause] = []
    if not ports and address != "None" and kind != "ExternalName":
        found.append(causes.required("spec.ports"))
    if kind == "LoadBalancer" and address == "None":
        says = "may not be set to 'None' for LoadBalancer services"
        found.append(causes.invalid("spec.clusterIPs[0]", address, says))
    if kind == "ExternalName":
        if address:
            found.append(causes.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'"))
        name = spec.get("externalName", "").removesuffix(".")
        if name:
            found += causes.each("spec.externalName", name, names.dns1123_subdomain(name))
        else:
            found.append(causes.required("spec.externalName"))
    found += _ports(ports, "spec.ports")
    found += metadata.labels("spec.selector", spec.get("selector"))
    affinity = spec.get("sessionAffinity", "")
    if not affinity:
        found.append(causes.required("spec.sessionAffinity"))
    elif affinity not in _AFFINITIES:
        found.append(causes.not_supported("spec.sessionAffinity", affinity, _AFFINITIES))
    elif affinity == "ClientIP":
        timeout = spec["sessionAffinityConfig"]["clientIP"].get("timeoutSeconds", 0)
        if not 0 < timeout <= _MOST_AFFINITY:
            here = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            found.append(causes.invalid(here, timeout, f"must be greater than 0 and less than {_MOST_AFFINITY}"))
    if not kind:
        found.append(causes.required("spec.type"))
    elif kind not in _TYPES:
        found.append(causes.not_supported("spec.type", kind, _TYPES))
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                says = "may not be used when `type` is 'ClusterIP'"
                found.append(causes.forbidden(f"spec.ports[{index}].nodePort", says))
    for index, one in enumerate(spec.get("clusterIPs") or ([address] if address else [])):
        if one != "None":
            found += _address(one, f"spec.clusterIPs[{index}]")
    for index, one in enumerate(spec.get("externalIPs") or ()):
        found += _address(one, f"spec.externalIPs[{index}]")
    return found


def _address(value: str, path: str) -> list[Cause]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [causes.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


def _ports(ports: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    used: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        here, name, protocol = f"{path}[{index}]", port.get("name", ""), port.get("protocol", "")
        if name:
            found += causes.each(f"{here}.name", name, names.dns1123_label(name))
            if name in taken:
                found.append(causes.duplicate(f"{here}.name", name))
            taken.add(name)
        elif len(ports) > 1:
            found.append(causes.required(f"{here}.name"))
        found += containers.port_number(port.get("port", 0), f"{here}.port")
        found += containers.protocol(protocol, f"{here}.protocol")
        found += containers.number_or_name(port.get("targetPort", 0), f"{here}.targetPort")
        number = port.get("nodePort")
        if number:
            if (protocol, number) in node_ports:
                found.append(causes.duplicate(f"{here}.nodePort", number))
            node_ports.add((protocol, number))
        if (protocol, port.get("port")) in used:
            shown = {"protocol": protocol, "port": port.get("port"), "targetPort": 0}
            found.append(causes.duplicate(here, shown))
        used.add((protocol, port.get("port")))
    return found


def service_update(it: Object, old: Object) -> list[Cause]:
    """The address stays, unless it goes to or from a name outside."""
    new, before = it["spec"], old["spec"]
    if "ExternalName" in (new.get("type"), before.get("type")):
        return []
    if before.get("clusterIP") and new.get("clusterIP") != before["clusterIP"]:
        return [causes.invalid("spec.clusterIPs[0]", new.get("clusterIPs"), "may not change once set")]
    return []


def ingress(it: Object) -> list[Cause]:
    """At least one rule or a default; paths with a type and a backend."""
    spec = it.get("spec") or {}
    found: list[Cause] = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        found.append(causes.invalid("spec", spec or {}, "either `defaultBackend` or `rules` must be specified"))
    if spec.get("defaultBackend") is not None:
        found += _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        here = f"spec.rules[{index}]"
        if host := rule.get("host"):
            plain = host.removeprefix("*.")
            found += causes.each(f"{here}.host", host, names.dns1123_subdomain(plain))
        for number, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            found += _path(path, f"{here}.http.paths[{number}]")
        if rule.get("http") is not None and not rule["http"].get("paths"):
            found.append(causes.required(f"{here}.http.paths"))
    return found


def _path(path: Object, here: str) -> list[Cause]:
    found: list[Cause] = []
    kind, where = path.get("pathType"), path.get("path", "")
    if kind is None:
        found.append(causes.required(f"{here}.pathType", "pathType must be specified"))
    elif kind in ("Exact", "Prefix"):
        if not where.startswith("/"):
            found.append(causes.invalid(f"{here}.path", where, "must be an absolute path"))
    elif kind != "ImplementationSpecific":
        allowed = ("Exact", "ImplementationSpecific", "Prefix")
        found.append(causes.not_supported(f"{here}.pathType", kind, allowed))
    return found + _backend(path.get("backend") or {}, f"{here}.backend")


def _backend(backend: Object, here: str) -> list[Cause]:
    target, resource = backend.get("service"), backend.get("resource")
    if target is None and resource is None:
        return [causes.invalid(here, "", "resource or service backend is required")]
    if target is None:
        return []
    if resource is not None:
        says = "cannot set both resource and service backends"
        return [causes.invalid(here, "", says)]
    found = [] if target.get("name") else [causes.required(f"{here}.service.name")]
    port = target.get("port") or {}
    if not port.get("name") and not port.get("number"):
        found.append(causes.required(here, "port name or number is required"))
    if port.get("number"):
        found += containers.port_number(port["number"], f"{here}.service.port.number")
    return found
