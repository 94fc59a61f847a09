"""Sensors on a cluster: each a Deployment, its triggers' first appearances, its status. Contract: sensors F.6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventbus.dependents import NOT_RUN, DependentController, Made, provided
from events.kube import carried, pods
from events.kube.api import Object
from events.kube.conditions import Condition
from events.kube.rollout import DEPLOYED
from sensors import resources, stored
from sensors.stored import Stored


class SensorController(DependentController[Stored]):
    """Reconciles Sensors."""

    role, bus_role = pods.SENSOR, "sensor"

    def judge(self, raw: Object) -> tuple[Stored, list[Condition]]:
        found = stored.judge(raw)
        dependencies = provided("DependenciesProvided", "InvalidDependencies", found.dependency_problems, {})
        triggers = provided(
            "TriggersProvided", "InvalidTriggers", found.trigger_problems, found.left_out, found.not_run
        )
        return found, [dependencies, triggers]

    def unfit(self, judged: Stored) -> Condition | None:
        if judged.runs_nothing:
            return Condition(
                DEPLOYED, "False", NOT_RUN, "no trigger is of a kind that runs; TriggersProvided names them"
            )
        if judged.sensor is not None:
            return None
        if judged.other_problems:
            text = "; ".join(map(str, judged.other_problems))
            return Condition(DEPLOYED, "False", "BuildDeploymentSpecFailed", text)
        return Condition(DEPLOYED, "False", "NothingToRun", "no trigger can run; the other conditions say why")

    async def make(self, raw: Object, judged: Stored, bus: Mapping[str, Any], name: str) -> Made:
        since = await self._appeared(raw, judged, name)
        return Made(*resources.resources(raw, judged, bus, since, self._settings, name=name))

    async def _appeared(self, raw: Object, judged: Stored, name: str) -> dict[str, Any]:
        """When its triggers appeared; looked up again before anything is said anew: what we know may be old."""
        known = carried.since_of(await self._workloads.config_map(raw, name))
        since = resources.appeared(raw, judged, known, self._now())
        if since == known:
            return since
        known = carried.since_of(await self._workloads.config_map(raw, name, is_fresh=True))
        return resources.appeared(raw, judged, known, self._now())
