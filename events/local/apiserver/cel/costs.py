"""A guess of what an expression costs at most, from the sizes that a schema allows.

Rougher than a real server's. It is compared with the server's limit times `TOLERANCE`, so that what is refused here a
real server refuses as well; what lies in between runs under its budget.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.local.apiserver.cel import Program, checking, types
from events.local.apiserver.cel.parsing import Expression

LIMIT_OF_A_RULE = 10_000_000
LIMIT_OF_A_SCHEMA = 100_000_000
TOLERANCE = 100
MOST_ITEMS = 1_000_000  # of the smallest items in the largest request
MOST_TEXT = 3 * 1024 * 1024
_CEILING = 1 << 63
_TEXT_COST = 10
_OVER_TEXT = frozenset(
    {"contains", "matches", "find", "findAll", "split", "replace", "lowerAscii", "upperAscii", "trim"}
)


def estimated(program: Program, variables: Mapping[str, types.Type]) -> int:
    """Steps, at most."""
    checked = checking.Checker(program.source, variables)
    checked.type_of(program.expression)
    return min(_cost(program.expression, checked.types), _CEILING)


def _size(kind: types.Type) -> int:
    if kind.name in ("list", "map"):
        return MOST_ITEMS if kind.size is None else kind.size
    if kind == types.STRING:
        return MOST_TEXT if kind.size is None else kind.size
    return 1


def _cost(tree: Expression, known: Mapping[int, types.Type]) -> int:
    if tree.kind in ("literal", "name"):
        return int(tree.kind == "name")
    if tree.kind in ("select", "test"):
        return 1 + _cost(tree.parts[0], known)
    if tree.kind == "index":
        return 1 + sum(_cost(part, known) for part in tree.parts)
    if tree.kind == "list":
        return 10 + sum(_cost(part, known) for part in tree.parts)
    if tree.kind == "map":
        return 30 + sum(_cost(key, known) + _cost(value, known) for key, value in tree.parts)
    if tree.kind == "macro":
        _, target, _, bodies = tree.parts
        return _cost(target, known) + _size(known[id(target)]) * (1 + sum(_cost(body, known) for body in bodies))
    name, arguments = tree.parts[0], tree.parts[1]
    # The name after `.?` is a part of the operator, no argument.
    given = [argument for argument in arguments if id(argument) in known]
    cost = 1 + sum(_cost(argument, known) for argument in given)
    if name in _OVER_TEXT and given and known[id(given[0])] == types.STRING:
        cost += _size(known[id(given[0])]) // _TEXT_COST
    return cost
