"""JMESPath over an event's data: our own addition where gjson is awkward.

Numbers are Python's: a literal `1.50` in the data becomes `1.5` in the result.

The language has no loops, but `[@, @] | [@, @] | …` doubles its result at each step. What an expression can make of its
input at most is worked out when it is compiled; only where that is too much for the event at hand is it run by an
interpreter that counts, which is several times as slow.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jmespath
import orjson
from jmespath import functions as library
from jmespath import visitor
from jmespath.exceptions import IncompleteExpressionError, JMESPathError, ParseError

from events.errors import EventError, UserError

MAX_TEXT = 10_000
"""Characters of an expression."""
MAX_DEPTH = 60
"""Expressions inside each other."""
MAX_RESULT = 8 * 1024 * 1024
"""Characters of JSON that a result, or anything on the way to it, may have."""

MAX_STEPS = 200_000
"""Steps of the interpreter, which take up to a microsecond each."""

_TO_STRING = 6.0
"""Characters that `to_string` may make of one."""
_LEAVES = frozenset(("current", "field", "identity", "index"))
_MAKERS = frozenset(
    (
        "filter_projection",
        "flatten",
        "index_expression",
        "multi_select_dict",
        "multi_select_list",
        "projection",
        "value_projection",
    )
)
_ENGINE_ERRORS = (JMESPathError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
Node = dict[str, Any]


class Expression:
    """A compiled expression. Not for two threads at once."""

    def __init__(self, text: str, node: Node) -> None:
        self.text = text
        self._node = node
        self._bound = _bound(node)
        self._quick = _Interpreter()

    def search(self, tree: Any, size: int = MAX_RESULT) -> Any:
        """What the expression gives for a tree of JSON values; EventError when it cannot be told.

        `size` is the length of the tree as JSON, if it is known. The result may share parts with the tree and with the
        expression: it is for reading only.
        """
        characters, steps = self._bound.of(size)
        interpreter = self._quick if characters <= MAX_RESULT and steps <= MAX_STEPS else _Counting()
        try:
            return interpreter.visit(self._node, tree)
        except _ENGINE_ERRORS as error:
            raise EventError(f"jmespath: {_reason(error)}") from error

    def search_json(self, tree: Any, size: int = MAX_RESULT) -> bytes:
        """The same as JSON text; EventError when the result has none."""
        result = self.search(tree, size)
        try:
            text = orjson.dumps(result)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise EventError(f"jmespath: the result is not JSON: {error}") from error
        if len(text) > MAX_RESULT:
            raise EventError(f"jmespath: the result has more than {MAX_RESULT} characters")
        return text


def compile(text: str) -> Expression:
    """An expression; UserError with the column where it is not one."""
    if len(text) > MAX_TEXT:
        raise UserError(f"is longer than {MAX_TEXT} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # literals such as `x` for 'x' are old, and in use
            node: Node = jmespath.compile(text).parsed
        _check(node)
    except IncompleteExpressionError as error:
        raise UserError("is not JMESPath: it ends too early") from error
    except ParseError as error:
        reason = getattr(error, "message", "") or error.msg
        raise UserError(f"is not JMESPath at column {error.lex_position + 1}: {reason}") from error
    except _ENGINE_ERRORS as error:
        deep = isinstance(error, RecursionError)
        raise UserError("is nested too deeply" if deep else f"is not JMESPath: {_reason(error)}") from error
    return Expression(text, node)


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return text[:300] or type(error).__name__


def _check(node: Node, depth: int = 0) -> None:
    """What the parser leaves for later: nesting, unknown functions, the number of their arguments."""
    if depth > MAX_DEPTH:
        raise UserError(f"has more than {MAX_DEPTH} expressions inside each other")
    if node["type"] == "function_expression":
        _check_function(node["value"], len(node["children"]))
    if node["type"] == "slice":
        if node["children"][2] == 0:
            raise UserError("a slice cannot have a step of 0")
        return
    for child in node["children"]:
        _check(child, depth + 1)


def _check_function(name: str, given: int) -> None:
    known: Mapping[str, Any] = library.Functions.FUNCTION_TABLE
    if name not in known:
        from events.problems import did_you_mean

        raise UserError(f"there is no function {name}()", cure=did_you_mean(name, known))
    signature = known[name]["signature"]
    is_variadic = bool(signature and signature[-1].get("variadic"))
    if given < len(signature) or (given > len(signature) and not is_variadic):
        least = "at least " if is_variadic else ""
        raise UserError(f"{name}() takes {least}{len(signature)} arguments, not {given}")


# ---- what an expression can make of its input


@dataclass(frozen=True, slots=True)
class _Bound:
    """What running a node makes and costs at most, each as a constant and a part per character of its input."""

    size: float
    """Characters of JSON of everything made."""
    growth: float
    """The same, per character."""
    steps: float = 1.0
    """Nodes visited; walking through values counts, too."""
    effort: float = 0.0
    """The same, per character."""

    def of(self, size: int) -> tuple[float, float]:
        """Characters and steps for an input of that many characters."""
        return self.size + self.growth * size, self.steps + self.effort * size

    def __add__(self, other: _Bound) -> _Bound:
        return _Bound(
            self.size + other.size, self.growth + other.growth, self.steps + other.steps, self.effort + other.effort
        )

    def then(self, other: _Bound) -> _Bound:
        """`other`, run once on the result of this."""
        return _Bound(
            other.size + other.growth * self.size,
            other.growth * self.growth,
            self.steps + other.steps + other.effort * self.size,
            self.effort + other.effort * self.growth,
        )

    def each(self, other: _Bound) -> _Bound:
        """`other`, run on each of the elements of the result of this, which have two characters at least."""
        growth, effort = other.size / 2 + other.growth, other.steps / 2 + other.effort
        return _Bound(
            self.size * (1 + growth),
            self.growth * (1 + growth),
            self.steps + effort * self.size,
            self.effort + effort * self.growth,
        )

    def walked(self, factor: float = 1.0) -> _Bound:
        """The values walked through once, and made `factor` times as large."""
        steps, effort = self.steps + self.size / _WALK, self.effort + self.growth / _WALK
        return _Bound(self.size * factor, self.growth * factor, steps, effort)


_WALK = 16
"""Characters that are walked through in the time of a step."""


def _bound(node: Node) -> _Bound:
    """An upper bound, seldom reached."""
    kind = node["type"]
    if kind == "slice":
        return _Bound(4, 1)
    if kind == "literal":
        return _Bound(len(orjson.dumps(node["value"])), 0)
    parts = [_bound(child) for child in node["children"]]
    if kind in ("pipe", "subexpression", "index_expression"):
        return functools.reduce(_Bound.then, parts)
    if kind in ("projection", "value_projection", "filter_projection"):
        return parts[0].each(sum(parts[2:], parts[1]))
    if kind == "function_expression":
        return _bound_function(node["value"], parts)
    if kind in _LEAVES:
        return _Bound(4, 1)
    keys = sum(len(str(child["value"])) + 6 for child in node["children"] if child["type"] == "key_val_pair")
    total = sum(parts, _Bound(4 + keys, 0))
    return total.walked() if kind in ("comparator", "flatten") else total


def _bound_function(name: str, arguments: list[_Bound]) -> _Bound:
    if name == "join":
        return _Bound(math.inf, math.inf)  # as long as one argument times the other
    if name == "map":
        return arguments[1].each(arguments[0]).walked()
    if name.endswith("_by"):
        return arguments[0].each(arguments[1]).walked()
    return sum(arguments, _Bound(4, 0)).walked(_TO_STRING if name == "to_string" else 1.0)


# ---- running it


class _Functions(library.Functions):  # type: ignore[misc]  # the library has no types
    """The language's functions; a text such as `inf` is no number."""

    @library.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, arg: Any) -> Any:
        number = super()._func_to_number(arg)
        return number if number is None or math.isfinite(number) else None


class _Interpreter(visitor.TreeInterpreter):  # type: ignore[misc]
    """The library's, but a number and a text have no order instead of an error, as the specification says."""

    def __init__(self) -> None:
        super().__init__(visitor.Options(custom_functions=_Functions()))

    def visit_comparator(self, node: Node, value: Any) -> Any:
        first, second = node["children"]
        return self.compare(node["value"], self.visit(first, value), self.visit(second, value))

    def compare(self, operator: str, left: Any, right: Any) -> bool | None:
        """Whether it holds; None when the values have no order."""
        if operator not in self._EQUALITY_OPS and not _have_order(left, right):
            return None
        holds: bool | None = self.COMPARATOR_FUNC[operator](left, right)
        return holds


def _have_order(left: Any, right: Any) -> bool:
    return all(isinstance(one, str) for one in (left, right)) or all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right)
    )


class _Counting(_Interpreter):
    """Runs an expression for an event that it may blow up: what is made is measured before it is used."""

    def __init__(self) -> None:
        super().__init__()
        self._characters, self._steps = float(MAX_RESULT), float(MAX_STEPS)
        self._sizes: dict[int, tuple[Any, float]] = {}
        """Identity -> a container, kept so that no other gets its identity; its size."""

    def visit(self, node: Node, *args: Any, **kwargs: Any) -> Any:
        self._spend(steps=1)
        result = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKERS and isinstance(result, list | dict):
            self._spend(self._size(result))
        return result

    def visit_function_expression(self, node: Node, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        size = sum(self._size(one) for one in arguments)
        if node["value"] == "join" and len(arguments) == 2 and isinstance(arguments[1], list):
            size += self._size(arguments[0]) * len(arguments[1])
        self._spend(size * (_TO_STRING if node["value"] == "to_string" else 1.0), size / _WALK)
        return self._functions.call_function(node["value"], arguments)

    def compare(self, operator: str, left: Any, right: Any) -> bool | None:
        self._spend(steps=(self._size(left) + self._size(right)) / _WALK)
        return super().compare(operator, left, right)

    def _spend(self, characters: float = 0, steps: float = 0) -> None:
        self._characters -= characters
        self._steps -= steps
        if self._characters < 0 or self._steps < 0:
            raise JMESPathError("the expression makes too much of this event")

    def _size(self, value: Any) -> float:
        """The length of a value as JSON, about; what is shared counts each time."""
        if isinstance(value, str):
            return len(value) + 2
        if not isinstance(value, list | dict):
            return 4
        known = self._sizes.get(id(value))
        if known is not None:
            return known[1]
        inner: Any = value if isinstance(value, list) else value.values()
        size = 2.0 + sum(self._size(one) for one in inner)
        if isinstance(value, dict):
            size += sum(len(key) + 4 for key in value)
        self._sizes[id(value)] = (value, size)
        return size
