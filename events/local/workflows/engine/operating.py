"""One look at a Workflow, from its first line to its last. Contract: workflows C.5, E.4, F.6, K."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from events.errors import KeryxError
from events.local.workflows import arguments, expressions, merging, names, phases, tags, variables
from events.local.workflows.artifacts import collecting, locations
from events.local.workflows.engine import execution, hooks, limits, lost, measuring, observing, progress
from events.local.workflows.engine.execution import Options
from events.local.workflows.engine.run import TERMINATE, Given, Node, Object, Result, Run
from events.local.workflows.engine.templates import LOCAL, Context
from events.local.workflows.errors import Postponed, WorkflowError

LABELS = "workflows.argoproj.io/"
COMPLETED, PHASE = f"{LABELS}completed", f"{LABELS}phase"
_FINAL = ("Succeeded", "Failed", "Error")
_PHASES: Mapping[str, str] = {phases.SKIPPED: "Succeeded", phases.OMITTED: "Succeeded"}


def operate(given: Given) -> Result:
    """What becomes of a Workflow. The only thing that is changed outside of the result are the locks."""
    run = Run(given)
    if is_completed(run.workflow):
        return run.result
    try:
        _operate(run)
    except RecursionError:
        _end(run, "Error", "the templates are nested too deeply")
    progress.update(run.status)
    _synchronized(run)
    measuring.measure(run)
    if not run.nodes:
        run.status.pop("nodes", None)
    return run.result


def is_completed(workflow: Mapping[str, Any]) -> bool:
    """Whether nothing but cleaning up is left to do."""
    return (workflow.get("metadata", {}).get("labels") or {}).get(COMPLETED) == "true"


def _operate(run: Run) -> None:
    try:
        _set_spec(run)
    except KeryxError as error:
        _end(run, "Failed", f"invalid spec: {getattr(error, 'message', error)}")
        return
    try:
        run.globals = variables.of_workflow(run.workflow, run.spec, run.parameter_value, run.now)
        _set_metadata(run)
        run.spec = _substituted(run)
    except WorkflowError as error:
        _end(run, "Failed", f"failed to set global parameters: {error.message}")
        return
    if not _found_repository(run) or not _acquired(run):
        return
    if run.status.get("phase") in (None, "", "Pending"):
        _begin(run)
    else:
        observing.observe(run)
    if collecting.is_wanted(run.spec, run.status.get("storedTemplates") or {}):
        finalizers = run.meta.setdefault("finalizers", [])
        if collecting.FINALIZER not in finalizers:
            finalizers.append(collecting.FINALIZER)
    if run.deadline is not None:
        run.look_at(run.deadline + timedelta(milliseconds=10))
    _set_time(run)
    if run.spec.get("suspend"):
        return
    run.active_pods = limits.active_pods(run)
    run.has_missing_pods = lost.has_missing(run)
    _execute(run)


# --- the spec


def _set_spec(run: Run) -> None:
    """The Workflow over its template over the defaults; kept in the status when there is a template."""
    workflow = run.workflow
    is_new = not run.status.get("phase")
    defaults = run.given.defaults or {}
    if is_new and defaults.get("metadata"):
        for place in ("labels", "annotations"):
            below = (defaults["metadata"].get(place)) or {}
            if below:
                run.meta[place] = {**below, **(run.meta.get(place) or {})}
    own = arguments.normalized(workflow["spec"])
    reference = own.get("workflowTemplateRef")
    if reference is None:
        run.spec = merging.merged(own, None, arguments.normalized(defaults.get("spec") or {}))
    else:
        stored = run.status.get("storedWorkflowTemplateSpec")
        if stored is None:
            stored = _merged_with_template(run, own, reference, defaults)
            run.status["storedWorkflowTemplateSpec"] = stored
        run.spec = {key: value for key, value in stored.items() if key not in ("suspend", "shutdown")}
        run.spec |= {key: own[key] for key in ("suspend", "shutdown") if own.get(key) is not None}
    if is_new and run.given.validate is not None:
        run.given.validate(workflow)


def _merged_with_template(run: Run, own: Object, reference: Mapping[str, Any], defaults: Object) -> Object:
    is_cluster = bool(reference.get("clusterScope"))
    several = run.given.cluster_templates if is_cluster else run.given.workflow_templates
    name = reference.get("name", "")
    found = several.get(name)
    if found is None:
        kind = "clusterworkflowtemplates" if is_cluster else "workflowtemplates"
        raise WorkflowError(f'{kind}.argoproj.io "{name}" not found')
    label = "cluster-workflow-template" if is_cluster else "workflow-template"
    run.meta.setdefault("labels", {})[f"{LABELS}{label}"] = name
    spec = arguments.normalized(found.get("spec") or {})
    merged = merging.merged(own, spec, arguments.normalized(defaults.get("spec") or {}))
    merged.pop("workflowTemplateRef", None)
    return merged


def _set_metadata(run: Run) -> None:
    """workflowMetadata, once."""
    wanted = run.spec.get("workflowMetadata")
    if wanted and not run.status.get("phase"):
        for place in ("labels", "annotations"):
            if wanted.get(place):
                run.meta[place] = {**(run.meta.get(place) or {}), **wanted[place]}
        variables.labelled(run.meta, run.globals)
        for name, source in sorted((wanted.get("labelsFrom") or {}).items()):
            value = expressions.evaluate(source["expression"], expressions.environment(run.globals))
            if not isinstance(value, str):
                raise WorkflowError(f"failed to evaluate label {name} expression: it does not give a string")
            run.meta.setdefault("labels", {})[name] = value
    variables.labelled(run.meta, run.globals)


def _substituted(run: Run) -> Object:
    """Pass 1: the whole spec but its templates and templateDefaults' own references."""
    kept = {key: run.spec[key] for key in ("templates", "hooks") if key in run.spec}
    rest = {key: value for key, value in run.spec.items() if key not in kept}
    found = dict(tags.replaced(rest, run.globals))
    if "hooks" in kept:
        found["hooks"] = tags.replaced(kept["hooks"], run.globals)
    if "templates" in kept:
        found["templates"] = kept["templates"]
    return found


# --- before the first node


def _found_repository(run: Run) -> bool:
    """Where artifacts go, once and for the whole life of the Workflow; False when that cannot be told."""
    if run.status.get("phase") not in (None, "", "Pending") or "artifactRepositoryRef" in run.status:
        return True
    wanted = run.spec.get("artifactRepositoryRef")
    try:
        found = locations.repository(wanted, run.given.config_maps, run.given.repository)
    except WorkflowError as error:
        _end(run, "Error", str(error))
        return False
    if found:
        run.status["artifactRepositoryRef"] = found
    return True


def _acquired(run: Run) -> bool:
    """Take the locks of the Workflow; False while it waits."""
    wanted = run.spec.get("synchronization")
    if not wanted:
        return True
    try:
        refused = execution.acquire(run, wanted)
    except WorkflowError as error:
        _end(run, "Failed", f"Failed to acquire the synchronization lock. {error.message}")
        return False
    if refused is None:
        return True
    if run.shutdown == TERMINATE:
        _end(run, "Failed", f"Stopped with strategy '{run.shutdown}'")
        return False
    _set_phase(run, run.status.get("phase") or "Pending", refused.message)
    return False


def _begin(run: Run) -> None:
    run.meta.setdefault("annotations", {}).setdefault(names.POD_NAME_FORMAT, "v2")
    run.status.pop("message", None)
    run.status.setdefault("startedAt", run.stamp())
    _set_phase(run, "Running")
    run.meta.setdefault("labels", {})[COMPLETED] = "false"
    _claim(run)


def _claim(run: Run) -> None:
    """PersistentVolumeClaims of volumeClaimTemplates (K.4)."""
    for template in run.spec.get("volumeClaimTemplates") or ():
        name = f"{run.name}-{(template.get('metadata') or {}).get('name', '')}"
        labels = {**((template.get("metadata") or {}).get("labels") or {}), f"{LABELS}workflow": run.name}
        meta = {"name": name, "namespace": run.namespace, "labels": labels, "ownerReferences": [owner(run.workflow)]}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": template.get("spec")}
        run.result.claims.append(claim)
        volume = {"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": name}}
        several = run.status.setdefault("persistentVolumeClaims", [])
        if volume not in several:
            several.append(volume)


def owner(workflow: Mapping[str, Any]) -> Object:
    """The reference from what a Workflow makes."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": workflow["metadata"]["name"],
        "uid": workflow["metadata"].get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _set_time(run: Run) -> None:
    started = run.status.get("startedAt")
    passed = (run.now - variables.parsed(started)).total_seconds() if started else 0.0
    run.globals["workflow.duration"] = f"{passed:.6f}"
    run.globals["workflow.status"] = run.status.get("phase", "")


# --- the tree


def context(run: Run) -> Context:
    """Where the entrypoint is looked up. The resource of a spec that came by reference has no name there."""
    return Context(LOCAL, "" if run.workflow["spec"].get("workflowTemplateRef") else run.name)


def _execute(run: Run) -> None:
    holder = {"template": run.spec.get("entrypoint", "")}
    run.globals.pop("workflow.status", None)
    try:
        given = run.spec.get("arguments") or {}
        root = execution.execute(run, run.name, holder, context(run), given, Options())
    except Postponed:
        return
    except WorkflowError as error:
        _end(run, "Error", f"error in entry template execution: {error.message}")
        return
    if root is None:
        return
    run.globals["workflow.status"] = _PHASES.get(root["phase"], root["phase"])
    run.globals["workflow.failures"] = json.dumps(_failures(run))
    ended = phases.is_fulfilled(root)
    try:
        if not hooks.run_workflow_hooks(run, context(run)):
            return
    except Postponed:
        return
    except WorkflowError as error:
        run.fail(run.name, error)
    if ended and not root.get("daemoned"):  # a daemon that is the root goes on until it is stopped
        _finish(run, root)


def _failures(run: Run) -> str:
    """workflow.failures, before it is quoted once more."""
    failed = [
        {
            "displayName": node.get("displayName", ""),
            "message": node.get("message", ""),
            "templateName": node.get("templateName", ""),
            "phase": node["phase"],
            "podName": names.pod_of(run.workflow, node) if node.get("type") == "Pod" else node["id"],
            "finishedAt": node.get("finishedAt"),
        }
        for node in run.nodes.values()
        if phases.is_bad(node)
    ]
    failed.sort(key=lambda one: (one["finishedAt"] or "", one["displayName"]))
    return json.dumps(failed, separators=(",", ":"), ensure_ascii=False) if failed else "null"


def _finish(run: Run, root: Node) -> None:
    """The exit handler, then the phase of the Workflow."""
    last: Node | None = None
    hook = hooks.exit_hook(run, run.spec)
    if hook is not None:
        name = f"{run.name}.onExit"
        if run.node(name) is not None or run.may_run(is_exit=True):
            holder = {key: hook[key] for key in ("template", "templateRef") if hook.get(key)}
            options = Options(is_exit=True, flags={"hooked": True})
            given = hook.get("arguments") or {}
            try:
                last = execution.execute(run, name, holder, context(run), given, options)
            except Postponed:
                return
            except WorkflowError as error:
                _end(run, "Error", f"error in exit template execution : {error.message}")
                return
            if last is None or not phases.is_fulfilled(last):
                return
    message = str(root.get("message", ""))
    if phases.is_bad(root):
        stopped = f"Stopped with strategy '{run.shutdown}'"
        _end(run, root["phase"], stopped if run.shutdown else message)
    elif last is not None and phases.is_bad(last):
        _end(run, last["phase"], str(last.get("message", "")))
    else:
        run.status.pop("message", None)
        _end(run, "Succeeded", "")


# --- the end


def _set_phase(run: Run, phase: str, message: str = "") -> None:
    run.status["phase"] = phase
    if message:
        run.status["message"] = message
    run.meta.setdefault("labels", {})[PHASE] = phase


def _end(run: Run, phase: str, message: str) -> None:
    """Nothing but cleaning up comes after this."""
    run.status.setdefault("startedAt", run.stamp())
    _set_phase(run, phase, message)
    run.status["finishedAt"] = run.stamp()
    run.meta.setdefault("labels", {})[COMPLETED] = "true"
    kept = [one for one in run.status.get("conditions") or () if one.get("type") not in ("Completed", "PodRunning")]
    run.status["conditions"] = [
        {"type": "PodRunning", "status": "False"},
        {"type": "Completed", "status": "True"},
        *kept,
    ]
    run.given.locks.release_workflow(execution.holder_key(run))
    for pod in run.given.pods.values():
        if (pod.get("status") or {}).get("phase") in ("Running", "Pending"):
            run.result.stopped.add(pod["metadata"]["name"])


def _synchronized(run: Run) -> None:
    """status.synchronization, and whether a pod is running."""
    found = run.given.locks.status(execution.holder_key(run))
    if found:
        run.status["synchronization"] = found
    else:
        run.status.pop("synchronization", None)
    if run.status.get("phase") in _FINAL or not run.status.get("phase"):
        return
    is_running = any(node.get("type") == "Pod" and node.get("phase") == phases.RUNNING for node in run.nodes.values())
    conditions = [one for one in run.status.get("conditions") or () if one.get("type") != "PodRunning"]
    run.status["conditions"] = [{"type": "PodRunning", "status": "True" if is_running else "False"}, *conditions]
