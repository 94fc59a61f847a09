"""`depends`: which tasks a task waits for, and whether it runs then. Contract: workflows F.2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from events.local.workflows import expressions, phases
from events.local.workflows.errors import WorkflowError

Task = Mapping[str, Any]
Node = Mapping[str, Any]
RESULTS = ("Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed")
OF_ITEMS = ("AnySucceeded", "AllFailed")
_WORD = re.compile(r"([a-zA-Z0-9][-a-zA-Z0-9]*?\.[a-zA-Z]+)|([a-zA-Z0-9][-a-zA-Z0-9]*)")


@dataclass(frozen=True)
class Tasks:
    """The tasks of a DAG, by name."""

    tasks: Mapping[str, Task]

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Tasks:
        return cls({task["name"]: task for task in tasks})

    def written(self, name: str) -> str:
        """The condition as the author has it; `dependencies` are joined by `&&`."""
        task = self.tasks[name]
        if task.get("depends"):
            return str(task["depends"])
        return " && ".join(task.get("dependencies") or ())

    def dependencies(self, name: str) -> list[str]:
        """Names of tasks that it waits for, sorted; WorkflowError for a result that does not exist."""
        return sorted({word for word, _ in self._words(name)})

    def words(self, name: str) -> list[tuple[str, str]]:
        """(task, result) in order; the result is empty for a bare task."""
        return self._words(name)

    def _words(self, name: str) -> list[tuple[str, str]]:
        found = []
        for match in _WORD.finditer(self.written(name)):
            task, _, result = match[0].partition(".")
            if result and result not in RESULTS:
                raise WorkflowError(f"task result '{result}' for task '{task}' is invalid")
            found.append((task, result))
        return found

    def logic(self, name: str) -> str:
        """The condition with bare tasks spelled out."""
        return _WORD.sub(lambda word: word[0] if "." in word[0] else self._spelled(word[0]), self.written(name))

    def _spelled(self, task: str) -> str:
        results = ["Succeeded", "Skipped", "Daemoned"]
        goes_on = self.tasks.get(task, {}).get("continueOn") or {}
        if goes_on.get("error"):
            results.append("Errored")
        if goes_on.get("failed"):
            results.append("Failed")
        return f"({' || '.join(f'{task}.{result}' for result in results)})"

    @cached_property
    def leaves(self) -> list[str]:
        """Tasks that nobody waits for, sorted."""
        awaited = {word for name in self.tasks for word in self.dependencies(name)}
        return sorted(name for name in self.tasks if name not in awaited)


def holds(logic: str, results: Mapping[str, Mapping[str, bool]]) -> bool:
    """Whether a spelled out condition holds for the results of tasks, as `outcome` gives them."""
    variables = {name.replace("-", "_"): dict(found) for name, found in results.items()}
    text = logic.replace("-", "_")
    try:
        found = expressions.evaluate(text, variables)
    except WorkflowError as error:
        raise WorkflowError(f"unable to evaluate expression '{text}': {error.message}") from error
    if not isinstance(found, bool):
        raise WorkflowError(f"unable to cast expression result '{found}' to bool")
    return found


def outcome(node: Node, items: Iterable[Node] | None = None) -> dict[str, bool]:
    """What a task's node is, result by result; `items` of a loop."""
    phase = node.get("phase")
    several = None if items is None else [item.get("phase") for item in items]
    return {
        "Succeeded": phase == phases.SUCCEEDED,
        "Failed": phase == phases.FAILED,
        "Errored": phase == phases.ERROR,
        "Skipped": phase == phases.SKIPPED,
        "Omitted": phase == phases.OMITTED,
        "Daemoned": bool(node.get("daemoned") and phase != phases.PENDING),
        "AnySucceeded": several is not None and phases.SUCCEEDED in several,
        "AllFailed": bool(several) and all(one == phases.FAILED for one in several or ()),
    }
