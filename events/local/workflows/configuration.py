"""What holds for all Workflows: the ConfigMap `workflow-controller-configmap`. Contract: workflows G.4, J.4, K. Pure.

Its entries are those of Argo's: one per setting, or all below `config`. It is followed while the controllers run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from events import durations
from events.errors import UserError
from events.local.workflows.errors import WorkflowError

NAMESPACE, NAME = "argo", "workflow-controller-configmap"
_DAYS = re.compile(r"([0-9]+(?:\.[0-9]+)?)d")
_DAY = 86400.0


@dataclass(frozen=True)
class Configuration:
    """0 and None: no limit."""

    parallelism: int = 0
    """Workflows that run at once, in all."""
    namespace_parallelism: int = 0
    """Workflows that run at once in each namespace whose label says nothing else."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The Workflow below all others."""
    repository: Mapping[str, Any] = field(default_factory=dict)
    """Where artifacts go that say nothing else; empty: the local store."""
    retention: Mapping[str, int] = field(default_factory=dict)
    """How many ended Workflows of a phase are kept."""
    archives: bool = True
    archive_seconds: float = 30 * _DAY
    """How long the archive keeps a Workflow; 0: for ever, within its size."""


_PHASES = {"completed": "Succeeded", "failed": "Failed", "errored": "Error"}


def of(config_map: Mapping[str, Any] | None) -> Configuration:
    """The configuration of a ConfigMap, the defaults without one; WorkflowError names the entry that is wrong."""
    data = _data(config_map)
    persistence = _object(data, "persistence")
    retention = {phase: _number(_object(data, "retentionPolicy"), key) for key, phase in _PHASES.items()}
    defaults = Configuration()
    return Configuration(
        _number(data, "parallelism"),
        _number(data, "namespaceParallelism"),
        _object(data, "workflowDefaults"),
        _object(data, "artifactRepository"),
        {phase: most for phase, most in retention.items() if most},
        persistence.get("archive", True) is not False,
        _age(persistence["archiveTTL"]) if persistence.get("archiveTTL") else defaults.archive_seconds,
    )


def _data(config_map: Mapping[str, Any] | None) -> dict[str, Any]:
    data = dict((config_map or {}).get("data") or {})
    return {**data, **_object(data, "config")}


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    if isinstance(found, str):
        try:
            found = yaml.safe_load(found)
        except yaml.YAMLError as error:
            raise WorkflowError(f"ConfigMap {NAME}: {key} is no YAML: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise WorkflowError(f"ConfigMap {NAME}: {key} is no object")
    return found or {}


def _number(data: Mapping[str, Any], key: str) -> int:
    try:
        found = int(data.get(key) or 0)
    except (TypeError, ValueError):
        found = -1
    if found < 0:
        raise WorkflowError(f"ConfigMap {NAME}: {key} is {data[key]!r}, and must be a whole number")
    return found


def _age(text: Any) -> float:
    days = _DAYS.fullmatch(str(text))
    try:
        return float(days[1]) * _DAY if days else durations.seconds(str(text))
    except UserError as error:
        raise WorkflowError(f"ConfigMap {NAME}: persistence.archiveTTL: {error.message} (or days, as 180d)") from error
