"""Manifests from files and folders: YAML documents, each with the place it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events import yamls
from events.errors import UserError
from events.problems import Problem

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Document:
    """One object as written. `name` is `Kind/name`, for people."""

    file: str
    raw: dict[str, Any]

    @property
    def name(self) -> str:
        """`Kind/name` as far as they are there."""
        metadata = self.raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return f"{self.raw.get('kind', '?')}/{name or '?'}"


def files(paths: Iterable[Path]) -> list[Path]:
    """The files that `paths` mean: files as they are, folders with their manifests below, hidden ones left out.

    UserError when a path does not exist.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(_below(path)))
        elif path.exists():
            found[path] = None
        else:
            raise UserError("no such file or folder", path=str(path))
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(path)
        elif path.suffix in _SUFFIXES:
            yield path


def read(paths: Iterable[Path]) -> tuple[list[Document], list[Problem]]:
    """The documents of all files, and what could not be read; a bad file does not hide the others."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in files(paths):
        try:
            loaded = yamls.load_all(path.read_text(encoding="utf-8"))
        except (UserError, OSError, UnicodeDecodeError) as error:
            problems.append(Problem("", f"cannot be read: {error}", file=str(path)))
            continue
        for raw in loaded:
            if not isinstance(raw, dict):
                problems.append(
                    Problem("", "a document is not an object", "a map with apiVersion, kind, metadata", file=str(path))
                )
            elif raw.get("kind") == "List" and isinstance(raw.get("items"), list):
                documents += [Document(str(path), item) for item in raw["items"] if isinstance(item, dict)]
            else:
                documents.append(Document(str(path), raw))
    return documents, problems
