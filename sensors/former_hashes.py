"""The hash by which Argo Events' own sensor recognises an edited dependency. Contract: sensors Appendix 5.

64-bit FNV-1 over the definition as its program holds it: fields in the order of their declaration there, those that are
not set included. Only used to decide whether an event that it had stored still counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from sensors.types import (
    DataFilter,
    EventContext,
    EventDependency,
    EventDependencyFilter,
    EventDependencyTransformer,
    ExprFilter,
    TimeFilter,
)

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def dependency_hash(spec: EventDependency) -> int | None:
    """The hash of a dependency; None when it says something that Argo Events has no word for, so it is another one."""
    filters, change = spec.filters, spec.transform
    if (filters is not None and filters.jmespath) or (change is not None and change.jmespath):
        return None
    if filters is not None and filters.context is not None and filters.context.time is not None:
        return None  # it matters to nobody, and its hash depends on the zone of a pod
    return _struct(
        "EventDependency",
        ("Name", _text(spec.name)),
        ("EventSourceName", _text(spec.event_source_name)),
        ("EventName", _text(spec.event_name)),
        ("Filters", _NOTHING if filters is None else _filters(filters)),
        ("Transform", _NOTHING if change is None else _transform(change)),
        ("FiltersLogicalOperator", _text(spec.filters_logical_operator)),
    )


def _fnv(data: bytes) -> int:
    value = _OFFSET
    for byte in data:
        value = value * _PRIME & _MASK ^ byte
    return value


_NOTHING = _fnv(bytes(8))
# The marshalled form of the time that is not set: its version, no seconds, no nanoseconds, UTC.
_NO_TIME = _fnv(b"\x01" + bytes(12) + b"\xff\xff")


def _text(text: str | None) -> int:
    return _fnv((text or "").encode())


def _ordered(first: int, second: int) -> int:
    return _fnv(struct.pack("<QQ", first, second))


def _struct(name: str, *fields: tuple[str, int]) -> int:
    value = _text(name)
    for field, of_field in fields:
        value = _fnv(struct.pack("<Q", value ^ _ordered(_text(field), of_field)))
    return value


def _list(elements: Iterable[int] | None) -> int:
    value = 0
    for element in elements or ():
        value = _ordered(value, element)
    return value


def _filters(spec: EventDependencyFilter) -> int:
    return _struct(
        "EventDependencyFilter",
        ("Time", _NOTHING if spec.time is None else _time(spec.time)),
        ("Context", _NOTHING if spec.context is None else _context(spec.context)),
        ("Data", _list(_data(one) for one in spec.data or ())),
        ("Exprs", _list(_expr(one) for one in spec.exprs or ())),
        ("DataLogicalOperator", _text(spec.data_logical_operator)),
        ("ExprLogicalOperator", _text(spec.expr_logical_operator)),
        ("Script", _text(spec.script)),
    )


def _transform(spec: EventDependencyTransformer) -> int:
    return _struct("EventDependencyTransformer", ("JQ", _text(spec.jq)), ("Script", _text(spec.script)))


def _time(spec: TimeFilter) -> int:
    return _struct(
        "TimeFilter", ("Start", _text(spec.start)), ("Stop", _text(spec.stop)), ("Timezone", _text(spec.timezone))
    )


def _context(spec: EventContext) -> int:
    return _struct(
        "EventContext",
        ("ID", _text(spec.id)),
        ("Source", _text(spec.source)),
        ("SpecVersion", _text(spec.specversion)),
        ("Type", _text(spec.type)),
        ("DataContentType", _text(spec.datacontenttype)),
        ("Subject", _text(spec.subject)),
        ("Time", _struct("Time", ("Time", _NO_TIME))),
    )


def _data(spec: DataFilter) -> int:
    return _struct(
        "DataFilter",
        ("Path", _text(spec.path)),
        ("Type", _text(spec.type)),
        ("Value", _list(_text(one) for one in spec.value)),
        ("Comparator", _text(spec.comparator)),
        ("Template", _text(spec.template)),
    )


def _expr(spec: ExprFilter) -> int:
    fields = _list(_struct("PayloadField", ("Path", _text(one.path)), ("Name", _text(one.name))) for one in spec.fields)
    return _struct("ExprFilter", ("Expr", _text(spec.expr)), ("Fields", fields))
