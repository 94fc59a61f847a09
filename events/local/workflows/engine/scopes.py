"""What steps and tasks may refer to: inputs of their template, outputs of those before them. Contract: workflows E.5,
E.6, F.4, I."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from events.local.workflows import expressions, gotexts, phases, tags, when
from events.local.workflows.engine import templates
from events.local.workflows.engine.run import Node, Object, Run
from events.local.workflows.engine.templates import Context
from events.local.workflows.errors import WorkflowError


class Scope:
    """Variables (None: an output that a skipped producer never had) and artifacts, by name."""

    def __init__(self, template: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = {}
        self.artifacts: dict[str, Object] = {}
        inputs = (template or {}).get("inputs") or {}
        for one in inputs.get("parameters") or ():
            if one.get("value") is not None:
                self.values[f"inputs.parameters.{one['name']}"] = one["value"]
        for one in inputs.get("artifacts") or ():
            self.artifacts[f"inputs.artifacts.{one['name']}"] = one

    def add_outputs(self, prefix: str, outputs: Mapping[str, Any] | None) -> None:
        """Outputs of a node, under `steps.a` or `tasks.a`."""
        if not outputs:
            return
        if outputs.get("result") is not None and prefix != "workflow":
            self.values[f"{prefix}.outputs.result"] = outputs["result"]
        if outputs.get("exitCode") is not None and prefix != "workflow":
            self.values[f"{prefix}.exitCode"] = outputs["exitCode"]
        for one in outputs.get("parameters") or ():
            if one.get("value") is not None:
                self.values[f"{prefix}.outputs.parameters.{one['name']}"] = one["value"]
        for one in outputs.get("artifacts") or ():
            self.artifacts[f"{prefix}.outputs.artifacts.{one['name']}"] = one

    def add_node(self, run: Run, prefix: str, node: Node, context: Context) -> None:
        """Everything that is known of a node."""
        if node.get("type") == "Retry":
            attempts = retried(run, node)
            node = attempts[-1] if attempts else node
        fields = {
            "id": "id",
            "startedAt": "startedAt",
            "finishedAt": "finishedAt",
            "ip": "podIP",
            "status": "phase",
            "hostNodeName": "hostNodeName",
        }
        for name, field in fields.items():
            if node.get(field):
                self.values[f"{prefix}.{name}"] = node[field]
        self.add_outputs(prefix, node.get("outputs"))
        if node.get("phase") in (phases.SKIPPED, phases.OMITTED) and not node.get("outputs"):
            self._add_absent(run, prefix, node, context)

    def _add_absent(self, run: Run, prefix: str, node: Node, context: Context) -> None:
        """The declared outputs of a producer that did not run."""
        try:
            holder: Object = {key: node[key] for key in ("templateRef", "templateName") if key in node}
            template = templates.resolve(run, holder, context)[1] if holder else templates.inline_of(run, node)
        except WorkflowError:
            return
        outputs = (template or {}).get("outputs") or {}
        for one in outputs.get("parameters") or ():
            default = (one.get("valueFrom") or {}).get("default")
            value = None if default is None else gotexts.scalar(default)
            self.values[f"{prefix}.outputs.parameters.{one['name']}"] = value
        if prefix.startswith("steps."):
            for one in outputs.get("artifacts") or ():
                self.artifacts[f"{prefix}.outputs.artifacts.{one['name']}"] = {"name": one["name"], "optional": True}

    def add_items(self, prefix: str, items: Sequence[Node]) -> None:
        """The outputs of a loop as lists; only of items that Succeeded, in their order."""
        ended = sorted(
            (one for one in items if one.get("phase") == phases.SUCCEEDED and is_item(one)),
            key=lambda one: _index(one["name"]),
        )
        results, together = [], []
        values: dict[str, list[str]] = {}
        for node in ended:
            outputs = node.get("outputs") or {}
            if outputs.get("result") is not None:
                results.append(_json(outputs["result"]))
            parameters = {
                one["name"]: one["value"] for one in outputs.get("parameters") or () if one.get("value") is not None
            }
            if parameters:
                together.append(parameters)
            for name, value in parameters.items():
                values.setdefault(name, []).append(value)
        if results:
            self.values[f"{prefix}.outputs.result"] = gotexts.marshaled(results)
        self.values[f"{prefix}.outputs.parameters"] = gotexts.marshaled(together)
        for name, several in values.items():
            self.values[f"{prefix}.outputs.parameters.{name}"] = gotexts.marshaled(_structured(several))

    # --- resolving

    def artifact(self, wanted: Mapping[str, Any]) -> Object:
        """The artifact that `from` or `fromExpression` means."""
        if wanted.get("fromExpression"):
            return self._by_expression(wanted["fromExpression"])
        reference = str(wanted.get("from", ""))
        name = reference.removeprefix("{{").removesuffix("}}").strip()
        found = self.artifacts.get(name)
        if found is None:
            raise WorkflowError(f"Unable to resolve: '{reference}'")
        resolved = {key: value for key, value in found.items() if key not in ("path", "globalName", "name")}
        if wanted.get("subPath"):
            resolved["subPath"] = wanted["subPath"]
        return resolved

    def _by_expression(self, text: str) -> Object:
        paths = {name: f"\0{name}" for name in self.artifacts}
        found = expressions.evaluate(text, expressions.environment({**self.values, **paths}))
        if not isinstance(found, str) or found[1:] not in self.artifacts:
            raise WorkflowError(f"Unable to resolve: '{text}'")
        return dict(self.artifacts[found[1:]])

    def parameter(self, source: Mapping[str, Any]) -> str:
        """The text that an output's valueFrom means."""
        if source.get("expression"):
            found = expressions.evaluate(source["expression"], expressions.environment(self.values))
            if found is None:
                raise WorkflowError(f"failed to evaluate expression: '{source['expression']}' gives nothing")
            return gotexts.scalar(found)
        reference = str(source.get("parameter", ""))
        name = reference.removeprefix("{{").removesuffix("}}").strip()
        if self.values.get(name) is None:
            raise WorkflowError(f"Unable to resolve: '{reference}'")
        return str(self.values[name])

    def outputs(self, template: Mapping[str, Any]) -> Object | None:
        """The outputs of a steps or dag template."""
        declared = template.get("outputs") or {}
        if not (declared.get("parameters") or declared.get("artifacts")):
            return None
        found: Object = {}
        for one in declared.get("parameters") or ():
            found.setdefault("parameters", []).append(self._output(one))
        for one in declared.get("artifacts") or ():
            try:
                resolved = self.artifact(one)
            except WorkflowError as error:
                if one.get("optional"):
                    continue
                raise WorkflowError(f"unable to resolve outputs from scope: {error.message}") from error
            kept = {key: one[key] for key in ("name", "globalName") if one.get(key)}
            found.setdefault("artifacts", []).append({**resolved, **kept})
        return found

    def _output(self, declared: Mapping[str, Any]) -> Object:
        source = declared.get("valueFrom")
        if not source:
            raise WorkflowError("output parameters must have a valueFrom specified")
        try:
            value = self.parameter(source)
        except WorkflowError:
            if source.get("default") is None:
                raise
            value = gotexts.scalar(source["default"])
        return {**{key: one for key, one in declared.items() if key != "valueFrom"}, "value": value}


def retried(run: Run, node: Node) -> list[Node]:
    """The attempts of a Retry node; its hooks are none."""
    return [one for one in run.children(node) if not (one.get("nodeFlag") or {}).get("hooked")]


def is_item(node: Node) -> bool:
    """Whether a node is an item of a loop, and no attempt and no hook of one."""
    flags = node.get("nodeFlag") or {}
    return not flags.get("hooked") and not flags.get("retried")


def items_of(run: Run, boundary: str, name: str) -> list[Node]:
    """The items of the loop whose step or task has this name."""
    return [one for one in run.within(boundary) if one["name"].startswith(f"{name}(") and is_item(one)]


def _index(name: str) -> int:
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(name[at], 0)
        if depth == 0 and name[at] == "(":
            number = name[at + 1 :].partition(":")[0].rstrip(")")
            return int(number) if number.isdecimal() else 0
    return 0


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise WorkflowError(gotexts.json_error(text)) from None


def _structured(values: list[str]) -> list[Any]:
    """Objects and lists as such when all values are, else the texts."""
    found = []
    for text in values:
        try:
            value = json.loads(text)
        except ValueError:
            return list(values)
        if not isinstance(value, (dict, list)):
            return list(values)
        found.append(value)
    return found


def resolved(run: Run, part: Object, scope: Scope, word: str) -> Object:
    """A step or task with its references in; `word` is `steps` or `tasks`. Unresolved when it must wait."""
    variables = {**run.globals, **scope.values}
    found = dict(part)
    hooks = found.pop("hooks", None)
    if found.get("when"):
        found["when"] = tags.replaced(found["when"], variables, strict=(word,))
        if _is_off(found["when"]):
            return {**part, "when": found["when"]}
    found = dict(tags.replaced(_absent(found, variables), variables, strict=(word,)))
    artifacts = (found.get("arguments") or {}).get("artifacts")
    if artifacts:
        found["arguments"] = {**found["arguments"], "artifacts": [*_located(artifacts, scope)]}
    if hooks is not None:
        found["hooks"] = hooks
    return found


def _is_off(text: str) -> bool:
    try:
        return not when.decide(text)
    except WorkflowError:
        return False


def _located(artifacts: Sequence[Object], scope: Scope) -> Iterable[Object]:
    for one in artifacts:
        if not (one.get("from") or one.get("fromExpression")):
            yield one
            continue
        try:
            yield {**scope.artifact(one), "name": one["name"]}
        except WorkflowError as error:
            if not one.get("optional"):
                raise WorkflowError(f"unable to resolve references: {error.message}") from error


def _absent(part: Object, variables: Mapping[str, Any]) -> Object:
    """Arguments that are nothing but a reference to an output that never was, marked as such."""
    parameters = (part.get("arguments") or {}).get("parameters")
    if not parameters:
        return part
    marked = [_marked(one, variables) for one in parameters]
    return {**part, "arguments": {**part["arguments"], "parameters": marked}}


def _marked(parameter: Object, variables: Mapping[str, Any]) -> Object:
    value = parameter.get("value")
    if not isinstance(value, str) or not (value.startswith("{{") and value.endswith("}}")):
        return parameter
    name = value[2:-2].strip()
    if name in variables and variables[name] is None:
        return {**parameter, "value": tags.ABSENT}
    return parameter


def publish(run: Run, outputs: Mapping[str, Any] | None) -> None:
    """Outputs with a globalName become `workflow.outputs.*`; the last writer wins."""
    for place in ("parameters", "artifacts"):
        for one in (outputs or {}).get(place) or ():
            name = one.get("globalName")
            if not name or (place == "parameters" and one.get("value") is None):
                continue
            several = run.status.setdefault("outputs", {}).setdefault(place, [])
            kept = {key: value for key, value in one.items() if key not in ("globalName", "path", "valueFrom")}
            kept["name"] = name
            several[:] = [other for other in several if other["name"] != name] + [kept]
            if place == "parameters":
                run.globals[f"workflow.outputs.parameters.{name}"] = one["value"]
