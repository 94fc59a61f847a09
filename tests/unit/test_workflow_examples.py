"""Workflows inside published sensors and inside our examples are carried out to their end by the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.workflow_world import WorkflowWorld

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared/upstream-examples"
NOT_GIVEN = "invalid spec: templates.print-message inputs.parameters.message was not supplied"
MISTAKES = {"sensors/multi-dependencies.yaml": NOT_GIVEN}
"""Its template has an input that nobody gives; Argo Workflows refuses it with the same words."""


def workflows(obj: Any) -> Iterator[dict[str, Any]]:
    """Those inside an object, also in texts, such as those of a ConfigMap."""
    if isinstance(obj, dict):
        if obj.get("kind") == "Workflow" and "templates" in (obj.get("spec") or {}):
            yield obj
        else:
            for value in obj.values():
                yield from workflows(value)
    elif isinstance(obj, list):
        for value in obj:
            yield from workflows(value)
    elif isinstance(obj, str) and "kind: Workflow" in obj:
        yield from workflows(list(yaml.safe_load_all(obj)))


def ended(workflow: dict[str, Any]) -> dict[str, Any]:
    """The status when all pods do well and parameters without a value are an event's data."""
    workflow["metadata"] = {"name": "w"}
    for one in (workflow["spec"].get("arguments") or {}).get("parameters") or ():
        one.setdefault("value", '{"a":1}')
    world = WorkflowWorld({"workflow": workflow, "outcomes": {"*": [{"phase": "Succeeded", "result": "out"}]}})
    world.play()
    return dict(world.workflow["status"])


def judged(folder: Path) -> tuple[int, dict[str, str]]:
    """How many there are, and what those say that did not succeed."""
    count, said = 0, {}
    for path in sorted(folder.rglob("*.yaml")):
        for one in workflows(list(yaml.safe_load_all(path.read_text()))):
            count += 1
            status = ended(one)
            if status["phase"] != "Succeeded":
                said[str(path.relative_to(folder))] = status["message"]
    return count, said


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs shared/upstream-examples")
def test_published_workflows_run_but_for_those_that_are_wrong() -> None:
    count, said = judged(PUBLISHED)
    assert count > 50
    assert said == MISTAKES


def test_workflows_of_our_examples_run() -> None:
    count, said = judged(ROOT / "examples")
    assert count >= 3
    assert said == {}
