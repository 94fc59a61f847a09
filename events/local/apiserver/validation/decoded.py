"""What every kind offers to the server, built-in or custom: read an object, judge it, judge a change of it.

The server calls `decode` with what a client sent (parsed JSON), gives the object its metadata, and then calls `created`
or `updated`. Nothing here talks to anybody; a schema is read at its first use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from events.local.apiserver.validation.causes import Cause

Object = dict[str, Any]
FieldValidation = Literal["", "Strict", "Warn", "Ignore"]


@dataclass(frozen=True)
class Decoded:
    """An object as it will be stored, and the paths of the fields that its type does not have."""

    object: Object
    unknown: list[str] = field(default_factory=list)


class Kind(Protocol):
    """One served version of a kind."""

    group: str
    version: str
    kind: str

    def decode(self, value: Object, *, defaulting: bool = True) -> Decoded:
        """A new object; raises `decoding.DecodeError` when a field has another type."""

    def created(self, it: Object) -> list[Cause]:
        """What is wrong with a new object."""

    def updated(self, it: Object, old: Object, subresource: str = "") -> list[Cause]:
        """What is wrong with a change; `old` is the stored object in this version."""

    def warnings(self, it: Object, old: Object | None, /) -> list[str]:
        """What the client should know."""


def strict_message(unknown: list[str], duplicated: list[str] | None = None) -> str:
    """The text of a refusal under `Strict`."""
    return f"strict decoding error: {', '.join(field_texts(unknown, duplicated))}"


def field_texts(unknown: list[str], duplicated: list[str] | None = None) -> list[str]:
    """One text for each field: warnings under `Warn`, parts of the refusal under `Strict`."""
    twice = [f'duplicate field "{path}"' for path in duplicated or ()]
    return twice + [f'unknown field "{path}"' for path in unknown]


def cannot_be_handled(kind: str, version: str, reason: str) -> str:
    """The text of a bad request whose object could not be read."""
    return f'{kind} in version "{version}" cannot be handled as a {kind}: {reason}'
