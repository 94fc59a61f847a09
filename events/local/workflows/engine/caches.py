"""memoize: outputs of an earlier run in place of running. Contract: workflows G.6."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from events import durations
from events.errors import UserError
from events.local.workflows import variables
from events.local.workflows.arguments import MissingKey
from events.local.workflows.engine.run import CACHE, CONFIG_MAP_TYPE, Node, Object, Run
from events.local.workflows.errors import WorkflowError

_KEY = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")


def looked_up(run: Run, template: Mapping[str, Any]) -> tuple[Object, Object | None]:
    """(memoizationStatus, outputs of a hit or None)."""
    wanted = template["memoize"]
    key, name = str(wanted.get("key", "")), wanted["cache"]["configMap"]["name"]
    if not _KEY.fullmatch(key):
        raise WorkflowError(f"invalid cache key: {key}")
    entry = _entry(run, name, key)
    is_hit = entry is not None and not _is_too_old(run, entry, wanted.get("maxAge"))
    status = {"hit": is_hit, "key": key, "cacheName": name}
    return status, (dict(entry.get("outputs") or {}) if is_hit and entry is not None else None)


def _entry(run: Run, name: str, key: str) -> Object | None:
    try:
        found = run.config_map(name, CACHE)
    except MissingKey:
        return None
    text = (found.get("data") or {}).get(key)
    if text is None:
        return None
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise WorkflowError(f"the entry {key} of the cache {name} is no JSON") from error
    return entry if isinstance(entry, dict) else None


def _is_too_old(run: Run, entry: Object, most: str | None) -> bool:
    if not most:
        return False
    try:
        age = timedelta(seconds=durations.seconds(most))
    except UserError as error:
        raise WorkflowError(f"invalid maxAge: {error.message}") from error
    return run.now - variables.parsed(entry["creationTimestamp"]) > age


def save(run: Run, node: Node) -> None:
    """See that a node that Succeeded after a miss is saved."""
    status = node.get("memoizationStatus") or {}
    if not status or status.get("hit"):
        return
    entry = {
        "nodeID": node["id"],
        "outputs": node.get("outputs") or {},
        "creationTimestamp": run.stamp(),
        "lastHitTimestamp": run.stamp(),
    }
    run.result.caches.append((status["cacheName"], status["key"], entry))


def config_map(name: str, namespace: str) -> Object:
    """An empty cache."""
    meta = {"name": name, "namespace": namespace, "labels": {CONFIG_MAP_TYPE: CACHE}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}}
