"""Objects of a made-up kind, for properties of patches and of field management."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from events.local.apiserver.managed import fieldsets

API_VERSION = "example.com/v1"
KIND = "Widget"
TEXT = {"type": "string"}
ITEM = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "value": TEXT,
        "n": {"type": "integer"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "port",
            "items": {"type": "object", "properties": {"port": {"type": "integer"}, "title": TEXT}},
        },
    },
}
SPEC = {
    "type": "object",
    "properties": {
        "size": TEXT,
        "count": {"type": "integer"},
        "map": {"type": "object", "additionalProperties": TEXT},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "name",
            "items": ITEM,
        },
        "set": {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "x-kubernetes-patch-strategy": "merge",
            "items": TEXT,
        },
        "atomic": {"type": "array", "x-kubernetes-list-type": "atomic", "items": TEXT},
        "either": {
            "type": "object",
            "x-kubernetes-patch-strategy": "retainKeys",
            "properties": {"a": TEXT, "b": TEXT},
        },
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": TEXT, "b": TEXT}},
        "nested": {"type": "object", "properties": {"x": TEXT, "y": {"type": "object", "properties": {"z": TEXT}}}},
    },
}
META = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "uid": TEXT,
        "labels": {"type": "object", "additionalProperties": TEXT},
        "annotations": {"type": "object", "additionalProperties": TEXT},
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
    },
}
NODE = {
    "type": "object",
    "properties": {"apiVersion": TEXT, "kind": TEXT, "metadata": META, "spec": SPEC, "status": SPEC},
}


def resolve(node: Any) -> Any:
    """A schema without references, but for the metadata of custom resources."""
    return META if "$ref" in (node or {}) else node


texts = st.sampled_from(["", "a", "b", "c"])
names = st.sampled_from(["a", "b", "c", "d", "e"])
maps = st.dictionaries(names, texts, max_size=3)
ports = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 4)}, optional={"title": texts}),
    max_size=3,
    unique_by=lambda one: one["port"],
)
items = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"value": texts, "n": st.integers(0, 3), "ports": ports}),
    max_size=4,
    unique_by=lambda one: one["name"],
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "size": texts,
        "count": st.integers(0, 3),
        "map": maps,
        "items": items,
        "set": st.lists(names, max_size=4, unique=True),
        "atomic": st.lists(names, max_size=3),
        "either": st.dictionaries(st.sampled_from(["a", "b"]), texts),
        "whole": st.dictionaries(st.sampled_from(["a", "b"]), texts),
        "nested": st.fixed_dictionaries({}, optional={"x": texts, "y": st.dictionaries(st.just("z"), texts)}),
    },
)
objects = st.fixed_dictionaries(
    {
        "apiVersion": st.just(API_VERSION),
        "kind": st.just(KIND),
        "metadata": st.fixed_dictionaries({"name": st.just("w")}, optional={"labels": maps}),
    },
    optional={"spec": specs},
)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | texts
anything = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "", "~1", "0"]), below, max_size=4)
    ),
    max_leaves=20,
)
"""Any JSON."""


def paths_of(fields: fieldsets.FieldSet) -> set[str]:
    return set(fieldsets.paths(fields))
