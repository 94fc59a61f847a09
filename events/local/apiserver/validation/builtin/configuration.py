"""Rules of ConfigMaps, Secrets, Namespaces, Events and Leases. Source: the validation of the API's own types."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from events.local.apiserver import names
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

MOST_BYTES = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"
_MOST_EVENT = 128
_MOST_NOTE = 1024


def config_map(it: Object) -> list[Cause]:
    """Keys, and the size of all values together."""
    data, binary = it.get("data") or {}, it.get("binaryData") or {}
    found: list[Cause] = []
    for key in data:
        found += causes.each(f"data[{key}]", key, names.config_map_key(key))
        if key in binary:
            found.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        found += causes.each(f"binaryData[{key}]", key, names.config_map_key(key))
    size = sum(len(value.encode()) for value in data.values()) + sum(map(_decoded_size, binary.values()))
    if size > MOST_BYTES:
        found.append({**causes.too_long("", MOST_BYTES), "field": ""})  # of the whole object
    return found


def config_map_update(it: Object, old: Object) -> list[Cause]:
    """An immutable one keeps its data, and stays immutable."""
    return _kept(it, old, "data", "binaryData")


def _kept(it: Object, old: Object, *keys: str) -> list[Cause]:
    if not old.get("immutable"):
        return []
    found = [] if it.get("immutable") else [causes.forbidden("immutable", _IMMUTABLE)]
    return found + [causes.forbidden(key, _IMMUTABLE) for key in keys if (it.get(key) or {}) != (old.get(key) or {})]


def _decoded_size(encoded: str | None) -> int:
    return len(encoded or "") * 3 // 4 - (encoded or "")[-2:].count("=")


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}


def secret(it: Object) -> list[Cause]:
    """Keys, size, and what its type asks for."""
    data = it.get("data") or {}
    found: list[Cause] = []
    for key in data:
        found += causes.each(f"data[{key}]", key, names.config_map_key(key))
    if sum(map(_decoded_size, data.values())) > MOST_BYTES:
        found.append(causes.too_long("data", MOST_BYTES))
    kind = it.get("type", "")
    if kind == "kubernetes.io/service-account-token":
        account = "kubernetes.io/service-account.name"
        if not (it["metadata"].get("annotations") or {}).get(account):
            found.append(causes.required(f"metadata.annotations[{account}]"))
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            found += [causes.required(f"data[{key}]") for key in ("username", "password")]
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        found.append(causes.required("data[ssh-privatekey]"))
    for key in _NEEDED.get(kind, ()):
        if key not in data:
            found.append(causes.required(f"data[{key}]"))
        elif kind != "kubernetes.io/tls":
            found += _json(f"data[{key}]", data[key])
    return found


def _json(path: str, encoded: str | None) -> list[Cause]:
    redacted = "<secret contents redacted>"
    try:
        value = orjson.loads(base64.b64decode(encoded or ""))
    except ValueError:
        detail = "invalid character" if encoded else "unexpected end of JSON input"
        return [causes.invalid(path, redacted, detail)]
    if isinstance(value, dict) or value is None:
        return []
    kind = {str: "string", list: "array", bool: "bool"}.get(type(value), "number")
    return [
        causes.invalid(path, redacted, f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    ]


def secret_update(it: Object, old: Object) -> list[Cause]:
    """The type stays; an immutable one keeps its data."""
    return causes.immutable("type", it.get("type", ""), old.get("type", "")) + _kept(it, old, "data")


def namespace_status(it: Object, _: Object) -> list[Cause]:
    """The phase follows from the deletion."""
    phase = (it.get("status") or {}).get("phase", "")
    deleted = it["metadata"].get("deletionTimestamp") is not None
    wanted, empty = ("Terminating", "not empty") if deleted else ("Active", "empty")
    if phase == wanted:
        return []
    return [causes.invalid("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` is {empty}")]


def event(it: Object) -> list[Cause]:
    """Where it is, and of what; those with an `eventTime` name who reports."""
    about = (it.get("involvedObject") or {}).get("namespace", "")
    own = it["metadata"].get("namespace", "")
    found: list[Cause] = []
    if it.get("eventTime") is None:
        agrees = own in ("", "default") if not about else own == about
    else:
        agrees = bool(about) or own in ("default", "kube-system")
    if not agrees:
        found.append(causes.invalid("involvedObject.namespace", about, "does not match event.namespace"))
    if it.get("eventTime") is not None:
        found += _reported(it, "reportingComponent")
    return found + causes.each("namespace", own, names.dns1123_subdomain(own))


def _reported(it: Object, component: str) -> list[Cause]:
    found: list[Cause] = []
    reporter = it.get(component, "")
    if not reporter:
        found.append(causes.required(component))
    found += causes.each(component, reporter, names.qualified_name(reporter))
    for key in ("reportingInstance", "action", "reason"):
        value = it.get(key, "")
        if not value:
            found.append(causes.required(key))
        if len(value.encode()) > _MOST_EVENT:
            found.append(causes.invalid(key, "", f"can have at most {_MOST_EVENT} characters"))
    message = it.get("message", it.get("note", ""))
    if len(message.encode()) > _MOST_NOTE:
        found.append(causes.invalid("message", "", f"can have at most {_MOST_NOTE} characters"))
    return found


def new_event(it: Object) -> list[Cause]:
    """An event of `events.k8s.io`: strict."""
    legacy = {
        "metadata": it["metadata"],
        "involvedObject": it.get("regarding") or {},
        "eventTime": it.get("eventTime"),
        "message": it.get("note", ""),
        "reportingInstance": it.get("reportingInstance", ""),
        "reportingComponent": it.get("reportingController", ""),
        "action": it.get("action", ""),
        "reason": it.get("reason", ""),
    }
    found = [
        {**cause, "field": cause["field"].replace("reportingComponent", "reportingController")}
        for cause in event(legacy)
    ]
    if it.get("eventTime") is None:
        found.append(causes.required("eventTime"))
    if it.get("type") not in ("Normal", "Warning"):
        found.append(causes.invalid("type", "", f"has invalid value: {it.get('type', '')}"))
    for key, path in (
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("deprecatedSource", "source"),
    ):
        if it.get(key):
            found.append(causes.invalid(path, "", "needs to be unset"))
    return found


def lease(it: Object) -> list[Cause]:
    """A duration above 0, transitions that are counted."""
    spec = it.get("spec") or {}
    found: list[Cause] = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        found.append(causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    found += causes.negative("spec.leaseTransitions", spec.get("leaseTransitions"))
    if spec.get("preferredHolder") and not spec.get("strategy"):
        found.append(causes.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return found
