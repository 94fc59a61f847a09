"""YAML as Kubernetes reads it: plain JSON data, dates stay text, aliases cannot blow up, errors name line and column.

Go's YAML is neither PyYAML's 1.1 nor 1.2 (`y` is true, `0o17` and `1e3` are numbers, `12:30` is text), so scalars are
resolved here; every row of the tests was checked against kubectl. Values are built from libyaml's events because its
node composer recurses in C: a few thousand open brackets end the process.
"""

from __future__ import annotations

import base64
import binascii
import copy
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from events.errors import UserError

MAX_DEPTH = 200
"""Nested collections; JSON writers and API servers give up at about this depth, too."""
MAX_ALIASED = 2_000_000
"""Characters that aliases may add to a document; an API server stores 1.5 MB."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_PLACE = re.compile(r"line ([0-9]+), column ([0-9]+): ")
_TAG = "tag:yaml.org,2002:"


def _nowhere(_message: str) -> None:
    """Duplicate keys are nobody's concern here."""


def load_all(text: str, *, on_duplicate: Callable[[str], None] = _nowhere) -> list[Any]:
    """The documents of `text` that are not empty, as plain JSON data; UserError with line and column.

    A key given twice counts as kubectl counts it, the last one wins; `on_duplicate` is told.
    """
    try:
        return [document for document in _documents(text, on_duplicate) if document is not None]
    except yaml.YAMLError as error:
        raise UserError(_explain(error)) from error
    except UnicodeError as error:
        raise UserError(f"not text: {error}") from error


def load_one(text: str, *, on_duplicate: Callable[[str], None] = _nowhere) -> Any:
    """The one document of `text`; UserError when there are none or several."""
    documents = load_all(text, on_duplicate=on_duplicate)
    if len(documents) != 1:
        raise UserError(f"{len(documents)} documents, one is expected" if documents else "is empty")
    return documents[0]


def split_place(message: str) -> tuple[int, int, str]:
    """Line, column and the rest of a message of this module; 0, 0 and all of it when it names no place."""
    found = _PLACE.match(message)
    return (int(found[1]), int(found[2]), message[found.end() :]) if found else (0, 0, message)


def dump(obj: Any) -> str:
    """`obj` as YAML that this module, PyYAML and Kubernetes read alike; key order kept, no aliases."""
    text: str = yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31 - 1)
    return text


def scalar(text: str) -> Any:
    """What a plain scalar means to Kubernetes: None, a bool, an int, a float or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        return _integer(digits)
    if _FLOAT.fullmatch(digits) and math.isfinite(number := float(digits)):
        # JSON written by Go has no 1.0: a float without fraction is an integer to every reader.
        return int(number) if number.is_integer() and abs(number) < 2**63 else number
    return text


def _integer(digits: str) -> int | float:
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits.removeprefix("+"))
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = f"0o{digits[1:]}"
    if len(digits) > 400:
        return sign * math.inf
    number = sign * int(digits, 0)
    return number if -(2**63) <= number < 2**64 else float(number)


@dataclass(slots=True)
class _Open:
    """A collection that is being read, with the characters and levels it will have when its aliases are expanded."""

    value: Any
    mark: Any
    anchor: str | None = None
    key: Any = None
    has_key: bool = False
    key_mark: Any = None
    weight: int = 2
    height: int = 1
    merged: list[Any] = field(default_factory=list)


class _Builder:
    """Makes plain data of the events of one document."""

    def __init__(self, on_duplicate: Callable[[str], None]) -> None:
        self._on_duplicate = on_duplicate
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._aliased = 0
        self.root: Any = None

    def take(self, event: Any) -> None:
        """The next event of the document."""
        if isinstance(event, yaml.ScalarEvent):
            weight = len(event.value) + 3
            value = _resolve(event)
            self._add(value, weight, 0, event, is_merge=event.value == "<<" and event.implicit[0])
            self._remember(event.anchor, value, weight, 0)
        elif isinstance(event, yaml.AliasEvent):
            self._add(*self._target(event), event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(self._stack) >= MAX_DEPTH:
                raise UserError(f"{_place(event.start_mark)}: more than {MAX_DEPTH} levels deep")
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._stack.append(_Open(value, event.start_mark, event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        for source in done.merged:
            for inner in source if isinstance(source, list) else [source]:
                if not isinstance(inner, dict):
                    raise UserError(f"{_place(done.mark)}: << takes a mapping or a list of mappings")
                done.value = inner | done.value
        self._add(done.value, done.weight, done.height, event)
        self._remember(done.anchor, done.value, done.weight, done.height)

    def _add(self, value: Any, weight: int, height: int, event: Any, *, is_merge: bool = False) -> None:
        if not self._stack:
            self.root = value
            return
        top = self._stack[-1]
        top.weight += weight
        top.height = max(top.height, height + 1)
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.has_key:
            top.key, top.has_key = (_MERGE if is_merge else _key(value, event)), True
            top.key_mark = event.start_mark
        else:
            top.has_key = False
            self._set(top, value)

    def _set(self, top: _Open, value: Any) -> None:
        if top.key is _MERGE:
            top.merged.append(value)
            return
        if top.key in top.value:
            self._on_duplicate(f"{_place(top.key_mark)}: {top.key!r} is given twice, the last one counts")
        top.value[top.key] = value

    def _remember(self, anchor: str | None, value: Any, weight: int, height: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, weight, height)

    def _target(self, event: Any) -> tuple[Any, int, int]:
        if any(opened.anchor == event.anchor for opened in self._stack):
            raise UserError(f"{_place(event.start_mark)}: anchor {event.anchor!r} contains itself")
        if event.anchor not in self._anchors:
            raise UserError(f"{_place(event.start_mark)}: no anchor {event.anchor!r} before this")
        value, weight, height = self._anchors[event.anchor]
        self._aliased += weight
        if len(self._stack) + height > MAX_DEPTH:
            raise UserError(f"{_place(event.start_mark)}: more than {MAX_DEPTH} levels deep")
        if self._aliased > MAX_ALIASED:
            raise UserError(f"{_place(event.start_mark)}: the aliases make this larger than {MAX_ALIASED} characters")
        # A copy, so that a change made in one place stays there.
        return copy.deepcopy(value), weight, height


_MERGE = object()


def _documents(text: str, on_duplicate: Callable[[str], None]) -> Iterator[Any]:
    builder = _Builder(on_duplicate)
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            builder = _Builder(on_duplicate)
        elif isinstance(event, yaml.DocumentEndEvent):
            yield builder.root
        else:
            builder.take(event)


def _resolve(event: Any) -> Any:
    """The value of a scalar: its tag decides, else its style, else its text."""
    text: str = event.value
    tag = (event.tag or "").removeprefix(_TAG)
    if tag == "binary":
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UserError(f"{_place(event.start_mark)}: !!binary is not base64 of text") from error
    is_plain = event.implicit[0] or tag in ("int", "float", "bool", "null")
    value = scalar(text) if is_plain else text
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{_place(event.start_mark)}: {text} is not a JSON number")
    return value


def _key(value: Any, event: Any) -> str:
    """A mapping's key as JSON has it, which is text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise UserError(f"{_place(event.start_mark)}: {value!r} cannot be a key")


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    return f"{_place(mark)}: {', '.join(part for part in parts if part) or 'not YAML'}"


class _Dumper(_DUMPER):  # type: ignore[misc]  # whichever of two classes there is
    """Quotes what any reader would not take for text; several lines become a block."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    if style is None and not isinstance(scalar(text), str):
        style = '"'
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _text)
