"""Which variables may stand where. Contract: workflows M 12."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from events.local.workflows import tags
from events.local.workflows.errors import WorkflowError

Object = Mapping[str, Any]
PREFIXES = ("item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks.")
_LATE = ("outputs.", "workflow.creationTimestamp", "workflow.scheduledTime", "workflow.duration")
_ALWAYS = (
    "name",
    "namespace",
    "mainEntrypoint",
    "serviceAccountName",
    "uid",
    "status",
    "failures",
    "duration",
    "parameters",
    "parameters.json",
    "labels",
    "labels.json",
    "annotations",
    "annotations.json",
)
ANY_ITEM = "item.*"


def of_workflow(metadata: Object, spec: Object) -> set[str]:
    """`workflow.*` of this Workflow."""
    found = {f"workflow.{name}" for name in _ALWAYS}
    for one in (spec.get("arguments") or {}).get("parameters") or ():
        found.add(f"workflow.parameters.{one.get('name')}")
    more = spec.get("workflowMetadata") or {}
    for place in ("labels", "annotations"):
        for key in {**(metadata.get(place) or {}), **(more.get(place) or {})}:
            found.add(f"workflow.{place}.{key}")
    for key in more.get("labelsFrom") or {}:
        found.add(f"workflow.labels.{key}")
    if spec.get("priority") is not None:
        found.add("workflow.priority")
    return found


def check(value: Any, scope: set[str], *, is_template: bool) -> None:
    """Raises for the first tag that cannot be resolved; `is_template`: parameters may come from elsewhere."""
    for tag in tags.tags(value):
        if not tag.startswith(PREFIXES) or tag in scope:
            continue
        if tag.startswith("item.") and ANY_ITEM in scope:
            continue
        if tag.startswith(_LATE) or tag in ("steps.name", "tasks.name"):
            continue
        if is_template and tag.startswith("workflow.parameters"):
            continue
        raise WorkflowError(f"failed to resolve {{{{{tag}}}}}")


def add_items(part: Object, scope: set[str]) -> None:
    """`item` of a loop; raises for a loop over more than one thing."""
    items, text, sequence = part.get("withItems"), part.get("withParam"), part.get("withSequence")
    if sum((bool(items), bool(text), sequence is not None)) > 1:
        raise WorkflowError("only one of withItems, withParam, withSequence can be specified")
    for one in items or ():
        if isinstance(one, Mapping):
            scope.update(f"item.{key}" for key in one)
        scope.add("item")
    if text:
        scope |= {"item", ANY_ITEM}
    if sequence is not None:
        if sequence.get("count") is not None and sequence.get("end") is not None:
            raise WorkflowError("only one of count or end can be defined in withSequence")
        scope.add("item")


def add_outputs(template: Object | None, prefix: str, scope: set[str], *, is_loop: bool) -> None:
    """What a step or task that calls this template offers; of an unknown one nothing but its status."""
    scope.update(f"{prefix}.{one}" for one in ("id", "status", "startedAt", "finishedAt", "hostNodeName"))
    if template is None:
        return
    if template.get("daemon"):
        scope.add(f"{prefix}.ip")
    if any(
        template.get(kind) is not None for kind in ("container", "script", "containerSet", "http", "data", "plugin")
    ):
        scope |= {f"{prefix}.outputs.result", f"{prefix}.exitCode"}
    outputs = template.get("outputs") or {}
    for place in ("parameters", "artifacts"):
        scope.update(f"{prefix}.outputs.{place}.{one.get('name')}" for one in outputs.get(place) or ())
    scope |= globals_of(template)
    if is_loop:
        scope |= {f"{prefix}.outputs.parameters", f"{prefix}.outputs.result"}


def globals_of(template: Object) -> set[str]:
    """The `workflow.outputs.*` that a template writes."""
    outputs = template.get("outputs") or {}
    return {
        f"workflow.outputs.{place}.{one['globalName']}"
        for place in ("parameters", "artifacts")
        for one in outputs.get(place) or ()
        if one.get("globalName")
    }


def is_loop(part: Object) -> bool:
    """Whether a step or task has items."""
    return bool(part.get("withItems")) or bool(part.get("withParam")) or part.get("withSequence") is not None


def names_of(parts: Sequence[Object]) -> list[str]:
    """Their names."""
    return [str(one.get("name", "")) for one in parts]
