"""What the pod of a resource template runs: the action, with the account of the pod, and the wait for its conditions.

Contract: workflows B.2. `python -m events.local.workflows.resource_pod PLAN`; outputs are left where `handover` looks.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from events.errors import KeryxError
from events.expressions.expr.jsonpath import query
from events.kube import objects, patches
from events.kube.api import KubeApi, KubeError, Object
from events.kube.client import connect
from events.local.workflows import conditions, gotexts
from events.local.workflows.errors import WorkflowError
from events.local.workflows.handover import POD_UID
from events.yamls import load_all

POLL = 2.0
_MERGES = {"merge": patches.MERGE, "json": patches.JSON, "strategic": patches.STRATEGIC}


async def act(api: KubeApi, plan: Object, pause: float = POLL) -> Object | None:
    """Do the action and wait; the object, or None when there is none. WorkflowError, KubeError when it failed."""
    wanted = plan["resource"]
    manifest = _manifest(plan)
    if manifest is None:
        raise WorkflowError("a resource template needs a manifest here: flags alone are not available")
    if wanted.get("setOwnerReference"):
        owners = manifest.setdefault("metadata", {}).setdefault("ownerReferences", [])
        owners.append(plan["owner"])
    found = await _done(api, wanted, manifest, plan["namespace"])
    success, failure = wanted.get("successCondition") or "", wanted.get("failureCondition") or ""
    if found is None or not (success or failure):
        return found
    return await _awaited(api, found, success, failure, pause)


def _manifest(plan: Object) -> Object | None:
    text = plan["resource"].get("manifest")
    source = (plan["resource"].get("manifestFrom") or {}).get("artifact") or {}
    if not text and source:
        for one in (plan["inputs"].get("artifacts")) or ():
            if one["name"] == source.get("name") and one.get("raw"):
                text = one["raw"].get("data", "")
    several = [one for one in load_all(text or "") if isinstance(one, dict)]
    if len(several) > 1:
        raise WorkflowError("a resource template takes one object")
    return several[0] if several else None


async def _done(api: KubeApi, wanted: Object, manifest: Object, namespace: str) -> Object | None:
    action = wanted["action"]
    resource = await api.resource(*objects.kind_of(manifest))
    meta = manifest.setdefault("metadata", {})
    home = meta.get("namespace") or (namespace if resource.namespaced else None)
    name = meta.get("name", "")
    if action == "create":
        return await api.create(manifest, namespace=home)
    if action == "get":
        return await api.get(resource, name, namespace=home)
    if action == "delete":
        try:
            await api.delete(resource, name, namespace=home)
        except KubeError as error:
            if error.status != 404:
                raise
        return None
    if action == "replace":
        return await api.replace(manifest, namespace=home)
    if action == "patch":
        kind = _MERGES.get(wanted.get("mergeStrategy") or "strategic", patches.STRATEGIC)
        return await api.patch(resource, name, manifest, content_type=kind, namespace=home)
    params = {"fieldManager": "keryx-workflow", "force": "true"}
    return await api.patch(resource, name, manifest, content_type=patches.APPLY, namespace=home, params=params)


async def _awaited(api: KubeApi, obj: Object, success: str, failure: str, pause: float) -> Object:
    resource = await api.resource(*objects.kind_of(obj))
    meta = obj["metadata"]
    while True:
        try:
            obj = await api.get(resource, meta["name"], namespace=meta.get("namespace"))
        except KubeError as error:
            if error.status == 404:
                raise WorkflowError(f"{objects.describe(obj)} was deleted while it was waited for") from error
            if error.status < 500:
                raise
        else:
            if conditions.judged(obj, success, failure):
                return obj
        await asyncio.sleep(pause)


async def save(outputs: Object, obj: Object | None, folder: Path) -> None:
    """Write the output parameters."""
    place = folder / "parameters"
    place.mkdir(parents=True, exist_ok=True)
    for one in outputs.get("parameters") or ():
        source = one.get("valueFrom") or {}
        if obj is not None and source.get("jsonPath"):
            (place / one["name"]).write_text(_by_path(obj, source["jsonPath"]))
        elif obj is not None and source.get("jqFilter"):
            (place / one["name"]).write_text(await _by_filter(obj, source["jqFilter"]))


def _by_path(obj: Object, text: str) -> str:
    """kubectl's `{.a.b}` between plain texts."""
    found, at = "", 0
    while (start := text.find("{", at)) >= 0:
        end = text.find("}", start)
        if end < 0:
            raise WorkflowError(f"jsonPath {text!r} has no end")
        found += text[at:start]
        path = text[start + 1 : end].strip()
        value = query(json.dumps(obj), f"${path}" if path.startswith((".", "[")) else f"$.{path}", lambda _steps: None)
        found += value if isinstance(value, str) else gotexts.dumps(value)
        at = end + 1
    return found + text[at:]


async def _by_filter(obj: Object, text: str) -> str:
    import jq  # only pods of resource templates need it

    several = jq.compile(text).input_value(obj).all()
    return "\n".join(one if isinstance(one, str) else gotexts.dumps(one) for one in several).strip()


def _plan(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


async def main(path: str) -> int:
    """The pod: 0 when it is done, 1 with the reason on stderr."""
    plan = _plan(path)
    api = await connect()
    try:
        found = await act(api, plan)
        await save(plan["outputs"], found, Path(path).parent / os.environ.get(POD_UID, ""))
        if found is not None:
            sys.stdout.write(f"{objects.describe(found)}\n")
    except KeryxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        await api.aclose()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
