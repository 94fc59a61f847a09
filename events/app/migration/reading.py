"""Where in a raw object something is: paths for the rules. Nothing here fails on an object of a wrong shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from events.problems import join

Raw = dict[str, Any]
Paths = Iterator[str]
Find = Callable[[Raw], Paths]
Place = tuple[str, Raw]
_NOT_SOURCES = frozenset({"eventBusName", "replicas", "service", "template", "workers"})


def mapping(value: Any) -> Raw:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def at(raw: Any, path: str) -> Any:
    """The value at a path of keys; None when there is none."""
    for key in path.split("."):
        raw = mapping(raw).get(key)
    return raw


def has(path: str) -> Find:
    """Objects in which the path leads to something."""

    def find(raw: Raw) -> Paths:
        if at(raw, path) not in (None, "", [], False):
            yield path

    return find


def always(raw: Raw) -> Paths:
    """Every object."""
    if mapping(raw.get("spec")):
        yield ""


def events(raw: Raw, *kinds: str) -> Iterator[Place]:
    """The events of an EventSource, of some kinds or of all."""
    for kind, named in mapping(raw.get("spec")).items():
        if kind in _NOT_SOURCES or (kinds and kind not in kinds):
            continue
        for name, spec in mapping(named).items():
            yield f"spec.{kind}.{name}", mapping(spec)


def event(*kinds: str, where: Callable[[Raw], Any] = lambda _spec: True) -> Find:
    """Events of an EventSource."""

    def find(raw: Raw) -> Paths:
        yield from (path for path, spec in events(raw, *kinds) if where(spec))

    return find


def triggers(raw: Raw) -> Iterator[Place]:
    """Triggers of a Sensor, and their dead-letter triggers."""
    for index, one in enumerate(items(at(raw, "spec.triggers"))):
        path, trigger = f"spec.triggers[{index}]", mapping(one)
        yield path, trigger
        if "dlqTrigger" in trigger:
            yield f"{path}.dlqTrigger", mapping(trigger["dlqTrigger"])


def trigger(where: Callable[[Raw], Any]) -> Find:
    """Triggers of a Sensor."""

    def find(raw: Raw) -> Paths:
        yield from (path for path, one in triggers(raw) if where(one))

    return find


def template(kind: str, where: Callable[[Raw], Any] = lambda _spec: True) -> Find:
    """Triggers of one kind."""

    def find(raw: Raw) -> Paths:
        for path, one in triggers(raw):
            spec = mapping(one.get("template")).get(kind)
            if isinstance(spec, dict) and where(spec):
                yield join(path, f"template.{kind}")

    return find


def dependencies(raw: Raw) -> Iterator[Place]:
    """Dependencies of a Sensor."""
    for index, one in enumerate(items(at(raw, "spec.dependencies"))):
        yield f"spec.dependencies[{index}]", mapping(one)


def dependency(where: Callable[[Raw], Any]) -> Find:
    """Dependencies of a Sensor."""

    def find(raw: Raw) -> Paths:
        yield from (path for path, one in dependencies(raw) if where(one))

    return find


def texts(raw: Any) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(raw, str):
        yield raw
    elif isinstance(raw, dict):
        for value in raw.values():
            yield from texts(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from texts(value)
