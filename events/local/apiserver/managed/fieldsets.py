"""Sets of field paths, in the form they travel in: FieldsV1.

A set is a nested dict, its keys in order. A key is a path element (`f:name`, `k:{"name":"a"}`, `v:"x"`, `i:0`); `.`
says that the path up to here is itself a member. A node without keys is a member with no members below it. The root
is no member: `{}` there is the empty set. Sets are never changed in place: results share nodes with what they were
made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import orjson

FieldSet: TypeAlias = dict[str, Any]
SELF = "."
LEAF: FieldSet = {}
DEEPEST = 500
"""Levels a set of a client may have; a real object has a few dozen."""


class InvalidFieldSet(ValueError):
    """Not a FieldsV1 document."""


def is_member(node: FieldSet) -> bool:
    """Whether the path of this node belongs to the set itself."""
    return not node or SELF in node


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """Everything in either."""
    if not one or one is other:
        return other
    if not other:
        return one
    result = dict(one)
    for key, theirs in other.items():
        mine = result.get(key)
        result[key] = theirs if mine is None else _union_of_nodes(mine, theirs)
    return result if len(result) == len(one) else dict(sorted(result.items()))


def _union_of_nodes(one: FieldSet, other: FieldSet) -> FieldSet:
    if not one:
        return other if is_member(other) else {SELF: LEAF, **other}
    if not other:
        return one if SELF in one else {SELF: LEAF, **one}
    return union(one, other)


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in both."""
    result: FieldSet = {}
    for key, mine in one.items():
        theirs = other.get(key)
        if theirs is not None and key != SELF:
            node = _node(is_member(mine) and is_member(theirs), intersection(mine, theirs))
            if node is not None:
                result[key] = node
    return result


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in `one` and not in `other`; a path of `other` takes nothing below it away."""
    if not one or not other:
        return one
    result: FieldSet = {}
    for key, mine in one.items():
        theirs = other.get(key)
        if theirs is None:
            result[key] = mine
        elif key != SELF:
            node = _node(is_member(mine) and not is_member(theirs), _below(difference(mine, theirs)))
            if node is not None:
                result[key] = node
    return result


def without_subtrees(one: FieldSet, roots: FieldSet) -> FieldSet:
    """`one` without the paths of `roots` and everything below them."""
    if not one or not roots:
        return one
    result: FieldSet = {}
    for key, mine in one.items():
        root = roots.get(key)
        if root is None:
            result[key] = mine
        elif not is_member(root):
            node = _node(is_member(mine), _below(without_subtrees(mine, root)))
            if node is not None:
                result[key] = node
    return result


def _below(node: FieldSet) -> FieldSet:
    return {key: child for key, child in node.items() if key != SELF} if SELF in node else node


def _node(belongs: bool, children: FieldSet) -> FieldSet | None:  # noqa: FBT001
    """One node: with itself or not, with children or not; None for nothing at all."""
    if not children:
        return LEAF if belongs else None
    return {SELF: LEAF, **children} if belongs else children


def with_member(children: FieldSet) -> FieldSet:
    """A node that is a member and has these below."""
    return {SELF: LEAF, **children} if children else LEAF


def of_paths(*paths: str) -> FieldSet:
    """A set of paths of plain names: `of_paths("metadata.labels", "spec")`."""
    result: FieldSet = {}
    for path in paths:
        node: FieldSet = LEAF
        for name in reversed(path.split(".")):
            node = {f"f:{name}": node}
        result = union(result, node)
    return result


def has(fields: FieldSet, *names: str) -> bool:
    """Whether the path of these field names is a member."""
    for name in names:
        found = fields.get(f"f:{name}")
        if found is None:
            return False
        fields = found
    return is_member(fields)


def canonical(fields: Any) -> FieldSet:
    """The set of a FieldsV1 document of whatever origin; raises InvalidFieldSet."""
    if not isinstance(fields, dict):
        raise InvalidFieldSet("fieldsV1 must be a map of path elements")
    return fields if _is_canonical(fields, DEEPEST) else _rewritten(fields, DEEPEST)


def _is_canonical(node: FieldSet, levels: int) -> bool:
    for key, child in node.items():
        if type(child) is not dict or (key[:2] != "f:" and key != SELF and canonical_element(key) != key):
            return False
        if child and (levels <= 0 or key == SELF or not _is_canonical(child, levels - 1)):
            return False
    return len(node) != 1 or SELF not in node


def _rewritten(fields: Any, levels: int) -> FieldSet:
    if not isinstance(fields, dict) or levels < 0:
        raise InvalidFieldSet("fieldsV1 must be a map of path elements")
    result: FieldSet = {}
    for key in sorted(fields):
        if key == SELF:
            result[SELF] = LEAF
        else:
            element = canonical_element(key)
            node = _rewritten(fields[key], levels - 1)
            result[element] = _union_of_nodes(result[element], node) if element in result else node
    return LEAF if list(result) == [SELF] else dict(sorted(result.items()))


@lru_cache(maxsize=8192)
def canonical_element(key: str) -> str:
    """One path element in the one spelling we compare by; raises InvalidFieldSet."""
    kind, value = key[:2], key[2:]
    if kind == "f:":
        return key
    if kind not in ("k:", "v:", "i:"):
        raise InvalidFieldSet(f"unknown path element {key[:64]!r}")
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidFieldSet(f"path element {key[:64]!r} is not JSON") from error
    if kind == "k:":
        if not isinstance(decoded, dict):
            raise InvalidFieldSet(f"path element {key[:64]!r} is not a map of keys")
        return key_element(decoded)
    if kind == "i:" and (not isinstance(decoded, int) or isinstance(decoded, bool)):
        raise InvalidFieldSet(f"path element {key[:64]!r} is not an index")
    return kind + text_of(decoded)


def key_element(keys: dict[str, Any]) -> str:
    """The path element of an element of a list map."""
    return "k:" + text_of(keys)


def text_of(value: Any) -> str:
    """JSON without blanks, keys sorted."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # numbers beyond 64 bits, half characters
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def in_order(fields: FieldSet) -> FieldSet:
    """The same set, keys sorted: what is stored and shown."""
    return {key: in_order(fields[key]) for key in sorted(fields)}


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """Every member as the API writes it: `.spec.containers[name="a"].image`; shallow ones first."""
    keys = sorted(key for key in fields if key != SELF)
    for key in keys:
        if is_member(fields[key]):
            yield prefix + shown(key)
    for key in keys:
        if fields[key]:
            yield from paths(fields[key], prefix + shown(key))


def shown(element: str) -> str:
    """A path element in a message."""
    kind, value = element[:2], element[2:]
    if kind == "f:":
        return f".{value}"
    if kind == "k:":
        return "[" + ",".join(f"{name}={text_of(part)}" for name, part in json.loads(value).items()) + "]"
    return f"[={value}]" if kind == "v:" else f"[{value}]"
