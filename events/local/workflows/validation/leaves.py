"""Templates that call no others. Contract: workflows M 15-22."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from events.local.workflows.errors import WorkflowError
from events.local.workflows.validation import naming

Object = Mapping[str, Any]
ACTIONS = ("get", "create", "apply", "delete", "replace", "patch")
_RESERVED = ("wait", "supervisor")
_RESERVED_PREFIX = "artifact-plugin-"


def check(template: Object, kind: str) -> None:
    """What is wrong with a leaf in itself."""
    name = template.get("name", "")
    where = f"templates.{name}"
    if template.get("parallelism") is not None:
        raise WorkflowError(f"{where}.parallelism is only valid for steps and dag templates")
    seconds = template.get("activeDeadlineSeconds")
    if seconds is not None and not _is_natural(seconds):
        raise WorkflowError(f"{where}.activeDeadlineSeconds must be a positive integer > 0 or an argo variable")
    _check_sidecars(where, template)
    if kind in ("container", "script"):
        if not template[kind].get("image"):
            raise WorkflowError(f"{where}.{kind}.image may not be empty")
        _check_mounts(where, template, kind)
    elif kind == "containerSet":
        _check_set(f"{where}.containerSet", template)
    elif kind == "resource":
        _check_resource(where, template)
    elif kind == "plugin" and len(template["plugin"]) != 1:
        raise WorkflowError(f"expected exactly one key, got {len(template['plugin'])}")


def _is_natural(value: Any) -> bool:
    if isinstance(value, str):
        return (value.startswith("{{") and value.endswith("}}")) or value.isdecimal()
    return isinstance(value, int) and value >= 0


def _check_sidecars(where: str, template: Object) -> None:
    for one in template.get("initContainers") or ():
        if not one.get("name"):
            raise WorkflowError(f"{where} initContainers must all have container name")
    for one in template.get("sidecars") or ():
        name = one.get("name", "")
        if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            raise WorkflowError(f'{where}.sidecars: "{name}" is a reserved Argo container name')


def _check_mounts(where: str, template: Object, kind: str) -> None:
    taken: dict[str, str] = {}
    for index, mount in enumerate(template[kind].get("volumeMounts") or ()):
        path = mount.get("mountPath", "")
        if path in taken:
            says = f"{where}.{kind}.volumeMounts[{index}].mountPath '{path}' already mounted in {taken[path]}"
            raise WorkflowError(says)
        taken[path] = f"{kind}.volumeMounts.{mount.get('name')}"
    for index, one in enumerate((template.get("inputs") or {}).get("artifacts") or ()):
        path = one.get("path", "")
        if path in taken:
            raise WorkflowError(f"{where}.inputs.artifacts[{index}].path '{path}' already mounted in {taken[path]}")
        taken[path] = f"inputs.artifacts.{one['name']}"


def _check_set(where: str, template: Object) -> None:
    containers = template["containerSet"].get("containers") or ()
    if not containers:
        raise WorkflowError(f"{where}.containers must have at least one container")
    naming.check_names(f"{where}.containers", containers, are_parameters=False)
    names = [one["name"] for one in containers]
    for name in names:
        if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            raise WorkflowError(f'{where}.containers: "{name}" is a reserved Argo container name')
    graph = {one["name"]: list(one.get("dependencies") or ()) for one in containers}
    for name, dependencies in graph.items():
        for one in dependencies:
            if one not in graph:
                raise WorkflowError(f"{where}.containers.{name} dependency '{one}' not defined")
    if found := cycle(graph):
        raise WorkflowError(f"{where}.containers dependency cycle detected: {'->'.join(found)}")
    inputs, outputs = template.get("inputs") or {}, template.get("outputs") or {}
    has_io = inputs.get("artifacts") or outputs.get("parameters") or outputs.get("artifacts")
    if has_io and "main" not in names:
        raise WorkflowError(f'{where}.containers must have a container named "main" for input or output')


def cycle(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """A cycle in a graph, empty when there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in graph:
            return []
        for below in graph[name]:
            if found := walk(below, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def _check_resource(where: str, template: Object) -> None:
    resource = template["resource"]
    action, manifest, source = resource.get("action", ""), resource.get("manifest"), resource.get("manifestFrom")
    if "{{" not in str(action):
        if action not in ACTIONS:
            raise WorkflowError(f"{where}.resource.action must be one of: {', '.join(ACTIONS)}")
        if not (manifest or source or resource.get("flags")) and action not in ("get", "delete"):
            says = f"either {where}.resource.manifest or {where}.resource.manifestFrom must be specified"
            raise WorkflowError(says)
    if manifest and source:
        raise WorkflowError(
            "shouldn't have both `manifest` and `manifestFrom` specified in `Manifest` for resource template"
        )
    if source:
        wanted = (source.get("artifact") or {}).get("name")
        if wanted not in [one["name"] for one in (template.get("inputs") or {}).get("artifacts") or ()]:
            raise WorkflowError(f"artifact {wanted} in `manifestFrom` refer to a non-exist artifact")
    if manifest and "{{" not in manifest:
        try:
            list(yaml.safe_load_all(manifest))
        except yaml.YAMLError as error:
            raise WorkflowError(f"{where}.resource.manifest must be a valid yaml") from error
