"""Whether an object is accepted: one answer for lint, admission, `keryx run` and the controllers. Contract: G.4, G.6.

Each of the three packages has `validation.verdict(raw)`, which is this with its own model and rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from events.errors import InvalidObject
from events.model import Model
from events.problems import Problem, Problems, Severity

M = TypeVar("M", bound=Model)
M_co = TypeVar("M_co", bound=Model, covariant=True)

_KEPT_BY_OTHERS = frozenset(
    {
        "clusterName",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
    }
)


@dataclass(frozen=True, slots=True)
class Verdict(Generic[M_co]):
    """What is said of one object. An object that cannot be read has no `parsed`, and errors."""

    parsed: M_co | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> list[Problem]:
        """Those that refuse the object."""
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        """Those that are only shown."""
        return [problem for problem in self.problems if problem.severity is Severity.WARNING]


def reach(raw: Any, model: type[M], validate: Callable[[M], Problems]) -> Verdict[M]:
    """The verdict on plain data: unknown keys first, then the rules."""
    found = Problems()
    try:
        parsed = model.parse(_authored(raw), on_stray=found.extend)
    except InvalidObject as error:
        found.extend(error.problems)
        return Verdict(None, tuple(found))
    found.extend(validate(parsed))
    return Verdict(parsed, tuple(found))


def _authored(raw: Any) -> Any:
    """What the author of an object says: without its status, and what Kubernetes and controllers keep in metadata."""
    if not isinstance(raw, dict):
        return raw
    metadata = raw.get("metadata")
    kept = {key: value for key, value in raw.items() if key != "status"}
    if isinstance(metadata, dict):
        kept["metadata"] = {key: value for key, value in metadata.items() if key not in _KEPT_BY_OTHERS}
    return kept
