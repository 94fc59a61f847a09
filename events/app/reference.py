"""The reference pages under docs/reference, made from the models and tables. `make docs`; a test compares them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from eventbus.types import EventBusSpec
from events.metrics import Metrics
from eventsources.registry import SOURCES
from eventsources.types import EventSourceSpec
from sensors.registry import TRIGGERS
from sensors.types import SensorSpec

_MADE = "<!-- Made by `make docs` from the code; change it there. -->\n"
_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", Any: "any"}


def pages() -> Iterator[tuple[str, str]]:
    """(file name, text) of every page."""
    yield "metrics.md", _metrics()
    yield "eventbus.md", _page("EventBus", "spec", EventBusSpec)
    yield "eventsource.md", _page("EventSource", "spec", EventSourceSpec)
    yield "sensor.md", _page("Sensor", "spec", SensorSpec)
    for key in SOURCES:
        yield f"source-{key}.md", _page(f"Event source `{key}`", f"spec.{key}.<event name>", SOURCES.load(key).Spec)
    for key in TRIGGERS:
        text = _page(f"Trigger `{key}`", f"spec.triggers[].template.{key}", TRIGGERS.load(key).Spec)
        yield f"trigger-{key}.md", text


def write(folder: Path) -> None:
    """Write all pages below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (folder / name).write_text(text, encoding="utf-8")


def _metrics() -> str:
    lines = [
        _MADE,
        "# Metrics",
        "",
        "Served at `/metrics`.",
        "",
        "| name | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for attribute in vars(Metrics()).values():
        if (name := getattr(attribute, "_name", None)) is None:
            continue
        kind, labels = attribute._type, ", ".join(attribute._labelnames)
        shown = f"{name}_total" if kind == "counter" else name
        lines.append(f"| `{shown}` | {kind} | {labels} | {attribute._documentation} |")
    return "\n".join(lines) + "\n"


def _page(title: str, path: str, model: type[BaseModel]) -> str:
    lines = [_MADE, f"# {title}", "", f"Fields of `{path}`.", ""]
    queue, seen = [(model, "")], {model}
    while queue:
        one, heading = queue.pop(0)
        if heading:
            lines += ["", f"## {heading}", ""]
        if one.__doc__ and heading:
            lines += [one.__doc__.strip().splitlines()[0], ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for name, field in one.model_fields.items():
            if field.exclude:
                continue
            required = " (required)" if field.is_required() else ""
            kind = _kind(field.annotation)
            lines.append(f"| `{field.alias or name}` | {kind}{required} | {field.description or ''} |")
            for inner in _models(field.annotation):
                if inner not in seen:
                    seen.add(inner)
                    queue.append((inner, inner.__name__))
    return "\n".join(lines) + "\n"


def _kind(annotation: Any) -> str:
    """A type as a reader of YAML would say it."""
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, arguments = get_origin(annotation), [one for one in get_args(annotation) if one is not type(None)]
    if origin is typing.Annotated:
        return _kind(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(one) for one in arguments)
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"map of {_kind(arguments[1])}"
    return f"[{annotation.__name__}](#{annotation.__name__.lower()})" if isinstance(annotation, type) else "any"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models named in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


if __name__ == "__main__":
    write(Path("docs/reference"))
