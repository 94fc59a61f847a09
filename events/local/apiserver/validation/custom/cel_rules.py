"""`x-kubernetes-validations`: rules of a schema checked when it is stored, and run against objects.

What a rule may cost is bounded twice: a rule whose estimate is far beyond a real server's limit is refused with its
definition, and while it runs its steps are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from events.local.apiserver import cel
from events.local.apiserver.cel import costs, types
from events.local.apiserver.cel import values as cel_values
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.custom import structural

Node = Mapping[str, Any]

MISSING: Any = object()
"""No old value: the object is new."""

RULES = "x-kubernetes-validations"
STEPS_OF_A_RULE = 1_000_000
STEPS_OF_A_REQUEST = 2_000_000
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_MOST_MESSAGE = 5 * 1024
_PATH_STEP = re.compile(r"\.([^.\[\]'\"]+)|\[['\"]([^'\"]+)['\"]\]")
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def expressions(spec: Node | None) -> frozenset[str]:
    """The rules that a definition has already: they are stored, whatever they cost."""
    found: set[str] = set()
    for version in (spec or {}).get("versions") or ():
        for node, _, _ in _nodes((version.get("schema") or {}).get("openAPIV3Schema") or {}, "", 1):
            found |= {rule.get("rule", "") for rule in node.get(RULES) or ()}
    return frozenset(found)


def check(node: Node, path: str, known: frozenset[str] = frozenset()) -> list[Cause]:
    """What is wrong with the rules of a schema at `path`."""
    plain = [cause for one, where, _ in _nodes(node, path, 1) for cause in _fields(one, where)]
    if plain:
        return plain
    found: list[Cause] = []
    total = 0
    expensive: list[tuple[int, str]] = []
    for one, where, times in _nodes(node, path, 1):
        variables = _variables(one, root=one is node)
        for index, rule in enumerate(one.get(RULES) or ()):
            here = f"{where}.{RULES}[{index}]"
            wrong, cost = _compiles(rule, here, variables)
            found += wrong
            cost *= times
            if cost > costs.LIMIT_OF_A_RULE * costs.TOLERANCE and rule.get("rule") not in known:
                found.append(
                    causes.forbidden(f"{here}.rule", _exceeds("estimated rule cost", cost, costs.LIMIT_OF_A_RULE))
                )
            total += cost
            expensive.append((cost, f"{here}.rule"))
    if found and total > costs.LIMIT_OF_A_SCHEMA:
        says = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        most = sorted(expensive, key=lambda one: -one[0])[:4]
        found += [causes.forbidden(where, says) for cost, where in most if cost]
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        found.append(causes.forbidden(path, _exceeds(name, total, costs.LIMIT_OF_A_SCHEMA)))
    return found


def _exceeds(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_ADVICE}"


def _nodes(node: Node, path: str, times: int) -> Iterator[tuple[Node, str, int]]:
    """A schema and all inside it: each with its path and how often its values may be there."""
    rest, items = structural.values_node(node), structural.item_node(node)
    if rest is not None:
        count = node.get("maxProperties", costs.MOST_ITEMS)
        yield from _nodes(rest, f"{path}.additionalProperties", times * count)
    for name, child in (node.get("properties") or {}).items():
        yield from _nodes(child, f"{path}.properties[{name}]", times)
    if items is not None:
        yield from _nodes(items, f"{path}.items", times * node.get("maxItems", costs.MOST_ITEMS))
    if node.get(RULES):
        yield node, path, times


def _fields(node: Node, path: str) -> list[Cause]:
    """Everything but the expressions."""
    found: list[Cause] = []
    for index, rule in enumerate(node.get(RULES) or ()):
        here = f"{path}.{RULES}[{index}]"
        text, message, where = rule.get("rule", ""), rule.get("message", ""), rule.get("fieldPath", "")
        if not text.strip():
            found.append(causes.required(f"{here}.rule", "rule is not specified"))
        elif message and not message.strip():
            found.append(causes.invalid(f"{here}.message", message, "must be non-empty if specified"))
        elif re.search(r"[\n\r]", message.strip()):
            found.append(causes.invalid(f"{here}.message", message, "must not contain line breaks"))
        elif re.search(r"[\n\r]", text.strip()) and not message.strip():
            says = "message must be specified if rule contains line breaks"
            found.append(causes.required(f"{here}.message", says))
        if rule.get("messageExpression") and not rule["messageExpression"].strip():
            says = "messageExpression must be non-empty if specified"
            found.append(causes.required(f"{here}.messageExpression", says))
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            found.append(causes.not_supported(f"{here}.reason", reason, _REASONS))
        if where and not where.strip():
            found.append(causes.invalid(f"{here}.fieldPath", where, "must be non-empty if specified"))
        if re.search(r"[\n\r]", where):
            found.append(causes.invalid(f"{here}.fieldPath", where, "must not contain line breaks"))
        if where and _field_path(node, where) is None:
            found.append(causes.invalid(f"{here}.fieldPath", where, "must be a valid path"))
    return found


def _field_path(node: Node, where: str) -> str | None:
    """A field path as it is shown, when the schema has it."""
    current: Node | None = node
    steps = list(_PATH_STEP.finditer(where))
    if "".join(step[0] for step in steps) != where:
        return None
    shown = ""
    for step in steps:
        name = step[1] or step[2]
        properties, rest = (current or {}).get("properties") or {}, structural.values_node(current or {})
        if name in properties:
            current, shown = properties[name], f"{shown}.{name}"
        elif rest is not None and step[2]:
            current, shown = rest, f"{shown}[{name}]"
        else:
            return None
    return shown.removeprefix(".")


def _variables(node: Node, *, root: bool) -> dict[str, types.Type]:
    kind = types.of_schema(node, root=root)
    return {"self": kind, "oldSelf": kind}


def _with_optional(variables: dict[str, types.Type], rule: Node) -> dict[str, types.Type]:
    return {**variables, "oldSelf": types.optional(variables["oldSelf"])} if rule.get("optionalOldSelf") else variables


def _compiles(rule: Node, path: str, variables: dict[str, types.Type]) -> tuple[list[Cause], int]:
    value = {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    names = _with_optional(variables, rule)
    try:
        program = cel.compile_expression(rule["rule"], names)
    except cel.CompileError as error:
        return [causes.invalid(f"{path}.rule", value, f"compilation failed: {error}")], 0
    if program.result != types.BOOL:
        return [causes.invalid(f"{path}.rule", value, "cel expression must evaluate to a bool")], 0
    found: list[Cause] = []
    if text := rule.get("messageExpression"):
        where = f"{path}.messageExpression"
        try:
            if cel.compile_expression(text, names).result != types.STRING:
                found.append(causes.invalid(where, value, "messageExpression must evaluate to a string"))
        except cel.CompileError as error:
            found.append(causes.invalid(where, value, f"messageExpression compilation failed: {error}"))
    if rule.get("optionalOldSelf") is not None and "oldSelf" not in program.names:
        says = "may not be set if oldSelf is not used in rule"
        found.append(causes.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], says))
    return found, costs.estimated(program, names)


@dataclass
class _Rule:
    """One compiled rule."""

    program: cel.Program
    message: cel.Program | None
    given: Node
    where: str

    @property
    def is_transition(self) -> bool:
        return "oldSelf" in self.program.names

    @property
    def is_optional(self) -> bool:
        return bool(self.given.get("optionalOldSelf"))

    @property
    def named(self) -> str:
        return str(self.given.get("message") or self.given["rule"]).strip()


@dataclass
class _Place:
    """The rules of a schema, and where there are more inside it."""

    node: Node
    rules: list[_Rule] = field(default_factory=list)
    properties: dict[str, _Place] = field(default_factory=dict)
    items: _Place | None = None
    rest: _Place | None = None

    def __bool__(self) -> bool:
        return bool(self.rules or self.properties or self.items or self.rest)


class Rules:
    """The rules of a schema, compiled at the first use; false when there are none."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._place: _Place | None = None
        self._any = any(True for _ in _nodes(node, "", 1))

    def __bool__(self) -> bool:
        return self._any

    def check(self, value: Any, old: Any = MISSING) -> list[Cause]:
        """What the rules say against a value; `old` is what it was."""
        if self._place is None:
            self._place = _placed(self._node, root=True)
        request = cel.Budget(STEPS_OF_A_REQUEST)
        found: list[Cause] = []
        _judge(self._place, value, old, "", request, found)
        return found


def _placed(node: Node, *, root: bool = False) -> _Place:
    place = _Place(node)
    variables = _variables(node, root=root)
    for rule in node.get(RULES) or ():
        names = _with_optional(variables, rule)
        try:
            program = cel.compile_expression(rule["rule"], names)
            text = rule.get("messageExpression")
            message = cel.compile_expression(text, names) if text else None
        except cel.CompileError:
            continue  # refused when the definition was stored
        where = _field_path(node, rule["fieldPath"]) if rule.get("fieldPath") else ""
        place.rules.append(_Rule(program, message, rule, where or ""))
    for name, child in (node.get("properties") or {}).items():
        if below := _placed(child):
            place.properties[name] = below
    items, rest = structural.item_node(node), structural.values_node(node)
    place.items = (_placed(items) or None) if items is not None else None
    place.rest = (_placed(rest) or None) if rest is not None else None
    return place


def _judge(place: _Place, value: Any, old: Any, path: str, request: cel.Budget, found: list[Cause]) -> None:
    if value is None or request.left < 0:
        return
    for rule in place.rules:
        if rule.is_transition and old is MISSING and not rule.is_optional:
            continue
        if request.left <= 0:
            found.append(causes.invalid(path, place.node.get("type", ""), _OUT_OF_BUDGET))
            request.left = -1
            return
        cause = _broken(rule, place.node, value, old, path, request)
        # What did not change is not complained about, unless the rule is about the change.
        if cause and (rule.is_transition or old is MISSING or old != value):
            found.append(cause)
        if request.left < 0:
            return
    _below(place, value, old, path, request, found)


def _below(place: _Place, value: Any, old: Any, path: str, request: cel.Budget, found: list[Cause]) -> None:
    if isinstance(value, dict):
        apart = place.node.get(structural.MAP_TYPE) == "atomic" or not isinstance(old, dict)
        for key, item in value.items():
            before = MISSING if apart else old.get(key, MISSING)
            before = MISSING if before is None else before
            if place.rest is not None and key not in (place.node.get("properties") or {}):
                _judge(place.rest, item, before, f"{path}[{key}]", request, found)
            elif key in place.properties:
                _judge(place.properties[key], item, before, f"{path}.{key}" if path else key, request, found)
    elif isinstance(value, list) and place.items is not None:
        keys = place.node.get(structural.MAP_KEYS) or ()
        befores = {}
        if place.node.get(structural.LIST_TYPE) == "map" and isinstance(old, list):
            befores = {_key(item, keys): item for item in old if isinstance(item, dict)}
        for index, item in enumerate(value):
            before = befores.get(_key(item, keys), MISSING) if befores and isinstance(item, dict) else MISSING
            _judge(place.items, item, before, f"{path}[{index}]", request, found)


def _key(item: Mapping[str, Any], keys: Any) -> tuple[str, ...]:
    return tuple(repr(item.get(key)) for key in keys)


def _broken(rule: _Rule, node: Node, value: Any, old: Any, path: str, request: cel.Budget) -> Cause | None:
    kind = node.get("type", "")
    scope: dict[str, Any] = {"self": value}
    if rule.is_optional:
        scope["oldSelf"] = cel_values.NONE if old is MISSING else cel_values.Some(old)
    elif old is not MISSING:
        scope["oldSelf"] = old
    budget = cel.Budget(min(STEPS_OF_A_RULE, request.left))
    before = budget.left
    try:
        if rule.program.run(scope, budget) is True:
            return None
    except cel.CostExceeded as error:
        exhausted = budget.left < 0 and before == request.left < STEPS_OF_A_RULE
        request.left = -1
        says = (
            _OUT_OF_BUDGET
            if exhausted
            else (
                f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: "
                f"{rule.named}"
            )
        )
        return causes.invalid(path, kind, says)
    except cel.CelError as error:
        if str(error).startswith("no such overload"):
            says = "call arguments did not match a supported operator, function or macro signature for rule"
            return causes.invalid(path, kind, f"'{error}': {says}: {rule.named}")
        return causes.invalid(path, kind, f"{error} evaluating rule: {rule.named}")
    except RecursionError:
        return causes.invalid(path, kind, f"expression is nested too deeply evaluating rule: {rule.named}")
    finally:
        if request.left >= 0:
            request.left -= before - budget.left
    where = (f"{path}.{rule.where}" if path else rule.where) if rule.where else path
    shown = causes.OMITTED if kind in ("object", "array") else value
    return _cause(rule, where, shown, _message(rule, scope) or _said(rule))


def _said(rule: _Rule) -> str:
    return str(rule.given.get("message") or "").strip() or f"failed rule: {str(rule.given['rule']).strip()}"


def _message(rule: _Rule, scope: Mapping[str, Any]) -> str:
    if rule.message is None:
        return ""
    try:
        text = rule.message.run(scope, cel.Budget(STEPS_OF_A_RULE))
    except (cel.CelError, RecursionError):
        return ""
    text = text.strip() if isinstance(text, str) else ""
    return "" if re.search(r"[\n\r]", text) or len(text.encode()) > _MOST_MESSAGE else text


def _cause(rule: _Rule, path: str, value: Any, detail: str) -> Cause:
    reason = rule.given.get("reason")
    if reason == "FieldValueForbidden":
        return causes.forbidden(path, detail)
    if reason == "FieldValueRequired":
        return causes.required(path, detail)
    return causes.duplicate(path, value) if reason == "FieldValueDuplicate" else causes.invalid(path, value, detail)
