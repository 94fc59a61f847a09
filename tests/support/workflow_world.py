"""A Workflow, looked at round by round, on a node that gives its pods the outcomes of a scenario."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from events.errors import KeryxError
from events.local.workflows import suspending, validation, variables
from events.local.workflows.engine import Given, Locks, operate
from events.local.workflows.engine.operating import is_completed
from events.local.workflows.errors import WorkflowError

CREATED = "2026-01-02T03:04:05Z"
NODE_ID = "workflows.argoproj.io/node-id"


class WorkflowWorld:
    """One scenario of the recorded cases."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.workflow = copy.deepcopy(given["workflow"])
        self.workflow["metadata"] |= {"namespace": "default", "uid": "uid-1", "creationTimestamp": CREATED}
        self.now = datetime(2026, 1, 2, 3, 4, 10, tzinfo=UTC)
        self.pods: dict[str, dict[str, Any]] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.reported: dict[str, dict[str, Any]] = {}
        self.turns: dict[str, int] = {}
        self.locks = Locks()
        self.config_maps = {one["metadata"]["name"]: one for one in given.get("configMaps") or ()}
        self.rounds = 0

    def play(self) -> None:
        for turn in range(1, (self.given.get("rounds") or 30) + 1):
            for action in self.given.get("actions") or ():
                if action["at"] == turn:
                    self.act(action, turn)
            self.look()
            self.rounds = turn
            if is_completed(self.workflow):
                return
            self.turn_pods()

    def look(self) -> None:
        templates = {one["metadata"]["name"]: one for one in self.given.get("workflowTemplates") or ()}
        result = operate(
            Given(
                workflow=self.workflow,
                now=self.now,
                pods=self.pods,
                reported=self.reported,
                workflow_templates=templates,
                config_maps=self.config_maps,
                defaults=self.given.get("workflowDefaults") or {},
                locks=self.locks,
                validate=lambda one: validation.check_workflow(one, templates, {}),
            )
        )
        self.workflow = result.workflow
        for pod in result.pods:
            pod = copy.deepcopy(pod)
            pod["status"] = {"phase": "Pending"}
            self.pods.setdefault(pod["metadata"]["name"], pod)
            self.made[pod["metadata"]["name"]] = pod
        for name in result.stopped:
            self.pods.pop(name, None)

    def turn_pods(self) -> None:
        for name, pod in list(self.pods.items()):
            if pod["status"].get("phase") not in ("Succeeded", "Failed"):
                self.turn_pod(name, pod)

    def turn_pod(self, name: str, pod: dict[str, Any]) -> None:
        node = self.workflow["status"]["nodes"][pod["metadata"]["annotations"][NODE_ID]]
        template = (node.get("templateRef") or {}).get("template") or node.get("templateName", "")
        outcomes = self.given.get("outcomes") or {}
        keys = (node["name"], node["displayName"], template, "*")
        several = next((outcomes[key] for key in keys if key in outcomes), [{"phase": "Succeeded"}])
        turn = self.turns.get(name, 0)
        self.turns[name] = turn + 1
        outcome = several[min(turn, len(several) - 1)]
        self.settle(pod, node, template, outcome)
        if outcome.get("delete"):
            self.pods.pop(name)

    def settle(self, pod: dict[str, Any], node: dict[str, Any], template: str, outcome: dict[str, Any]) -> None:
        phase = outcome["phase"]
        status: dict[str, Any] = {"phase": phase}
        names = [one["name"] for one in pod["spec"]["containers"]]
        if phase == "Running":
            state: dict[str, Any] = {"running": {}}
            status["containerStatuses"] = [{"name": one, "ready": True, "state": state} for one in names]
            status["podIP"] = "10.0.0.9"
        elif phase in ("Succeeded", "Failed"):
            is_plain_failure = phase == "Failed" and not outcome.get("message")
            code = outcome.get("exitCode", 1 if is_plain_failure else 0)
            ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
            status["containerStatuses"] = [{"name": one, "state": {"terminated": ended}} for one in names]
            waited = {"terminated": {"exitCode": 0, "reason": "Completed"}}
            status["containerStatuses"].append({"name": "wait", "state": waited})
        if outcome.get("message"):
            status["message"] = outcome["message"]
        pod["status"] = status
        self.report(node, template, outcome)

    def report(self, node: dict[str, Any], template: str, outcome: dict[str, Any]) -> None:
        found: dict[str, Any] = {}
        if outcome.get("result") is not None:
            found["result"] = outcome["result"]
        if outcome.get("parameters"):
            declared = self.declared(node, template)
            found["parameters"] = [
                {"name": name, "value": value, **declared.get(name, {})}
                for name, value in outcome["parameters"].items()
            ]
        if found:
            self.reported[node["id"]] = found

    def declared(self, node: dict[str, Any], template: str) -> dict[str, Any]:
        specs = [self.workflow["spec"], *(one["spec"] for one in self.given.get("workflowTemplates") or ())]
        for spec in specs:
            for one in spec.get("templates") or ():
                if one["name"] == template:
                    several = (one.get("outputs") or {}).get("parameters") or ()
                    return {p["name"]: {k: p[k] for k in ("globalName",) if k in p} for p in several}
        return {}

    # --- actions

    def act(self, action: dict[str, Any], turn: int) -> None:
        stamp, selector = variables.instant(self.now), action.get("selector", "")
        try:
            match action["do"]:
                case "suspend":
                    self.workflow["spec"]["suspend"] = True
                case "resume":
                    self.workflow = suspending.resumed(self.workflow, stamp, selector)
                case "stop" if selector:
                    self.workflow = suspending.failed(self.workflow, stamp, selector, action.get("message", ""))
                case "stop" | "terminate":
                    self.workflow["spec"]["shutdown"] = action["do"].capitalize()
                case "set":
                    self.workflow = suspending.changed(
                        self.workflow,
                        stamp,
                        selector,
                        action.get("parameters") or {},
                        action.get("phase", ""),
                        action.get("message", ""),
                    )
                case "elapse":
                    self.elapse(action["seconds"])
        except KeryxError as error:
            raise WorkflowError(f"action {action['do']} at {turn}: {error}") from error

    def elapse(self, seconds: int) -> None:
        """Time passes; what was recorded stays where it was."""
        self.now += timedelta(seconds=seconds)

    # --- what is compared

    def shown(self) -> dict[str, Any]:
        status = self.workflow["status"]
        nodes = status.get("nodes") or {}
        return {
            "labels": self.workflow["metadata"].get("labels") or {},
            "message": status.get("message", ""),
            "nodes": [self.shown_node(node, nodes) for node in nodes.values()],
            "outputs": shown_outputs(status.get("outputs")),
            "phase": status.get("phase", ""),
            "pods": [self.shown_pod(pod) for pod in self.made.values()],
            "progress": status.get("progress", ""),
            "reconciles": self.rounds,
        }

    def shown_node(self, node: dict[str, Any], nodes: dict[str, Any]) -> dict[str, Any]:
        flags = node.get("nodeFlag") or {}
        memo = node.get("memoizationStatus") or {}
        reference = node.get("templateRef") or {}
        plain = ("name", "id", "displayName", "type", "phase", "message", "templateName", "templateScope", "progress")
        found = {key: node.get(key) for key in plain}
        return found | {
            "templateRef": f"{reference['name']}/{reference['template']}" if reference else "",
            "boundary": nodes.get(node.get("boundaryID", ""), {}).get("name", ""),
            "children": [nodes[one]["name"] if one in nodes else "?" for one in node.get("children") or ()],
            "outbound": [nodes[one]["name"] if one in nodes else "?" for one in node.get("outboundNodes") or ()],
            "inputs": shown_outputs(node.get("inputs")),
            "outputs": shown_outputs(node.get("outputs")),
            "hooked": flags.get("hooked"),
            "retried": flags.get("retried"),
            "daemoned": node.get("daemoned"),
            "memoization": memo,
            "waiting": (node.get("synchronizationStatus") or {}).get("waiting"),
        }

    def shown_pod(self, pod: dict[str, Any]) -> dict[str, Any]:
        nodes = self.workflow["status"]["nodes"]
        meta = pod["metadata"]
        main = next((one for one in pod["spec"]["containers"] if one["name"] == "main"), {})
        return {
            "args": main.get("args"),
            "env": {one["name"]: one.get("value") for one in main.get("env") or ()},
            "name": meta["name"],
            "node": nodes[meta["annotations"][NODE_ID]]["name"],
            "onExit": meta["labels"].get("workflows.argoproj.io/on-exit") == "true",
        }


def shown_outputs(outputs: dict[str, Any] | None) -> dict[str, Any]:
    found = dict(outputs or {})
    if found.get("parameters"):
        found["parameters"] = {one["name"]: one.get("value") for one in found["parameters"]}
    if found.get("artifacts"):
        found["artifacts"] = {one["name"]: one for one in found["artifacts"]}
    return found
