"""Whether objects are right: read by their types, filled in, judged. Pure: no store, no clock, no network.

The server makes one `Kinds` and asks it for each kind it serves:

    kinds = Kinds()
    pod = kinds.builtin("", "v1", "Pod", namespaced=True)
    found = pod.decode(parsed)                  # DecodeError -> 400; found.unknown -> warnings, or 400 under Strict
    causes = pod.created(found.object)          # after the server has given it its metadata; not empty -> 422
    causes = pod.updated(changed, stored)
    widget = kinds.custom(definition, "v1")     # a new one whenever the definition changes
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from events.local.apiserver import schemas
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.decoded import (
    Decoded,
    FieldValidation,
    Kind,
    cannot_be_handled,
    field_texts,
    strict_message,
)
from events.local.apiserver.validation.decoding import DecodeError, Decoders

__all__ = [
    "Cause",
    "DecodeError",
    "Decoded",
    "FieldValidation",
    "Kind",
    "Kinds",
    "cannot_be_handled",
    "field_texts",
    "strict_message",
]


class Kinds:
    """All kinds of one server: they share schemas and decoders."""

    def __init__(self, known: schemas.Schemas | None = None) -> None:
        self.schemas = known or schemas.Schemas()

    @cached_property
    def decoders(self) -> Decoders:
        """The decoders of all built-in definitions."""
        return Decoders(self.schemas)

    def builtin(self, group: str, version: str, kind: str, *, namespaced: bool) -> Kind:
        """A built-in kind. Raises `KeyError` when its schema is not known."""
        from events.local.apiserver.validation.builtin.kind import BuiltinKind

        return BuiltinKind(self.schemas, self.decoders, group, version, kind, namespaced=namespaced)

    def custom(self, definition: Mapping[str, Any], version: str) -> Any:
        """A version of a custom resource: a `Kind` that can convert as well (`custom.kind.CustomKind`)."""
        from events.local.apiserver.validation.custom.kind import CustomKind

        return CustomKind(definition, version, self.decoders)
