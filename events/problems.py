"""What validation says: which object, which field, what is wrong, what to do.

One list of `Problem`s is what `keryx run --check`, lint, admission and the controllers all show; they differ only in
where they print it.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class Severity(enum.Enum):
    """An error refuses the object; a warning is only shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one object."""

    path: str
    message: str
    cure: str = ""
    severity: Severity = Severity.ERROR
    object: str = ""
    file: str = ""

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.object, self.path) if part)
        cure = f" ({self.cure})" if self.cure else ""
        return f"{where}: {self.message}{cure}" if where else f"{self.message}{cure}"


class Problems:
    """A list of problems being gathered; `at("spec.triggers[0]")` is the same list, seen from further down."""

    def __init__(self, prefix: str = "", found: list[Problem] | None = None) -> None:
        self._prefix = prefix
        self._found: list[Problem] = [] if found is None else found

    def at(self, path: str) -> Problems:
        """The same list; paths given to it are relative to `path`."""
        return Problems(join(self._prefix, path), self._found)

    def error(self, path: str, message: str, cure: str = "") -> None:
        """Add an error at `path`."""
        self._found.append(Problem(join(self._prefix, path), message, cure))

    def warn(self, path: str, message: str, cure: str = "") -> None:
        """Add a warning at `path`."""
        self._found.append(Problem(join(self._prefix, path), message, cure, Severity.WARNING))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems whose paths are relative to this place."""
        self._found.extend(replace(problem, path=join(self._prefix, problem.path)) for problem in problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def errors(self) -> list[Problem]:
        """Those that refuse the object."""
        return [problem for problem in self._found if problem.severity is Severity.ERROR]


def join(prefix: str, path: str) -> str:
    """`spec` + `triggers[0]` -> `spec.triggers[0]`; `spec.triggers` + `[0]` -> `spec.triggers[0]`."""
    if not prefix or not path:
        return prefix or path
    return f"{prefix}{path}" if path.startswith("[") else f"{prefix}.{path}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A cure naming the closest known words, or nothing when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def field_path(location: Iterable[int | str]) -> str:
    """A pydantic location as a field path: `("triggers", 0, "template")` -> `triggers[0].template`."""
    path = ""
    for step in location:
        path = join(path, f"[{step}]" if isinstance(step, int) else step)
    return path


_MESSAGES = {
    "missing": "required",
    "extra_forbidden": "unknown field",
    "frozen_instance": "cannot be changed",
}


def from_validation(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """A pydantic error as problems in our words, with a did-you-mean for unknown fields."""
    found = []
    for detail in error.errors(include_url=False):
        location, kind = detail["loc"], detail["type"]
        message = _MESSAGES.get(kind) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
        cure = ""
        if kind == "extra_forbidden":
            known = _fields_at(model, location[:-1])
            cure = did_you_mean(str(location[-1]), known) or f"known here: {', '.join(sorted(known))}"
        found.append(Problem(field_path(location), message, cure))
    return found


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Wire names of the fields of the model found by walking `location` from `model`."""
    for step in location:
        if isinstance(step, int):
            continue
        field = next((f for name, f in model.model_fields.items() if step in (f.alias, name)), None)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model named in a type such as `list[Trigger] | None`."""
    from typing import get_args

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
