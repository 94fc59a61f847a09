"""The two things callers hold: a compiled `Path`, and a `Document` that several paths are read from."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import orjson

from events.paths import plain
from events.paths.result import Kind, Result, missing
from events.paths.syntax import expression
from events.paths.walk import evaluate


class Path:
    """A dotted path, compiled once and used for every event."""

    def __init__(self, text: str) -> None:
        """InvalidPath when the path is too long."""
        self.text = text
        self.parts = plain.parts_of(text)
        self._expression = expression(text)
        self._scanner = plain.Scanner(self.parts) if self.parts else None
        self._used = False

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    @property
    def is_plain(self) -> bool:
        """Keys and indexes only: `lookup` works."""
        return bool(self.parts)

    def get(self, document: str) -> Result:
        """What the path leads to in a raw document; InvalidPath when path or document are too deep or too large."""
        # Compiling the regular expression costs milliseconds: not for a path that is read once.
        if self._scanner is not None and self._used:
            result = self._scanner.find(document)
            if result is not None:
                return result
        self._used = True
        return evaluate(document, self._expression)

    def lookup(self, tree: Any) -> Any:
        """The value of a plain path in parsed JSON, or MISSING; of a key that was there twice, the last value."""
        return plain.lookup(tree, self.parts) if self.parts else plain.MISSING


class Document:
    """One JSON text that several paths are read from, parsed at most once.

    Plain paths are answered from the parsed tree when the text is exactly what orjson writes for that tree: then no key
    was there twice and no number was spelled in another way. Otherwise, and for all other paths, from the text.
    Results of the tree carry no `index`.
    """

    def __init__(self, text: str, tree: Any = plain.MISSING) -> None:
        """`tree`: the text, when it was parsed before."""
        self.text, self._tree = text, tree

    def get(self, path: Path) -> Result:
        """What the path leads to; the same as `path.get(self.text)`."""
        if path.parts and self._canonical is not None:
            return _from_canonical(plain.lookup(self._canonical, path.parts))
        return path.get(self.text)

    @cached_property
    def _canonical(self) -> Any:
        """The tree, or None when it could answer differently from the text."""
        try:
            tree = orjson.loads(self.text) if self._tree is plain.MISSING else self._tree
            return tree if orjson.dumps(tree) == self.text.encode() else None
        except (ValueError, TypeError):  # not JSON, lone surrogates; nested deeper than orjson reads or writes
            return None


_LITERALS = {True: (Kind.TRUE, "true"), False: (Kind.FALSE, "false"), None: (Kind.NULL, "null")}


def _from_canonical(value: Any) -> Result:
    if value is plain.MISSING:
        return missing()
    if value is None or isinstance(value, bool):
        return Result(*_LITERALS[value])
    raw = orjson.dumps(value).decode()
    if isinstance(value, str):
        return Result(Kind.STRING, raw)
    return Result(Kind.JSON if isinstance(value, dict | list) else Kind.NUMBER, raw)


@lru_cache(maxsize=512)
def compile_path(text: str) -> Path:
    """The path, compiled; the same text gives the same object while it is in use."""
    return Path(text)


def read(document: str, path: str) -> Result:
    """What a path leads to in a raw JSON document."""
    return compile_path(path).get(document)
