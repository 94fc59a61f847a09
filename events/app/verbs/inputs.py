"""Objects of files, folders and stdin, in an order in which they can be made."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events.app import documents
from events.app.documents import Document
from events.app.verbs.screen import Screen
from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object
from events.problems import Problem, Severity

STDIN = "-"
_FIRST = {"Namespace": 0, "CustomResourceDefinition": 1}
_UNKNOWN = re.compile(r'unknown field "([^"]+)"')
_TYPED = re.compile(r"^ *(?:failed to create typed patch object \(.*?\): )?\.(\S+): (.+)$", re.MULTILINE)
"""What server-side apply says of fields: `.spec.containers[name="a"].imge: field not declared in schema`."""
_ELEMENT = re.compile(r"\[([^]]*=[^]]*)\]")
_UNDECLARED = "field not declared in schema"
_MISSPELLED = "is it misspelled, or in the wrong place?"


@dataclass
class Inputs:
    """What could be read, and what could not."""

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def tell(self, screen: Screen) -> int:
        """Say what could not be read; 1 when there is such a thing."""
        for problem in self.problems:
            screen.note(f"{'Warning' if problem.severity is Severity.WARNING else 'keryx'}: {problem}")
        return int(any(problem.severity is Severity.ERROR for problem in self.problems))


def read(files: Sequence[str], *, is_deep: bool) -> Inputs:
    """All objects; namespaces and definitions of kinds before what lives in them. Blocks.

    UserError when nothing can be found there at all.
    """
    found = Inputs()
    for file in files:
        if file.startswith(("http://", "https://")):
            raise UserError("files only", path=file, cure=f"curl -fsSL {file} | keryx apply -f -")
        if file == STDIN:
            _take(found, "stdin", sys.stdin.buffer.read())
            continue
        for path in documents.files([Path(file)], is_deep=is_deep):
            try:
                content = path.read_bytes()
            except OSError as error:
                found.problems.append(Problem("", f"cannot be read: {error.strerror}", file=str(path)))
                continue
            _take(found, str(path), content)
    for document in list(found.documents):
        if wrong := _incomplete(document.raw):
            found.problems.append(document.located(wrong))
            found.documents.remove(document)
    if not found.documents and not found.problems:
        raise UserError("there is no object in it", path=" ".join(files), cure="give files with objects by -f")
    found.documents.sort(key=lambda one: _FIRST.get(one.raw["kind"], len(_FIRST)))
    return found


def _take(found: Inputs, file: str, content: bytes) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found.problems.append(Problem("", f"cannot be read: it is not UTF-8: {error.reason}", file=file))
        return
    parsed, problems = documents.parse(file, text)
    found.documents += parsed
    found.problems += problems


def _incomplete(raw: Object) -> Problem | None:
    for name in ("apiVersion", "kind"):
        if not isinstance(raw.get(name), str) or not raw[name]:
            return Problem(name, "required", "every object says its apiVersion and kind")
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        return Problem("metadata", "required", "a map with at least a name")
    for name in ("name", "generateName", "namespace"):
        if (metadata.get(name) and not isinstance(metadata[name], str)) or metadata.get(name) is False:
            return Problem(f"metadata.{name}", f"{metadata[name]!r} is not text", "put it in quotes")
    if not (metadata.get("name") or metadata.get("generateName")):
        return Problem("metadata.name", "required")
    return None


def word(obj: Object, fallback: Object | None = None) -> str:
    """`sensor.argoproj.io/webhook`."""
    source = {**(fallback or {}), **obj}
    group, slash, _ = source["apiVersion"].partition("/")
    metadata = source["metadata"]
    name = metadata.get("name") or f"{metadata.get('generateName')}…"
    return f"{source['kind'].lower()}{f'.{group}' if slash else ''}/{name}"


def problems(document: Document, error: ActionError, told: str) -> list[Problem]:
    """What a server refused, field by field where it names fields, with the place in the file."""
    found: list[Problem] = []
    if isinstance(error, KubeError):
        causes = [one for one in error.details.get("causes") or [] if isinstance(one, dict) and one.get("field")]
        found = [Problem(one["field"], one.get("message") or error.message) for one in causes]
        found = found or [Problem(path, "unknown field", _MISSPELLED) for path in _UNKNOWN.findall(error.message)]
        found = found or [
            Problem(_numbered(document.raw, path), "unknown field", _MISSPELLED)
            if message == _UNDECLARED
            else Problem(_numbered(document.raw, path), message)
            for path, message in _TYPED.findall(error.message)
        ]
    return [document.located(one) for one in found or [Problem("", told)]]


def _numbered(raw: Object, path: str) -> str:
    """A path whose elements have numbers where the server names them by their keys."""
    while found := _ELEMENT.search(path):
        several: Any = raw
        for step in re.findall(r"[^.\[\]]+", path[: found.start()]):
            several = _inside(several, step)
        keys = dict(pair.partition("=")[::2] for pair in found[1].split(","))
        for place, one in enumerate(several if isinstance(several, list) else []):
            if isinstance(one, dict) and all(str(one.get(key) or "") == keys[key].strip('"') for key in keys):
                path = f"{path[: found.start()]}[{place}]{path[found.end() :]}"
                break
        else:
            return path[: found.start()]
    return path


def _inside(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    is_there = isinstance(value, list) and step.isdecimal() and int(step) < len(value)
    return value[int(step)] if is_there else None


def home(document: Document, given: str, namespace: str) -> str:
    """The namespace an object goes to; UserError when it says another one than the command."""
    own = document.raw["metadata"].get("namespace")
    if own and given and own != given:
        message = f"the object says the namespace {own!r}, the command {given!r}"
        where = document.located(Problem("metadata.namespace", message, f"leave one of them away, or give -n {own}"))
        raise UserError(str(where))
    return str(own or namespace)
