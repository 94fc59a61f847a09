"""One verdict per object: what validation refuses, the conditions in the status of a stored object say, too."""

from __future__ import annotations

import asyncio
from typing import Any

from conformance.core import read
from conformance.test_conformance import CASES

from eventbus import configuration
from eventbus.controller import CONFIGURED, EventBusController
from eventbus.dependents import NOT_RUN, DependentController
from events.app import verdicts
from events.kube import conditions, objects
from events.kube.applying import Applier
from events.kube.controller import Key
from events.kube.informer import Informers
from events.kube.memory import MemoryKube
from events.kube.pods import PodSettings
from events.kube.recording import Recorder
from events.logs import Log
from eventsources.controller import EventSourceController
from sensors.controller import SensorController

CONTROLLERS: dict[str, type[DependentController[Any]]] = {
    "EventSource": EventSourceController,
    "Sensor": SensorController,
}


async def test_the_status_of_a_stored_object_has_the_verdict_of_lint() -> None:
    api, log = MemoryKube(), Log("verdicts")
    parts = Informers(api, log=log), Applier(api), Recorder(api, "verdicts"), PodSettings("keryx:1")
    controllers = {kind: made(api, *parts, log=log) for kind, made in CONTROLLERS.items()}
    cases = [case for case in read(CASES / "validate.jsonl.gz") if case.input["object"]["kind"] in controllers]
    assert len(cases) > 300
    other = []
    for case in cases:
        raw = case.input["object"]
        controller = controllers[raw["kind"]]
        judged, conditions = controller.judge(raw)
        said = [*conditions, controller.unfit(judged)]
        is_wrong = any(
            condition is not None and condition.status == "False" and condition.reason != NOT_RUN for condition in said
        )
        errors = verdicts.BY_KIND[raw["kind"]](raw).errors
        if is_wrong is not bool(errors):
            other.append(f"{case.id}: {said} {errors}")
    assert not other


async def test_the_status_of_a_stored_bus_has_the_verdict_of_lint() -> None:
    api, log = MemoryKube(), Log("verdicts")
    informers = Informers(api, log=log)
    parts = informers, Applier(api), Recorder(api, "verdicts")
    controller = EventBusController(api, *parts, configuration.shipped, log=log)
    cases = [case for case in read(CASES / "validate.jsonl.gz") if case.input["object"]["kind"] == "EventBus"]
    assert len(cases) > 15
    other = []
    for number, case in enumerate(cases):
        raw = objects.copied(case.input["object"])
        raw["metadata"] = {"name": "default", "namespace": f"n{number}"}
        await api.create(raw)
    running = asyncio.create_task(informers.run())
    await informers.synced()
    for number, case in enumerate(cases):
        await controller.reconcile(Key(f"n{number}", "default"))
        stored = await api.get(
            await api.resource("argoproj.io/v1alpha1", "EventBus"), "default", namespace=f"n{number}"
        )
        [said] = [one for one in conditions.all_of(stored) if one["type"] == CONFIGURED]
        if (said["status"] == "False") is not bool(verdicts.BY_KIND["EventBus"](case.input["object"]).errors):
            other.append(f"{case.id}: {said}")
    running.cancel()
    assert not other
