"""Tables as the server makes them, aligned as kubectl aligns them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from events.app.verbs.screen import Screen
from events.kube.api import Object
from events.kube.discovery import Kind

ACCEPT = ",".join(
    (*(f"application/json;as=Table;v={version};g=meta.k8s.io" for version in ("v1", "v1beta1")), "application/json")
)
_LEAST, _GAP = 6, 3
_BREAK = re.compile(r"[\f\n\r]")


@dataclass
class Columns:
    """Widths that grow with what was shown: what a watch adds stands under the first."""

    widths: list[int] = field(default_factory=list)

    def aligned(self, rows: Sequence[Sequence[str]]) -> Iterator[str]:
        """The rows as lines; the last column is as wide as its text."""
        for row in rows:
            for place, cell in enumerate(row[:-1]):
                if place == len(self.widths):
                    self.widths.append(_LEAST)
                self.widths[place] = max(self.widths[place], len(cell) + _GAP)
        for row in rows:
            yield "".join([*(cell.ljust(self.widths[place]) for place, cell in enumerate(row[:-1])), *row[-1:]])


@dataclass(frozen=True)
class Style:
    """How tables are shown."""

    is_wide: bool = False
    has_headers: bool = True
    has_namespaces: bool = False
    has_kinds: bool = False
    has_labels: bool = False


class Tables:
    """Tables of several kinds, one after the other."""

    def __init__(self, screen: Screen, style: Style) -> None:
        self._screen, self._style = screen, style
        self._kind: Kind | None = None
        self._columns, self._definitions = Columns(), list[Object]()
        self._has_namespaces = False
        self._waiting: list[list[str]] = []
        self._is_headed = False
        self.is_empty = True

    def add(self, kind: Kind, table: Object) -> None:
        """A page of rows; of the table nothing else is kept. They wait for `flush`, or for another kind."""
        if kind != self._kind:
            self.flush()
            # As kubectl's, the column stays once it is there.
            self._has_namespaces |= self._style.has_namespaces and kind.resource.namespaced
            self._kind, self._columns, self._definitions, self._is_headed = kind, Columns(), [], False
        self._waiting += self._rows(kind, table if table.get("kind") == "Table" else _plain(table))

    def flush(self) -> None:
        """Show what waits: aligned with itself, and with what was shown of the same kind right before."""
        rows, self._waiting = self._waiting, []
        if not rows or self._kind is None:
            return
        if self._style.has_headers and not self._is_headed:
            rows.insert(0, self._heading())
            if not self.is_empty:
                self._screen.line("")
        self._is_headed, self.is_empty = True, False
        for line in self._columns.aligned(rows):
            self._screen.line(line)
        self._screen.flush()

    def _heading(self) -> list[str]:
        names = [str(one["name"]).upper() for one in self._definitions if self._is_shown(one)]
        first = ["NAMESPACE"] if self._has_namespaces else []
        return [*first, *names, *(["LABELS"] if self._style.has_labels else [])]

    def _rows(self, kind: Kind, table: Object) -> Iterator[list[str]]:
        """A watch gives the definitions of columns once."""
        self._definitions = table.get("columnDefinitions") or self._definitions
        names = [place for place, one in enumerate(self._definitions) if one.get("format") == "name"]
        for row in table.get("rows") or []:
            metadata = (row.get("object") or {}).get("metadata") or {}
            cells = [_text(cell) for cell in row["cells"][: len(self._definitions)]]
            if self._style.has_kinds and names:
                cells[names[0]] = f"{kind.word}/{cells[names[0]]}"
            found = [cell for cell, one in zip(cells, self._definitions, strict=False) if self._is_shown(one)]
            if self._has_namespaces:
                found.insert(0, str(metadata.get("namespace") or ""))
            yield [*found, *([_labels(metadata)] if self._style.has_labels else [])]

    def _is_shown(self, definition: Object) -> bool:
        return self._style.is_wide or not definition.get("priority")


def lines(kind: Kind, table: Object) -> list[str]:
    """One table as lines; none for an empty one."""
    shown = _Lines()
    tables = Tables(shown, Style())
    tables.add(kind, table)
    tables.flush()
    return shown.found


class _Lines(Screen):
    """A screen that keeps what is shown."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def line(self, text: str) -> None:
        self.found.append(text)

    def flush(self) -> None:
        """Nothing waits."""


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    text = str(cell)
    found = _BREAK.search(text)
    return f"{text[: found.start()]}..." if found else text


def _labels(metadata: Object) -> str:
    labels = metadata.get("labels") or {}
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels)) or "<none>"


def _plain(answer: Object) -> Object:
    """A table for a server that makes none: names and times."""
    items = answer["items"] if isinstance(answer.get("items"), list) else [answer]
    definitions = [{"name": "Name", "format": "name"}, {"name": "Created At"}]
    rows = [
        {"cells": [one["metadata"]["name"], one["metadata"].get("creationTimestamp")], "object": one} for one in items
    ]
    return {"kind": "Table", "columnDefinitions": definitions, "rows": rows, "metadata": answer.get("metadata") or {}}
