"""What the library computes or rearranges before anything runs; each pass is there because it can be seen in results.

`x and false` never looks at x, `"a" in ["a"]` insists on a string, `filter(…)[0]` stops at the first match.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events.errors import FilterError
from events.expressions.expr import nodes, operators, types
from events.expressions.expr.lexer import wrong
from events.expressions.expr.nodes import Node
from events.expressions.expr.values import MAX_TEXT, wrap

_ROUNDS = 100
_LARGEST_RANGE = 1_000_000
_FIELDS: dict[type[Node], tuple[str, ...]] = {
    nodes.Unary: ("operand",),
    nodes.Binary: ("left", "right"),
    nodes.Chain: ("node",),
    nodes.Member: ("node", "property"),
    nodes.Slice: ("node", "start", "end"),
    nodes.Call: ("callee", "arguments"),
    nodes.Builtin: ("arguments",),
    nodes.Closure: ("node",),
    nodes.Let: ("value", "body"),
    nodes.Conditional: ("condition", "yes", "no"),
    nodes.ListOf: ("nodes",),
    nodes.MapOf: ("pairs",),
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "**": operators.power,
    "^": operators.power,
}
_NUMBERS = ("int", "float")
Visit = Callable[[Node], Node]


class IntSet(frozenset[int]):
    """A list of integer literals behind `in`: a map[int]struct{}."""


class TextSet(frozenset[str]):
    """A list of string literals behind `in`: a map[string]struct{}."""


def optimize(text: str, root: Node) -> Node:
    """The tree that is run; UserError for a remainder by a literal zero."""
    root = _walk(root, _sets)
    for _ in range(_ROUNDS):
        folding = _Folding(text)
        root = _walk(root, folding.visit)
        if not folding.changed:
            break
    for visit in (_between, _ranges, _mapped_filter, _counted_filter, _last_of_filter, _first_of_filter):
        root = _walk(root, visit)
    return root


def _walk(node: Node, visit: Visit) -> Node:
    """Everything below, then the node itself."""
    for name in _FIELDS.get(type(node), ()):
        child: Any = getattr(node, name)
        if isinstance(child, Node):
            setattr(node, name, _walk(child, visit))
        elif name == "pairs":
            child[:] = [(_walk(key, visit), _walk(value, visit)) for key, value in child]
        elif child is not None:
            child[:] = [_walk(inner, visit) for inner in child]
    return visit(node)


def _constant(node: Node, *kinds: str) -> nodes.Constant | None:
    return node if isinstance(node, nodes.Constant) and node.kind in kinds else None


def _sets(node: Node) -> Node:
    """`in` a list of literals of one type."""
    if not (isinstance(node, nodes.Binary) and node.operator == "in" and isinstance(node.right, nodes.ListOf)):
        return node
    literals = [child for child in node.right.nodes if isinstance(child, nodes.Constant)]
    if not literals or len(literals) != len(node.right.nodes):
        return node
    kinds = {literal.kind for literal in literals}
    if kinds == {"int"} and types.kind(node.left.type) == "int":
        node.right = nodes.Constant(IntSet(literal.value for literal in literals), "constant", at=node.right.at)
    elif kinds == {"string"}:
        node.right = nodes.Constant(TextSet(literal.value for literal in literals), "constant", at=node.right.at)
    return node


class _Folding:
    """One pass over constants."""

    def __init__(self, text: str) -> None:
        self._text, self.changed = text, False

    def visit(self, node: Node) -> Node:
        """The node, or what it comes to."""
        found: Node | None = None
        if isinstance(node, nodes.Unary):
            found = _unary(node)
        elif isinstance(node, nodes.Binary):
            found = self._remainder(node) if node.operator == "%" else _binary(node)
        elif isinstance(node, nodes.ListOf):
            found = _list(node)
        elif isinstance(node, nodes.Builtin):
            found = _merged_filters(node)
        if found is None:
            return node
        self.changed = True
        if isinstance(found, nodes.Constant):
            found.at = node.at
        return found

    def _remainder(self, node: nodes.Binary) -> Node | None:
        left, right = _constant(node.left, "int"), _constant(node.right, "int")
        if left is None or right is None:
            return None
        if right.value == 0:
            raise wrong(self._text, node.at, "% by zero")
        return nodes.Constant(operators.modulo(left.value, right.value), "int")


def _number(value: float) -> nodes.Constant:
    is_float = isinstance(value, float)
    return nodes.Constant(value, "float" if is_float else "int", type=types.FLOAT if is_float else types.INT)


def _unary(node: nodes.Unary) -> Node | None:
    if node.operator in ("!", "not"):
        flag = _constant(node.operand, "bool")
        return nodes.Constant(not flag.value, "bool") if flag is not None else None
    number = _constant(node.operand, *_NUMBERS)
    if number is None:
        return None
    value = number.value if node.operator == "+" else -number.value
    return _number(value if isinstance(value, float) else wrap(value))


def _binary(node: nodes.Binary) -> Node | None:
    operator = node.operator
    if operator in ("and", "&&", "or", "||"):
        return _logic(node)
    if operator == "==":
        for kind in ("int", "string", "bool"):
            left, right = _constant(node.left, kind), _constant(node.right, kind)
            if left is not None and right is not None:
                return nodes.Constant(left.value == right.value, "bool")
        return None
    left, right = _constant(node.left, *_NUMBERS), _constant(node.right, *_NUMBERS)
    if operator in _ARITHMETIC and left is not None and right is not None:
        return _number(_ARITHMETIC[operator](left.value, right.value))
    left, right = _constant(node.left, "string"), _constant(node.right, "string")
    if operator == "+" and left is not None and right is not None and len(left.value) + len(right.value) <= MAX_TEXT:
        return nodes.Constant(left.value + right.value, "string")
    return None


def _logic(node: nodes.Binary) -> Node | None:
    """`true and x`, `x or false` are x; `x and false`, `x or true` are decided without x."""
    left, right = _constant(node.left, "bool"), _constant(node.right, "bool")
    neutral = node.operator in ("and", "&&")
    if left is not None and left.value is neutral:
        return node.right
    if right is not None and right.value is neutral:
        return node.left
    return nodes.Constant(not neutral, "bool") if left is not None or right is not None else None


def _list(node: nodes.ListOf) -> Node | None:
    found = [child for child in node.nodes if _constant(child, "int", "float", "string", "bool")]
    if not found or len(found) != len(node.nodes):
        return None
    return nodes.Constant([child.value for child in found if isinstance(child, nodes.Constant)], "constant")


def _filter(node: Node) -> nodes.Builtin | None:
    return node if isinstance(node, nodes.Builtin) and node.name == "filter" and len(node.arguments) == 2 else None


def _merged_filters(node: nodes.Builtin) -> Node | None:
    inner = _filter(node.arguments[0]) if _filter(node) is not None else None
    if inner is None:
        return None
    both = nodes.Binary("&&", inner.arguments[1], node.arguments[1], at=node.at)
    return nodes.Builtin("filter", [inner.arguments[0], both], at=node.at)


def _between(node: Node) -> Node:
    """An integer `in` a range of literals."""
    if not (isinstance(node, nodes.Binary) and node.operator == "in" and types.kind(node.left.type) == "int"):
        return node
    span = node.right
    if not (isinstance(span, nodes.Binary) and span.operator == ".."):
        return node
    if _constant(span.left, "int") is None or _constant(span.right, "int") is None:
        return node
    low = nodes.Binary(">=", node.left, span.left, at=node.at)
    return nodes.Binary("and", low, nodes.Binary("<=", node.left, span.right, at=node.at), at=node.at)


def _ranges(node: Node) -> Node:
    """A range of literals."""
    if not (isinstance(node, nodes.Binary) and node.operator == ".."):
        return node
    low, high = _constant(node.left, "int"), _constant(node.right, "int")
    if low is None or high is None:
        return node
    size = wrap(high.value - low.value + 1)
    if size > _LARGEST_RANGE:
        return node
    return nodes.Constant(range(low.value, low.value + max(size, 0)), "constant", at=node.at)


def _mapped_filter(node: Node) -> Node:
    if isinstance(node, nodes.Builtin) and node.name == "map":
        inner = _filter(node.arguments[0])
        closure = node.arguments[1]
        if inner is not None and inner.mapped is None and isinstance(closure, nodes.Closure):
            return nodes.Builtin("filter", inner.arguments, mapped=closure.node, at=node.at)
    return node


def _counted_filter(node: Node) -> Node:
    if isinstance(node, nodes.Builtin) and node.name == "len" and len(node.arguments) == 1:
        inner = _filter(node.arguments[0])
        if inner is not None:
            return nodes.Builtin("count", inner.arguments, at=node.at)
    return node


def _one_of_filter(node: Node, function: str, index: int, find: str) -> Node:
    """`filter(…)[0]` and `first(filter(…))` as a find."""
    if isinstance(node, nodes.Member) and not node.optional:
        key, inner = _constant(node.property, "int"), _filter(node.node)
        if key is not None and key.value == index and inner is not None:
            return nodes.Builtin(find, inner.arguments, mapped=inner.mapped, throws=True, at=node.at)
    if isinstance(node, nodes.Builtin) and node.name == function and len(node.arguments) == 1:
        inner = _filter(node.arguments[0])
        if inner is not None:
            return nodes.Builtin(find, inner.arguments, mapped=inner.mapped, at=node.at)
    return node


def _last_of_filter(node: Node) -> Node:
    return _one_of_filter(node, "last", -1, "findLast")


def _first_of_filter(node: Node) -> Node:
    return _one_of_filter(node, "first", 0, "find")


def in_set(needle: Any, literals: IntSet | TextSet) -> bool:
    """`in` such a list: nil stands for 0 or the empty string, other types are an error."""
    wanted: type = int if isinstance(literals, IntSet) else str
    if needle is None:
        return wanted() in literals
    if type(needle) is wanted:
        return needle in literals
    raise FilterError(f"in a list of {wanted.__name__} literals, only those can be looked up")
