"""The tree of an expression. Nodes are mutable: the checker notes types, the optimizer replaces nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from events.expressions.expr.types import Type


@dataclass(slots=True, kw_only=True)
class Node:
    """A place in the text (`at`: characters from its start) and, once checked, a static type."""

    at: int = 0
    type: Type | None = None
    height: int = 1
    """Levels below and including this one; what bounds every recursion over the tree."""

    def children(self) -> list[Node]:
        """The nodes directly below."""
        return []


@dataclass(slots=True)
class Constant(Node):
    """A literal, or what the optimizer computed; `kind` tells `1` from a list that was folded."""

    value: Any
    kind: str
    """nil, bool, int, float, string, or constant."""


@dataclass(slots=True)
class Identifier(Node):
    """A variable of `let`, or a key of the environment."""

    name: str


@dataclass(slots=True)
class Unary(Node):
    """`not x`, `-x`."""

    operator: str
    operand: Node

    def children(self) -> list[Node]:
        return [self.operand]


@dataclass(slots=True)
class Binary(Node):
    """`a + b`; `regex` is a compiled literal pattern of `matches`."""

    operator: str
    left: Node
    right: Node
    regex: Any = None

    def children(self) -> list[Node]:
        return [self.left, self.right]


@dataclass(slots=True)
class Chain(Node):
    """What ends at a nil before `?.`."""

    node: Node

    def children(self) -> list[Node]:
        return [self.node]


@dataclass(slots=True)
class Member(Node):
    """`a.b`, `a?.b`, `a[b]`."""

    node: Node
    property: Node
    optional: bool = False

    def children(self) -> list[Node]:
        return [self.node, self.property]


@dataclass(slots=True)
class Slice(Node):
    """`a[from:to]`."""

    node: Node
    start: Node | None
    end: Node | None

    def children(self) -> list[Node]:
        return [part for part in (self.node, self.start, self.end) if part is not None]


@dataclass(slots=True)
class Call(Node):
    """`f(x)` where `f` is no built-in; `builtin` when it turned out to be another name of one."""

    callee: Node
    arguments: list[Node]
    builtin: str = ""

    def children(self) -> list[Node]:
        return [self.callee, *self.arguments]


@dataclass(slots=True)
class Builtin(Node):
    """`len(x)`, `filter(list, predicate)`."""

    name: str
    arguments: list[Node]
    mapped: Node | None = None
    """What a filter or find gives for a match in place of the element: `map(filter(…), …)` in one pass."""
    throws: bool = False
    """A find without a match is an error: it was `filter(…)[0]`."""

    def children(self) -> list[Node]:
        return [*self.arguments, self.mapped] if self.mapped is not None else list(self.arguments)


@dataclass(slots=True)
class Closure(Node):
    """The predicate of a built-in."""

    node: Node

    def children(self) -> list[Node]:
        return [self.node]


@dataclass(slots=True)
class Pointer(Node):
    """`#`, `#index`, `#acc`."""

    name: str


@dataclass(slots=True)
class Let(Node):
    """`let name = value; body`."""

    name: str
    value: Node
    body: Node

    def children(self) -> list[Node]:
        return [self.value, self.body]


@dataclass(slots=True)
class Conditional(Node):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node

    def children(self) -> list[Node]:
        return [self.condition, self.yes, self.no]


@dataclass(slots=True)
class ListOf(Node):
    """`[a, b]`."""

    nodes: list[Node] = field(default_factory=list)

    def children(self) -> list[Node]:
        return list(self.nodes)


@dataclass(slots=True)
class MapOf(Node):
    """`{a: b}`."""

    pairs: list[tuple[Node, Node]] = field(default_factory=list)

    def children(self) -> list[Node]:
        return [node for pair in self.pairs for node in pair]
