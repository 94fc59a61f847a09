"""Tokens to functions: a Pratt parser that hands out closures, so that nothing is looked up twice for an event.

All operators bind to the left, `**`, `?`, `:` and `??` too, and the last three have one precedence: `a ? b : c` is
`(a ? b) : c`, where a refused `?` is nil and `:` stands for `??`. A run of operators of one precedence is one function,
so that what is nested in the result is only what is nested in the text.

Kept from govaluate, as objects may rely on it: what follows a complete expression without an operator is not read, and
neither is the token where a bracket should close. `Parser.ignored` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from events.errors import FilterError
from events.expressions.govaluate import operators, values
from events.expressions.govaluate.lexer import Kind, Token, tokens, wrong

MAX_DEPTH = 200
"""Nesting of an expression, in precedences entered; ours. A bracket takes one to ten of them."""

MAX_ITEMS = 10_000
"""Items of a list written with commas; ours."""

Variables = Mapping[str, Any]
Run = Callable[[Variables], Any]
Rest = list[tuple[str, "Node"]]

_LEVELS: Mapping[str, int] = MappingProxyType(
    {",": 1}
    | dict.fromkeys(("?", ":", "??"), 2)
    | {"||": 3, "&&": 4}
    | dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "=~", "!~", "in"), 5)
    | dict.fromkeys("&|^", 6)
    | dict.fromkeys(("<<", ">>"), 7)
    | dict.fromkeys("+-", 8)
    | dict.fromkeys("*/%", 9)
    | {"**": 10}
)
_OPERATORS = frozenset((Kind.MODIFIER, Kind.COMPARATOR, Kind.LOGICAL, Kind.TERNARY, Kind.SEPARATOR))


@dataclass(frozen=True, slots=True)
class Node:
    """A compiled part; `value` counts when it is constant."""

    run: Run
    is_constant: bool = False
    value: Any = None


class Parser:
    """Reads one text."""

    def __init__(self, text: str) -> None:
        """UserError when it is not an expression."""
        self._text, self._tokens = text, tokens(text)
        self._at = self._depth = 0
        self.names = tuple(dict.fromkeys(token.value for token in self._tokens if token.kind is Kind.VARIABLE))
        self.ignored = ""
        self._compile_patterns()
        self.node = self._expression(1)
        if self._at < len(self._tokens):
            self._ignore(self._tokens[self._at])

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _ignore(self, token: Token) -> None:
        self.ignored = self.ignored or self._text[token.at :]

    def _expression(self, floor: int) -> Node:
        """Everything up to an operator that binds less than `floor`, or to something that is no operator."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise wrong(self._text, self._tokens[self._at].at, "the expression is nested too deeply")
        left = self._operand()
        while (level := self._level()) >= floor:
            left = self._chain(left, level)
        self._depth -= 1
        return left

    def _level(self) -> int:
        token = self._peek()
        return _LEVELS[token.value] if token is not None and token.kind in _OPERATORS else 0

    def _chain(self, first: Node, level: int) -> Node:
        """A run of operators of one precedence."""
        rest: Rest = []
        while self._level() == level:
            sign: str = self._tokens[self._at].value
            self._at += 1
            rest.append((sign, self._expression(level + 1)))
        return _chained(level, first, rest)

    def _compile_patterns(self) -> None:
        """String literals right after `=~` and `!~`, read or not."""
        for at, (sign, token) in enumerate(pairwise(self._tokens), start=1):
            if token.kind is Kind.STRING and sign.kind is Kind.COMPARATOR and sign.value in ("=~", "!~"):
                try:
                    self._tokens[at] = replace(token, value=values.Pattern(token.value))
                except FilterError as error:
                    raise wrong(self._text, token.at, str(error), "patterns are RE2") from error

    def _operand(self) -> Node:
        token = self._tokens[self._at]
        if token.kind is Kind.CLOSE:
            return _constant(None)  # `()`
        self._at += 1
        if token.kind is Kind.PREFIX:
            return _prefixed(token.value, self._operand())
        if token.kind is Kind.OPEN:
            return self._bracketed()
        if token.kind is Kind.VARIABLE:
            return Node(_variable(token.value))
        if token.kind is Kind.ACCESSOR:
            return self._accessor(token)
        return _constant(token.value)

    def _bracketed(self) -> Node:
        inner = self._expression(1)
        token = self._tokens[self._at]
        if token.kind is not Kind.CLOSE:
            self._ignore(token)
        self._at += 1
        return inner

    def _accessor(self, token: Token) -> Node:
        following = self._peek()
        arguments = None
        if following is not None and following.kind is Kind.OPEN:
            arguments = self._expression(1).run
        return Node(_member(token.value, arguments))


def _constant(value: Any) -> Node:
    return Node(lambda _variables: value, is_constant=True, value=value)


def _folded(run: Run, *parts: Node) -> Node:
    """A constant when all parts are and there is a result; an error belongs to the evaluation."""
    if all(part.is_constant for part in parts):
        try:
            return _constant(run({}))
        except FilterError:
            pass
    return Node(run)


def _variable(name: str) -> Run:
    def run(variables: Variables) -> Any:
        try:
            value = variables[name]
        except KeyError:
            raise FilterError(f"there is no variable {name}") from None
        return values.number(value) if type(value) is int else value

    return run


def _member(parts: tuple[str, ...], arguments: Run | None) -> Run:
    """Only Go structs have members, and no document decodes to one."""
    variable = _variable(parts[0])

    def run(variables: Variables) -> Any:
        if arguments is not None:
            arguments(variables)
        variable(variables)
        raise FilterError(f"{'.'.join(parts)}: values of an event have no members; give it a path of its own")

    return run


def _prefixed(sign: str, operand: Node) -> Node:
    compute, inner = operators.PREFIX[sign], operand.run
    return _folded(lambda variables: compute(inner(variables)), operand)


def _chained(level: int, first: Node, rest: Rest) -> Node:
    nodes = [first, *(node for _, node in rest)]
    runs = [node.run for node in nodes]
    if level == _LEVELS[","]:
        return _folded(_list(runs), *nodes)
    if level in (_LEVELS["&&"], _LEVELS["||"]):
        return _folded(_logical(rest[0][0], runs), *nodes)
    if level == _LEVELS["?"]:
        return _folded(_ternary(first.run, [(sign, node.run) for sign, node in rest]), *nodes)
    if len(rest) == 1:
        return _folded(_binary(rest[0][0], first, rest[0][1]), *nodes)
    steps = [(operators.BINARY[sign], node.run) for sign, node in rest]
    return _folded(_steps(first.run, steps), *nodes)


def _binary(sign: str, left: Node, right: Node) -> Run:
    """One operator; against a constant, the common comparisons go without a function call."""
    run, other, compute = left.run, right.run, operators.BINARY[sign]
    if right.is_constant:
        value = right.value
        kind = type(value)
        if sign in ("==", "!=") and kind in (str, float, bool):
            return _compared(run, value, is_wanted=sign == "==")
        if sign == "in" and kind is list and all(type(item) in (str, float, bool) for item in value):
            members = frozenset((type(item), item) for item in value)
            return lambda variables: _is_member(run(variables), members)
        return lambda variables: compute(run(variables), value)
    return lambda variables: compute(run(variables), other(variables))


def _compared(run: Run, value: Any, *, is_wanted: bool) -> Run:
    kind = type(value)

    def compare(variables: Variables) -> bool:
        found = run(variables)
        return (found == value and type(found) is kind) is is_wanted

    return compare


def _is_member(value: Any, members: frozenset[tuple[type, Any]]) -> bool:
    kind = type(value)
    return kind in (str, float, bool) and (kind, value) in members


def _steps(first: Run, steps: list[tuple[operators.Binary, Run]]) -> Run:
    def run(variables: Variables) -> Any:
        value = first(variables)
        for compute, operand in steps:
            value = compute(value, operand(variables))
        return value

    return run


def _logical(sign: str, runs: list[Run]) -> Run:
    """`&&` and `||`: the first that decides ends it; all that are looked at must be bools."""
    decides = sign == "||"

    def run(variables: Variables) -> bool:
        for operand in runs:
            value = operand(variables)
            if value is decides:
                return bool(decides)
            if type(value) is not bool:
                raise operators.misfit(value, sign, "bools")
        return not decides

    return run


def _ternary(first: Run, rest: list[tuple[str, Run]]) -> Run:
    def run(variables: Variables) -> Any:
        value = first(variables)
        for sign, operand in rest:
            if sign != "?":
                value = operand(variables) if value is None else value
            elif type(value) is not bool:
                raise operators.misfit(value, "?", "a bool on its left")
            else:
                value = operand(variables) if value else None
        return value

    return run


def _list(runs: list[Run]) -> Run:
    """Values between commas; when the first is a list, the others join it."""

    def run(variables: Variables) -> list[Any]:
        first = runs[0](variables)
        items = list(first) if type(first) is list else [first]
        items.extend(operand(variables) for operand in runs[1:])
        if len(items) > MAX_ITEMS:
            raise FilterError(f"a list would have more than {MAX_ITEMS} items")
        return items

    return run
