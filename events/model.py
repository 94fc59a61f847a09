"""Model: the base of everything that is read from an object's YAML.

camelCase on the wire, snake_case here; unknown keys refused unless the caller says otherwise; no silent conversions
(`replicas: "3"` is an error); frozen.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from events.errors import InvalidObject
from events.problems import from_validation


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

    @classmethod
    def parse(cls, raw: Any, *, lenient: bool = False) -> Self:
        """An object from plain data; InvalidObject with every problem.

        `lenient` ignores unknown keys: services and controllers read what is stored, also by other versions.
        """
        try:
            return cls.model_validate(raw, extra="ignore" if lenient else "forbid", by_alias=True, by_name=False)
        except ValidationError as error:
            raise InvalidObject(from_validation(error, cls)) from error

    def wire(self) -> dict[str, Any]:
        """Plain data in wire names, without what was not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
