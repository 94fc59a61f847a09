"""What field management must know of a schema: which lists are keyed, which maps are one value, which fields exist.

Made from an OpenAPI v3 node, one level at a time and only when it is asked for: a Pod has thousands of fields, an
object has a few dozen. A `Type` may have several forms (scalar, list, map) when the schema leaves it open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

Resolve = Callable[[Any], Any]
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_UNTYPED_SCHEMAS = frozenset(
    {"io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.runtime.RawExtension"}
)
_ZEROS = {"integer": 0, "number": 0, "string": "", "boolean": False}
_SCALARS = {"integer": "numeric", "number": "numeric", "boolean": "boolean"}


class MapForm:
    """A map or an object: its known fields and what the others may be (None: there are no others)."""

    def __init__(self, compiler: Compiler, node: Mapping[str, Any], *, is_atomic: bool, keeps_unknown: bool) -> None:
        self._compiler, self._node, self._keeps_unknown = compiler, node, keeps_unknown
        self._properties: Mapping[str, Any] = node.get("properties") or {}
        self._fields: dict[str, Type] = {}
        self.is_atomic = is_atomic

    def has_field(self, name: str) -> bool:
        return name in self._properties

    def field(self, name: str) -> Type | None:
        """The type of one field, known or not."""
        found = self._fields.get(name)
        if found is None:
            node = self._properties.get(name)
            if node is None:
                return self.element
            found = self._fields[name] = self._compiler.type_of(node, keeps_unknown=self._keeps_unknown)
        return found

    def default(self, name: str) -> Any:
        """What the field is when it is left out, None for nothing."""
        node = self._properties.get(name)
        if not isinstance(node, Mapping):
            return None
        found = node.get("default")
        if found is None and not self._compiler.is_custom and self._is_always_there(name):
            return _ZEROS.get(str(node.get("type")))  # published with the zero of its type as default
        return found

    def _is_always_there(self, name: str) -> bool:
        presence = self._node.get("x-presence") or {}
        return presence.get(name) == "always" or name in (self._node.get("required") or ())

    @cached_property
    def element(self) -> Type | None:
        others = self._node.get("additionalProperties")
        if others is None:
            return DEDUCED if self._keeps_unknown or not self._properties else None
        if isinstance(others, Mapping):
            return self._compiler.type_of(others, keeps_unknown=self._keeps_unknown)
        return DEDUCED if others else None


class ListForm:
    """A list: one value (`is_atomic`), a map by `keys`, or, without keys, a set of scalars."""

    def __init__(
        self, compiler: Compiler | None, node: Mapping[str, Any], *, keys: tuple[str, ...] | None, keeps_unknown: bool
    ) -> None:
        self._compiler, self._node, self._keeps_unknown = compiler, node, keeps_unknown
        self.is_atomic, self.keys = keys is None, keys or ()

    @cached_property
    def element(self) -> Type:
        items = self._node.get("items")
        if self._compiler is None or not isinstance(items, Mapping):
            return UNTYPED
        return self._compiler.type_of(items, keeps_unknown=self._keeps_unknown)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Values of keys that an element may leave out."""
        form = self.element.map
        found = {key: form.default(key) for key in self.keys} if form else {}
        return {key: value for key, value in found.items() if value is not None}


class Type:
    """What a value may be. `empties_to_null`: what was emptied by field management becomes null, else stays empty."""

    __slots__ = ("empties_to_null", "has_one_form", "list", "map", "scalar")

    def __init__(
        self,
        scalar: str | None = None,
        list: ListForm | None = None,
        map: MapForm | None = None,
        *,
        empties_to_null: bool = True,
    ) -> None:
        self.scalar, self.list, self.map, self.empties_to_null = scalar, list, map, empties_to_null
        self.has_one_form = [scalar, list, map].count(None) == 2

    def narrowed(self, value: Any) -> Type:
        """The one form that fits a value, or all where none does."""
        if self.has_one_form or value is None:
            return self
        if isinstance(value, dict):
            return self if self.map is None else Type(map=self.map)
        if isinstance(value, list):
            return self if self.list is None else Type(list=self.list)
        return Type(self.scalar) if self.scalar and isinstance(value, str | bool | int | float) else self


class _Anything(MapForm):
    """A map of which nothing is known; its values are of the same kind."""

    def __init__(self, *, is_atomic: bool) -> None:
        self.is_atomic = is_atomic
        self._properties = {}

    def field(self, name: str) -> Type | None:  # noqa: ARG002
        return self.element

    @cached_property
    def element(self) -> Type | None:
        return UNTYPED if self.is_atomic else DEDUCED


_ANY_LIST = ListForm(None, {}, keys=None, keeps_unknown=False)
UNTYPED = Type("untyped", _ANY_LIST, _Anything(is_atomic=True))
DEDUCED = Type("untyped", _ANY_LIST, _Anything(is_atomic=False))


class Compiler:
    """Types of the nodes of one schema."""

    def __init__(self, resolve: Resolve, *, is_custom: bool = False) -> None:
        self.is_custom = is_custom
        self._resolve = resolve
        self._named: dict[tuple[str, str], Type] = {}

    def type_of(self, node: Any, *, keeps_unknown: bool = False) -> Type:
        """The type of a node; nodes behind a `$ref` are made once."""
        name = _reference(node)
        if not name:
            return self._made(node, node, keeps_unknown=keeps_unknown)
        overriding = str(node.get("x-kubernetes-map-type") or "")
        found = self._named.get((name, overriding))
        if found is None:
            found = UNTYPED_SCALAR if name in _UNTYPED_SCHEMAS else self._made(self._resolve(node), node)
            self._named[name, overriding] = found
        return found

    def root(self, node: Any) -> Type:
        """The type of a whole object; that of a custom resource gets the metadata every object has."""
        if not self.is_custom:
            return self.type_of(node)
        return self._made(_with_metadata(self._resolve(node)), node)

    def _made(self, node: Any, used: Any, *, keeps_unknown: bool = False) -> Type:
        if not isinstance(node, Mapping):
            return UNTYPED_SCALAR
        keeps_unknown = keeps_unknown or node.get("x-kubernetes-preserve-unknown-fields") is True
        if node.get("x-kubernetes-embedded-resource") is True:
            node = _with_metadata(node)
        kind = node.get("type") or ""
        kind = kind if isinstance(kind, str) else next((one for one in kind if one != "null"), "")
        to_null = not self.is_custom or node.get("nullable") is True
        if kind == "object":
            return Type(map=self._map(node, used, keeps_unknown), empties_to_null=to_null)
        if kind == "array":
            return Type(list=self._list(node, keeps_unknown), empties_to_null=to_null)
        if kind == "":
            return Type(
                "untyped",
                self._list(node, keeps_unknown),
                self._map(node, used, keeps_unknown),
                empties_to_null=to_null,
            )
        if kind == "string":
            return STRING if node.get("format") in (None, "", "byte") else UNTYPED_SCALAR
        return _BY_SCALAR.get(_SCALARS.get(kind, ""), UNTYPED_SCALAR)

    def _map(self, node: Mapping[str, Any], used: Any, keeps_unknown: bool) -> MapForm:  # noqa: FBT001
        relation = used.get("x-kubernetes-map-type") or node.get("x-kubernetes-map-type")
        return MapForm(self, node, is_atomic=relation == "atomic", keeps_unknown=keeps_unknown)

    def _list(self, node: Mapping[str, Any], keeps_unknown: bool) -> ListForm:  # noqa: FBT001
        return ListForm(self, node, keys=_keys_of(node), keeps_unknown=keeps_unknown)


def _keys_of(node: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The keys of a list map, `()` for a set, None for a list that is one value."""
    kind = node.get("x-kubernetes-list-type")
    if kind == "map":
        return tuple(node.get("x-kubernetes-list-map-keys") or ())
    if kind == "set":
        return ()
    if kind is None and "merge" in str(node.get("x-kubernetes-patch-strategy") or "").split(","):
        key = node.get("x-kubernetes-patch-merge-key")
        return (key,) if key else ()
    return None


def _reference(node: Any) -> str:
    """The name behind a `$ref`, or behind the single `$ref` of an `allOf`."""
    if not isinstance(node, Mapping):
        return ""
    found = node.get("$ref")
    if not found:
        choices = node.get("allOf")
        found = choices[0].get("$ref") if isinstance(choices, list) and len(choices) == 1 else ""
    return str(found or "").rpartition("/")[2]


def _with_metadata(node: Any) -> dict[str, Any]:
    """An object's schema with the fields that every object has."""
    own = dict(node or {})
    own["properties"] = {
        **(own.get("properties") or {}),
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"#/components/schemas/{OBJECT_META}"},
    }
    own.setdefault("type", "object")
    return own


STRING, NUMERIC, BOOLEAN = Type("string"), Type("numeric"), Type("boolean")
UNTYPED_SCALAR = Type("untyped")
_BY_SCALAR = {"string": STRING, "numeric": NUMERIC, "boolean": BOOLEAN}
