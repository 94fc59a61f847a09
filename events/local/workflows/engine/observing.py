"""What pods and answers say of nodes; what a deadline or a shutdown does to them. Contract: workflows D.3, G.2, H.1."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from events.local.workflows import names, phases, variables
from events.local.workflows.engine import caches, lost, podphases, scopes, templates
from events.local.workflows.engine.run import STOP, Node, Object, Run

NODE_ID = "workflows.argoproj.io/node-id"
ON_EXIT = "workflows.argoproj.io/on-exit"
PROGRESS = "workflows.argoproj.io/progress"
_GRACE = timedelta(seconds=10)
_LATE = "Step exceeded its deadline"


def observe(run: Run) -> None:
    """Take over what happened since the last look."""
    seen = set()
    for pod in run.given.pods.values():
        meta = pod.get("metadata") or {}
        identity = (meta.get("annotations") or {}).get(NODE_ID, "")
        node = run.nodes.get(identity)
        seen.add(identity)
        if node is None:
            continue
        is_over = node["phase"] in phases.FULFILLED
        if not is_over:
            _of_pod(run, node, pod)
        _controlled(run, node, pod)
    for node in list(run.nodes.values()):
        if node.get("type") == "Pod" and node["id"] not in seen:
            _vanished(run, node)
    for identity, answer in run.given.answers.items():
        _answered(run, identity, answer)
    _fail_without_pods(run)


def _of_pod(run: Run, node: Node, pod: Object) -> None:
    template = templates.of_node(run, node)
    is_daemon = bool((template or {}).get("daemon"))
    if lost.is_cut_off(pod):
        codes = (run.given.reported.get(node["id"]) or {}).get("codes") or {}
        ended = None if is_daemon else lost.as_it_ended(pod, template, codes)
        if ended is None and lost.replace(run, node, pod, template):
            return
        pod = ended or pod
    status = pod.get("status") or {}
    former, message = node["phase"], node.get("message", "")
    phase, new = former, ""
    match status.get("phase"):
        case "Pending" | None:
            phase, new = phases.PENDING, podphases.pending_reason(pod)
            node.pop("daemoned", None)
        case "Succeeded":
            phase = phases.FAILED if is_daemon else phases.SUCCEEDED
            node.pop("daemoned", None)
        case "Failed":
            phase, new = podphases.failure(pod, template)
            node.pop("daemoned", None)
        case "Running":
            if is_daemon and not podphases.is_ready(pod):
                return
            phase = phases.RUNNING
            if is_daemon:
                node["daemoned"] = True
        case other:
            phase, new = phases.ERROR, f"Unexpected pod phase for {pod['metadata']['name']}: {other}"
    problem = str((run.given.reported.get(node["id"]) or {}).get("problem", ""))
    if phase == phases.SUCCEEDED and problem:
        phase, new = phases.ERROR, problem
    _containers(run, node, status)
    _facts(node, pod)
    node["phase"] = phase
    if new or phase == phases.PENDING:
        node["message"] = new
    elif former == phases.PENDING and phase not in phases.BAD and message:
        node.pop("message", None)
    if not node.get("message"):
        node.pop("message", None)
    if not node.get("message") and (again := lost.said(node)):
        node["message"] = again
    _outputs(run, node, pod)
    if phase in phases.FULFILLED:
        node["finishedAt"] = podphases.ended_at(pod) or run.stamp()
        if phase == phases.SUCCEEDED:
            caches.save(run, node)


def _facts(node: Node, pod: Object) -> None:
    if node.get("daemoned") and (pod.get("status") or {}).get("podIP"):
        node["podIP"] = pod["status"]["podIP"]
    host = (pod.get("spec") or {}).get("nodeName")
    if host:
        node["hostNodeName"] = host
    progress = (pod["metadata"].get("annotations") or {}).get(PROGRESS)
    if progress:
        node["progress"] = progress


def _containers(run: Run, node: Node, status: Object) -> None:
    for one in status.get("containerStatuses") or ():
        name = f"{node['name']}.{one['name']}"
        phase, message = podphases.container_state(one)
        if run.node(name) is not None and phase:
            run.mark(name, phase, message)


def _outputs(run: Run, node: Node, pod: Object) -> None:
    reported = run.given.reported.get(node["id"])
    found: dict[str, Any] = dict(node.get("outputs") or {})
    if reported:
        found.update({key: value for key, value in reported.items() if key in ("parameters", "artifacts", "result")})
    code = podphases.exit_code(pod)
    if code is not None:
        found["exitCode"] = str(code)
    if found:
        node["outputs"] = found
        scopes.publish(run, found)


def _controlled(run: Run, node: Node, pod: Object) -> None:
    """End a pod that may not go on."""
    if node["phase"] in phases.FULFILLED or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return
    is_exit = ON_EXIT in (pod["metadata"].get("labels") or {})
    message = ""
    if run.shutdown and not run.may_run(is_exit=is_exit):
        message = f"workflow shutdown with strategy:  {run.shutdown}"
    elif run.is_late and not is_exit:
        message = _LATE
    if not message:
        return
    run.result.stopped.add(pod["metadata"]["name"])
    node.pop("daemoned", None)
    run.mark(node["name"], phases.FAILED, message)
    for child in run.children(node):
        if child.get("type") == "Container" and not phases.is_fulfilled(child):
            run.mark(child["name"], phases.FAILED, message)


def _vanished(run: Run, node: Node) -> None:
    """A pod that is no longer there."""
    if node["phase"] in phases.FULFILLED or node["phase"] == phases.PENDING:
        return
    begun = variables.parsed(node["startedAt"])
    if run.now - begun <= _GRACE:
        run.look_at(begun + _GRACE + timedelta(milliseconds=10))
        return
    node.pop("daemoned", None)
    run.mark(node["name"], phases.ERROR, "pod deleted")
    for child in run.children(node):
        if child.get("type") == "Container":
            run.mark(child["name"], phases.ERROR, "container deleted")


def _answered(run: Run, identity: str, answer: Object) -> None:
    node = run.nodes.get(identity)
    if node is None or node["phase"] in phases.FULFILLED:
        return
    if answer.get("outputs"):
        node["outputs"] = answer["outputs"]
        scopes.publish(run, answer["outputs"])
    run.mark(node["name"], answer["phase"], answer.get("message", ""))
    if node["phase"] == phases.SUCCEEDED:
        caches.save(run, node)


def _fail_without_pods(run: Run) -> None:
    """Nodes without a pod are ended here by a shutdown or the deadline."""
    for node in list(run.nodes.values()):
        if phases.is_fulfilled(node):
            continue
        is_exit = run.is_exit(node)
        if run.shutdown and not run.may_run(is_exit=is_exit):
            waits = node["phase"] == phases.PENDING and (node.get("synchronizationStatus") or {}).get("waiting")
            if phases.is_active_suspend(node) or node.get("type") in ("HTTP", "Plugin") or waits:
                node.pop("synchronizationStatus", None)
                run.mark(node["name"], phases.FAILED, f"Stopped with strategy '{run.shutdown}'")
                continue
        if run.is_late and not is_exit and (node["phase"] == phases.PENDING or phases.is_active_suspend(node)):
            run.mark(node["name"], phases.FAILED, _LATE)
            if node.get("type") == "Pod":
                run.result.stopped.add(names.pod_of(run.workflow, node))


def may_exit(run: Run) -> bool:
    """Whether the exit handler of the Workflow may begin."""
    return run.shutdown in ("", STOP)
