"""What a schema says about patching a field: merge or replace, by which key, which others to clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Resolve = Callable[[Any], Any]


class UnknownField(ValueError):
    """A field that the schema does not have, where its type must be known."""


@dataclass(frozen=True)
class Field:
    """`schema` is that of the field, or, for a list, of its elements."""

    schema: Schema
    merges: bool
    """A list is merged element by element; without `key` it is a set of scalars."""
    replaces: bool
    retains_keys: bool
    key: str


class Schema:
    """A node and how to follow references from it."""

    def __init__(self, node: Any, resolve: Resolve, name: str = "") -> None:
        self._node = node if isinstance(node, Mapping) else {}
        self._resolve = resolve
        self._name = _reference(self._node) or name
        self._fields: dict[str, Field] = {}

    def field(self, name: str) -> Field:
        """How to patch one field of this object. Raises UnknownField."""
        found = self._fields.get(name)
        if found is None:
            found = self._fields[name] = self._look_up(name)
        return found

    def _look_up(self, name: str) -> Field:
        resolved = self._resolve(self._node) or {}
        used = (resolved.get("properties") or {}).get(name)
        if used is None:
            kind = self._name.rpartition(".")[2]
            if not resolved.get("properties"):
                raise UnknownField("merging an object in json but data type is not struct, instead is: map")
            raise UnknownField(f'unable to find api field in struct {kind} for the json field "{name}"')
        strategies = str(used.get("x-kubernetes-patch-strategy") or "").split(",")
        target = self._resolve(used) or {}
        below = target.get("items") if target.get("type") == "array" else used
        return Field(
            Schema(below, self._resolve),
            merges="merge" in strategies,
            replaces="replace" in strategies,
            retains_keys="retainKeys" in strategies,
            key=str(used.get("x-kubernetes-patch-merge-key") or ""),
        )


def _reference(node: Mapping[str, Any]) -> str:
    found = node.get("$ref")
    choices = node.get("allOf")
    if not found and isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], Mapping):
        found = choices[0].get("$ref")
    return str(found or "").rpartition("/")[2]
