"""Expressions of admission: compiled once with their configuration, run per request under one budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from events.local.apiserver import cel
from events.local.apiserver.admission.request import Kind, NamespaceLookup, Object, Request, Resource
from events.local.apiserver.validation.builtin.webhooks import VARIABLES

STEPS = 1_000_000
"""Of all conditions of one webhook, or all expressions of one policy, in one request."""


class Expression:
    """An expression that may be broken: then each run says so."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._program: cel.Program | None = None
        self.problem = ""
        try:
            self._program = cel.compile_expression(source, VARIABLES)
        except cel.CompileError as error:
            self.problem = f"compilation error: compilation failed: {error}"

    def run(self, variables: Mapping[str, Any], budget: cel.Budget) -> Any:
        """The value. Raises `CelError`."""
        if self._program is None:
            raise cel.CelError(self.problem)
        try:
            return self._program.run(variables, budget)
        except cel.CostExceeded:
            raise
        except cel.CelError as error:
            raise cel.CelError(f"expression '{self.source}' resulted in error: {error}") from error


class Conditions:
    """`matchConditions`: all must be true."""

    def __init__(self, conditions: Iterable[Object] | None) -> None:
        self._expressions = [Expression(one.get("expression", "")) for one in conditions or ()]

    def hold(self, variables: Callable[[], Mapping[str, Any]]) -> bool:
        """Whether all are true. One that is false settles it; else errors come up together as one `CelError`."""
        if not self._expressions:
            return True
        given, budget, problems = variables(), cel.Budget(STEPS), []
        for expression in self._expressions:
            try:
                if expression.run(given, budget) is not True:
                    return False
            except cel.CelError as error:
                problems.append(str(error))
        if problems:
            different = list(dict.fromkeys(problems))
            raise cel.CelError(different[0] if len(different) == 1 else f"[{', '.join(different)}]")
        return True


def variables(
    request: Request, kind: Kind, resource: Resource, namespaces: NamespaceLookup | None = None, params: Any = None
) -> dict[str, Any]:
    """What expressions may name. Without `namespaces` there is no `namespaceObject`."""
    namespace = None
    if namespaces is not None and request.home and request.kind.kind != "Namespace":
        namespace = namespaces.namespace(request.home)
    return {
        "object": request.new,
        "oldObject": request.old,
        "request": request.facts(kind, resource),
        "params": params,
        "namespaceObject": namespace,
        "variables": {},
    }


class Lazy(dict[str, Any]):
    """The variables of a policy: each is computed when it is first named, and may name those before it."""

    def __init__(
        self, definitions: Sequence[tuple[str, Expression]], scope: Mapping[str, Any], budget: cel.Budget
    ) -> None:
        super().__init__()
        self._definitions = dict(definitions)
        self._scope = {**scope, "variables": self}
        self._budget = budget

    def __contains__(self, name: object) -> bool:
        return name in self._definitions

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._definitions[name].run(self._scope, self._budget)
        return value
