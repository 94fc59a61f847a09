"""Rules of containers: names, images, ports, environment, mounts, probes, resources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from events.local.apiserver import names, quantities
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULLS = ("Always", "IfNotPresent", "Never")
_MESSAGES = ("FallbackToLogsOnError", "File")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def check(containers: Sequence[Object], path: str, volumes: Collection[str], taken: set[str]) -> list[Cause]:
    """What is wrong with a list of containers; `taken` are names that are in use, and grows."""
    found: list[Cause] = []
    for index, one in enumerate(containers):
        here, name = f"{path}[{index}]", one.get("name", "")
        found += container(one, here, volumes)
        if name in taken:
            found.append(causes.duplicate(f"{here}.name", name))
        elif name:
            taken.add(name)
    return found


def container(one: Object, path: str, volumes: Collection[str]) -> list[Cause]:
    """What is wrong with a container."""
    name = one.get("name", "")
    found = causes.each(f"{path}.name", name, names.dns1123_label(name)) if name else [causes.required(f"{path}.name")]
    if not one.get("image"):
        found.append(causes.required(f"{path}.image"))
    for key, allowed in (("terminationMessagePolicy", _MESSAGES), ("imagePullPolicy", _PULLS)):
        value = one.get(key, "")
        if not value:
            found.append(causes.required(f"{path}.{key}"))
        elif value not in allowed:
            found.append(causes.not_supported(f"{path}.{key}", value, allowed))
    found += _ports(one.get("ports") or (), f"{path}.ports")
    found += _environment(one.get("env") or (), f"{path}.env")
    found += _mounts(one.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    found += resources(one.get("resources") or {}, f"{path}.resources")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if one.get(key) is not None:
            found += _probe(one[key], f"{path}.{key}", must_succeed_once=key != "readinessProbe")
    for key, handler in (one.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            found += _handler(handler, f"{path}.lifecycle.{key}", ("exec", "httpGet", "tcpSocket", "sleep"))
    return found


def port_number(value: int, path: str) -> list[Cause]:
    """A port is between 1 and 65535."""
    return [] if 1 <= value <= 65535 else [causes.invalid(path, value, "must be between 1 and 65535, inclusive")]


def protocol(value: str, path: str) -> list[Cause]:
    """TCP, UDP or SCTP."""
    if not value:
        return [causes.required(path)]
    return [] if value in PROTOCOLS else [causes.not_supported(path, value, PROTOCOLS)]


def number_or_name(value: int | str, path: str) -> list[Cause]:
    """A port by its number or name."""
    if isinstance(value, str):
        return causes.each(path, value, names.port_name(value))
    return port_number(value, path)


def _ports(ports: Sequence[Object], path: str) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if name := port.get("name"):
            wrong = names.port_name(name)
            found += causes.each(f"{here}.name", name, wrong)
            if not wrong and name in taken:
                found.append(causes.duplicate(f"{here}.name", name))
            taken.add(name)
        if not port.get("containerPort"):
            found.append(causes.required(f"{here}.containerPort"))
        else:
            found += port_number(port["containerPort"], f"{here}.containerPort")
        if port.get("hostPort"):
            found += port_number(port["hostPort"], f"{here}.hostPort")
        found += protocol(port.get("protocol", ""), f"{here}.protocol")
    return found


def _environment(variables: Sequence[Object], path: str) -> list[Cause]:
    found: list[Cause] = []
    for index, variable in enumerate(variables):
        here, name = f"{path}[{index}]", variable.get("name", "")
        if not name:
            found.append(causes.required(f"{here}.name"))
        elif not all(" " <= character <= "~" and character != "=" for character in name):
            says = (
                "a valid environment variable name must consist only of printable ASCII characters other than '=' "
                "(e.g. 'MY_ENV.NAME', regex used for validation is '^[ -<>-~]+$')"
            )
            found.append(causes.invalid(f"{here}.name", name, says))
        source = variable.get("valueFrom")
        if source is None:
            continue
        given = [key for key in _SOURCES if source.get(key) is not None]
        says = ""
        if not given:
            says = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            )
        elif variable.get("value"):
            says = "may not be specified when `value` is not empty"
        elif len(given) > 1:
            says = "may not have more than one field specified at a time"
        for key in given:
            found += _reference(source[key], f"{here}.valueFrom.{key}", key)
        if says:
            found.append(causes.invalid(f"{here}.valueFrom", "", says))
    return found


def _reference(source: Object, path: str, kind: str) -> list[Cause]:
    needed = {
        "configMapKeyRef": ("key",),
        "secretKeyRef": ("key",),
        "resourceFieldRef": ("resource",),
        "fieldRef": ("fieldPath",),
    }
    found = [causes.required(f"{path}.{key}") for key in needed.get(kind, ()) if not source.get(key)]
    if kind in ("configMapKeyRef", "secretKeyRef") and source.get("key"):
        found += causes.each(f"{path}.key", source["key"], names.config_map_key(source["key"]))
    return found


def _mounts(mounts: Sequence[Object], path: str, volumes: Collection[str]) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for index, mount in enumerate(mounts):
        here, name, where = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            found.append(causes.required(f"{here}.name"))
        if name not in volumes:
            found.append(causes.not_found(f"{here}.name", name))
        if not where:
            found.append(causes.required(f"{here}.mountPath"))
        if where in taken:
            found.append(causes.invalid(f"{here}.mountPath", where, "must be unique"))
        taken.add(where)
        for key in ("subPath", "subPathExpr"):
            found += _inside(mount.get(key, ""), f"{path}.{key}")
        if mount.get("subPath") and mount.get("subPathExpr"):
            says = "subPathExpr and subPath are mutually exclusive"
            found.append(causes.invalid(f"{here}.subPathExpr", mount["subPathExpr"], says))
    return found


def _inside(where: str, path: str) -> list[Cause]:
    if where.startswith("/"):
        return [causes.invalid(path, where, "must be a relative path")]
    if ".." in where.split("/"):
        return [causes.invalid(path, where, "must not contain '..'")]
    return []


def _probe(probe: Object, path: str, *, must_succeed_once: bool) -> list[Cause]:
    found = _handler(probe, path, _HANDLERS)
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        found += causes.negative(f"{path}.{key}", probe.get(key))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        found.append(causes.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if must_succeed_once and probe.get("successThreshold", 1) != 1:
        found.append(causes.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return found


def _handler(given: Object, path: str, kinds: Sequence[str]) -> list[Cause]:
    handlers = [key for key in kinds if given.get(key) is not None]
    found = [causes.forbidden(f"{path}.{key}", "may not specify more than 1 handler type") for key in handlers[1:]]
    if not handlers:
        return [causes.required(path, "must specify a handler type")]
    key, handler = handlers[0], given[handlers[0]]
    here = f"{path}.{key}"
    if key == "exec" and not handler.get("command"):
        found.append(causes.required(f"{here}.command"))
    if key == "httpGet":
        if not handler.get("path"):
            found.append(causes.required(f"{here}.path"))
        if handler.get("scheme") not in ("HTTP", "HTTPS"):
            found.append(causes.not_supported(f"{here}.scheme", handler.get("scheme", ""), ("HTTP", "HTTPS")))
    if key in ("httpGet", "tcpSocket"):
        found += number_or_name(handler.get("port", 0), f"{here}.port")
    if key == "grpc":
        found += port_number(handler.get("port", 0), f"{here}.port")
    return found


def resources(given: Object, path: str) -> list[Cause]:
    """Amounts that are not negative, requests that are within limits."""
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    found: list[Cause] = []
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            here = f"{path}.{key}[{name}]"
            found += causes.each(here, name, names.qualified_name(name))
            if quantities.parse(amount).sign < 0:
                found.append(causes.invalid(here, amount, "must be greater than or equal to 0"))
    for name, amount in requests.items():
        if name in limits and quantities.parse(amount).compare(quantities.parse(limits[name])) > 0:
            says = f"must be less than or equal to {name} limit of {limits[name]}"
            found.append(causes.invalid(f"{path}.requests", amount, says))
    return found
