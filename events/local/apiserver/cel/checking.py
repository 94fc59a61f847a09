"""Types of all parts of an expression; what does not fit is an error before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from events.local.apiserver.cel import functions, types
from events.local.apiserver.cel.errors import CompileError
from events.local.apiserver.cel.parsing import Expression
from events.local.apiserver.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    NUMBERS,
    STRING,
    TIMESTAMP,
    Type,
)

_LITERALS: Mapping[type, Type] = {
    bool: BOOL,
    int: INT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}
_ORDERED = (INT, types.UINT, DOUBLE, BOOL, STRING, BYTES, TIMESTAMP, DURATION)
_ARITHMETIC: Mapping[tuple[str, Type, Type], Type] = {
    **{(sign, kind, kind): kind for sign in ("_+_", "_-_", "_*_", "_/_") for kind in NUMBERS},
    **{("_%_", kind, kind): kind for kind in (INT, types.UINT)},
    ("_+_", STRING, STRING): STRING,
    ("_+_", BYTES, BYTES): BYTES,
    ("_+_", TIMESTAMP, DURATION): TIMESTAMP,
    ("_+_", DURATION, TIMESTAMP): TIMESTAMP,
    ("_+_", DURATION, DURATION): DURATION,
    ("_-_", TIMESTAMP, DURATION): TIMESTAMP,
    ("_-_", TIMESTAMP, TIMESTAMP): DURATION,
    ("_-_", DURATION, DURATION): DURATION,
}
TYPE_NAMES = frozenset({"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"})


class Checker:
    """Types of one expression; `types` keeps them by node, `used` the variables it names."""

    def __init__(self, source: str, variables: Mapping[str, Type]) -> None:
        self.source = source
        self.scope = dict(variables)
        self.used: set[str] = set()
        self.types: dict[int, Type] = {}

    def type_of(self, tree: Expression) -> Type:
        """The type of a node, and of all below it."""
        found: Type = getattr(self, f"_{tree.kind}")(tree)
        self.types[id(tree)] = found
        return found

    def fail(self, tree: Expression, message: str) -> CompileError:
        return CompileError(self.source, tree.offset, message)

    def _literal(self, tree: Expression) -> Type:
        return _LITERALS[type(tree.parts[0])]

    def _name(self, tree: Expression) -> Type:
        name = tree.parts[0]
        if name in self.scope:
            self.used.add(name)
            return self.scope[name]
        if name in TYPE_NAMES:
            return types.TYPE
        raise self.fail(tree, f"undeclared reference to '{name}' (in container '')")

    def _select(self, tree: Expression) -> Type:
        return self._field(tree, self.type_of(tree.parts[0]), tree.parts[1])

    def _test(self, tree: Expression) -> Type:
        self._field(tree, self.type_of(tree.parts[0]), tree.parts[1])
        return BOOL

    def _field(self, tree: Expression, owner: Type, name: str) -> Type:
        if owner.name == "optional_type":
            return types.optional(self._field(tree, owner.of[0], name))
        if owner.fields is not None:
            if name not in owner.fields:
                raise self.fail(tree, f"undefined field '{name}'")
            return owner.fields[name]
        if owner.name == "map":
            return owner.of[1]
        if owner == DYN:
            return DYN
        raise self.fail(tree, f"type '{owner}' does not support field selection")

    def _index(self, tree: Expression) -> Type:
        return self._indexed(tree, *(self.type_of(part) for part in tree.parts))

    def _indexed(self, tree: Expression, owner: Type, key: Type) -> Type:
        if owner.name == "optional_type":
            return types.optional(self._indexed(tree, owner.of[0], key))
        if owner == DYN:
            return DYN
        if owner.name == "list" and key in (INT, types.UINT, DOUBLE, DYN):
            return owner.of[0]
        if owner.name == "map" and (key in (owner.of[0], DYN) or owner.of[0] == DYN):
            return owner.of[1]
        raise self._no_overload(tree, "_[_]", (owner, key))

    def _list(self, tree: Expression) -> Type:
        return types.list_of(self._joined([self.type_of(item) for item in tree.parts]), len(tree.parts))

    def _map(self, tree: Expression) -> Type:
        keys = self._joined([self.type_of(key) for key, _ in tree.parts])
        return types.map_of(keys, self._joined([self.type_of(value) for _, value in tree.parts]), len(tree.parts))

    def _joined(self, found: Sequence[Type]) -> Type:
        return found[0] if found and all(one == found[0] for one in found) else DYN

    def _macro(self, tree: Expression) -> Type:
        name, target, variables, bodies = tree.parts
        over = self.type_of(target)
        if name == "bind":
            return self._with(variables, [over], bodies)[0]
        if name in ("optMap", "optFlatMap"):
            inner = over.of[0] if over.name == "optional_type" else DYN
            (one,) = self._with(variables, [inner], bodies)
            return types.optional(one) if name == "optMap" else one
        if over.name not in ("list", "map", "dyn") and over.fields is None:
            raise self.fail(
                tree, f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            )
        found = self._with(variables, self._ranged(over, len(variables)), bodies)
        decides = name in ("all", "exists", "exists_one", "filter") or len(found) > 1
        if decides and found[0] not in (BOOL, DYN):
            raise self._no_overload(tree, "_&&_" if name == "all" else "_||_", (BOOL, found[0]))
        if name == "filter":
            return types.list_of(over.of[0] if over.of else DYN, over.size)
        if name in ("map", "transformList"):
            return types.list_of(found[-1], over.size)
        return types.map_of(over.of[0] if over.of else DYN, found[-1], over.size) if name == "transformMap" else BOOL

    def _ranged(self, over: Type, count: int) -> list[Type]:
        if over.name == "list":
            return [INT, over.of[0]] if count == 2 else [over.of[0]]
        if over.name == "map":
            return [over.of[0], over.of[1]] if count == 2 else [over.of[0]]
        return [DYN] * count

    def _with(self, names: Sequence[str], given: Sequence[Type], bodies: Sequence[Expression]) -> list[Type]:
        before, used = dict(self.scope), set(self.used)
        self.scope.update(zip(names, given, strict=True))
        found = [self.type_of(body) for body in bodies]
        self.scope = before
        self.used = used | (self.used - set(names))
        return found

    def _call(self, tree: Expression) -> Type:
        name, arguments = tree.parts[0], tree.parts[1]
        if name == "_?._":
            return types.optional(self._plain(self._field(tree, self.type_of(arguments[0]), arguments[1].parts[0])))
        namespaced = self.namespaced(tree, name, arguments)
        if namespaced:
            name, arguments = namespaced
        given = [self.type_of(one) for one in arguments]
        if name == "_[?_]":
            return types.optional(self._plain(self._indexed(tree, given[0], given[1])))
        found = self._operator(name, given)
        if found is None and not (name.startswith(("_", "@")) or name in ("!_", "-_")):
            found = functions.result_of(name, given)
            if found is None and not functions.exists(name):
                raise self.fail(tree, f"undeclared reference to '{name}' (in container '')")
        if found is None:
            raise self._no_overload(tree, name, given)
        return found

    def _plain(self, found: Type) -> Type:
        return found.of[0] if found.name == "optional_type" else found

    def namespaced(
        self, tree: Expression, name: str, arguments: tuple[Expression, ...]
    ) -> tuple[str, tuple[Expression, ...]] | None:
        """`math.greatest(1, 2)` is a function, no method of a variable."""
        if len(tree.parts) == 3 and arguments[0].kind == "name":
            full = f"{arguments[0].parts[0]}.{name}"
            if arguments[0].parts[0] not in self.scope and functions.exists(full):
                return full, arguments[1:]
        return None

    def _operator(self, name: str, given: Sequence[Type]) -> Type | None:
        if name == "_?_:_":
            return self._joined(given[1:]) if given[0] in (BOOL, DYN) else None
        if name in ("_&&_", "_||_"):
            return BOOL if all(one in (BOOL, DYN) for one in given) else None
        if name == "!_":
            return BOOL if given[0] in (BOOL, DYN) else None
        if name == "-_":
            return given[0] if given[0] in (INT, DOUBLE, DYN, DURATION) else None
        if name in ("_==_", "_!=_"):
            return BOOL if _comparable(given[0], given[1]) else None
        if name in ("_<_", "_<=_", "_>_", "_>=_"):
            one, two = given
            same = one == two and one in _ORDERED
            return BOOL if same or DYN in given or (one in NUMBERS and two in NUMBERS) else None
        if name == "@in":
            return BOOL if given[1].name in ("list", "map", "dyn") else None
        if name == "_+_" and given[0].name == "list" and given[1].name in ("list", "dyn"):
            return given[0] if given[0] == given[1] else types.list_of(DYN)
        if name in ("_+_", "_-_", "_*_", "_/_", "_%_"):
            if DYN in given:
                known = next((one for one in given if one != DYN), DYN)
                return known if known in (STRING, *NUMBERS) else DYN
            return _ARITHMETIC.get((name, given[0], given[1]))
        return None

    def _no_overload(self, tree: Expression, name: str, given: Sequence[Type]) -> CompileError:
        shown = ", ".join(map(str, given))
        if len(tree.parts) == 3 and tree.kind == "call":
            shown = f"{given[0]}.({', '.join(map(str, given[1:]))})"
            return self.fail(tree, f"found no matching overload for '{name}' applied to '{shown}'")
        return self.fail(tree, f"found no matching overload for '{name}' applied to '({shown})'")


def _comparable(one: Type, two: Type) -> bool:
    if one == two or DYN in (one, two) or NULL in (one, two):
        return True
    if one in NUMBERS and two in NUMBERS:
        return True
    if one.name == two.name and one.of and two.of:
        return all(map(_comparable, one.of, two.of))
    return one.name == two.name == "object"
