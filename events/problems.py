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
    line: int = 0
    """From 1, like `column`; 0 when the place in the file is not known."""
    column: int = 0

    def __str__(self) -> str:
        file = f"{self.file}:{self.line}:{self.column}" if self.file and self.line else self.file
        where = ": ".join(part for part in (file, self.object, self.path) if part)
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
    "frozen_instance": "cannot be changed",
}


def from_validation(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """A pydantic error as problems in our words, with a did-you-mean for unknown fields; `unknown` says how bad."""
    found = []
    for detail in error.errors(include_url=False):
        location, kind = detail["loc"], detail["type"]
        path = field_path(location)
        if kind == "extra_forbidden":
            found.append(_unknown(path, str(location[-1]), _model_at(model, location[:-1])))
            continue
        message = _MESSAGES.get(kind) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
        found.append(Problem(path, message))
    return found


def _unknown(path: str, key: str, model: type[BaseModel] | None) -> Problem:
    """A key that `model` has not. Its `elsewhere` names the keys that are often put in it, and where they belong."""
    home = getattr(model, "elsewhere", {}).get(key)
    if home:
        return Problem(path, f"belongs {home}", "move it there: where it is, Argo Events ignores it")
    known = [field.alias or name for name, field in model.model_fields.items() if not field.exclude] if model else []
    known += getattr(model, "gathered", ())
    return unknown(path, key, known, tolerated=getattr(model, "tolerated", ()))


def unknown(
    path: str,
    key: str,
    known: Iterable[str],
    what: str = "unknown field",
    otherwise: str = "",
    tolerated: Iterable[str] = (),
) -> Problem:
    """A key that is not one of `known`; `otherwise` is the cure when none of them is close.

    Only a warning for a key of another case, which Argo Events takes for the field, and for those `tolerated`.
    """
    known = sorted(known)
    is_stray = key in tolerated or key.casefold() in {one.casefold() for one in known}
    cure = did_you_mean(key, known) or otherwise or f"known here: {', '.join(known)}"
    if key in tolerated:
        cure = "nobody reads it, it can go"
    return Problem(path, what, cure, Severity.WARNING if is_stray else Severity.ERROR)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model found by walking `location` from `model`."""
    for step in location:
        if isinstance(step, int):
            continue
        field = next((f for name, f in model.model_fields.items() if step in (f.alias, name)), None)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model named in a type such as `list[Trigger] | None`."""
    from typing import get_args

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)
