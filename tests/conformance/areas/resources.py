"""resources: what the controllers make. EventBus is in `resources_bus`."""

from __future__ import annotations

import copy
import importlib
import json
from datetime import UTC, datetime
from typing import Any

from conformance.comparing import difference
from conformance.core import Case, Error, NotCovered, Outcome, Verdict, attempt, judge, slim

from events.kube import pods
from eventsources import resources as event_sources
from eventsources import stored as event_source
from sensors import resources as sensors
from sensors import stored as sensor

NOW = datetime(2026, 7, 1, tzinfo=UTC)
NAME = "the-deployment"


def run(case: Case) -> Outcome:
    if case.input["object"]["kind"] == "EventBus":
        try:
            module = importlib.import_module("conformance.areas.resources_bus")
        except ModuleNotFoundError:
            raise NotCovered("EventBus") from None
        outcome: Outcome = module.run(case)
        return outcome
    if not case.expect["ok"]:
        # Without a bus nothing is made; the words are those of the contract.
        return judge(case, attempt(lambda: made(case)))
    got, expected = as_upstreams(made(case), case), comparable(case)
    wanted = {"C7": mounted_once, "C5": own_policy}.get(case.flaw)
    if wanted is not None:
        wanted(expected)
    if got != expected:
        return Outcome(Verdict.FAILED, *difference(expected, got))
    # C6 is in all of them: the object is compared where it travels here.
    return Outcome(Verdict.BY_FLAW if case.flaw else Verdict.SAME, expected, got)


def made(case: Case) -> list[dict[str, Any]] | Error:
    """Our objects."""
    raw, settings = case.input["object"], pods.PodSettings(case.input["image"])
    if case.input["eventBus"] is None:
        return Error("EventBusNotFound")
    bus = case.input["eventBus"]["status"]["config"]
    if raw["kind"] == "Sensor":
        judged = sensor.judge(raw)
        since = sensors.appeared(raw, judged, None, NOW)
        return list(sensors.resources(raw, judged, bus, since, settings, name=NAME))
    found = event_sources.resources(raw, event_source.judge(raw), bus, settings, name=NAME)
    return [one for one in found if one is not None]


def comparable(case: Case) -> dict[str, Any]:
    """What upstream made, by kind, without what its encoder adds."""
    found = {one["kind"]: slim(copy.deepcopy(one)) for one in case.expect["value"]["objects"]}
    for one in found.values():
        del one["metadata"]["annotations"]["resource-spec-hash"]  # written when it is applied
    for variable in main(found["Deployment"])["env"]:
        if variable["name"] in ("SENSOR_OBJECT", "EVENTSOURCE_OBJECT"):
            variable["value"] = plain_object(json.loads(json.dumps(variable["value"]["$base64json"])))
    return slim(found)


def as_upstreams(objects: Any, case: Case) -> dict[str, Any]:
    """Ours, with each addition of docs/differences.md taken away and the object put where upstream has it."""
    found = {one["kind"]: slim(copy.deepcopy(one)) for one in objects}
    carrier, deployment = found.pop("ConfigMap"), found["Deployment"]
    for one in found.values():
        for key in ("apiVersion",):
            one.pop(key)
    spec, container = deployment["spec"]["template"]["spec"], main(deployment)
    deployment["spec"].setdefault("replicas", 1)  # row "replicas"
    back_in_environment(container, carrier, case)  # row C6
    mounts, volumes = container["volumeMounts"], spec["volumes"]
    mounts.remove({"name": "keryx", "mountPath": "/etc/keryx", "readOnly": True})
    volumes.remove({"name": "keryx", "configMap": {"name": NAME}})
    assert deployment["spec"]["template"]["metadata"]["annotations"].pop("object-checksum")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):  # row C11, from here on
        assert container.pop(probe)["httpGet"]["port"] == "metrics"
    assert spec.pop("terminationGracePeriodSeconds") > 29
    assert container.pop("terminationMessagePolicy")
    container_template = (case.input["object"]["spec"].get("template") or {}).get("container") or {}
    if not container_template.get("securityContext"):
        assert container.pop("securityContext") == slim(dict(pods.RESTRICTED))
    if not container_template.get("resources"):
        assert container.pop("resources").keys() == {"requests"}
    return slim(found)


def back_in_environment(container: Any, carrier: Any, case: Case) -> None:
    data = carrier["data"]
    for variable in container["env"]:
        if variable["name"] == "KERYX_OBJECT_FILE":
            assert variable["value"] == "/etc/keryx/object.json"
            variable["name"] = f"{case.input['object']['kind'].upper()}_OBJECT"
            variable["value"] = plain_object(json.loads(data["object.json"]))
        if variable["name"] == "KERYX_BUS_FILE":
            assert variable["value"] == "/etc/keryx/bus.json"
            variable["name"] = "EVENTBUS_CONFIG"
            variable["value"] = {"$base64json": json.loads(data["bus.json"])}
    last = container["env"][-1]
    if last["name"] == "KERYX_SINCE_FILE":
        assert json.loads(data["since.json"])["complete"]
        container["env"].remove(last)


def plain_object(raw: Any) -> Any:
    """Name, namespace and spec: what both have."""
    metadata = {key: raw["metadata"].get(key) for key in ("name", "namespace")}
    return slim({"metadata": metadata, "spec": raw["spec"]})


def main(deployment: Any) -> Any:
    return deployment["spec"]["template"]["spec"]["containers"][0]


def mounted_once(expected: Any) -> None:
    """C7: the whole Secret is mounted, and nothing of it a second time."""
    spec = expected["Deployment"]["spec"]["template"]["spec"]
    mounts = main(expected["Deployment"])["volumeMounts"]
    whole = {one["mountPath"] for one in mounts if one["name"].startswith("secret-")}
    twice = {one["name"] for one in mounts if one["mountPath"] in whole and not one["name"].startswith("secret-")}
    assert twice
    mounts[:] = [one for one in mounts if one["name"] not in twice]
    spec["volumes"][:] = [one for one in spec["volumes"] if one["name"] not in twice]


def own_policy(expected: Any) -> None:
    """C5: the author's pull policy holds."""
    given = next(iter(one for one in main(expected["Deployment"])["env"] if one["name"] == "EVENTSOURCE_OBJECT"), None)
    given = given or next(one for one in main(expected["Deployment"])["env"] if one["name"] == "SENSOR_OBJECT")
    main(expected["Deployment"])["imagePullPolicy"] = given["value"]["spec"]["template"]["container"]["imagePullPolicy"]
