"""Values under a schema: types, formats, limits, enumerations, combinations; with the texts of a real server.

A checker is compiled per node at its first use. On an update a value that did not change is not complained about
(ratcheting), however deep it is, as long as it can be found in the old object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from events import regexes
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.custom import formats, structural

Node = Mapping[str, Any]

MISSING: Any = object()
"""No old value to compare with."""

_INT64 = 1 << 63
_KINDS = {str: "string", bool: "boolean", list: "array", dict: "object"}


def kind_of(value: Any) -> str:
    """The type of a value, as JSON schema calls it."""
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer" if -_INT64 <= value < _INT64 else "number"
    return _KINDS.get(type(value), "number")


def checker(node: Node) -> Checker:
    """A checker of this node."""
    return Checker(node)


class Checker:
    """Says what is wrong with a value."""

    __slots__ = (
        "_any",
        "_children",
        "_enum",
        "_format",
        "_items",
        "_kinds",
        "_node",
        "_not",
        "_nullable",
        "_one",
        "_pattern",
        "_rest",
        "_several",
    )

    def __init__(self, node: Node) -> None:
        self._node = node
        kind = node.get("type", "")
        free = node.get("x-kubernetes-int-or-string")
        self._kinds: tuple[str, ...] = ("integer", "string") if free and not kind else ((kind,) if kind else ())
        self._format = formats.known(kind, node.get("format", "")) if node.get("format") else ""
        self._nullable = bool(node.get("nullable"))
        self._enum = node.get("enum")
        self._pattern = _compiled(node.get("pattern", ""))
        self._children: dict[str, Checker] = {}
        items, rest = structural.item_node(node), structural.values_node(node)
        self._items = Checker(items) if items is not None else None
        self._rest = Checker(rest) if rest is not None else None
        self._any = [Checker(one) for one in node.get("anyOf") or ()]
        self._one = [Checker(one) for one in node.get("oneOf") or ()]
        self._several = [Checker(one) for one in node.get("allOf") or ()]
        self._not = Checker(node["not"]) if node.get("not") is not None else None

    def check(self, value: Any, name: str = "", base: str = "", old: Any = MISSING) -> list[Cause]:
        """What is wrong; `name` is the path inside the value, `base` the path of the value."""
        found = list(self._found(value, name, base, old))
        return [] if found and old is not MISSING and _same(value, old) else found

    def _found(self, value: Any, name: str, base: str, old: Any) -> Iterator[Cause]:
        yield from self._type(value, name, base)
        if value is None:
            yield from self._enumerated(value, name, base)
            return
        yield from self._combined(value, name, base)
        if isinstance(value, str):
            yield from self._text(value, name, base)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from self._number(value, name, base)
        elif isinstance(value, list):
            yield from self._list(value, name, base, old)
        yield from self._enumerated(value, name, base)
        if isinstance(value, dict):
            yield from self._object(value, name, base, old)

    def _type(self, value: Any, name: str, base: str) -> Iterator[Cause]:
        kinds = self._kinds
        if value is None:
            if kinds and not self._nullable:
                yield _wrong_type(name, base, ",".join(kinds), "null")
            return
        kind = kind_of(value)
        whole = kind == "number" and _is_whole(value) and "integer" in kinds
        fits = kind in kinds or whole or (kind == "integer" and "number" in kinds)
        if kind not in ("string", "array") and self._format and not fits:
            shown = {"integer": "int64", "number": "float64"}.get(kind, "")
            yield _wrong_type(name, base, self._format, shown)
        elif self._format and kind in ("string", "array") and not {"number", "integer"} & set(kinds):
            return
        elif kinds and not fits:
            yield _wrong_type(name, base, ",".join(kinds), kind)

    def _text(self, value: str, name: str, base: str) -> Iterator[Cause]:
        node = self._node
        most, least = node.get("maxLength"), node.get("minLength")
        if most is not None and len(value) > most:
            yield causes.too_long(_at(base, name), most)
        elif least is not None and len(value) < least:
            yield causes.invalid(_at(base, name), value, f"{name} in body should be at least {least} chars long")
        elif self._pattern is not None and not self._pattern.search(value.encode()):
            yield causes.invalid(_at(base, name), value, f"{name} in body should match '{node['pattern']}'")
        if self._format and not formats.has(self._format, value):
            says = f"{name} in body must be of type {self._format}: {causes.quoted(value)}"
            yield causes.type_invalid(_at(base, name), value, says)

    def _number(self, value: float, name: str, base: str) -> Iterator[Cause]:
        node, path = self._node, _at(base, name)
        if not self._in_range(value):
            form = f"with format {self._format}" if self._format else "(default format)"
            says = f"Checked value must be of type {self._kinds[0]} {form} in {name}"
            yield causes.invalid(base, "", says)
        for key, breaks, exclusive_key, plain, exclusive in (
            ("multipleOf", _not_multiple, "", "be a multiple of", ""),
            ("minimum", _below, "exclusiveMinimum", "be greater than or equal to", "be greater than"),
            ("maximum", _above, "exclusiveMaximum", "be less than or equal to", "be less than"),
        ):
            limit = node.get(key)
            if limit is None:
                continue
            strict = bool(exclusive_key and node.get(exclusive_key))
            if isinstance(value, int):
                limit = int(limit)
            if breaks(value, limit, strict=strict):
                says = f"{name} in body should {exclusive if strict else plain} {causes.shown(limit)}"
                yield causes.invalid(path, value, says)

    def _in_range(self, value: float) -> bool:
        if self._kinds == ("integer",):
            limit = 1 << 31 if self._format == "int32" else _INT64
            return _is_whole(value) and -limit <= value < limit
        return not (self._kinds == ("number",) and self._format == "float" and abs(value) > 3.4028234663852886e38)

    def _list(self, value: list[Any], name: str, base: str, old: Any) -> Iterator[Cause]:
        node = self._node
        if self._items is not None:
            befores = self._correlated(value, old)
            for index, item in enumerate(value):
                yield from self._items.check(item, f"{name}[{index}]", base, befores[index])
        least, most = node.get("minItems"), node.get("maxItems")
        if least is not None and len(value) < least:
            says = f"{name} in body should have at least {least} items"
            yield causes.invalid(_at(base, name), len(value), says)
        if most is not None and len(value) > most:
            yield causes.too_many(_at(base, name), len(value), most)
        if node.get("uniqueItems") and any(_same(one, two) for i, one in enumerate(value) for two in value[:i]):
            yield causes.invalid(_at(base, name), "", f"{name} in body shouldn't contain duplicates")

    def _correlated(self, value: list[Any], old: Any) -> list[Any]:
        """The old items, found by their keys; only those of a list map can be."""
        node = self._node
        if not isinstance(old, list) or node.get(structural.LIST_TYPE) != "map":
            return [MISSING] * len(value)
        keys = node.get(structural.MAP_KEYS) or ()

        def named(item: Any) -> Any:
            return tuple(str(item.get(key)) for key in keys) if isinstance(item, dict) else None

        before = {named(item): item for item in old}
        return [before.get(named(item), MISSING) for item in value]

    def _object(self, value: dict[str, Any], name: str, base: str, old: Any) -> Iterator[Cause]:
        node = self._node
        least, most = node.get("minProperties"), node.get("maxProperties")
        if least is not None and len(value) < least:
            says = f"{name} in body should have at least {least} properties"
            yield causes.invalid(_at(base, name), len(value), says)
        if most is not None and len(value) > most:
            yield causes.too_many(_at(base, name), len(value), most)
        properties = node.get("properties") or {}
        before = old if isinstance(old, dict) and node.get(structural.MAP_TYPE) != "atomic" else {}
        if node.get("additionalProperties") is False:
            for key in value:
                if key not in properties:
                    yield causes.invalid(_at(base, name), "", f"{name}.{key} in body is a forbidden property")
        elif self._rest is not None:
            for key, item in value.items():
                if key not in properties:
                    yield from self._rest.check(item, f"{name}.{key}", base, before.get(key, MISSING))
        for key, child in properties.items():
            if key in value:
                known = self._children.get(key)
                if known is None:
                    known = self._children[key] = Checker(child)
                path = f"{name}.{key}" if name else key
                yield from known.check(value[key], path, base, before.get(key, MISSING))
        for key in node.get("required") or ():
            if key not in value:
                yield causes.required(_at(base, f"{name}.{key}"))

    def _enumerated(self, value: Any, name: str, base: str) -> Iterator[Cause]:
        if self._enum and not any(_same(value, one) for one in self._enum):
            named = [one if isinstance(one, str) else causes.as_json(one) for one in self._enum]
            yield causes.not_supported(_at(base, name), value, named)

    def _combined(self, value: Any, name: str, base: str) -> Iterator[Cause]:
        quoted = causes.quoted(name)
        if self._any:
            tried = [one.check(value, name, base) for one in self._any]
            if all(tried):
                yield causes.invalid(base, "", f"{quoted} must validate at least one schema (anyOf)")
                yield from min(tried, key=len)
        if self._one:
            tried = [one.check(value, name, base) for one in self._one]
            valid = sum(not found for found in tried)
            if valid != 1:
                said = f"Found {valid} valid alternatives" if valid else "Found none valid"
                yield causes.invalid(base, "", f"{quoted} must validate one and only one schema (oneOf). {said}")
                if not valid:
                    yield from min(tried, key=len)
        if self._several:
            tried = [one.check(value, name, base) for one in self._several]
            for found in tried:
                yield from found
            if any(tried):
                said = "" if not all(tried) else ". None validated"
                yield causes.invalid(base, "", f"{quoted} must validate all the schemas (allOf){said}")
        if self._not is not None and not self._not.check(value, name, base):
            yield causes.invalid(base, "", f"{quoted} must not validate the schema (not)")


def _compiled(pattern: str) -> Any:
    if not pattern:
        return None
    return regexes.compile(pattern)


def _at(base: str, name: str) -> str:
    name = name.removeprefix(".")
    return f"{base}.{name}" if base and name else base or name


def _wrong_type(name: str, base: str, wanted: str, given: str) -> Cause:
    return causes.type_invalid(
        _at(base, name), given, f"{name} in body must be of type {wanted}: {causes.quoted(given)}"
    )


def _is_whole(value: float) -> bool:
    """As a decoder of floats sees it: beyond 2^53 nothing is whole."""
    if isinstance(value, int) and -_INT64 <= value < _INT64:
        return True
    return abs(value) < 1 << 53 and value == math.floor(value)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _not_multiple(value: float, factor: float, **_: bool) -> bool:
    if factor <= 0:
        return True
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor != 0
    return not _is_whole(1 / factor * value if factor < 1 else value / factor)


def _below(value: float, limit: float, *, strict: bool) -> bool:
    return value <= limit if strict else value < limit


def _above(value: float, limit: float, *, strict: bool) -> bool:
    return value >= limit if strict else value > limit
