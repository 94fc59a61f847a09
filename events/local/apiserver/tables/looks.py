"""What the table of one kind is made of: its columns, and the function that gives an object's cells.

A description that starts with `@` is that of a published field, `@core.v1.Secret.type`: it is looked up in the schemas
when the table is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.resources import Column, Object
from events.local.apiserver.tables.ages import Clock

Cells = Callable[[Object, Clock], list[Any]]
Key = tuple[str, str]
"""Group and kind."""


@dataclass(frozen=True)
class Look:
    """The columns of a kind, and the cells of an object in their order."""

    columns: tuple[Column, ...]
    cells: Cells


def text(name: str, description: str = "") -> Column:
    """A column of texts."""
    return Column(name, "string", description)


def number(name: str, description: str = "") -> Column:
    """A column of whole numbers."""
    return Column(name, "integer", description)


def flag(name: str, description: str = "") -> Column:
    """A column of yes and no."""
    return Column(name, "boolean", description)


def wide(name: str, description: str = "", format: str = "") -> Column:
    """A column that is shown with `-o wide` only."""
    return Column(name, "string", description, format, priority=1)


_META = "@ObjectMeta"
NAME = Column("Name", "string", f"{_META}.name", "name")
AGE = text("Age", f"{_META}.creationTimestamp")
CREATED = Column("Created At", "date", f"{_META}.creationTimestamp")
CONTAINERS = (
    wide("Containers", "Names of each container in the template."),
    wide("Images", "Images referenced by each container in the template."),
)
