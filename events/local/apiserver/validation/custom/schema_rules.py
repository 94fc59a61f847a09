"""Rules of a schema inside a CustomResourceDefinition: structural, and without what custom resources may not use.

Source: the structural schema rules of the API, with the texts of a real server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events import regexes
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.custom.structural import EMBEDDED, LIST_TYPE, MAP_KEYS, MAP_TYPE, PRESERVE

Node = Mapping[str, Any]

INT_OR_STRING = "x-kubernetes-int-or-string"
RULES = "x-kubernetes-validations"
TYPES = ("array", "boolean", "integer", "number", "object", "string")
_INT_OR_STRING_FORMS = [{"type": "integer"}, {"type": "string"}]
_EMPTY_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NOT_NESTED: Mapping[str, str] = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    MAP_KEYS: "must be empty to be structural",
    LIST_TYPE: "must be undefined to be structural",
    MAP_TYPE: "must be undefined to be structural",
    RULES: "must be empty to be structural",
}


def structural(node: Node, path: str) -> list[Cause]:
    """What keeps a schema from being structural, in the order of its texts."""
    found = _invariants(node, "root", path) + _complete(node, node, path, path)
    return sorted(found, key=lambda cause: f"{cause['field']}: {cause['message']}")


def _invariants(node: Node, level: str, path: str) -> list[Cause]:
    found: list[Cause] = []
    kind, items = node.get("type", ""), node.get("items")
    if kind == "array" and items is None:
        found.append(causes.required(f"{path}.items", "must be specified"))
    if isinstance(items, dict):
        found += _invariants(items, "item", f"{path}.items")
    properties: Mapping[str, Node] = node.get("properties") or {}
    for name, child in properties.items():
        found += _invariants(child, "field", f"{path}.properties[{name}]")
    rest = node.get("additionalProperties")
    if rest is not None:
        if level == "root":
            found.append(causes.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(rest, dict):
            found += _invariants(rest, "field", f"{path}.additionalProperties")
    found += _extensions(node, path) + _nested(node, path, skip_any=_is_any_of(node), skip_first_all=_is_all_of(node))
    found += _kind_of_node(node, level, path, kind)
    if level == "root" or node.get(EMBEDDED):
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                here = f"{path}.properties[{name}].type"
                found.append(causes.invalid(here, properties[name].get("type", ""), "must be string"))
    if "metadata" in properties:
        checked = level == "root" or bool(node.get(EMBEDDED))
        found += _metadata(properties["metadata"], level, f"{path}.properties[metadata]", checked=checked)
    if node.get(EMBEDDED) and not node.get(PRESERVE) and not properties:
        says = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        found.append(causes.required(f"{path}.properties", says))
    return found


def _kind_of_node(node: Node, level: str, path: str, kind: str) -> list[Cause]:
    found: list[Cause] = []
    if node.get(EMBEDDED) and kind != "object":
        says = f"must be object if {EMBEDDED} is true"
        here = f"{path}.type"
        found.append(causes.invalid(here, kind, says) if kind else causes.required(here, says))
    elif not kind and not node.get(INT_OR_STRING) and not node.get(PRESERVE):
        found.append(causes.required(f"{path}.type", _EMPTY_TYPE[level]))
    if node.get(EMBEDDED) and node.get("additionalProperties") is not None:
        found.append(causes.forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set"))
    if level == "root" and kind and kind != "object":
        found.append(causes.invalid(f"{path}.type", kind, "must be object at the root"))
    return found


def _extensions(node: Node, path: str) -> list[Cause]:
    if not node.get(INT_OR_STRING):
        return []
    says = f"must be false if {INT_OR_STRING} is true"
    return [causes.invalid(f"{path}.{key}", node[key], says) for key in (PRESERVE, EMBEDDED) if node.get(key)]


def _metadata(node: Node, level: str, path: str, *, checked: bool) -> list[Cause]:
    found: list[Cause] = []
    if checked and node.get("type") != "object":
        found.append(causes.invalid(f"{path}.type", node.get("type", ""), "must be object"))
    if level == "root":
        rest = {
            key: value for key, value in node.items() if key not in ("type", "default") and value not in (None, {}, [])
        }
        if set(rest.get("properties") or {}) <= {"name", "generateName"}:
            rest.pop("properties", None)
        if rest:
            says = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            found.append(causes.forbidden(path, says))
    return found


def _is_any_of(node: Node) -> bool:
    return bool(node.get("anyOf") == _INT_OR_STRING_FORMS)


def _is_all_of(node: Node) -> bool:
    several: list[Node] = list(node.get("allOf") or ())
    return bool(several) and several[0].get("anyOf") == _INT_OR_STRING_FORMS


def _nested(node: Node, path: str, *, skip_any: bool, skip_first_all: bool = False) -> list[Cause]:
    found: list[Cause] = []
    if not skip_any:
        for index, one in enumerate(node.get("anyOf") or ()):
            found += _inside(one, f"{path}.anyOf[{index}]")
    for index, one in enumerate(node.get("allOf") or ()):
        found += _inside(one, f"{path}.allOf[{index}]", skip_any=skip_first_all and index == 0)
    for index, one in enumerate(node.get("oneOf") or ()):
        found += _inside(one, f"{path}.oneOf[{index}]")
    if node.get("not") is not None:
        found += _inside(node["not"], f"{path}.not")
    if pattern := node.get("pattern"):
        try:
            regexes.compile(pattern)
        except ValueError as error:
            says = f"must be a valid regular expression, but isn't: {regex_error(str(error))}"
            found.append(causes.invalid(f"{path}.pattern", pattern, says))
    return found


def _inside(node: Node, path: str, *, skip_any: bool = False) -> list[Cause]:
    found = _nested(node, path, skip_any=skip_any)
    if isinstance(node.get("items"), dict):
        found += _inside(node["items"], f"{path}.items")
    for name, child in (node.get("properties") or {}).items():
        found += _inside(child, f"{path}.properties[{name}]")
    for key, says in _NOT_NESTED.items():
        if node.get(key) not in (None, "", False, [], {}):
            found.append(causes.forbidden(f"{path}.{key}", says))
    if "metadata" in (node.get("properties") or {}):
        found.append(causes.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    return found


def _complete(conditions: Node, node: Node | None, path: str, seen: str) -> list[Cause]:
    """What is constrained inside `anyOf` and its like must be specified outside of them."""
    found: list[Cause] = []
    if conditions.get("not") is not None:
        found += _completed(conditions["not"], node, path, f"{seen}.not")
    for key in ("allOf", "anyOf", "oneOf"):
        for index, one in enumerate(conditions.get(key) or ()):
            found += _completed(one, node, path, f"{seen}.{key}[{index}]")
    return found


def _completed(one: Node, node: Node | None, path: str, seen: str) -> list[Cause]:
    if node is None:
        return [causes.required(path, f"because it is defined in {seen}")]
    found = _complete(one, node, path, seen)
    if isinstance(one.get("items"), dict):
        items = node.get("items")
        found += _completed(one["items"], items if isinstance(items, dict) else None, f"{path}.items", f"{seen}.items")
    properties = node.get("properties") or {}
    for name, child in (one.get("properties") or {}).items():
        here, there = f"{path}.properties[{name}]", f"{seen}.properties[{name}]"
        found += _completed(child, properties.get(name), here, there)
    return found


_REGEX_ERRORS: Mapping[str, str] = {
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "unexpected )": "unexpected )",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid escape sequence": "invalid escape sequence",
    "invalid character class range": "invalid character class range",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}


def regex_error(text: str) -> str:
    """What Go's parser says where RE2 says `text`."""
    for mine, theirs in _REGEX_ERRORS.items():
        if text.startswith(mine):
            rest = text.removeprefix(mine).removeprefix(": ")
            return f"error parsing regexp: {theirs}: `{rest}`"
    return f"error parsing regexp: {text}"


def allowed(node: Node, path: str, *, root: bool = True, no_defaults: str = "", in_meta: bool = False) -> list[Cause]:
    """What a schema of a custom resource may not have, and list and map types that do not fit."""
    found = _unsupported(node, path, no_defaults, in_meta=in_meta)
    if node.get("uniqueItems"):
        says = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(causes.forbidden(f"{path}.uniqueItems", says))
    rest, properties = node.get("additionalProperties"), node.get("properties") or {}
    if rest is not None and rest is not True and properties:
        says = "additionalProperties and properties are mutual exclusive"
        found.append(causes.forbidden(f"{path}.additionalProperties", says))
    if isinstance(rest, dict):
        reason = "inside additionalProperties applying to object metadata" if in_meta else no_defaults
        found += allowed(rest, f"{path}.additionalProperties", root=False, no_defaults=reason, in_meta=in_meta)
    for name, child in properties.items():
        meta = (root or bool(node.get(EMBEDDED))) and name in ("metadata", "kind", "apiVersion")
        reason = f"in top-level {name}" if meta and root else no_defaults
        here = f"{path}.properties[{name}]"
        found += allowed(child, here, root=False, no_defaults=reason, in_meta=in_meta or meta)
    for key in ("allOf", "oneOf", "anyOf"):
        for index, one in enumerate(node.get(key) or ()):
            found += allowed(one, f"{path}.{key}[{index}]", root=False, no_defaults=no_defaults, in_meta=in_meta)
    for key in ("not", "items"):
        if isinstance(node.get(key), dict):
            found += allowed(node[key], f"{path}.{key}", root=False, no_defaults=no_defaults, in_meta=in_meta)
    return found + _lists(node, path)


def _unsupported(node: Node, path: str, no_defaults: str, *, in_meta: bool) -> list[Cause]:
    found: list[Cause] = []
    kind = node.get("type", "")
    if kind and kind not in TYPES:
        found.append(causes.not_supported(f"{path}.type", kind, TYPES))
    if node.get("default") is not None and no_defaults:
        found.append(causes.forbidden(f"{path}.default", f"must not be set {no_defaults}"))
    for key in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
        if node.get(key) not in (None, "", {}):
            found.append(causes.forbidden(f"{path}.{key}", f"{key} is not supported"))
    if kind == "null":
        says = "type cannot be set to null, use nullable as an alternative"
        found.append(causes.forbidden(f"{path}.type", says))
    if isinstance(node.get("items"), list) and node["items"]:
        found.append(causes.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if in_meta and node.get(EMBEDDED):
        found.append(causes.forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta"))
    if node.get(PRESERVE) is False:
        found.append(causes.invalid(f"{path}.{PRESERVE}", node[PRESERVE], "must be true or undefined"))
    return found


def _lists(node: Node, path: str) -> list[Cause]:
    kind, listed, mapped, keys = node.get("type", ""), node.get(LIST_TYPE), node.get(MAP_TYPE), node.get(MAP_KEYS)
    items = node.get("items") if isinstance(node.get("items"), dict) else None
    found: list[Cause] = []
    for key, value, wanted in ((MAP_TYPE, mapped, "object"), (LIST_TYPE, listed, "array")):
        if value is not None and kind != wanted:
            says, here = f"must be {wanted} if {key} is specified", f"{path}.type"
            found.append(causes.invalid(here, kind, says) if kind else causes.required(here, says))
        elif key == LIST_TYPE and listed == "set" and items is not None:
            found += _set_items(items, f"{path}.items")
        if key == MAP_TYPE and value not in (None, "atomic", "granular"):
            found.append(causes.not_supported(f"{path}.{MAP_TYPE}", value, ("atomic", "granular")))
    if listed not in (None, "atomic", "set", "map"):
        found.append(causes.not_supported(f"{path}.{LIST_TYPE}", listed, ("atomic", "set", "map")))
    if keys and listed != "map":
        says, here = f"must be map if {MAP_KEYS} is non-empty", f"{path}.{LIST_TYPE}"
        found.append(causes.required(here, says) if listed is None else causes.invalid(here, listed, says))
    if listed == "map":
        found += _map_items(node, items, path, keys or [])
    if items is not None and listed in ("set", "map") and items.get("nullable"):
        says = f"cannot be nullable when {LIST_TYPE} is {listed}"
        found.append(causes.forbidden(f"{path}.items.nullable", says))
    if items is not None and listed == "map":
        found += _keys(items, path, keys or [])
    return found


def _set_items(items: Node, path: str) -> list[Cause]:
    says = "must be atomic as item of a list with x-kubernetes-list-type=set"
    kind = items.get("type")
    if kind == "array" and items.get(LIST_TYPE) not in (None, "atomic"):
        return [causes.invalid(f"{path}.{LIST_TYPE}", items.get(LIST_TYPE), says)]
    if kind == "object" and items.get(MAP_TYPE) != "atomic":
        return [causes.invalid(f"{path}.{MAP_TYPE}", items.get(LIST_TYPE), says)]
    return []


def _map_items(node: Node, items: Node | None, path: str, keys: list[str]) -> list[Cause]:
    found: list[Cause] = []
    if not keys:
        says = f"must not be empty if {LIST_TYPE} is map"
        found.append(causes.required(f"{path}.{MAP_KEYS}", says))
    if node.get("items") is None:
        found.append(causes.required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map"))
    if items is None:
        return found
    if items.get("type") != "object":
        says = f"must be object if parent array's {LIST_TYPE} is map"
        found.append(causes.invalid(f"{path}.items.type", items.get("type", ""), says))
        return found
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            found.append(causes.invalid(f"{path}.{MAP_KEYS}", keys, "entries must all be names of item properties"))
        elif properties[key].get("type") in ("array", "object"):
            says = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            found.append(causes.invalid(f"{path}.items.properties[{key}].type", items.get("type"), says))
        if key in keys[:index]:
            found.append(causes.invalid(f"{path}.{MAP_KEYS}", keys, "must not contain duplicate entries"))
    return found


def _keys(items: Node, path: str, keys: list[str]) -> list[Cause]:
    found: list[Cause] = []
    properties = items.get("properties") or {}
    for key in keys:
        child = properties.get(key)
        if child is None:
            continue
        here, which = f"{path}.items.properties[{key}]", f"this property is in {MAP_KEYS}, so it"
        if key not in (items.get("required") or ()) and child.get("default") is None:
            says = f"{which} must have a default or be a required property"
            found.append(causes.required(f"{here}.default", says))
        if child.get("nullable"):
            found.append(causes.forbidden(f"{here}.nullable", f"{which} cannot be nullable"))
    return found
