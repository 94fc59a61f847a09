"""Names, and the shapes of arguments and outputs. Contract: workflows M 3-7, 14, 27, 28, 31."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from events.local.workflows import arguments, gotexts
from events.local.workflows.errors import WorkflowError

Object = Mapping[str, Any]
MAX_NAME = 128
_FIELD = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_PARAMETER = re.compile(r"[-a-zA-Z0-9_]+")
FIELD_SAYS = (
    "name must consist of alpha-numeric characters or '-', and must start with an alpha-numeric character "
    "(e.g. My-name1-2, 123-NAME)"
)
PARAMETER_SAYS = (
    "Parameter/Artifact name must consist of alpha-numeric characters, '_' or '-' e.g. my_param_1, MY-PARAM-1"
)


def field_problem(name: str) -> str:
    """Why this is no name of a template, step or task; empty when it is one."""
    if len(name) > MAX_NAME:
        return f"must be no more than {MAX_NAME} characters"
    return "" if _FIELD.fullmatch(name) else FIELD_SAYS


def parameter_problem(name: str) -> str:
    """The same for parameters and artifacts."""
    return "" if _PARAMETER.fullmatch(name) else PARAMETER_SAYS


def check_names(prefix: str, named: Sequence[Object], *, are_parameters: bool) -> None:
    """Every one has a name of its own."""
    seen = set()
    for index, one in enumerate(named):
        name = one.get("name") or ""
        if not name:
            raise WorkflowError(f"{prefix}[{index}].name is required")
        problem = parameter_problem(name) if are_parameters else field_problem(name)
        if problem:
            raise WorkflowError(f"{prefix}[{index}].name: '{name}' is invalid: {problem}")
        if name in seen:
            raise WorkflowError(f"{prefix}[{index}].name '{name}' is not unique")
        seen.add(name)


def check_arguments(prefix: str, given: Object, *, may_be_empty: bool) -> None:
    """Arguments of a Workflow, a step or a task; `prefix` ends with a dot."""
    for place in ("parameters", "artifacts"):
        check_names(f"{prefix}{place}", given.get(place) or (), are_parameters=True)
    for one in given.get("parameters") or ():
        _check_parameter(f"{prefix}{one['name']}", one, may_be_empty=may_be_empty)
    for one in given.get("artifacts") or ():
        where = f"{prefix}{one['name']}"
        if one.get("from") and one.get("fromExpression"):
            raise WorkflowError(f"{where} shouldn't have both `from` and `fromExpression` in Artifact")
        if not (arguments.has_location(one) or one.get("from") or one.get("fromExpression")) and not may_be_empty:
            raise WorkflowError(f"{where}.from, artifact location, or key is required")
        check_location(where, one)


def _check_parameter(where: str, one: Object, *, may_be_empty: bool) -> None:
    value, source = one.get("value"), one.get("valueFrom")
    if value is None and source is None and not may_be_empty:
        raise WorkflowError(f"{where}.value or {where}.valueFrom is required")
    if source is not None and not any(source.get(key) is not None for key in ("configMapKeyRef", "supplied", "event")):
        raise WorkflowError(f"{where}.valueFrom only allows: default, configMapKeyRef and supplied")
    if one.get("enum") is None:
        return
    if not one["enum"]:
        raise WorkflowError(f"{where}.enum should contain at least one value")
    if value is None:
        if may_be_empty:
            return
        raise WorkflowError(f"{where}.value is required")
    if gotexts.scalar(value) not in [gotexts.scalar(choice) for choice in one["enum"]]:
        raise WorkflowError(f"{where}.value should be present in {where}.enum list")


def check_location(where: str, artifact: Object) -> None:
    """What a location cannot do without."""
    if artifact.get("git") is not None and not artifact["git"].get("repo"):
        raise WorkflowError(f"{where}.git.repo is required")
    hdfs = artifact.get("hdfs")
    if hdfs is not None:
        for field in ("addresses", "path"):
            if not hdfs.get(field):
                raise WorkflowError(f"{where}.hdfs.{field} is required")


_SOURCES = ("path", "jqFilter", "jsonPath", "parameter", "expression")
_WANTED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "container": (("path",), ".path must be specified for Container templates"),
    "containerSet": (("path",), ".path must be specified for ContainerSet templates"),
    "script": (("path",), ".path must be specified for Script templates"),
    "resource": (("jqFilter", "jsonPath"), " .jqFilter or jsonPath must be specified for Resource templates"),
    "steps": (("parameter", "expression"), ".parameter or expression must be specified for Steps templates"),
    "dag": (("parameter", "expression"), ".parameter or expression must be specified for DAG templates"),
}


def check_outputs(template: Object, kind: str, *, is_leaf: bool) -> None:
    """Outputs of a template."""
    name, outputs = template.get("name", ""), template.get("outputs") or {}
    for one in outputs.get("artifacts") or ():
        where = f"templates.{name}.outputs.artifacts.{one['name']}"
        if is_leaf and not one.get("path"):
            raise WorkflowError(f"error in {where}: Artifact '{one['name']}' did not specify a path")
        if not is_leaf and one.get("path"):
            raise WorkflowError(f"{where}.path only valid in container/script templates")
        _check_global(where, one)
    for one in outputs.get("parameters") or ():
        where = f"templates.{name}.outputs.parameters.{one['name']}"
        _check_output(where, one, kind)
        _check_global(where, one)


def _check_output(where: str, one: Object, kind: str) -> None:
    source, value = one.get("valueFrom"), one.get("value")
    if source is not None and value is not None:
        raise WorkflowError(f"{where} has both valueFrom and value specified, choose one")
    if value is not None:
        return
    if source is None:
        raise WorkflowError(f"{where} does not have valueFrom or value specified")
    said = [key for key in _SOURCES if source.get(key)]
    if source.get("supplied") is not None:
        said.append("supplied")
    if not said:
        choose = "choose one of: path, jqFilter, jsonPath, parameter, raw, expression"
        raise WorkflowError(f"{where}.valueFrom type unspecified. {choose}")
    if len(said) > 1:
        choose = "choose one of: path, jqFilter, jsonPath, parameter, raw"
        raise WorkflowError(f"{where} multiple valueFrom types specified. {choose}")
    fields, says = _WANTED.get(kind, ((), ""))
    if fields and not any(source.get(field) for field in fields):
        raise WorkflowError(f"{where}{says}")


def _check_global(where: str, one: Object) -> None:
    name = one.get("globalName")
    if name and not name.startswith("{{") and (problem := parameter_problem(name)):
        raise WorkflowError(f"{where}.globalName: {problem}")
