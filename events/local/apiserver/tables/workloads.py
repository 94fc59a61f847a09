"""Cells of the kinds that run pods: deployments, jobs and their like."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.resources import Object
from events.local.apiserver.tables.ages import Clock, human, moment
from events.local.apiserver.tables.looks import AGE, CONTAINERS, NAME, Key, Look, flag, number, text, wide
from events.local.apiserver.tables.texts import (
    NONE,
    UNSET,
    containers,
    is_going,
    is_true,
    labels_text,
    name_of,
    part,
    quantity,
    selected,
    selector_text,
)


def _deployment(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    return [
        name_of(it),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        clock.age(it),
        *containers(part(spec, "template")),
        selector_text(spec.get("selector")),
    ]


def _replicas(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [name_of(it), *counts, clock.age(it), *containers(part(spec, "template"))]


def _replica_set(it: Object, clock: Clock) -> list[Any]:
    return [*_replicas(it, clock), selected(part(it, "spec").get("selector"))]


def _replication_controller(it: Object, clock: Clock) -> list[Any]:
    return [*_replicas(it, clock), labels_text(part(it, "spec").get("selector"))]


def _stateful_set(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name_of(it), ready, clock.age(it), *containers(part(spec, "template"))]


def _daemon_set(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    template = part(spec, "template")
    counted = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    return [
        name_of(it),
        *(status.get(name, 0) for name in (*counted, "numberAvailable")),
        labels_text(part(template, "spec").get("nodeSelector")),
        clock.age(it),
        *containers(template),
        selected(spec.get("selector")),
    ]


def _job(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    return [
        name_of(it),
        _job_state(it),
        _completions(spec, status),
        _duration(status, clock),
        clock.age(it),
        *containers(part(spec, "template")),
        selected(spec.get("selector")),
    ]


def _job_state(it: Object) -> str:
    conditions = part(it, "status").get("conditions")
    for ended in ("Complete", "Failed"):
        if is_true(conditions, ended):
            return ended
    if is_going(it):
        return "Terminating"
    for waiting in ("Suspended", "FailureTarget"):
        if is_true(conditions, waiting):
            return waiting
    return "Running"


def _completions(spec: Object, status: Object) -> str:
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallel = spec.get("parallelism") or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(status: Object, clock: Clock) -> str:
    started, ended = moment(status.get("startTime")), moment(status.get("completionTime"))
    if started is None:
        return ""
    return human((clock.now if ended is None else ended) - started)


def _cron_job(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    last, job = status.get("lastScheduleTime"), part(spec, "jobTemplate", "spec")
    suspended = spec.get("suspend")
    return [
        name_of(it),
        spec.get("schedule", ""),
        spec["timeZone"] if spec.get("timeZone") is not None else NONE,
        UNSET if suspended is None else str(suspended),
        len(status.get("active") or ()),
        clock.since(last) if last else NONE,
        clock.age(it),
        *containers(part(job, "template")),
        selected(job.get("selector")),
    ]


def _revision(it: Object, clock: Clock) -> list[Any]:
    owners = it["metadata"].get("ownerReferences") or ()
    owner = next((one for one in owners if one.get("controller")), None)
    shown = NONE
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        kind = f"{owner.get('kind', '')}{f'.{group}' if group else ''}"
        shown = f"{kind.lower()}/{owner.get('name', '')}"
    return [name_of(it), shown, it.get("revision", 0), clock.age(it)]


def _budget(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    limits = [str(spec[name]) if spec.get(name) is not None else "N/A" for name in ("minAvailable", "maxUnavailable")]
    return [name_of(it), *limits, part(it, "status").get("disruptionsAllowed", 0), clock.age(it)]


def _autoscaler(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    target = part(spec, "scaleTargetRef")
    return [
        name_of(it),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        clock.age(it),
    ]


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
_MOST_METRICS = 2


def _metrics(specs: list[Object], statuses: list[Object]) -> str:
    found = [_metric(one, statuses[index] if index < len(statuses) else {}) for index, one in enumerate(specs)]
    listed = ", ".join(found[:_MOST_METRICS])
    more = len(found) - _MOST_METRICS
    return f"{listed} + {more} more..." if more > 0 else listed or NONE


def _metric(spec: Object, status: Object) -> str:
    key = _SOURCES.get(spec.get("type", ""))
    if key is None:
        return "<unknown type>"
    source, current = part(spec, key), part(status, key, "current")
    target, is_resource = part(source, "target"), "esource" in key
    if target.get("averageValue") is not None or key == "pods":
        now, wanted = _amount(current, "averageValue"), quantity(target.get("averageValue"))
        suffix = " (avg)" if key in ("external", "object") else ""
    elif is_resource:
        now, wanted, suffix = _percent(current, "<unknown>"), _percent(target, "<auto>"), ""
    else:
        now, wanted, suffix = _amount(current, "value"), quantity(target.get("value")), ""
    return f"{source.get('name', '') + ': ' if is_resource else ''}{now}/{wanted}{suffix}"


def _amount(current: Object, name: str) -> str:
    return quantity(current[name]) if current.get(name) is not None else "<unknown>"


def _percent(of: Object, missing: str) -> str:
    return f"{of['averageUtilization']}%" if of.get("averageUtilization") is not None else missing


_REPLICA_SET = "@apps.v1.ReplicaSet"
_CONTROLLER = "@core.v1.ReplicationController"
_DAEMONS = "@apps.v1.DaemonSetStatus"
_SCALER = "@autoscaling.v2.HorizontalPodAutoscaler"
_READY = text("Ready", "Number of the pod with ready state")

LOOKS: dict[Key, Look] = {
    ("apps", "Deployment"): Look(
        (
            NAME,
            _READY,
            text("Up-to-date", "@apps.v1.DeploymentStatus.updatedReplicas"),
            text("Available", "@apps.v1.DeploymentStatus.availableReplicas"),
            AGE,
            *CONTAINERS,
            wide("Selector", "@apps.v1.DeploymentSpec.selector"),
        ),
        _deployment,
    ),
    ("apps", "ReplicaSet"): Look(
        (
            NAME,
            number("Desired", f"{_REPLICA_SET}Spec.replicas"),
            number("Current", f"{_REPLICA_SET}Status.replicas"),
            number("Ready", f"{_REPLICA_SET}Status.readyReplicas"),
            AGE,
            *CONTAINERS,
            wide("Selector", f"{_REPLICA_SET}Spec.selector"),
        ),
        _replica_set,
    ),
    ("", "ReplicationController"): Look(
        (
            NAME,
            number("Desired", f"{_CONTROLLER}Spec.replicas"),
            number("Current", f"{_CONTROLLER}Status.replicas"),
            number("Ready", f"{_CONTROLLER}Status.readyReplicas"),
            AGE,
            *CONTAINERS,
            wide("Selector", f"{_CONTROLLER}Spec.selector"),
        ),
        _replication_controller,
    ),
    ("apps", "StatefulSet"): Look((NAME, _READY, AGE, *CONTAINERS), _stateful_set),
    ("apps", "DaemonSet"): Look(
        (
            NAME,
            number("Desired", f"{_DAEMONS}.desiredNumberScheduled"),
            number("Current", f"{_DAEMONS}.currentNumberScheduled"),
            number("Ready", f"{_DAEMONS}.numberReady"),
            number("Up-to-date", f"{_DAEMONS}.updatedNumberScheduled"),
            number("Available", f"{_DAEMONS}.numberAvailable"),
            text("Node Selector", "@core.v1.PodSpec.nodeSelector"),
            AGE,
            *CONTAINERS,
            wide("Selector", "@apps.v1.DaemonSetSpec.selector"),
        ),
        _daemon_set,
    ),
    ("batch", "Job"): Look(
        (
            NAME,
            text("Status", "Status of the job."),
            text("Completions", "@batch.v1.JobStatus.succeeded"),
            text("Duration", "Time required to complete the job."),
            AGE,
            *CONTAINERS,
            wide("Selector", "@batch.v1.JobSpec.selector"),
        ),
        _job,
    ),
    ("batch", "CronJob"): Look(
        (
            NAME,
            text("Schedule", "@batch.v1.CronJobSpec.schedule"),
            text("Timezone", "@batch.v1.CronJobSpec.timeZone"),
            flag("Suspend", "@batch.v1.CronJobSpec.suspend"),
            number("Active", "@batch.v1.CronJobStatus.active"),
            text("Last Schedule", "@batch.v1.CronJobStatus.lastScheduleTime"),
            AGE,
            *CONTAINERS,
            wide("Selector", "@batch.v1.JobSpec.selector"),
        ),
        _cron_job,
    ),
    ("apps", "ControllerRevision"): Look(
        (
            NAME,
            text("Controller", "Controller of the object"),
            text("Revision", "@apps.v1.ControllerRevision.revision"),
            AGE,
        ),
        _revision,
    ),
    ("policy", "PodDisruptionBudget"): Look(
        (
            NAME,
            text("Min Available", "The minimum number of pods that must be available."),
            text("Max Unavailable", "The maximum number of pods that may be unavailable."),
            number("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
            AGE,
        ),
        _budget,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Look(
        (
            NAME,
            text("Reference", f"{_SCALER}Spec.scaleTargetRef"),
            text("Targets", f"{_SCALER}Spec.metrics"),
            text("MinPods", f"{_SCALER}Spec.minReplicas"),
            text("MaxPods", f"{_SCALER}Spec.maxReplicas"),
            text("Replicas", f"{_SCALER}Status.currentReplicas"),
            AGE,
        ),
        _autoscaler,
    ),
}
