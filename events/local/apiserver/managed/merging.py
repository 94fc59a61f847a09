"""Laying an applied configuration over the live object, and which fields a configuration names."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.managed import elements
from events.local.apiserver.managed.fieldsets import LEAF, FieldSet, with_member
from events.local.apiserver.managed.types import UNTYPED, ListForm, MapForm, Type
from events.local.apiserver.managed.values import ABSENT, same_fast


def field_set(value: Any, kind: Type) -> FieldSet:
    """The fields a value names: leaves, elements of keyed lists, and maps that are empty or null."""
    return _fields(value, kind)[1]


def _fields(value: Any, kind: Type) -> tuple[bool, FieldSet]:
    """Whether the value itself is a member, and what is below."""
    form = kind.narrowed(value)
    if form.map is not None:
        if form.map.is_atomic:
            return True, LEAF
        return False, _fields_of_map(form.map, value) if isinstance(value, dict) else LEAF
    if form.scalar is not None:
        return True, LEAF
    if form.list is not None:
        if form.list.is_atomic:
            return True, LEAF
        return False, _fields_of_list(form.list, value) if isinstance(value, list) else LEAF
    return True, LEAF


def _fields_of_map(form: MapForm, value: dict[str, Any]) -> FieldSet:
    result: FieldSet = {}
    for name, item in value.items():
        belongs, below = _fields(item, form.field(name) or UNTYPED)
        belongs = belongs or item is None or item == {} or not form.has_field(name)
        if belongs:
            result[f"f:{name}"] = with_member(below)
        elif below:
            result[f"f:{name}"] = below
    return result


def _fields_of_list(form: ListForm, value: list[Any]) -> FieldSet:
    return {
        element: with_member(_fields(items[-1], form.element)[1])
        for element, items in elements.named(form, value).items()
    }


def merge(live: Any, config: Any, kind: Type) -> Any:
    """`config` over `live`: its leaves win, its elements of keyed lists are merged with those of the same key.

    Elements keep the order of the live list, those of the configuration that of the configuration.
    """
    merged = _merge(live, config, kind)
    return {} if merged is ABSENT else merged


def _merge(live: Any, config: Any, kind: Type) -> Any:
    if config is ABSENT:
        return live
    form = kind.narrowed(config)
    if form.map is not None:
        mine, theirs = _as(dict, live), _as(dict, config)
        if form.map.is_atomic or not (mine or theirs) or (config is not None and theirs is None):
            return config
        return _merge_maps(form.map, mine or {}, theirs or {})
    if form.scalar is None and form.list is not None:
        mine, theirs = _as(list, live), _as(list, config)
        if form.list.is_atomic or not (mine or theirs) or (config is not None and theirs is None):
            return config
        return _merge_lists(form.list, mine or [], theirs or [])
    return config


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


def _merge_maps(form: MapForm, live: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    result = dict(live)
    for name, value in config.items():
        before = live.get(name, ABSENT)
        if not same_fast(before, value):
            result[name] = _merge(before, value, form.field(name) or UNTYPED)
    return result


def _merge_lists(form: ListForm, live: list[Any], config: list[Any]) -> list[Any]:
    named = [(_name(form, item), item) for item in live]
    live_items: dict[str, Any] = {}
    for element, item in named:  # twins are not merged with anything
        live_items[element] = ABSENT if element in live_items else item
    config_items = {element: item for item in config if (element := _name(form, item))}
    order = list(config_items)
    shared = [element for element in order if element in live_items]
    result: list[Any] = []
    done: set[str] = set()
    left = right = turn = 0

    def take() -> None:
        nonlocal right, turn
        element = order[right]
        done.add(element)
        result.append(_merge(live_items.get(element, ABSENT), config_items[element], form.element))
        turn += turn < len(shared) and shared[turn] == element
        right += 1

    while left < len(named) or right < len(order):
        if left < len(named):
            element, item = named[left]
            if right < len(order) and element == order[right]:
                take()
                left += 1
                continue
            if element not in config_items:  # the live object's alone
                result.append(item)
                left += 1
                continue
            if right < len(order) and turn < len(shared) and shared[turn] != element:
                left += 1  # the configuration wants another one first
                continue
            left += element in done
        if right < len(order):
            take()
    return result


def _name(form: ListForm, item: Any) -> str:
    try:
        return elements.of(form, item)
    except elements.BadElement:
        return ""
