"""EventSources on a cluster: each a Deployment, maybe a Service, its status. Contract: sensors F.7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventbus.dependents import NOT_RUN, DependentController, Made, provided
from events.kube import pods
from events.kube.api import Object
from events.kube.conditions import Condition
from events.kube.rollout import DEPLOYED
from eventsources import resources, stored
from eventsources.stored import Stored


class EventSourceController(DependentController[Stored]):
    """Reconciles EventSources."""

    role, bus_role = pods.EVENT_SOURCE, "source"

    def judge(self, raw: Object) -> tuple[Stored, list[Condition]]:
        found = stored.judge(raw)
        left_out = found.left_out if found.event_source is not None else {}
        return found, [provided("SourcesProvided", "InvalidEventSource", found.problems, left_out, found.not_run)]

    def unfit(self, judged: Stored) -> Condition | None:
        if judged.runs_nothing:
            return Condition(DEPLOYED, "False", NOT_RUN, "no event is of a kind that runs; SourcesProvided names them")
        if judged.event_source is not None:
            return None
        return Condition(DEPLOYED, "False", "NothingToRun", "no event can run; SourcesProvided says why")

    async def make(self, raw: Object, judged: Stored, bus: Mapping[str, Any], name: str) -> Made:
        return Made(*resources.resources(raw, judged, bus, self._settings, name=name))
