"""artifactGC: which artifacts a Workflow leaves that are to be deleted, and what its status says then. Pure.

Contract: workflows A.1, C.6. What a cache hit or a memoized resubmission only refers to belongs to another Workflow.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from events.local.workflows.artifacts import locations
from events.local.workflows.artifacts.locations import Location

Object = dict[str, Any]
FINALIZER = "workflows.argoproj.io/artifact-gc"
ON_COMPLETION, ON_DELETION = "OnWorkflowCompletion", "OnWorkflowDeletion"
CONDITION = "ArtifactGCError"


def is_wanted(spec: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether something is ever to be deleted; `stored` are the status's templates."""
    if _strategy(spec.get("artifactGC")):
        return True
    return any(
        _strategy(one.get("artifactGC"))
        for template in (*(spec.get("templates") or ()), *stored.values())
        for one in (template.get("outputs") or {}).get("artifacts") or ()
    )


def _strategy(collection: Mapping[str, Any] | None) -> str:
    found = str((collection or {}).get("strategy") or "")
    return found if found in (ON_COMPLETION, ON_DELETION) else ""


def due(workflow: Mapping[str, Any], spec: Mapping[str, Any], strategies: tuple[str, ...]) -> list[Location]:
    """What is to be deleted under these strategies, each once."""
    status = workflow.get("status") or {}
    place = (status.get("artifactRepositoryRef") or {}).get("artifactRepository") or {}
    found: dict[Location, None] = {}
    for artifact in _artifacts(status):
        if _wanted(artifact, spec) in strategies:
            location = locations.located(artifact["s3"], place)
            found[location] = None
    return list(found)


def _wanted(artifact: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    own = artifact.get("artifactGC") or {}
    return _strategy(own) if own.get("strategy") else _strategy(spec.get("artifactGC"))


def _artifacts(status: Mapping[str, Any]) -> Iterator[Object]:
    for node in (status.get("nodes") or {}).values():
        is_own = node.get("type") == "Pod" and not (node.get("memoizationStatus") or {}).get("hit")
        for one in (node.get("outputs") or {}).get("artifacts") or () if is_own else ():
            if (one.get("s3") or {}).get("key") and not one.get("deleted"):
                yield one


def noted(workflow: Object, spec: Mapping[str, Any], strategies: tuple[str, ...], problem: str) -> Object:
    """The Workflow whose artifacts are `deleted`, or with the condition that says why not."""
    new = copy.deepcopy(workflow)
    status = new.setdefault("status", {})
    kept = [one for one in status.get("conditions") or () if one.get("type") != CONDITION]
    if problem:
        kept.append({"type": CONDITION, "status": "True", "message": problem})
    else:
        for artifact in _artifacts(status):
            if _wanted(artifact, spec) in strategies:
                artifact["deleted"] = True
        done = status.setdefault("artifactGCStatus", {}).setdefault("strategiesProcessed", {})
        done |= dict.fromkeys(strategies, True)
    if kept:
        status["conditions"] = kept
    return new
