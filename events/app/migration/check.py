"""Objects of files or of a cluster, and what changes for each. Nothing is written anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from events.app import documents, verdicts
from events.app.migration.reading import Raw, mapping
from events.app.migration.rules import RULES
from events.errors import KeryxError, UserError
from events.kube.api import KubeApi
from events.problems import Problem
from events.resources import API_VERSION

UNKNOWN_FIELDS = "D3"
REFUSED = "refused"
_STRAY = ("unknown field", "belongs ")


@dataclass(frozen=True, slots=True)
class Change:
    """One departure that an object shows."""

    id: str
    path: str
    says: str
    refuses: bool = False
    """Whether the object would be refused at its next apply."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One object, or a file that cannot be read (`kind` is empty then)."""

    kind: str
    namespace: str
    name: str
    file: str
    changes: tuple[Change, ...]

    @property
    def title(self) -> str:
        """For people."""
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}" if self.kind else self.file


def of_object(raw: Raw, file: str = "") -> Checked:
    """What changes for one object."""
    kind, metadata = str(raw.get("kind")), mapping(raw.get("metadata"))
    found = [Change(rule.id, path, rule.says) for rule in RULES if kind in rule.kinds for path in rule.find(raw)]
    found += map(_refusal, verdicts.BY_KIND[kind](raw).errors)
    name = metadata.get("name") or metadata.get("generateName") or ""
    return Checked(kind, str(metadata.get("namespace") or ""), str(name), file, tuple(found))


def _refusal(problem: Problem) -> Change:
    cure = f" ({problem.cure})" if problem.cure else ""
    says = f"refused at the next apply; what is stored goes on as far as it can: {problem.message}{cure}"
    name = UNKNOWN_FIELDS if problem.message.startswith(_STRAY) else REFUSED
    return Change(name, problem.path, says, refuses=True)


def of_files(paths: Iterable[Path]) -> list[Checked]:
    """Objects of files and of folders with their subfolders."""
    checked: list[Checked] = []
    for path in paths:
        for file in documents.files([path], is_deep=True):
            if file != path and file.suffix not in (".yaml", ".yml"):
                continue
            try:
                found, problems = documents.parse(str(file), file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"cannot be read: {error}", path=str(file)) from error
            ours = [of_object(one.raw, str(file)) for one in found if _is_ours(one.raw)]
            unread = [Change(REFUSED, "", str(problem), refuses=True) for problem in problems]
            if unread and (ours or not found):
                checked.append(Checked("", "", "", str(file), tuple(unread)))
            checked += ours
    return checked


async def of_cluster(api: KubeApi, namespace: str | None) -> list[Checked]:
    """Objects of a cluster, or of one namespace; UserError when it cannot be read."""
    checked: list[Checked] = []
    for kind in verdicts.BY_KIND:
        try:
            resource = await api.resource(API_VERSION, kind)
            listed: dict[str, Any] = await api.list(resource, namespace=namespace)
        except KeryxError as error:
            raise UserError(
                f"{kind} objects cannot be listed: {error}", cure="look at --kubeconfig and its rights"
            ) from error
        # items of a list have neither kind nor version
        checked += [of_object({**one, "apiVersion": API_VERSION, "kind": kind}) for one in listed.get("items") or ()]
    return checked


def _is_ours(raw: Raw) -> bool:
    return raw.get("apiVersion") == API_VERSION and raw.get("kind") in verdicts.BY_KIND


def text(checked: Sequence[Checked]) -> Iterator[str]:
    """For people: an object, then its changes."""
    for one in checked:
        where = f"  [{one.file}]" if one.file and one.kind else ""
        yield f"{one.title}{where}"
        for change in one.changes:
            place = f"{change.path}: " if change.path else ""
            yield f"  {change.id:<14} {place}{change.says}"
        if not one.changes:
            yield "  nothing changes"
    refused = sum(any(change.refuses for change in one.changes) for one in checked)
    yield f"{len(checked)} objects, {refused} of them refused at their next apply; ids: docs/differences.md"


def as_json(checked: Sequence[Checked]) -> Iterator[str]:
    """For programs: a list of objects with their changes."""
    yield json.dumps([asdict(one) for one in checked], indent=2)


FORMATS = {"json": as_json, "text": text}
