"""Manifests from files and folders: YAML documents, each with the place it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from events import yaml_positions, yamls
from events.errors import UserError
from events.problems import Problem, Severity, join

NOT_AN_OBJECT = "a document is not an object"
_SUFFIXES = (".yaml", ".yml", ".json")


class _Places:
    """Where the fields of a file stand; read again for them only when somebody asks."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._roots: list[yaml_positions.Node] | None = None

    def find(self, number: int, within: str, path: str) -> yaml_positions.Place:
        """The place of a field of the document of that number; `within` is where its object begins."""
        if self._roots is None:
            self._roots = yaml_positions.documents(self._text)
        if number > len(self._roots):
            return yaml_positions.NOWHERE
        return yaml_positions.find(self._roots[number - 1], join(within, path))


def _nowhere(_path: str) -> yaml_positions.Place:
    return yaml_positions.NOWHERE


@dataclass(frozen=True, slots=True)
class Document:
    """One object as written. `name` is `Kind/name`, for people."""

    file: str
    raw: dict[str, Any]
    place: Callable[[str], yaml_positions.Place] = _nowhere
    """Line and column of a field path."""
    number: int = 1
    """Which document of its file it is."""

    def located(self, problem: Problem) -> Problem:
        """A problem of this object with object, file, line and column."""
        line, column = self.place(problem.path)
        return replace(problem, object=self.name, file=self.file, line=line, column=column)

    @property
    def name(self) -> str:
        """`Kind/name` as far as they are there."""
        metadata = self.raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return f"{self.raw.get('kind', '?')}/{name or '?'}"


def files(paths: Iterable[Path], without: Path | None = None, *, is_deep: bool = True) -> list[Path]:
    """The files that `paths` mean: files as they are, folders with their manifests below, hidden ones left out.

    `is_deep`: with those of their subfolders. `without` is a folder of ours in which there are none. UserError when a
    path does not exist or cannot be listed.
    """
    found: dict[Path, Path] = {}
    seen = {without.resolve()} if without else set()
    for path in paths:
        try:
            listed = list(_below(path, seen, is_deep=is_deep)) if path.is_dir() else [path]
        except OSError as error:
            raise UserError(f"cannot be listed: {error.strerror}", path=str(error.filename)) from error
        if not path.exists():
            raise UserError("no such file or folder", path=str(path))
        for file in listed:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _below(folder: Path, seen: set[Path], *, is_deep: bool) -> Iterator[Path]:
    """The manifests below a folder, each folder once: links may lead round in circles."""
    if (place := folder.resolve()) in seen:
        return
    seen.add(place)
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if is_deep:
                yield from _below(path, seen, is_deep=True)
        elif path.suffix in _SUFFIXES:
            yield path


def read(paths: Iterable[Path], without: Path | None = None) -> tuple[list[Document], list[Problem]]:
    """The documents of all files, and what could not be read; a bad file does not hide the others."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in files(paths, without):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem("", f"cannot be read: {error}", file=str(path)))
            continue
        found, wrong = parse(str(path), text)
        documents += found
        problems += wrong
    return documents, problems


def parse(file: str, text: str) -> tuple[list[Document], list[Problem]]:
    """The documents of one file's text, and what is wrong with it."""
    twice: list[str] = []
    try:
        loaded = yamls.load_all(text, on_duplicate=twice.append)
    except UserError as error:
        line, column, reason = yamls.split_place(str(error))
        return [], [Problem("", f"cannot be read: {reason}", file=file, line=line, column=column)]
    documents: list[Document] = []
    problems: list[Problem] = []
    for message in twice:
        line, column, reason = yamls.split_place(message)
        problems.append(Problem("", reason, severity=Severity.WARNING, file=file, line=line, column=column))
    places = _Places(text)
    for number, raw in enumerate(loaded, 1):
        if not isinstance(raw, dict):
            line, column = places.find(number, "", "")
            cure = "a map with apiVersion, kind, metadata"
            problems.append(Problem("", NOT_AN_OBJECT, cure, file=file, line=line, column=column))
        elif raw.get("kind") == "List" and isinstance(raw.get("items"), list):
            for index, item in enumerate(raw["items"]):
                if isinstance(item, dict):
                    place = partial(places.find, number, f"items[{index}]")
                    documents.append(Document(file, item, place, number))
        else:
            documents.append(Document(file, raw, partial(places.find, number, ""), number))
    return documents, problems
