"""Tables of built-in kinds, as tests look at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events.local.apiserver import kinds, tables
from events.local.apiserver.validation import Kinds

KINDS = Kinds()
BUILTIN = {(one.group, one.kind): one for one in kinds.builtin(KINDS)}
CREATED = "2024-01-01T00:00:00Z"
NOW = datetime(2024, 1, 1, 0, 10, tzinfo=UTC).timestamp()
"""Ten minutes after everything was created."""
AGE = "10m"
SELECTOR = {
    "matchLabels": {"b": "2", "a": "1"},
    "matchExpressions": [{"key": "z", "operator": "In", "values": ["y", "x"]}],
}
SELECTED = "a=1,b=2,z in (x,y)"


def an(name: str = "a", labels: Any = None, annotations: Any = None, **members: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "d", "creationTimestamp": CREATED, "labels": labels or {}}
    return {"metadata": metadata | {"annotations": annotations or {}}, **members}


def row(group: str, kind: str, it: dict[str, Any]) -> dict[str, Any]:
    shown = tables.table(BUILTIN[group, kind], [it], metadata={}, now=NOW)
    (found,) = shown["rows"]
    assert len(found["cells"]) == len(shown["columnDefinitions"])
    return dict(found)


def cells(group: str, kind: str, **members: Any) -> list[Any]:
    """The cells after the name."""
    first, *rest = row(group, kind, an(**members))["cells"]
    assert first == "a"
    return rest


def cells_by_name(group: str, kind: str, **members: Any) -> dict[str, Any]:
    names = [one.name for one in tables.columns(BUILTIN[group, kind])]
    return dict(zip(names, row(group, kind, an(**members))["cells"], strict=True))
