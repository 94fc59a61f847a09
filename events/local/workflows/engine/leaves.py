"""Templates without nodes of their own below: pods, suspend, http, plugin. Contract: workflows B."""

from __future__ import annotations

from datetime import timedelta

from events.local.workflows import phases, pods, suspending, variables
from events.local.workflows.engine import limits, templates
from events.local.workflows.engine.execution import Work
from events.local.workflows.engine.run import Node, Run
from events.local.workflows.errors import WorkflowError


def pod(run: Run, work: Work) -> Node:
    """A node with a pod; the pod is made unless it is there."""
    node = run.node(work.name)
    if node is None:
        node = work.begin(run, "Pod", phases.PENDING)
        run.active_pods += 1
        if templates.type_of(work.template) == "containerSet":
            _containers(run, work, node)
    if node.get("phase") != phases.PENDING:
        return node
    name = pods.name_of(run, work)
    if name in run.given.pods:
        return node
    if not run.may_run(is_exit=work.options.is_exit):
        return run.mark(work.name, phases.FAILED, f"workflow shutdown with strategy: {run.shutdown}")
    if name in run.given.refused:
        raise WorkflowError(run.given.refused[name])
    made = pods.of_node(run, work, node)
    if made is not None:
        run.result.pods.append(made)
        run.result.templates[name] = pods.located(run, work, name)
    return node


def _containers(run: Run, work: Work, node: Node) -> None:
    """One node per container of the set, below those that it waits for."""
    several = work.template["containerSet"].get("containers") or ()
    for one in several:
        name = f"{work.name}.{one['name']}"
        run.begin(name, "Container", phases.PENDING, work.holder, work.scope, node["id"])
    for one in several:
        name = f"{work.name}.{one['name']}"
        for above in one.get("dependencies") or ():
            run.link(f"{work.name}.{above}", name)
        if not one.get("dependencies"):
            run.link(work.name, name)


def suspend(run: Run, work: Work) -> Node:
    """A node that waits for somebody, or for a time."""
    node = run.node(work.name)
    if node is None:
        node = work.begin(run, "Suspend", phases.PENDING)
        suspending.begin(node, work.template)
    duration = work.template["suspend"].get("duration")
    if duration not in (None, ""):
        ends = variables.parsed(node["startedAt"]) + timedelta(seconds=limits.seconds(duration))
        if run.now > ends:
            suspending.fill_defaults(node)
            return run.mark(work.name, phases.SUCCEEDED)
        run.look_at(ends + timedelta(milliseconds=10))
    if run.deadline is not None:
        run.look_at(run.deadline + timedelta(milliseconds=10))
    return run.mark(work.name, phases.RUNNING)


def ask(run: Run, work: Work) -> Node:
    """A node that somebody outside answers: an HTTP request, a plugin."""
    node = run.node(work.name)
    if node is None:
        kind = templates.NODE_TYPES[templates.type_of(work.template)]
        node = work.begin(run, kind, phases.PENDING)
    run.result.requests[node["id"]] = work.template
    return node
