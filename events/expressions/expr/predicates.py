"""Built-ins that run a closure over a list. Every turn costs a step; what they build counts as memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from events.errors import FilterError
from events.expressions.expr.frame import Frame, Scope
from events.expressions.expr.operators import map_key
from events.expressions.expr.values import LISTS, Groups, Uint8, encoded, go_type

Run = Callable[[Frame], Any]
NO_ITEM = object()
"""The element of a map: it has a length, but nothing to go through."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A predicate's compiled arguments, and what the optimizer added."""

    source: Run
    closure: Run
    initial: Run | None = None
    mapped: Run | None = None
    throws: bool = False


Maker = Callable[[Parts], Run]


def _items(value: Any) -> Any:
    if isinstance(value, LISTS):
        return value
    if type(value) is str:
        return [Uint8(byte) for byte in encoded(value)]
    if isinstance(value, dict):
        return [NO_ITEM] * len(value)
    raise FilterError(f"a list is needed, not {go_type(value)}")


def _turns(frame: Frame, items: Any, scope: Scope, *, backwards: bool = False) -> Iterator[int]:
    """Index after index, with the scope set to each."""
    saved, frame.scope = frame.scope, scope
    size = len(items)
    for index in range(size - 1, -1, -1) if backwards else range(size):
        frame.steps -= 1
        if frame.steps < 0:
            frame.spend(0)
        frame.scope, scope.item, scope.index = scope, items[index], index
        yield index
    frame.scope = saved


def _met(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise FilterError(f"the closure gives {go_type(value)}, not a boolean")


def _until(wanted: bool, result: bool) -> Maker:  # noqa: FBT001
    """Stops at the first turn that gives `wanted`; the answer is `result` then."""

    def make(parts: Parts) -> Run:
        source, test = parts.source, parts.closure

        def run(frame: Frame) -> bool:
            saved = frame.scope
            for _ in _turns(frame, _items(source(frame)), Scope()):
                if _met(test(frame)) is wanted:
                    frame.scope = saved
                    return result
            return not result

        return run

    return make


def _counted(parts: Parts) -> Run:
    source, test = parts.source, parts.closure
    return lambda frame: sum(_met(test(frame)) for _ in _turns(frame, _items(source(frame)), Scope()))


def _one(parts: Parts) -> Run:
    count = _counted(parts)
    return lambda frame: count(frame) == 1


def _filter(parts: Parts) -> Run:
    source, test = parts.source, parts.closure
    mapped = parts.mapped

    def run(frame: Frame) -> list[Any]:
        scope = Scope()
        found = []
        for _ in _turns(frame, _items(source(frame)), scope):
            if _met(test(frame)):
                found.append(mapped(frame) if mapped is not None else _item(scope))
        frame.grow(len(found))
        return found

    return run


def _item(scope: Scope) -> Any:
    if scope.item is NO_ITEM:
        raise FilterError("a map has no elements to go through; use its keys() or values()")
    return scope.item


def _map(parts: Parts) -> Run:
    source, closure = parts.source, parts.closure

    def run(frame: Frame) -> list[Any]:
        items = _items(source(frame))
        found = [closure(frame) for _ in _turns(frame, items, Scope())]
        frame.grow(len(found))
        return found

    return run


def _find(*, backwards: bool, index: bool) -> Maker:
    """The first or last element, or its index, for which the closure is true."""

    def make(parts: Parts) -> Run:
        source, test, mapped = parts.source, parts.closure, parts.mapped

        def run(frame: Frame) -> Any:
            saved, scope = frame.scope, Scope()
            for at in _turns(frame, _items(source(frame)), scope, backwards=backwards):
                if _met(test(frame)):
                    found: Any = at if index else mapped(frame) if mapped is not None else _item(scope)
                    frame.scope = saved
                    return found
            if parts.throws:
                raise FilterError("no element was found")
            return None

        return run

    return make


def _group(parts: Parts) -> Run:
    source, key = parts.source, parts.closure

    def run(frame: Frame) -> Groups:
        found, scope = Groups(), Scope()
        for _ in _turns(frame, _items(source(frame)), scope):
            item = _item(scope)
            found.setdefault(map_key(key(frame)), []).append(item)
        return found

    return run


def _reduce(parts: Parts) -> Run:
    source, closure, initial = parts.source, parts.closure, parts.initial

    def run(frame: Frame) -> Any:
        items, scope = _items(source(frame)), Scope()
        if initial is not None:
            saved, frame.scope = frame.scope, scope
            scope.acc = initial(frame)
            frame.scope = saved
        elif not len(items):
            raise FilterError("reduce of nothing needs an initial value")
        for at in _turns(frame, items, scope):
            scope.acc = _item(scope) if at == 0 and initial is None else closure(frame)
        return scope.acc

    return run


MAKERS: dict[str, Maker] = {
    "all": _until(wanted=False, result=False),
    "none": _until(wanted=True, result=False),
    "any": _until(wanted=True, result=True),
    "one": _one,
    "filter": _filter,
    "map": _map,
    "count": _counted,
    "find": _find(backwards=False, index=False),
    "findIndex": _find(backwards=False, index=True),
    "findLast": _find(backwards=True, index=False),
    "findLastIndex": _find(backwards=True, index=True),
    "groupBy": _group,
    "reduce": _reduce,
}
