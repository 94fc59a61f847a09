"""From a checked tree to a function: nested closures, each step counted against a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from events.local.apiserver.cel import checking, functions, types, values
from events.local.apiserver.cel.errors import CelError, CostExceeded
from events.local.apiserver.cel.parsing import Expression

Scope = Mapping[str, Any]
_TEXT_COST = 10  # characters of a text that cost one step


class Budget:
    """The steps that are left."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Count; raises `CostExceeded` when it was too much."""
        self.left -= steps
        if self.left < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")


Run = Callable[[Scope, Budget], Any]


def compiled(tree: Expression, checked: checking.Checker) -> Run:
    """The function of a tree."""
    return _Compiler(checked).run(tree)


_BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "_==_": values.equal,
    "_!=_": lambda one, two: not values.equal(one, two),
    "_<_": values.less,
    "_>_": lambda one, two: values.less(two, one),
    "_<=_": lambda one, two: not values.less(two, one) if one == one and two == two else False,
    "_>=_": lambda one, two: not values.less(one, two) if one == one and two == two else False,
    "_+_": values.add,
    "_-_": values.subtract,
    "_*_": values.multiply,
    "_/_": values.divide,
    "_%_": values.remainder,
    "@in": values.contains,
}


class _Compiler:
    def __init__(self, checked: checking.Checker) -> None:
        self.types = checked.types
        self.checked = checked

    def run(self, tree: Expression) -> Run:
        made: Run = getattr(self, f"_{tree.kind}")(tree)
        return made

    def _literal(self, tree: Expression) -> Run:
        value = tree.parts[0]
        return lambda _scope, _budget: value

    def _name(self, tree: Expression) -> Run:
        name = tree.parts[0]
        if name in checking.TYPE_NAMES and name not in self.checked.used:
            return lambda scope, _budget: scope.get(name, name)

        def get(scope: Scope, budget: Budget) -> Any:
            budget.spend(1)
            return scope[name]

        return get

    def _select(self, tree: Expression) -> Run:
        owner, name = self.run(tree.parts[0]), types.unescaped(tree.parts[1])
        convert = _CONVERT.get(self.types[id(tree)])

        def select(scope: Scope, budget: Budget) -> Any:
            budget.spend(1)
            value = owner(scope, budget)
            if isinstance(value, values.Some) or value is values.NONE:
                return _optional(value, name)
            if not isinstance(value, dict):
                raise CelError("no such overload")
            if name not in value:
                raise CelError(f"no such key: {name}")
            return convert(value[name]) if convert else value[name]

        return select

    def _test(self, tree: Expression) -> Run:
        owner, name = self.run(tree.parts[0]), types.unescaped(tree.parts[1])

        def test(scope: Scope, budget: Budget) -> bool:
            budget.spend(1)
            value = owner(scope, budget)
            if isinstance(value, values.Some):
                value = value.value
            if value is values.NONE:
                return False
            if not isinstance(value, dict):
                raise CelError("no such overload")
            return name in value

        return test

    def _index(self, tree: Expression) -> Run:
        owner, key = (self.run(part) for part in tree.parts)
        convert = _CONVERT.get(self.types[id(tree)])

        def index(scope: Scope, budget: Budget) -> Any:
            budget.spend(1)
            found = _indexed(owner(scope, budget), key(scope, budget))
            return convert(found) if convert else found

        return index

    def _list(self, tree: Expression) -> Run:
        items = [self.run(item) for item in tree.parts]

        def make(scope: Scope, budget: Budget) -> list[Any]:
            budget.spend(10 + len(items))
            return [item(scope, budget) for item in items]

        return make

    def _map(self, tree: Expression) -> Run:
        pairs = [(self.run(key), self.run(value)) for key, value in tree.parts]

        def make(scope: Scope, budget: Budget) -> dict[Any, Any]:
            budget.spend(30 + len(pairs))
            return {key(scope, budget): value(scope, budget) for key, value in pairs}

        return make

    def _call(self, tree: Expression) -> Run:
        name, arguments = tree.parts[0], tree.parts[1]
        if name in ("_&&_", "_||_"):
            return _logical(self.run(arguments[0]), self.run(arguments[1]), stops_at=name == "_||_")
        if name == "_?._":
            return _optional_call(self.run(arguments[0]), self.run(arguments[1]), types.unescaped)
        if name == "_[?_]":
            return _optional_call(self.run(arguments[0]), self.run(arguments[1]), None)
        namespaced = self.checked.namespaced(tree, name, arguments)
        if namespaced:
            name, arguments = namespaced
        made = [self.run(argument) for argument in arguments]
        if name == "_?_:_":
            return _conditional(*made)
        if name == "!_":
            return _negated(made[0])
        if name == "-_":
            return lambda scope, budget: values.negative(_counted(made[0], scope, budget))
        if name in _BINARY:
            return _operation(_BINARY[name], made[0], made[1])
        given = [self.types[id(argument)] for argument in arguments]
        return _function(functions.overloads(name, given), made)

    def _macro(self, tree: Expression) -> Run:
        name, target, variables, bodies = tree.parts
        over, made = self.run(target), [self.run(body) for body in bodies]
        if name == "bind":
            return lambda scope, budget: made[0]({**scope, variables[0]: over(scope, budget)}, budget)
        if name in ("optMap", "optFlatMap"):
            return _optional_macro(over, variables[0], made[0], wraps=name == "optMap")
        item = self.types[id(target)]
        convert = _CONVERT.get(item.of[-1]) if item.of and (item.name == "list" or len(variables) == 2) else None
        return _comprehension(name, over, variables, made, convert)


def _counted(run: Run, scope: Scope, budget: Budget) -> Any:
    budget.spend(1)
    return run(scope, budget)


def _operation(do: Callable[[Any, Any], Any], left: Run, right: Run) -> Run:
    def operation(scope: Scope, budget: Budget) -> Any:
        budget.spend(1)
        one, two = left(scope, budget), right(scope, budget)
        if isinstance(two, str | bytes | list | dict):
            budget.spend(len(two) // _TEXT_COST)
        return do(one, two)

    return operation


def _negated(made: Run) -> Run:
    def negated(scope: Scope, budget: Budget) -> bool:
        value = _counted(made, scope, budget)
        if not isinstance(value, bool):
            raise CelError("no such overload")
        return not value

    return negated


def _conditional(condition: Run, yes: Run, no: Run) -> Run:
    def conditional(scope: Scope, budget: Budget) -> Any:
        decided = _counted(condition, scope, budget)
        if not isinstance(decided, bool):
            raise CelError("no such overload")
        return yes(scope, budget) if decided else no(scope, budget)

    return conditional


def _logical(left: Run, right: Run, *, stops_at: bool) -> Run:
    """`&&` and `||`: one side that decides is enough, whatever error is on the other."""

    def logical(scope: Scope, budget: Budget) -> bool:
        budget.spend(1)
        failed: CelError | None = None
        try:
            one = left(scope, budget)
            if one is stops_at:
                return bool(stops_at)
            if not isinstance(one, bool):
                failed = CelError("no such overload")
        except CostExceeded:
            raise
        except CelError as error:
            failed = error
        two = right(scope, budget)
        if two is stops_at:
            return bool(stops_at)
        if failed is not None or not isinstance(two, bool):
            raise failed or CelError("no such overload")
        return not stops_at

    return logical


def _function(forms: Sequence[functions.Overload], made: Sequence[Run]) -> Run:
    def call(scope: Scope, budget: Budget) -> Any:
        budget.spend(1)
        given = [argument(scope, budget) for argument in made]
        for value in given:
            if isinstance(value, str | bytes | list):
                budget.spend(len(value) // _TEXT_COST)
        for form in forms:
            if len(forms) == 1 or all(map(_is, form.takes, given)):
                try:
                    return form.call(*given)
                except (TypeError, AttributeError):
                    break
        raise CelError("no such overload")

    return call


_KINDS: Mapping[str, Any] = {
    "int": int,
    "uint": int,
    "double": float,
    "string": str,
    "bytes": bytes,
    "bool": bool,
    "list": list,
    "map": dict,
}


def _is(wanted: types.Type, value: Any) -> bool:
    kind = _KINDS.get(wanted.name)
    if kind is not None:
        return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return wanted.name in ("any", "optional_type") or values.type_name(value) == wanted.name


def _indexed(owner: Any, key: Any) -> Any:
    if isinstance(owner, values.Some) or owner is values.NONE:
        return _optional(owner, key)
    if isinstance(owner, dict):
        if key not in owner:
            raise CelError(f"no such key: {values.text(key)}")
        return owner[key]
    if isinstance(owner, list):
        whole = isinstance(key, float) and key.is_integer()
        if isinstance(key, bool) or not (isinstance(key, int) or whole):
            raise CelError("no such overload")
        if not 0 <= key < len(owner):
            raise CelError(f"index out of bounds: {int(key)}")
        return owner[int(key)]
    raise CelError("no such overload")


def _optional(owner: Any, key: Any) -> Any:
    value = owner.value if isinstance(owner, values.Some) else owner
    try:
        return values.NONE if value is values.NONE else values.Some(_indexed(value, key))
    except CelError:
        return values.NONE


def _optional_call(owner: Run, key: Run, rename: Callable[[str], str] | None) -> Run:
    def call(scope: Scope, budget: Budget) -> Any:
        budget.spend(1)
        name = key(scope, budget)
        return _optional(owner(scope, budget), rename(name) if rename else name)

    return call


def _optional_macro(over: Run, variable: str, body: Run, *, wraps: bool) -> Run:
    def call(scope: Scope, budget: Budget) -> Any:
        value = over(scope, budget)
        if value is values.NONE:
            return value
        result = body({**scope, variable: value.value}, budget)
        return values.Some(result) if wraps else result

    return call


def _rows(over: Any, count: int, convert: Callable[[Any], Any] | None) -> Any:
    if isinstance(over, dict):
        return ((key,) if count == 1 else (key, convert(value) if convert else value) for key, value in over.items())
    if isinstance(over, list):
        items = map(convert, over) if convert else iter(over)
        return ((item,) for item in items) if count == 1 else enumerate(items)
    raise CelError("no such overload")


def _comprehension(
    name: str, over: Run, variables: Sequence[str], made: Sequence[Run], convert: Callable[[Any], Any] | None
) -> Run:
    count = len(variables)

    def each(scope: Scope, budget: Budget) -> Any:
        inner = dict(scope)
        for row in _rows(over(scope, budget), count, convert):
            budget.spend(1)
            for variable, value in zip(variables, row, strict=True):
                inner[variable] = value
            yield row, inner

    def decided(scope: Scope, budget: Budget) -> bool:
        wanted = name == "exists"
        failed: CelError | None = None
        for _, inner in each(scope, budget):
            try:
                found = made[0](inner, budget)
                if not isinstance(found, bool):
                    raise CelError("no such overload")
            except CostExceeded:
                raise
            except CelError as error:
                failed = error
                continue
            if found is wanted:
                return wanted
        if failed is not None:
            raise failed
        return not wanted

    def one(scope: Scope, budget: Budget) -> bool:
        return sum(made[0](inner, budget) is True for _, inner in each(scope, budget)) == 1

    def kept(scope: Scope, budget: Budget) -> list[Any]:
        return [row[0] for row, inner in each(scope, budget) if made[0](inner, budget) is True]

    def passes(inner: Scope, budget: Budget) -> bool:
        return len(made) == 1 or made[0](inner, budget) is True

    def mapped(scope: Scope, budget: Budget) -> list[Any]:
        return [made[-1](inner, budget) for _, inner in each(scope, budget) if passes(inner, budget)]

    def changed(scope: Scope, budget: Budget) -> dict[Any, Any]:
        return {row[0]: made[-1](inner, budget) for row, inner in each(scope, budget) if passes(inner, budget)}

    forms: Mapping[str, Run] = {
        "all": decided,
        "exists": decided,
        "exists_one": one,
        "filter": kept,
        "map": mapped,
        "transformList": mapped,
        "transformMap": changed,
    }
    return forms[name]


def _to_double(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _to_bytes(value: Any) -> Any:
    import base64

    return base64.b64decode(value) if isinstance(value, str) else value


def _to_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return values.timestamp(f"{value}T00:00:00Z" if len(value) == len("2006-01-02") else value)


def _to_duration(value: Any) -> Any:
    return values.duration(value) if isinstance(value, str) else value


_CONVERT: Mapping[types.Type, Callable[[Any], Any]] = {
    types.DOUBLE: _to_double,
    types.BYTES: _to_bytes,
    types.TIMESTAMP: _to_time,
    types.DURATION: _to_duration,
}
"""What a value of a schema becomes when an expression reads it: texts with a format are more than texts."""
