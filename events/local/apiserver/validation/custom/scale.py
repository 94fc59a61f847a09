"""The scale subresource of a custom resource: read from the object, written into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_MOST = (1 << 31) - 1
_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class ScaleError(ValueError):
    """The object has no scale; the message is a real server's."""


def read(it: Object, paths: Object) -> dict[str, Any]:
    """The `autoscaling/v1` Scale of an object. Raises `ScaleError` when it has no replicas, or other than a number."""
    meta = {key: it["metadata"][key] for key in _SHOWN if key in it["metadata"]}
    where = paths["specReplicasPath"]
    replicas = _number(it, where)
    if replicas is None:
        raise ScaleError(f'the spec replicas field "{where}" does not exist')
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": _spec(replicas),
        "status": _status(it, paths),
    }


def _spec(replicas: int) -> dict[str, Any]:
    return {"replicas": replicas} if replicas else {}


def _status(it: Object, paths: Object) -> dict[str, Any]:
    status: dict[str, Any] = {"replicas": _number(it, paths["statusReplicasPath"]) or 0}
    selector = _at(it, paths.get("labelSelectorPath") or "")
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    return status


def write(it: Object, replicas: int, paths: Object) -> dict[str, Any]:
    """The object with other replicas."""
    steps = paths["specReplicasPath"].removeprefix(".").split(".")
    result = node = dict(it)
    for step in steps[:-1]:
        child = node.get(step)
        node[step] = node = dict(child) if isinstance(child, dict) else {}
    node[steps[-1]] = replicas
    return result


def check(it: Object, paths: Object | None) -> list[Cause]:
    """Replicas that can be scaled."""
    found: list[Cause] = []
    for key in ("specReplicasPath", "statusReplicasPath") if paths else ():
        where = (paths or {}).get(key, "")
        try:
            replicas = _number(it, where) or 0
        except ScaleError as error:
            found.append(causes.invalid(where, 0, str(error)))
            continue
        if replicas < 0:
            found.append(causes.invalid(where, replicas, "should be a non-negative integer"))
        elif replicas > _MOST:
            found.append(causes.invalid(where, replicas, f"should be less than or equal to {_MOST}"))
    return found


def _at(it: Object, where: str) -> Any:
    value: Any = it
    for step in where.removeprefix(".").split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _number(it: Object, where: str) -> int | None:
    value = _at(it, where)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    given = {str: "string", bool: "bool", float: "float64", dict: "map[string]interface {}"}.get(
        type(value), "[]interface {}"
    )
    shown = f"{value}".lower() if isinstance(value, bool) else value
    raise ScaleError(f"{where} accessor error: {shown} is of the type {given}, expected int64")
