"""Static types of a tree, and the errors Go reports before anything runs. Facts of expr 1.15, untyped environment.

Ours: a name that is also a built-in's is a variable of any type, so that data keys such as `type` or `count` can be
read (upstream refuses to compare them; conformance flaw N6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events.errors import UserError
from events.expressions.expr import nodes, regexes, types
from events.expressions.expr.lexer import wrong
from events.expressions.expr.nodes import Node
from events.expressions.expr.signatures import ARITY, BUILTINS, METHODS, OVERLOADS, PREDICATES
from events.expressions.expr.types import Type

_BOOLEAN_PREDICATES = PREDICATES - {"map", "groupBy", "reduce"}


def check(text: str, root: Node) -> None:
    """Note the type of every node; UserError for what can never work."""
    Checker(text).visit(root)


class Checker:
    """One walk over one tree."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._scopes: list[tuple[Type | None, dict[str, Type]]] = []
        self._variables: list[tuple[str, Type | None, str]] = []
        self._builtin_of: dict[int, str] = {}
        """Nodes (by identity) whose value is a built-in, which may be called under this name too."""
        self._element_of: dict[int, Type] = {}
        """Element types of list literals (by identity), which are lists of anything otherwise."""

    def visit(self, node: Node) -> Type | None:
        """The type of a node, noted in it."""
        node.type = _VISITORS[type(node)](self, node)
        return node.type

    def wrong(self, node: Node, message: str, cure: str = "") -> UserError:
        """The error that refuses the expression because of `node`."""
        return wrong(self._text, node.at, message, cure)

    def constant(self, node: nodes.Constant) -> Type | None:
        return None if node.kind == "nil" else types.parse("float64" if node.kind == "float" else node.kind)

    def identifier(self, node: nodes.Identifier) -> Type | None:
        for name, type_, builtin in reversed(self._variables):
            if name == node.name:
                if builtin:
                    self._builtin_of[id(node)] = builtin
                return type_
        if node.name == "$env":
            return types.MAP
        if node.name in BUILTINS:
            self._builtin_of[id(node)] = node.name
        return types.ANY

    def unary(self, node: nodes.Unary) -> Type | None:
        type_ = self.visit(node.operand)
        if node.operator in ("!", "not"):
            if types.is_bool(type_) or types.is_any(type_):
                return types.BOOL
        elif types.is_number(type_) or types.is_any(type_):
            return type_
        raise self.wrong(node, f"{node.operator} cannot be applied to {_named(type_)}")

    def binary(self, node: nodes.Binary) -> Type | None:
        left, right = self.visit(node.left), self.visit(node.right)
        if node.operator == "in":
            return self._in(node, left, right)
        if node.operator == "??":
            return _either(left, right)
        if node.operator == "matches" and isinstance(node.right, nodes.Constant) and node.right.kind == "string":
            try:
                node.regex = regexes.compiled(node.right.value)
            except ValueError as error:
                raise self.wrong(node, str(error), "patterns are RE2's; there is no lookaround") from error
        found = _BINARY[node.operator](left, right)
        if found is None:
            cure = "convert one with int(), float() or string()" if left and right else ""
            raise self.wrong(node, f"{node.operator} cannot be applied to {_named(left)} and {_named(right)}", cure)
        return found

    def _in(self, node: nodes.Binary, left: Type | None, right: Type | None) -> Type:
        if right is not None and right.kind == "map" and right.key is not None:
            if left is not None and not types.is_any(left) and not types.assignable(left, right.key):
                raise self.wrong(node, f"{left} is never a key of {right}")
            return types.BOOL
        if right is not None and right.kind == "slice" and right.elem is not None:
            element = self._element_of.get(id(node.right))
            if left is not None and not (types.comparable(left, right.elem) and types.comparable(left, element)):
                raise self.wrong(node, f"{left} is never in a list of {element or right.elem}")
            return types.BOOL
        fits_struct = types.kind(right) == "struct" and (types.is_string(left) or types.is_any(left))
        if types.is_any(right) or fits_struct or (types.is_any(left) and types.is_string(right)):
            return types.BOOL
        cure = "a text in a text: contains" if types.is_string(right) else ""
        raise self.wrong(node, f"in cannot be applied to {_named(left)} and {_named(right)}", cure)

    def chain(self, node: nodes.Chain) -> Type | None:
        return self.visit(node.node)

    def member(self, node: nodes.Member) -> Type | None:
        base, key = self.visit(node.node), self.visit(node.property)
        name = _text_of(node.property)
        if isinstance(node.node, nodes.Identifier) and node.node.name == "$env":
            if name in BUILTINS:
                self._builtin_of[id(node)] = name
                return types.FUNCTION
            return types.ANY
        if name is not None:
            if base is None:
                raise self.wrong(node, f"nil has no field {name}")
            if method := METHODS.get(base.name, {}).get(name):
                return types.parse(method)
        if base is not None and base.elem is not None:
            return self._element(node, base, key)
        if types.is_any(base):
            return types.ANY
        raise self.wrong(node, f"{_named(base)} has no field {name!r}" if name else f"{_named(base)} has no elements")

    def _element(self, node: nodes.Member, base: Type, key: Type | None) -> Type | None:
        if base.key is not None:
            if key is not None and not types.is_any(key) and not types.assignable(key, base.key):
                raise self.wrong(node.property, f"{key} is never a key of {base}")
        elif not types.is_integer(key) and not types.is_any(key):
            raise self.wrong(node.property, f"elements of a list are selected by whole numbers, not by {_named(key)}")
        return base.elem

    def slice(self, node: nodes.Slice) -> Type | None:
        type_ = self.visit(node.node)
        if types.kind(type_) not in ("interface", "string", "slice"):
            raise self.wrong(node, f"{_named(type_)} cannot be sliced")
        for bound in (node.start, node.end):
            if bound is not None:
                found = self.visit(bound)
                if not types.is_integer(found) and not types.is_any(found):
                    raise self.wrong(bound, f"slices are cut by whole numbers, not by {_named(found)}")
        return type_

    def call(self, node: nodes.Call) -> Type | None:
        function = self.visit(node.callee)
        if name := self._builtin_of.get(id(node.callee)):
            node.builtin = name
            return self._builtin(name, node, node.arguments)
        if function is None:
            raise self.wrong(node, "nil cannot be called")
        if function.kind == "interface":
            # Arguments of a function nobody knows are not looked at.
            return types.ANY
        if function.kind == "func":
            if problem := _misfit(function, [self.visit(argument) for argument in node.arguments]):
                raise self.wrong(node, problem)
            return function.results[0]
        raise self.wrong(node, f"{function} cannot be called")

    def builtin(self, node: nodes.Builtin) -> Type | None:
        if node.name in ("map", "groupBy", "reduce") or node.name in _BOOLEAN_PREDICATES:
            return self._predicate(node)
        if node.name == "get":
            return self._get(node)
        return self._builtin(node.name, node, node.arguments)

    def _predicate(self, node: nodes.Builtin) -> Type | None:
        collection = self.visit(node.arguments[0])
        if not types.is_array(collection) and not types.is_any(collection):
            raise self.wrong(node.arguments[0], f"{node.name} takes a list, not {_named(collection)}")
        pointers = {"index": types.INT} if node.name in ("map", "reduce") else {}
        if node.name == "reduce":
            pointers["acc"] = types.ANY
        self._scopes.append((collection, pointers))
        closure = self.visit(node.arguments[1])
        self._scopes.pop()
        if len(node.arguments) == 3:
            self.visit(node.arguments[2])
        assert closure is not None
        assert collection is not None
        if node.name in _BOOLEAN_PREDICATES and not types.is_bool(closure) and not types.is_any(closure):
            raise self.wrong(node.arguments[1], f"the closure of {node.name} gives {closure}, not a boolean")
        if node.name == "filter":
            return types.LIST if types.is_any(collection) else types.listed(collection.elem or types.ANY)
        if node.name in ("find", "findLast"):
            return collection.elem or types.ANY
        if node.name == "map":
            return types.listed(closure)
        if node.name == "reduce":
            return closure
        if node.name == "groupBy":
            return types.GROUPS
        return types.INT if node.name in ("count", "findIndex", "findLastIndex") else types.BOOL

    def _get(self, node: nodes.Builtin) -> Type | None:
        if len(node.arguments) != 2:
            raise self.wrong(node, f"get takes 2 arguments, not {len(node.arguments)}")
        value, key = node.arguments
        if isinstance(value, nodes.Identifier) and value.name == "$env":
            return None if _text_of(key) is not None else types.ANY
        type_ = self.visit(value)
        if type_ is None or type_.kind not in ("interface", "slice", "map"):
            raise self.wrong(value, f"{_named(type_)} has no elements")
        if type_.kind == "interface":
            return types.ANY
        found = self.visit(key)
        if found is None:
            raise self.wrong(key, "nil is no key and no index")
        if type_.key is not None:
            if not types.assignable(found, type_.key) and not types.is_any(found):
                raise self.wrong(key, f"{found} is never a key of {type_}")
        elif not types.is_integer(found) and not types.is_any(found):
            raise self.wrong(key, f"elements of a list are selected by whole numbers, not by {found}")
        return type_.elem

    def _builtin(self, name: str, node: Node, arguments: list[Node]) -> Type | None:
        found = [self.visit(argument) for argument in arguments]
        if name in ARITY or name in ("max", "min"):
            return self._validated(name, node, found)
        problem = f"{name} takes a closure: {name}(list, {{…}})"
        for text in OVERLOADS.get(name, ()):
            signature = types.parse(text)
            problem = _misfit(signature, found)
            if not problem:
                return signature.results[0]
        if name == "get":
            return types.ANY
        raise self.wrong(node, f"{name}: {problem}")

    def _validated(self, name: str, node: Node, found: list[Type | None]) -> Type | None:
        if name in ("max", "min"):
            return self._extreme(name, node, found)
        fewest, most, kinds, gives = ARITY[name]
        if not fewest <= len(found) <= most:
            number = str(most) if fewest == most else f"{fewest} or {most}"
            raise self.wrong(node, f"{name} takes {number} argument{'s' * (most > 1)}, not {len(found)}")
        for type_, allowed in zip(found, kinds, strict=False):
            if types.kind(type_) not in allowed.split():
                raise self.wrong(node, f"{name} cannot be applied to {_named(type_)}")
        first = found[0]
        if gives == "first":
            return first
        if gives == "element":
            return first.elem if first is not None and first.elem is not None else types.ANY
        return types.parse(gives)

    def _extreme(self, name: str, node: Node, found: list[Type | None]) -> Type | None:
        if not found:
            raise self.wrong(node, f"{name} takes at least one argument")
        for type_ in found:
            if types.is_any(type_):
                return types.ANY
            if not types.is_number(type_):
                raise self.wrong(node, f"{name} cannot be applied to {_named(type_)}")
        return found[0]

    def closure(self, node: nodes.Closure) -> Type | None:
        type_ = self.visit(node.node)
        if type_ is None:
            raise self.wrong(node.node, "a closure cannot be nil")
        return type_

    def pointer(self, node: nodes.Pointer) -> Type | None:
        collection, pointers = self._scopes[-1] if self._scopes else (None, {})
        if collection is None:
            raise self.wrong(node, "# stands outside of a closure")
        if not node.name:
            return collection.elem or types.ANY
        if node.name not in pointers:
            raise self.wrong(node, f"there is no #{node.name} here", "map and reduce have #index, reduce has #acc")
        return pointers[node.name]

    def let(self, node: nodes.Let) -> Type | None:
        if node.name in BUILTINS:
            raise self.wrong(node, f"{node.name} is a built-in function", "choose another name")
        if any(name == node.name for name, _, _ in self._variables):
            raise self.wrong(node, f"{node.name} is a variable already", "choose another name")
        type_ = self.visit(node.value)
        self._variables.append((node.name, type_, self._builtin_of.get(id(node.value), "")))
        found = self.visit(node.body)
        self._variables.pop()
        return found

    def conditional(self, node: nodes.Conditional) -> Type | None:
        condition = self.visit(node.condition)
        if not types.is_bool(condition) and not types.is_any(condition):
            raise self.wrong(node.condition, f"the condition is {_named(condition)}, not a boolean")
        yes, no = self.visit(node.yes), self.visit(node.no)
        if yes is None or no is None:
            return yes or no
        return yes if types.assignable(yes, no) else types.ANY

    def list_of(self, node: nodes.ListOf) -> Type | None:
        found = [self.visit(child) for child in node.nodes]
        if found and found[-1] is not None and len({types.kind(type_) for type_ in found}) == 1:
            self._element_of[id(node)] = found[-1]
        return types.LIST

    def map_of(self, node: nodes.MapOf) -> Type | None:
        for child in node.children():
            self.visit(child)
        return types.MAP


def _misfit(function: Type, given: list[Type | None]) -> str:
    """What is wrong with the arguments of a call, or nothing."""
    if len(function.results) > 2:
        return "it gives more than two results"
    expected = len(function.params)
    if function.variadic:
        if len(given) < expected - 1:
            return "not enough arguments"
    elif len(given) != expected:
        return f"it takes {expected} argument{'s' * (expected != 1)}, not {len(given)}"
    for index, type_ in enumerate(given):
        wanted = function.params[min(index, expected - 1)]
        if type_ is None or type_.kind == "interface" or (types.is_integer(type_) and types.is_integer(wanted)):
            continue
        if not types.assignable(type_, wanted):
            return f"{type_} is given where {wanted} is wanted"
    return ""


def _text_of(node: Node) -> str | None:
    """The text of a string literal."""
    return str(node.value) if isinstance(node, nodes.Constant) and node.kind == "string" else None


def _named(type_: Type | None) -> str:
    return "nil" if type_ is None else "an unknown value" if type_.kind == "interface" else str(type_)


def _either(left: Type | None, right: Type | None) -> Type | None:
    """The type of `left ?? right`."""
    if left is None or right is None:
        return left or right
    return left if types.assignable(right, left) else types.ANY


Test = Callable[[Type | None], bool]
Rule = Callable[[Type | None, Type | None], Type | None]


def _or(left: Type | None, right: Type | None, *tests: Test) -> bool:
    """Whether one side is unknown and the other unknown or one of `tests`."""
    if types.is_any(left):
        return types.is_any(right) or any(test(right) for test in tests)
    return types.is_any(right) and any(test(left) for test in tests)


def _both(test: Test, result: Type) -> Rule:
    def rule(left: Type | None, right: Type | None) -> Type | None:
        return result if (test(left) and test(right)) or _or(left, right, test) else None

    return rule


def _ordered(left: Type | None, right: Type | None) -> Type | None:
    alike = any(test(left) and test(right) for test in (types.is_number, types.is_string, types.is_time))
    return types.BOOL if alike or _or(left, right, types.is_number, types.is_string, types.is_time) else None


def _numeric(test: Test) -> Rule:
    def rule(left: Type | None, right: Type | None) -> Type | None:
        if left is not None and right is not None and test(left) and test(right):
            return types.combined(left, right)
        return types.ANY if _or(left, right, test) else None

    return rule


def _sum(left: Type | None, right: Type | None) -> Type | None:
    if left is not None and right is not None and types.is_number(left) and types.is_number(right):
        return types.combined(left, right)
    if types.is_string(left) and types.is_string(right):
        return types.STRING
    if {left, right} == {types.TIME, types.DURATION}:
        return types.TIME
    tests = (types.is_number, types.is_string, types.is_time, types.is_duration)
    return types.ANY if _or(left, right, *tests) else None


def _difference(left: Type | None, right: Type | None) -> Type | None:
    if left is not None and right is not None and types.is_number(left) and types.is_number(right):
        return types.combined(left, right)
    if types.is_time(left) and (types.is_time(right) or types.is_duration(right)):
        return types.DURATION if types.is_time(right) else types.TIME
    return types.ANY if _or(left, right, types.is_number, types.is_time) else None


def _equality(left: Type | None, right: Type | None) -> Type | None:
    return types.BOOL if types.comparable(left, right) else None


_TEXT = _both(types.is_string, types.BOOL)
_POWER = _both(types.is_number, types.FLOAT)
_LOGIC = _both(types.is_bool, types.BOOL)
_BINARY: dict[str, Rule] = {
    **dict.fromkeys(("==", "!="), _equality),
    **dict.fromkeys(("or", "||", "and", "&&"), _LOGIC),
    **dict.fromkeys(("<", ">", "<=", ">="), _ordered),
    **dict.fromkeys(("matches", "contains", "startsWith", "endsWith"), _TEXT),
    **dict.fromkeys(("/", "**", "^"), _POWER),
    "+": _sum,
    "-": _difference,
    "*": _numeric(types.is_number),
    "%": _numeric(types.is_integer),
    "..": _both(types.is_integer, types.INTS),
}
_VISITORS: dict[type[Node], Callable[[Checker, Any], Type | None]] = {
    nodes.Constant: Checker.constant,
    nodes.Identifier: Checker.identifier,
    nodes.Unary: Checker.unary,
    nodes.Binary: Checker.binary,
    nodes.Chain: Checker.chain,
    nodes.Member: Checker.member,
    nodes.Slice: Checker.slice,
    nodes.Call: Checker.call,
    nodes.Builtin: Checker.builtin,
    nodes.Closure: Checker.closure,
    nodes.Pointer: Checker.pointer,
    nodes.Let: Checker.let,
    nodes.Conditional: Checker.conditional,
    nodes.ListOf: Checker.list_of,
    nodes.MapOf: Checker.map_of,
}
