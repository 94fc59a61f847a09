"""The pod of a node. Contract: workflows D.1, D.2, B.1. Pure.

What hands parameters, scripts and artifacts over between pods is not in here: `handover` adds it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from events.local.workflows import gotexts, names, tags
from events.local.workflows.artifacts import locations
from events.local.workflows.errors import WorkflowError

if TYPE_CHECKING:
    from events.local.workflows.engine.execution import Work
    from events.local.workflows.engine.run import Node, Run

Object = dict[str, Any]
LABELS = "workflows.argoproj.io/"
SCRIPT = "/argo/staging/script"
OUR_IMAGE = "keryx"
"""Of pods whose work is ours: `handover` says what they run."""
_PASSED_ON = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "imagePullSecrets",
    "hostNetwork",
    "dnsPolicy",
    "dnsConfig",
    "schedulerName",
    "hostAliases",
    "securityContext",
    "automountServiceAccountToken",
)


def name_of(run: Run, work: Work) -> str:
    """The name of the pod of this work."""
    version = str((run.meta.get("annotations") or {}).get(names.POD_NAME_FORMAT, "v2"))
    return names.pod_name(run.name, work.name, work.template.get("name", ""), version)


def of_node(run: Run, work: Work, node: Node) -> Object | None:
    """The pod; None when there is no time left for it."""
    seconds = _seconds(run, work)
    if seconds is not None and seconds <= 0:
        return None
    template = work.template
    name = name_of(run, work)
    containers = _containers(template)
    spec: Object = {"restartPolicy": "Never", "containers": [*containers, *_sidecars(template, containers)]}
    if template.get("initContainers"):
        spec["initContainers"] = copy.deepcopy(template["initContainers"])
    volumes = [
        *(run.spec.get("volumes") or ()),
        *(template.get("volumes") or ()),
        *(run.status.get("persistentVolumeClaims") or ()),
    ]
    if volumes:
        spec["volumes"] = list({one["name"]: one for one in volumes}.values())
    account = template.get("serviceAccountName") or run.spec.get("serviceAccountName")
    if account:
        spec["serviceAccountName"] = account
    for key in _PASSED_ON:
        value = template.get(key) if template.get(key) is not None else run.spec.get(key)
        if value is not None:
            spec[key] = value
    if seconds is not None:
        spec["activeDeadlineSeconds"] = int(seconds)
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(run, work, node, name), "spec": spec}
    pod = dict(tags.replaced(pod, _scope(run, work, name)))
    for patch in (run.spec.get("podSpecPatch"), template.get("podSpecPatch")):
        if patch:
            pod["spec"] = _patched(pod["spec"], patch)
    return pod


def _scope(run: Run, work: Work, name: str) -> Object:
    """Pass 7: what may stand in a pod."""
    scope = {**run.globals, "pod.name": name}
    scope |= {
        f"inputs.parameters.{one['name']}": one["value"]
        for one in (work.template.get("inputs") or {}).get("parameters") or ()
    }
    return {key: value for key, value in scope.items() if value is not None}


def located(run: Run, work: Work, name: str) -> Object:
    """The template of a pod, with archiveLocation: where what it leaves is stored."""
    found = (run.status.get("artifactRepositoryRef") or {}).get("artifactRepository") or {}
    place = locations.archive_location(work.template, found, archives_logs=run.spec.get("archiveLogs"))
    return {**work.template, "archiveLocation": tags.replaced(place, _scope(run, work, name))}


def _seconds(run: Run, work: Work) -> float | None:
    """The least of the template's deadline, what is left of the Workflow's, and of the retries'."""
    found: list[float] = []
    own = work.template.get("activeDeadlineSeconds")
    if own not in (None, ""):
        try:
            found.append(gotexts.integer(own))
        except ValueError as error:
            raise WorkflowError(str(error)) from error
    if run.deadline is not None and not work.options.is_exit:
        found.append(int((run.deadline - run.now).total_seconds()))
    if work.options.deadline is not None:
        found.append(max(1, int((work.options.deadline - run.now).total_seconds())))
    return min(found, default=None)


def _containers(template: Mapping[str, Any]) -> list[Object]:
    """What does the work."""
    if template.get("containerSet") is not None:
        shared = template["containerSet"].get("volumeMounts") or []
        found = []
        for one in template["containerSet"].get("containers") or ():
            container = {key: copy.deepcopy(value) for key, value in one.items() if key != "dependencies"}
            if shared:
                container["volumeMounts"] = [*(container.get("volumeMounts") or ()), *shared]
            found.append(container)
        return found
    if template.get("script") is not None:
        script = copy.deepcopy(template["script"])
        source = script.pop("source", "")
        if source:
            script["args"] = [*(script.get("args") or ()), SCRIPT]
        return [{**script, "name": "main"}]
    if template.get("container") is not None:
        return [{**copy.deepcopy(template["container"]), "name": "main"}]
    return [{"name": "main", "image": OUR_IMAGE}]


def _sidecars(template: Mapping[str, Any], mains: list[Object]) -> list[Object]:
    found = []
    for one in template.get("sidecars") or ():
        sidecar = {key: copy.deepcopy(value) for key, value in one.items() if key != "mirrorVolumeMounts"}
        if one.get("mirrorVolumeMounts"):
            mounts = mains[0].get("volumeMounts") or ()
            sidecar["volumeMounts"] = [*(sidecar.get("volumeMounts") or ()), *copy.deepcopy(mounts)]
        found.append(sidecar)
    return found


def _metadata(run: Run, work: Work, node: Node, name: str) -> Object:
    from events.local.workflows.engine.operating import owner

    labels: Object = {f"{LABELS}workflow": run.name, f"{LABELS}completed": "false"}
    if work.options.is_exit:
        labels[f"{LABELS}on-exit"] = "true"
    mains = work.template.get("containerSet") or {}
    several = [one["name"] for one in mains.get("containers") or ()]
    default = "main" if not several or "main" in several else several[-1]
    annotations: Object = {
        f"{LABELS}node-id": node["id"],
        f"{LABELS}node-name": node["name"],
        "kubectl.kubernetes.io/default-container": default,
    }
    collection = run.spec.get("podGC") or {}
    if collection.get("strategy"):
        delay = collection.get("deleteDelayDuration") or "5s"
        annotations[f"{LABELS}pod-gc-strategy"] = f"{collection['strategy']}/{delay}"
    for given in (run.spec.get("podMetadata") or {}, work.template.get("metadata") or {}):
        labels |= given.get("labels") or {}
        annotations |= given.get("annotations") or {}
    return {
        "name": name,
        "namespace": run.namespace,
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [owner(run.workflow)],
    }


def _patched(spec: Object, patch: str) -> Object:
    """podSpecPatch: a strategic merge, containers and volumes by name."""
    try:
        wanted = yaml.safe_load(patch)
    except yaml.YAMLError as error:
        raise WorkflowError(f"podSpecPatch is no YAML: {error}") from error
    if not isinstance(wanted, dict):
        raise WorkflowError("podSpecPatch is not an object")
    found: Object = _merged(spec, wanted)
    return found


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        found = {key: value for key, value in below.items() if above.get(key, below) is not None}
        for key, value in above.items():
            if value is not None:
                found[key] = _merged(below.get(key), value)
        return found
    if (
        isinstance(below, list)
        and isinstance(above, list)
        and all(isinstance(one, dict) and "name" in one for one in (*below, *above))
    ):
        named = {one["name"]: one for one in below}
        for one in above:
            named[one["name"]] = _merged(named.get(one["name"]), one)
        return list(named.values())
    return above
