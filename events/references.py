"""Which secrets and config maps a model names: found by type, wherever they stand. Contract: sensors 0.2.

Raw parts are opened by whoever knows their model (`inner`); an embedded Kubernetes object stays closed: what it names
is its own pods' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from events.credentials import ConfigMapRef, SecretRef
from events.errors import UserError
from events.problems import join
from events.registry import Registry

Found = Iterator[tuple[str, SecretRef | ConfigMapRef]]
Inner = Callable[[BaseModel, str], Found]


def nothing(_model: BaseModel, _path: str) -> Found:
    """No model has raw parts."""
    return iter(())


def walk(value: Any, path: str, inner: Inner = nothing) -> Found:
    """Every reference below `value`, with its field path; `inner` gives those in the raw parts of a model."""
    if isinstance(value, SecretRef | ConfigMapRef):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if not field.exclude:
                yield from walk(getattr(value, name), join(path, field.alias or name), inner)
        yield from inner(value, path)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from walk(one, f"{path}[{index}]", inner)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from walk(one, join(path, str(key)), inner)


def of_raw(table: Registry[Any], key: str, raw: Any, path: str) -> Found:
    """References of an adapter's part; one that cannot be read is reported by its own validation."""
    try:
        yield from walk(table.load(key).Spec.parse(raw, lenient=True), path)
    except UserError:
        return
