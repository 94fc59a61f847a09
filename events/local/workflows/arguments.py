"""Arguments given to a template: what its inputs are then, the template with them in. Contract: workflows E.1, E.4."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from events.local.workflows import gotexts, tags
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
Scope = Mapping[str, Any]
ConfigMapValue = Callable[[Mapping[str, Any]], str]
"""The value that a configMapKeyRef means; MissingKey when there is none."""

LOCATIONS = ("s3", "gcs", "oss", "azure", "artifactory", "hdfs", "http", "git", "raw", "plugin")
_PARAMETER_KEYS = ("name", "default", "value", "valueFrom", "globalName", "enum", "description")


class MissingKey(WorkflowError):
    """The config map or the key is not there; a default may take its place."""


def applied(
    template: Object,
    arguments: Mapping[str, Any],
    scope: Scope,
    local: Scope,
    config_map: ConfigMapValue | None = None,
    *,
    is_checked: bool = False,
) -> Object:
    """The template with its inputs filled and both passes done; WorkflowError for an input that is missing.

    `is_checked`: for validation, where artifacts need no location yet.
    """
    new = dict(template)
    inputs = dict(template.get("inputs") or {})
    if inputs.get("parameters"):
        given = {one["name"]: one for one in arguments.get("parameters") or ()}
        inputs["parameters"] = [
            _parameter(one, given.get(one["name"]), scope, config_map) for one in inputs["parameters"]
        ]
    if inputs.get("artifacts"):
        offered = {one["name"]: one for one in arguments.get("artifacts") or ()}
        inputs["artifacts"] = [
            _artifact(one, offered.get(one["name"]), is_checked=is_checked) for one in inputs["artifacts"]
        ]
    if inputs:
        new["inputs"] = inputs
    return substituted(new, scope, local)


def _parameter(
    declared: Object, given: Mapping[str, Any] | None, scope: Scope, config_map: ConfigMapValue | None
) -> Object:
    found = dict(declared)
    if found.get("value") is None and found.get("default") is not None:
        found["value"] = found["default"]
    is_absent = False
    if given is not None:
        is_absent = given.get("value") == tags.ABSENT
        if given.get("value") is not None and not is_absent:
            found["value"] = given["value"]
            found.pop("valueFrom", None)
        elif given.get("valueFrom") and not is_absent:
            found["valueFrom"] = given["valueFrom"]
            found.pop("value", None)
    source = (found.get("valueFrom") or {}).get("configMapKeyRef")
    if source and config_map is not None:
        found["value"] = _from_config_map(found, tags.replaced(source, scope), config_map)
    name = found["name"]
    if found.get("value") is None and not found.get("valueFrom"):
        if is_absent:
            says = "argument references an absent optional (skipped/omitted node output with no default)"
            raise WorkflowError(f"inputs.parameters.{name}: {says}")
        raise WorkflowError(f"inputs.parameters.{name} was not supplied")
    if found.get("value") is not None:
        found["value"] = gotexts.scalar(found["value"])
    return {key: found[key] for key in _PARAMETER_KEYS if key in found}


def _from_config_map(parameter: Object, source: Object, config_map: ConfigMapValue) -> str:
    try:
        return config_map(source)
    except MissingKey as error:
        default = parameter["valueFrom"].get("default")
        if default is not None:
            return gotexts.scalar(default)
        says = f"unable to retrieve inputs.parameters.{parameter['name']} from ConfigMap: {error.message}"
        raise WorkflowError(says) from error


def _artifact(declared: Object, given: Mapping[str, Any] | None, *, is_checked: bool) -> Object:
    if given is None:
        if not (declared.get("optional") or has_location(declared)):
            raise WorkflowError(f"inputs.artifacts.{declared['name']} was not supplied")
        return dict(declared)
    is_found = has_location(given) or given.get("from") or given.get("fromExpression")
    if not is_found and not declared.get("optional") and not has_location(declared) and not is_checked:
        raise WorkflowError(f"inputs.artifacts.{declared['name']} missing location information")
    if not has_location(given) and (has_location(declared) or declared.get("optional")) and not is_checked:
        return dict(declared)
    kept: Object = {
        key: declared[key] for key in ("path", "mode", "recurseMode", "optional", "archive") if key in declared
    }
    return {**given, "name": declared["name"], **kept}


def has_location(artifact: Mapping[str, Any]) -> bool:
    """Whether it says where its content is."""
    return any(artifact.get(key) is not None for key in LOCATIONS)


def substituted(template: Object, scope: Scope, local: Scope) -> Object:
    """Globals first, then inputs: a global may stand in an input's value."""
    first = tags.replaced(template, {**scope, **local})
    return dict(tags.replaced(first, of_template(first)))


def of_template(template: Mapping[str, Any]) -> dict[str, str]:
    """What a template may refer to of itself."""
    found: dict[str, str] = {}
    inputs, outputs = template.get("inputs") or {}, template.get("outputs") or {}
    parameters = inputs.get("parameters") or ()
    for one in parameters:
        if one.get("value") is not None:
            found[f"inputs.parameters.{one['name']}"] = gotexts.scalar(one["value"])
    if parameters:
        found["inputs.parameters"] = listed(parameters)
    for place, artifacts in (("inputs", inputs.get("artifacts")), ("outputs", outputs.get("artifacts"))):
        for one in artifacts or ():
            if one.get("path"):
                found[f"{place}.artifacts.{one['name']}.path"] = one["path"]
    for one in outputs.get("parameters") or ():
        if (one.get("valueFrom") or {}).get("path"):
            found[f"outputs.parameters.{one['name']}.path"] = one["valueFrom"]["path"]
    return found


def listed(parameters: Any) -> str:
    """Parameters as the JSON list that `{{inputs.parameters}}` and `{{workflow.parameters}}` give."""
    shown = [{key: one[key] for key in _PARAMETER_KEYS if one.get(key) is not None} for one in parameters]
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def normalized(template_or_spec: Any) -> Any:
    """A spec whose parameters hold texts, as the API keeps them (A.3); `steps` lists of lists."""
    if isinstance(template_or_spec, list):
        return [normalized(one) for one in template_or_spec]
    if not isinstance(template_or_spec, dict):
        return template_or_spec
    found = {key: normalized(value) for key, value in template_or_spec.items()}
    if isinstance(found.get("parameters"), list):
        found["parameters"] = [_as_text(one) if isinstance(one, dict) else one for one in found["parameters"]]
    return found


def _as_text(parameter: Object) -> Object:
    found = dict(parameter)
    for key in ("value", "default"):
        if found.get(key) is not None and not isinstance(found[key], str):
            found[key] = gotexts.scalar(found[key])
    if isinstance(found.get("enum"), list):
        found["enum"] = [gotexts.scalar(one) for one in found["enum"]]
    source = found.get("valueFrom")
    if isinstance(source, dict) and source.get("default") is not None:
        found["valueFrom"] = {**source, "default": gotexts.scalar(source["default"])}
    return found
