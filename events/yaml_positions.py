"""Where the fields of YAML documents stand: line and column for the field paths that problems name.

Made from libyaml's events like `yamls`, and only when there is a problem to show. What came through an alias or a merge
has no place of its own; it is shown where the alias stands.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from events.yamls import MAX_DEPTH

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_PATH = 2_000
"""Characters of a path that are looked at: a key of a megabyte is cut short."""
_MAX_CUTS = 64

Place: TypeAlias = tuple[int, int]
"""Line and column, both from 1; (0, 0) when there is none."""
NOWHERE: Place = (0, 0)


class Node:
    """One value of a document: its place and what is inside, by key or by number."""

    __slots__ = ("column", "line", "list", "map")

    def __init__(self, mark: Any) -> None:
        self.line, self.column = mark.line + 1, mark.column + 1
        self.map: dict[str, Node] | None = None
        self.list: list[Node] | None = None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.line, self.column


@dataclass(slots=True)
class _Open:
    """A collection that is being read; `key` is where and what the key was whose value comes next."""

    node: Node
    key: tuple[str, Any] | None = None


def documents(text: str) -> list[Node]:
    """The root of every document that is not empty, as `yamls.load_all` counts them; as many as can be read."""
    found: list[Node] = []
    with contextlib.suppress(yaml.YAMLError, UnicodeError):  # said by who reads the values
        _read(text, found)
    return found


def _read(text: str, found: list[Node]) -> None:
    stack: list[_Open] = []
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            node = _add(event, stack, found)
            if isinstance(event, yaml.CollectionStartEvent):
                if len(stack) >= MAX_DEPTH:
                    return  # refused by who reads the values
                if isinstance(event, yaml.MappingStartEvent):
                    node.map = {}
                else:
                    node.list = []
                stack.append(_Open(node))


def _add(event: Any, stack: list[_Open], found: list[Node]) -> Node:
    """The node of an event, put where it belongs. A field stands where its key stands."""
    node = Node(event.start_mark)
    if not stack:
        if not _is_empty(event):
            found.append(node)
        return node
    top = stack[-1]
    if top.node.list is not None:
        top.node.list.append(node)
    elif top.key is None:
        if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            top.key = (getattr(event, "value", ""), node)
    else:
        name, key = top.key
        node.line, node.column = key.line, key.column
        top.key = None
        assert top.node.map is not None
        top.node.map[name] = node  # of a key given twice the last one counts
    return node


def _is_empty(event: Any) -> bool:
    return (
        isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value in ("", "~", "null", "Null", "NULL")
    )


def find(root: Node, path: str) -> Place:
    """The place of the field at `path`, such as `spec.triggers[0].template`, or of the nearest field around it."""
    path, node = path[:MAX_PATH], root
    while path:
        inner, rest = _step(node, path)
        if inner is None:
            break
        node, path = inner, rest
    return node.place


def _step(node: Node, path: str) -> tuple[Node | None, str]:
    """What the first step of a path leads to, and the other steps. Keys may hold dots: the longest that fits counts."""
    if node.list is not None:
        number, bracket, rest = path[1:].partition("]")
        is_inside = path[0] == "[" and bracket and number.isascii() and number.isdigit() and len(number) < 10
        if not is_inside or int(number) >= len(node.list):
            return None, path
        return node.list[int(number)], rest.removeprefix(".")
    for cut in reversed(_cuts(path)) if node.map else ():
        inner = node.map.get(path[:cut]) if node.map else None
        if inner is not None:
            return inner, path[cut:].removeprefix(".")
    return None, path


def _cuts(path: str) -> list[int]:
    """Where the first key of a path may end."""
    cuts = [at for at, char in enumerate(path) if char in ".[" and at]
    return [*cuts[:_MAX_CUTS], len(path)]
