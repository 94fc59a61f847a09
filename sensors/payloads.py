"""What kinds of trigger that send a payload have in common when they are validated. Contract: sensors D.15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from events.credentials import TLSConfig
from events.model import Model
from events.problems import Problems
from sensors import parameters
from sensors.types import TriggerParameter


def required(spec: Model, problems: Problems, *fields: str) -> None:
    """An error for each of these fields, by wire name, that is absent or empty."""
    for field in _empty(spec, fields):
        problems.error(field, "required")


def expected(spec: Model, problems: Problems, *fields: str) -> None:
    """The same as warnings, where upstream does not look: such an object may be in use."""
    for field in _empty(spec, fields):
        problems.warn(field, "is absent: every attempt fails, unless parameters write it")


def validate(payload: Sequence[TriggerParameter] | None, problems: Problems) -> None:
    """A payload that must be there; paths are relative to it."""
    if payload is None:
        problems.error("", "required", "write [] to send nothing")
    parameters.validate(payload, problems, is_payload=True, needs_dest=True)


def validate_unchecked(payload: Sequence[TriggerParameter] | None, problems: Problems) -> None:
    """The same as warnings, for kinds that upstream does not look at."""
    if payload is None:
        problems.warn("", "is absent: every attempt fails", "write [] to send nothing")
    parameters.validate_unchecked(payload, problems, is_payload=True)


def validate_tls(tls: TLSConfig | None, problems: Problems) -> None:
    """As upstream, only warned about; paths are relative to it."""
    if tls is not None and (problem := tls.problem()):
        problems.warn("", f"{problem}: every attempt fails")


def _empty(spec: Model, fields: Sequence[str]) -> list[str]:
    values: dict[str, Any] = {
        field.alias or name: getattr(spec, name) for name, field in type(spec).model_fields.items()
    }
    return [field for field in fields if values[field] in (None, "", [])]
