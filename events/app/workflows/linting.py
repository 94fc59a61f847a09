"""`keryx wf lint`: files checked without a server. Contract: workflows M, N.3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from events import yamls
from events.errors import UserError
from events.local.workflows import validation
from events.local.workflows.errors import WorkflowError

_KINDS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


def lint(paths: list[Path], output: str, say: Callable[[str], None]) -> int:
    """Check; the exit code."""
    files = [(path, obj) for path in paths for path, obj in _objects(path)]
    templates, cluster = (
        {
            obj["metadata"]["name"]: obj
            for _, obj in files
            if obj["kind"] == kind and obj.get("metadata", {}).get("name")
        }
        for kind in ("WorkflowTemplate", "ClusterWorkflowTemplate")
    )
    count, last = 0, None
    for path, obj in files:
        meta = obj.get("metadata") or {}
        name = meta.get("name") or meta.get("generateName") or ""
        try:
            validation.check(obj, templates, cluster, is_lint=True)
        except WorkflowError as error:
            count += 1
            if output == "simple":
                say(f'{path}: in object "{name}" ({obj["kind"]}): {error.message}')
                continue
            if path != last:
                say(f"{path}:")
                last = path
            say(f'   ✖ in "{name}" ({obj["kind"]}): {error.message}')
    if output != "simple":
        say(f"✖ {count} linting errors found!" if count else "✔ no linting errors found!")
    return 1 if count else 0


def _objects(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The workflows of a file, or of all files below a folder."""
    files = (
        sorted(one for one in path.rglob("*") if one.suffix in (".yaml", ".yml", ".json")) if path.is_dir() else [path]
    )
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror}", cure="give the file of a workflow") from error
        for obj in yamls.load_all(text):
            if isinstance(obj, dict) and obj.get("kind") in _KINDS:
                yield file, obj


def workflows_of(path: Path) -> list[dict[str, Any]]:
    """The Workflows of a file, to be submitted."""
    return objects_of(path, "Workflow")


def objects_of(path: Path, kind: str) -> list[dict[str, Any]]:
    """The objects of a kind in a file, or in the files below a folder."""
    return [obj for _, obj in _objects(path) if obj["kind"] == kind]
