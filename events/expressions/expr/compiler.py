"""A tree as nested Python closures over a `Frame`: nothing is looked up twice, nothing is `eval`ed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from events.errors import FilterError
from events.expressions.expr import nodes, operators, predicates, regexes, types
from events.expressions.expr.builtins import FUNCTIONS, ONE_ARGUMENT, cut, fetch, length
from events.expressions.expr.frame import Frame
from events.expressions.expr.functions import called, member_of
from events.expressions.expr.lexer import wrong
from events.expressions.expr.nodes import Node
from events.expressions.expr.operators import mismatch
from events.expressions.expr.optimizer import IntSet, TextSet, in_set
from events.expressions.expr.predicates import NO_ITEM, Parts
from events.expressions.expr.values import LISTS, decoded, encoded, go_type, is_nil, to_int, wrap

Run = Callable[[Frame], Any]
_SKIP = object()
"""What the rest of a chain behind `?.` becomes when there is nil before it."""
_SCALARS = frozenset({int, float, str, bool, type(None)})
_SIMPLE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operators.less,
    ">": operators.more,
    "<=": operators.at_most,
    ">=": operators.at_least,
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.modulo,
    "**": operators.power,
    "^": operators.power,
}
_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda whole, part: part in whole,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}
_KNOWN_POINTERS = ("", "index", "acc")


class Compiler:
    """Compiles one tree; `variables` counts what `let` declared."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._names: list[tuple[str, int]] = []
        self.variables = 0

    def compile(self, node: Node) -> Run:
        """The node as a function of a frame."""
        return _COMPILERS[type(node)](self, node)

    def constant(self, node: nodes.Constant) -> Run:
        value = node.value
        return lambda _frame: value

    def identifier(self, node: nodes.Identifier) -> Run:
        name = node.name
        for known, index in reversed(self._names):
            if known == name:
                return lambda frame: frame.variables[index]
        if name == "$env":
            return lambda frame: frame.environment
        return lambda frame: frame.environment.get(name)

    def unary(self, node: nodes.Unary) -> Run:
        operand = self.compile(node.operand)
        if node.operator == "+":
            return operand
        if node.operator == "-":
            return lambda frame: operators.negate(operand(frame))

        def negated(frame: Frame) -> bool:
            value = operand(frame)
            if value is True or value is False:
                return not value
            raise FilterError(f"not cannot be applied to {go_type(value)}")

        return negated

    def binary(self, node: nodes.Binary) -> Run:
        operator = node.operator
        if (
            operator == "in"
            and isinstance(node.right, nodes.Constant)
            and isinstance(node.right.value, IntSet | TextSet)
        ):
            needle, literals = self.compile(node.left), node.right.value
            return lambda frame: in_set(needle(frame), literals)
        left, right = self.compile(node.left), self.compile(node.right)
        if operator in ("==", "!="):
            return _equality(node, left, right)
        if operator in ("and", "&&", "or", "||"):
            return _logic(left, right, decided=operator in ("or", "||"))
        if operator == "??":
            return lambda frame: right(frame) if is_nil(value := left(frame)) else value
        if operator == "in":
            return lambda frame: operators.contained(left(frame), right(frame), frame.spend)
        if operator == "..":
            return _range(left, right)
        if operator == "matches":
            return _matches(left, right, node.regex)
        if operator in _TEXTS:
            return _text(operator, left, right)
        apply = _SIMPLE[operator]
        if operator != "+":
            return lambda frame: apply(left(frame), right(frame))

        def added(frame: Frame) -> Any:
            value = operators.add(left(frame), right(frame))
            if type(value) is str and len(value) > 1024:
                frame.spend(len(value) >> 10)
            return value

        return added

    def chain(self, node: nodes.Chain) -> Run:
        inner = self.compile(node.node)

        def chained(frame: Frame) -> Any:
            value = inner(frame)
            return None if value is _SKIP else value

        return chained

    def member(self, node: nodes.Member) -> Run:
        base, key = self.compile(node.node), self.compile(node.property)
        if not (isinstance(node.property, nodes.Constant) and node.property.kind == "string"):
            return lambda frame: fetch(base(frame), key(frame))
        name: str = node.property.value
        if isinstance(node.node, nodes.Identifier | nodes.Pointer) and not node.optional:
            return _field(base, name)
        optional = node.optional

        def member(frame: Frame) -> Any:
            value = base(frame)
            if type(value) is dict:
                return value.get(name)
            if value is _SKIP or (optional and is_nil(value)):
                return _SKIP
            return member_of(value, name)

        return member

    def slice(self, node: nodes.Slice) -> Run:
        base = self.compile(node.node)
        start = self.compile(node.start) if node.start is not None else None
        end = self.compile(node.end) if node.end is not None else None

        def sliced(frame: Frame) -> Any:
            value = base(frame)
            high = end(frame) if end is not None else length(frame, value)
            return _sliced(frame, value, start(frame) if start is not None else 0, high)

        return sliced

    def call(self, node: nodes.Call) -> Run:
        arguments = [self.compile(argument) for argument in node.arguments]
        if node.builtin:
            return self._builtin(node.builtin, arguments, renamed=True)
        callee = self.compile(node.callee)

        def call(frame: Frame) -> Any:
            given = [argument(frame) for argument in arguments]
            function = callee(frame)
            return _SKIP if function is _SKIP else called(frame, function, given)

        return call

    def builtin(self, node: nodes.Builtin) -> Run:
        if make := predicates.MAKERS.get(node.name):
            source, closure, *initial = [self.compile(argument) for argument in node.arguments]
            mapped = self.compile(node.mapped) if node.mapped is not None else None
            return make(Parts(source, closure, initial[0] if initial else None, mapped, node.throws))
        return self._builtin(node.name, [self.compile(argument) for argument in node.arguments])

    def _builtin(self, name: str, arguments: list[Run], *, renamed: bool = False) -> Run:
        function = FUNCTIONS.get(name)
        if function is None or (renamed and name in ONE_ARGUMENT):
            return _failing(f"{name} can only be called by its name")
        if not takes(function, len(arguments)):
            # Not refused when it was checked: nothing inside the arguments of an unknown function is.
            return _failing(f"{name} cannot be called with {len(arguments)} arguments")
        if len(arguments) == 1:
            argument = arguments[0]
            return lambda frame: function(frame, argument(frame))
        return lambda frame: function(frame, *[argument(frame) for argument in arguments])

    def closure(self, node: nodes.Closure) -> Run:
        return self.compile(node.node)

    def pointer(self, node: nodes.Pointer) -> Run:
        if node.name not in _KNOWN_POINTERS:
            raise wrong(self._text, node.at, f"there is no #{node.name}")
        if node.name == "index":
            return lambda frame: frame.scope.index
        if node.name == "acc":
            return lambda frame: frame.scope.acc

        def item(frame: Frame) -> Any:
            value = frame.scope.item
            if value is NO_ITEM:
                raise FilterError("a map has no elements to go through; use its keys() or values()")
            return value

        return item

    def let(self, node: nodes.Let) -> Run:
        value, index = self.compile(node.value), self.variables
        self.variables += 1
        self._names.append((node.name, index))
        body = self.compile(node.body)
        self._names.pop()

        def let(frame: Frame) -> Any:
            frame.variables[index] = value(frame)
            return body(frame)

        return let

    def conditional(self, node: nodes.Conditional) -> Run:
        condition, yes, no = self.compile(node.condition), self.compile(node.yes), self.compile(node.no)

        def conditional(frame: Frame) -> Any:
            return yes(frame) if boolean(condition(frame)) else no(frame)

        return conditional

    def list_of(self, node: nodes.ListOf) -> Run:
        parts = [self.compile(child) for child in node.nodes]

        def listed(frame: Frame) -> list[Any]:
            frame.grow(len(parts))
            return [part(frame) for part in parts]

        return listed

    def map_of(self, node: nodes.MapOf) -> Run:
        pairs = [(self.compile(key), self.compile(value)) for key, value in node.pairs]

        def mapped(frame: Frame) -> dict[str, Any]:
            frame.grow(len(pairs))
            # From the back, and the first of two equal keys wins: the library takes them off a stack.
            items = [(key(frame), value(frame)) for key, value in pairs]
            for key, _ in items:
                if type(key) is not str:
                    raise FilterError(f"{go_type(key)} cannot be a key of a map")
            return dict(reversed(items))

        return mapped


def boolean(value: Any) -> bool:
    """A boolean; FilterError for anything else."""
    if value is True or value is False:
        return bool(value)
    raise FilterError(f"a boolean is needed, not {go_type(value)}")


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a built-in can be called with so many arguments."""
    try:
        inspect.signature(function).bind(None, *range(count))
    except TypeError:
        return False
    return True


def _failing(message: str) -> Run:
    def fail(_frame: Frame) -> Any:
        raise FilterError(message)

    return fail


def _field(base: Run, name: str) -> Run:
    def field(frame: Frame) -> Any:
        value = base(frame)
        return value.get(name) if type(value) is dict else member_of(value, name)

    return field


def _equality(node: nodes.Binary, left: Run, right: Run) -> Run:
    """Two sides known as integers, or as strings, must be so when they come."""
    one, two, wanted = types.kind(node.left.type), types.kind(node.right.type), node.operator == "=="
    named = (node.left.type is not None and node.left.type.named) or (
        node.right.type is not None and node.right.type.named
    )
    exact = {"int": int, "string": str}.get(one) if one == two and wanted and not named else None

    def equals(frame: Frame) -> bool:
        first, second = left(frame), right(frame)
        if exact is not None and (type(first) is not exact or type(second) is not exact):
            raise mismatch("==", first, second)
        if type(first) in _SCALARS:
            return operators.equal(first, second) is wanted
        return operators.equal(first, second, frame.spend) is wanted

    return equals


def _logic(left: Run, right: Run, *, decided: bool) -> Run:
    def logic(frame: Frame) -> Any:
        value = left(frame)
        if value is decided:
            return value
        if value is (not decided):
            return right(frame)
        raise FilterError(f"a boolean is needed, not {go_type(value)}")

    return logic


def _range(left: Run, right: Run) -> Run:
    def ranged(frame: Frame) -> range:
        low, high = to_int(left(frame)), to_int(right(frame))
        size = max(wrap(high - low + 1), 0)
        frame.grow(size)
        return range(low, low + size)

    return ranged


def _matches(left: Run, right: Run, search: regexes.Search | None) -> Run:
    def matched(frame: Frame) -> bool:
        value, pattern = left(frame), right(frame)
        if type(value) is not str or type(pattern) is not str:
            raise mismatch("matches", value, pattern)
        frame.spend(len(value) >> 7)
        if search is not None:
            return regexes.matches(search, value)
        frame.spend(100)  # patterns made of data may be new every time
        try:
            return regexes.matches(regexes.compiled(pattern), value)
        except ValueError as error:
            raise FilterError(str(error)) from error

    return matched


def _text(operator: str, left: Run, right: Run) -> Run:
    apply = _TEXTS[operator]

    def compared(frame: Frame) -> bool:
        whole, part = left(frame), right(frame)
        if type(whole) is not str or type(part) is not str:
            raise mismatch(operator, whole, part)
        if len(whole) > 1024:
            frame.spend(len(whole) >> 10)
        return apply(whole, part)

    return compared


def _sliced(frame: Frame, value: Any, start: Any, end: Any) -> Any:
    """Part of a list or of the bytes of a string; bounds beyond the ends are taken as the ends."""
    if type(value) is not str and not isinstance(value, LISTS):
        raise FilterError(f"{go_type(value)} cannot be sliced")
    whole: Any = value
    if type(value) is str and not value.isascii():
        whole = encoded(value)
    low, high = to_int(start), to_int(end)
    size = len(whole)
    low = max(low + size, 0) if low < 0 else low
    high = min(max(high + size, 0) if high < 0 else high, size)
    low = min(low, high)
    frame.spend((high - low) >> 6)
    if isinstance(whole, bytes):
        return decoded(whole[low:high])
    return whole[low:high] if type(value) is str else cut(value, low, high)


_COMPILERS: dict[type[Node], Callable[[Compiler, Any], Run]] = {
    nodes.Constant: Compiler.constant,
    nodes.Identifier: Compiler.identifier,
    nodes.Unary: Compiler.unary,
    nodes.Binary: Compiler.binary,
    nodes.Chain: Compiler.chain,
    nodes.Member: Compiler.member,
    nodes.Slice: Compiler.slice,
    nodes.Call: Compiler.call,
    nodes.Builtin: Compiler.builtin,
    nodes.Closure: Compiler.closure,
    nodes.Pointer: Compiler.pointer,
    nodes.Let: Compiler.let,
    nodes.Conditional: Compiler.conditional,
    nodes.ListOf: Compiler.list_of,
    nodes.MapOf: Compiler.map_of,
}
