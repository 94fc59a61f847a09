"""`keryx lint PATH…`: manifests checked with the rules of `keryx run --check`, each object by itself. Contract: G.6.

What is not an EventBus, EventSource or Sensor is left out, unless one of them was meant. Nothing is looked up in other
files or in a cluster, as with Argo Events' own command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from events.app import documents
from events.app.documents import Document
from events.app.objects import Loader
from events.errors import UserError
from events.problems import Problem, Severity
from events.resources import API_VERSION

KINDS = ("EventBus", "EventSource", "Sensor")
_SUFFIXES = (".yaml", ".yml")
_GROUP = API_VERSION.partition("/")[0]
Render = Callable[[Sequence["Checked"]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Checked:
    """One object, or a file that cannot be read (`kind` is empty then), with what is wrong with it."""

    file: str
    kind: str
    problems: tuple[Problem, ...]
    number: int = 0
    """Which document of its file it is; 0 when it is the only one."""

    @property
    def errors(self) -> list[Problem]:
        """Those that refuse the object."""
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]


def check(paths: Iterable[Path], *, is_deep: bool) -> list[Checked]:
    """All objects of files and folders; `is_deep`: and of their subfolders."""
    checked: list[Checked] = []
    for path in paths:
        try:
            files = [file for file in documents.files([path], is_deep=is_deep) if file == path or _is_manifest(file)]
        except UserError as error:
            checked.append(Checked(str(path), "", (Problem("", error.message, file=str(path)),)))
            continue
        for file in files:
            checked += _check_file(file)
    return checked


def _is_manifest(file: Path) -> bool:
    return file.suffix in _SUFFIXES


def _check_file(file: Path) -> Iterator[Checked]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield Checked(str(file), "", (Problem("", f"cannot be read: {error}", file=str(file)),))
        return
    yield from check_text(str(file), text)


def check_text(file: str, text: str) -> Iterator[Checked]:
    """All objects of one file's text."""
    found, problems = documents.parse(file, text)
    ours = [document for document in found if _is_ours(document.raw)]
    # A list or a text is somebody else's, and so are keys given twice where nothing is ours; but what cannot be read
    # may be anything.
    problems = [problem for problem in problems if problem.message != documents.NOT_AN_OBJECT]
    if problems and (ours or not found):
        yield Checked(file, "", tuple(problems))
    for document in ours:
        kind, number = document.raw.get("kind"), document.number if len(found) > 1 else 0
        found_problems = tuple(problems_of(document))
        if kind in KINDS or found_problems:
            yield Checked(file, kind if isinstance(kind, str) else "Object", found_problems, number)


def _is_ours(raw: Mapping[str, Any]) -> bool:
    """An object of ours, or one that may have been meant as one."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    return kind in KINDS or (isinstance(version, str) and version.startswith(f"{_GROUP}/"))


def problems_of(document: Document) -> list[Problem]:
    """The problems of one object. A generated name is as good as a name here."""
    metadata = document.raw.get("metadata")
    if isinstance(metadata, dict) and not metadata.get("name") and metadata.get("generateName"):
        document = replace(document, raw=document.raw | {"metadata": metadata | {"name": metadata["generateName"]}})
    loader = Loader()
    loader.take(document)
    return sorted(loader.problems, key=lambda problem: (problem.line, problem.column))


def exit_code(checked: Iterable[Checked], *, is_strict: bool) -> int:
    """1 with any error, or any problem at all when warnings count, too."""
    return int(any(one.problems if is_strict else one.errors for one in checked))


# ---- how it is shown


def text(checked: Sequence[Checked]) -> Iterator[str]:
    """For people: Argo Events' lines, with the place of each problem."""
    for one in checked:
        where = f"{one.file} (document {one.number})" if one.number else one.file
        if one.errors:
            yield f"✗ {where}: {one.kind} validation failed" if one.kind else f"✗ {where}: cannot be checked"
        elif one.problems:
            yield f"! {where}: {one.kind} is valid, with warnings" if one.kind else f"! {where}: warnings"
        else:
            yield f"✓ {where}: {one.kind} is valid"
        for problem in one.problems:
            yield f"  {problem.severity.value.title()}: {_sentence(problem)}"


def _sentence(problem: Problem) -> str:
    place = f"{problem.line}:{problem.column}: " if problem.line else ""
    return place + str(replace(problem, file="", object=""))


def as_json(checked: Sequence[Checked]) -> Iterator[str]:
    """For programs: one list of problems."""
    listed = [
        {
            "file": problem.file,
            "document": one.number or 1,
            "line": problem.line,
            "column": problem.column,
            "object": problem.object,
            "path": problem.path,
            "severity": problem.severity.value,
            "message": problem.message,
            "cure": problem.cure,
        }
        for one in checked
        for problem in one.problems
    ]
    # Unpaired surrogates, which a manifest in JSON may hold, cannot be printed as they are.
    yield json.dumps(listed, indent=2)


def github(checked: Sequence[Checked]) -> Iterator[str]:
    """For GitHub Actions: workflow commands, which it shows beside the lines of a pull request."""
    for one in checked:
        for problem in one.problems:
            fields = {"file": problem.file, "title": problem.object}
            if problem.line:
                fields |= {"line": str(problem.line), "col": str(problem.column)}
            shown = ",".join(
                f"{key}={_property(fields[key])}" for key in ("file", "line", "col", "title") if fields.get(key)
            )
            message = str(replace(problem, file="", object=""))
            yield f"::{problem.severity.value} {shown}::{_data(message)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


FORMATS: Mapping[str, Render] = MappingProxyType({"github": github, "json": as_json, "text": text})
