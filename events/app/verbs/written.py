"""Objects as YAML, JSON or names, as they come: a list that is never in memory as a whole."""

from __future__ import annotations

import json
from typing import Any

from events import yamls
from events.app.verbs.screen import Screen
from events.kube.api import Object
from events.kube.discovery import Kind

FORMATS = ("yaml", "json", "name")
_NO_VERSION = {"resourceVersion": ""}


class Written:
    """One object, or a List of them. `end` closes what was begun."""

    def __init__(self, screen: Screen, form: str, *, is_list: bool, has_managed_fields: bool = False) -> None:
        self._screen, self._form, self._is_list = screen, form, is_list
        self._has_managed_fields = has_managed_fields
        self._count = 0

    def add(self, kind: Kind, obj: Object) -> None:
        """The next object; of a list they lack their kind."""
        if self._form == "name":
            self._screen.line(f"{kind.word}/{obj['metadata']['name']}")
            return
        given = {"apiVersion": kind.resource.api_version, "kind": kind.resource.kind}
        whole = shown({**given, **obj}, has_managed_fields=self._has_managed_fields)
        text = dumped(whole, self._form)
        if self._form == "json":
            self._add_json(text)
        else:
            self._add_yaml(text)
        self._count += 1

    def _add_json(self, text: str) -> None:
        if not self._is_list:
            self._screen.line(text)
            return
        start = ",\n" if self._count else '{\n    "apiVersion": "v1",\n    "items": [\n'
        self._screen.text(start + _indented(text, " " * 8))

    def _add_yaml(self, text: str) -> None:
        if not self._is_list:
            self._screen.text(f"---\n{text}" if self._count else text)
            return
        start = "" if self._count else "apiVersion: v1\nitems:\n"
        self._screen.text(f"{start}- {_indented(text, '  ').lstrip(' ')}")

    def end(self) -> None:
        """Nothing comes after this."""
        if not self._is_list or self._form == "name":
            return
        if not self._count:
            empty = {"apiVersion": "v1", "items": [], "kind": "List", "metadata": _NO_VERSION}
            self._screen.line(dumped(empty, self._form).rstrip("\n"))
        elif self._form == "json":
            rest = '\n    ],\n    "kind": "List",\n    "metadata": {\n        "resourceVersion": ""\n    }\n}'
            self._screen.line(rest)
        else:
            self._screen.line('kind: List\nmetadata:\n  resourceVersion: ""')


def shown(obj: Object, *, has_managed_fields: bool = False) -> Object:
    """An object without the bookkeeping that nobody reads."""
    metadata = obj.get("metadata")
    if has_managed_fields or not isinstance(metadata, dict):
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def dumped(obj: Any, form: str) -> str:
    """An object, or a part of one, as text, its fields in the order of their names; YAML ends with a new line."""
    if form == "json":
        return json.dumps(obj, indent=4, sort_keys=True, ensure_ascii=False)
    return yamls.dump(_sorted(obj))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _indented(text: str, indent: str) -> str:
    return "".join(f"{indent}{line}" if line.strip() else line for line in text.splitlines(keepends=True))
