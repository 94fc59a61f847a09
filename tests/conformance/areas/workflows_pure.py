"""ids, when, depends, variables, expansion, merge, cron of workflows: the small rules, by our functions directly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from conformance.core import Case, Error, Outcome, judge, recorded, slim

from events.errors import KeryxError
from events.local.workflows import arguments, depends, loops, merging, names, schedules, tags, when
from events.local.workflows.arguments import MissingKey


def run(case: Case) -> Outcome:
    """Compare with the reference; where it has an error, any error will do."""
    try:
        got = _ANSWERS[case.area.removeprefix("workflows.")](case.input)
    except KeryxError as error:
        got = Error(str(error))
    wanted = recorded(case)
    if case.area == "workflows.merge" and not isinstance(wanted, Error):
        wanted = slim(wanted)
    return judge(case, got, wanted=wanted)


def _ids(given: dict[str, Any]) -> Any:
    workflow, node = given["workflow"], given["node"]
    return {
        "nodeId": names.node_id(workflow, node),
        "podName": names.pod_name(workflow, node, given["template"], given["version"]),
    }


def _when(given: dict[str, Any]) -> Any:
    return when.decide(given["when"])


def _depends(given: dict[str, Any]) -> Any:
    tasks = depends.Tasks.of(given["tasks"])
    name = given["task"]
    awaited, nodes = tasks.dependencies(name), given["nodes"]
    logic = tasks.logic(name)
    proceed = all(one in nodes and depends.phases.is_fulfilled(nodes[one]) for one in awaited)
    results = {}
    for one in awaited:
        node = nodes.get(one) or {}
        items = [{"phase": phase} for phase in node["items"]] if "items" in node else None
        results[one] = depends.outcome(node, items)
    execute = proceed and (depends.holds(logic, results) if logic else True)
    return {"dependencies": awaited, "execute": execute, "logic": logic, "proceed": proceed}


def _variables(given: dict[str, Any]) -> Any:
    if "template" in given:
        return slim(
            arguments.applied(
                arguments.normalized(given["template"]),
                arguments.normalized(given.get("arguments") or {}),
                given["vars"],
                given["local"],
                _no_config_map,
            )
        )
    strict = given.get("strictPrefixes") or ()
    return tags.replaced(given["value"], given["vars"], strict=strict, is_final=not given["allowUnresolved"])


def _no_config_map(source: Any) -> str:
    raise MissingKey(f"ConfigMap '{source.get('name')}' does not exist")


def _expansion(given: dict[str, Any]) -> Any:
    if "sequence" in given:
        return loops.sequence(given["sequence"])
    found = []
    for step in loops.expanded(given["task"], given["scope"]):
        shown = {"name": step["name"], "template": step.get("template")}
        parameters = (step.get("arguments") or {}).get("parameters")
        if parameters:
            shown["parameters"] = {one["name"]: one["value"] for one in parameters}
        if step.get("when"):
            shown["when"] = step["when"]
        found.append({key: value for key, value in shown.items() if value})
    return found


def _merge(given: dict[str, Any]) -> Any:
    return slim(merging.merged(given["workflow"], given["template"], given["defaults"]))


def _cron(given: dict[str, Any]) -> Any:
    parsed = schedules.parse_all(given["schedules"], given["timezone"])
    found: list[datetime] = []
    moment: datetime | None = datetime.fromisoformat(given["from"])
    while moment is not None and len(found) < given["count"]:
        moment = schedules.upcoming(parsed, moment)
        if moment is not None:
            found.append(moment)
    answer: dict[str, Any] = {"next": [one.isoformat().replace("+00:00", "Z") for one in found]}
    if given.get("name"):
        answer["workflowNames"] = [schedules.run_name(given["name"], one) for one in found]
    return answer


_ANSWERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "cron": _cron,
    "depends": _depends,
    "expansion": _expansion,
    "ids": _ids,
    "merge": _merge,
    "variables": _variables,
    "when": _when,
}
