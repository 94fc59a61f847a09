"""`workflow.*`: what may be referred to everywhere in a Workflow. Contract: workflows E.5."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from events.local.workflows import arguments, gotexts, tags
from events.local.workflows.arguments import ConfigMapValue, MissingKey
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
SCHEDULED_TIME = "workflows.argoproj.io/scheduled-time"
_PLAIN = "aAbBcCdDeFHIjmMnpRrStTuUVvwWXxYyZ"
_FORMATS = {"v": "%e-%b-%Y", "R": "%H:%M", "r": "%I:%M:%S %p", "t": "\t", "n": "\n", "T": "%H:%M:%S", "D": "%m/%d/%y"}


def of_workflow(workflow: Object, spec: Object, config_map: ConfigMapValue, now: datetime) -> dict[str, str]:
    """The variables of a Workflow with its merged spec; WorkflowError when a parameter has no value."""
    meta = workflow["metadata"]
    found = {
        "workflow.name": meta.get("name", ""),
        "workflow.namespace": meta.get("namespace", ""),
        "workflow.mainEntrypoint": spec.get("entrypoint", ""),
        "workflow.serviceAccountName": spec.get("serviceAccountName", ""),
        "workflow.uid": meta.get("uid", ""),
    }
    _times(meta.get("creationTimestamp") or instant(now), found)
    if spec.get("priority") is not None:
        found["workflow.priority"] = str(spec["priority"])
    if SCHEDULED_TIME in (meta.get("annotations") or {}):
        found["workflow.scheduledTime"] = meta["annotations"][SCHEDULED_TIME]
    parameters = (spec.get("arguments") or {}).get("parameters") or []
    _parameters(parameters, found, config_map)
    labelled(meta, found)
    outputs = (workflow.get("status") or {}).get("outputs") or {}
    for one in outputs.get("parameters") or ():
        if one.get("value") is not None:
            found[f"workflow.outputs.parameters.{one['name']}"] = gotexts.scalar(one["value"])
    return found


def labelled(meta: Mapping[str, Any], found: dict[str, str]) -> None:
    """Labels and annotations, which may come later than the rest."""
    for place in ("labels", "annotations"):
        values = {key: str(value) for key, value in (meta.get(place) or {}).items()}
        for key, value in values.items():
            found[f"workflow.{place}.{key}"] = value
        found[f"workflow.{place}"] = found[f"workflow.{place}.json"] = gotexts.marshaled(values)


def _parameters(parameters: list[Object], found: dict[str, str], config_map: ConfigMapValue) -> None:
    listed = []
    for one in parameters:
        name, source = one["name"], one.get("valueFrom") or {}
        value = one.get("value")
        if value is None and source.get("configMapKeyRef"):
            value = _of_config_map(one, tags.replaced(source["configMapKeyRef"], found), config_map)
        if value is None and one.get("default") is not None:
            value = one["default"]
        if value is None:
            says = "either value or valueFrom must be specified in order to set global parameter"
            raise WorkflowError(f"{says} {name}")
        text = gotexts.scalar(value)
        found[f"workflow.parameters.{name}"] = text
        listed.append({**one, "value": text})
    found["workflow.parameters"] = found["workflow.parameters.json"] = arguments.listed(listed)


def _of_config_map(parameter: Object, source: Object, config_map: ConfigMapValue) -> str:
    try:
        return config_map(source)
    except MissingKey as error:
        default = parameter["valueFrom"].get("default")
        if default is not None:
            return gotexts.scalar(default)
        where = f"with name {source.get('name', '')} and key {source.get('key', '')}"
        says = f"failed to set global parameter {parameter['name']} from configmap {where}: {error.message}"
        raise WorkflowError(says) from error


def _times(text: str, found: dict[str, str]) -> None:
    moment = parsed(text)
    prefix = "workflow.creationTimestamp"
    found[prefix] = found[f"{prefix}.RFC3339"] = text
    found[f"{prefix}.s"] = str(int(moment.timestamp()))
    for char in _PLAIN:
        if char not in _FORMATS or len(_FORMATS[char]) > 1:
            found[f"{prefix}.{char}"] = moment.strftime(_FORMATS.get(char, f"%{char}"))
        else:
            found[f"{prefix}.{char}"] = _FORMATS[char]
    hour = moment.hour
    found[f"{prefix}.E"] = moment.strftime("%e").strip()
    found[f"{prefix}.f"] = f"{moment.microsecond // 1000:03d}"
    found[f"{prefix}.L"] = f"{moment.microsecond // 1000:03d}"
    found[f"{prefix}.g"] = f"{moment.isocalendar().year % 100:02d}"
    found[f"{prefix}.G"] = str(moment.isocalendar().year)
    found[f"{prefix}.h"] = moment.strftime("%b")
    found[f"{prefix}.Q"] = str(int(moment.timestamp() * 1000))
    found[f"{prefix}.y"] = f"{moment.year % 100:02d}"
    found[f"{prefix}.I"] = f"{hour % 12 or 12:02d}"


def parsed(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def instant(moment: datetime) -> str:
    """A time as the API writes it: whole seconds, UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
