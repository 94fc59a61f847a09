"""Model: the base of everything that is read from an object's YAML.

camelCase on the wire, snake_case here; unknown keys refused unless the caller says otherwise; no silent conversions
(`replicas: "3"` is an error); frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from events.errors import InvalidObject
from events.problems import Problem, Severity, from_validation


class Model(BaseModel):
    """Base of all specs and custom resources."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
    )

    elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Keys that are no fields and often written here -> where they belong, for the message that refuses them."""
    tolerated: ClassVar[frozenset[str]] = frozenset()
    """Keys without effect that published manifests of Argo Events have: a warning, not an error."""
    gathered: ClassVar[tuple[str, ...]] = ()
    """Keys beside the fields that the model accepts."""

    @classmethod
    def parse(
        cls, raw: Any, *, lenient: bool = False, on_stray: Callable[[Iterable[Problem]], None] | None = None
    ) -> Self:
        """An object from plain data; InvalidObject with every problem.

        `lenient` ignores unknown keys: services and controllers read what is stored, also by other versions.
        `on_stray` takes the warnings about unknown keys that do not look mistyped; without it they are errors.
        """
        try:
            return cls.model_validate(raw, extra="ignore" if lenient else "forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            problems = from_validation(error, cls)
            if on_stray is None:
                problems = [replace(problem, severity=Severity.ERROR) for problem in problems]
            if on_stray is None or any(problem.severity is Severity.ERROR for problem in problems):
                raise InvalidObject(problems) from error
        on_stray(problems)
        return cls.parse(raw, lenient=True)

    def wire(self) -> dict[str, Any]:
        """Plain data in wire names, without what was not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
