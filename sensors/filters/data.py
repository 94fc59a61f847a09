"""Values of an event's data compared with lists of values. Contract: sensors A.5.2.

Everything that depends on the object alone is worked out once; what is wrong with it is said when an event comes to it,
because a filter that passes before that point decides without it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from events import paths, regexes
from events.errors import FilterError, InvalidPath, ParameterError, UserError
from events.event import Event
from events.paths import Document, Kind, Result
from events.paths.result import quoted
from events.problems import Problems, did_you_mean
from sensors.filters.verdict import PASSED, Verdict, combined, shown, undecided
from sensors.types import DataFilter

TYPES = ("bool", "number", "string")
Matches = Callable[[Any], bool]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        ">=": operator.ge,
        ">": operator.gt,
        "=": operator.eq,
        "": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
    }
)
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))

_D = "[0-9](?:_?[0-9])*"
_H = "[0-9a-f](?:_?[0-9a-f])*"
_FLOAT = re.compile(
    rf"(?P<decimal>[+-]?(?:{_D}(?:\.(?:{_D})?)?|\.{_D})(?:e[+-]?{_D})?)"
    rf"|(?P<hex>[+-]?0x(?:_?{_H}(?:\.(?:{_H})?)?|\.{_H})p[+-]?{_D})"
    r"|[+-]?inf(?:inity)?|nan",
    re.IGNORECASE | re.ASCII,
)
# A pattern without any special character but anchors at its ends needs no regular expression.
_LITERAL = re.compile(r"(\^?)([^\\^$.|?*+()\[\]{}]*)(\$?)")
_PLAIN_WORD = re.compile(r"[\w/.-]+")
_EXACT_WORDS = frozenset(("main", "master", "develop", "dev", "prod", "production", "stage", "staging"))
_EXACT_FIELDS = frozenset(
    ("branch", "defaultbranch", "environment", "ref", "refname", "sourcebranch", "tag", "targetbranch")
)


class DataFilters:
    """The data filters of one dependency, combined by and (all of them) or or (any of them)."""

    def __init__(self, specs: Sequence[DataFilter], *, is_either: bool) -> None:
        self._comparisons = tuple(Comparison(f"data[{i}]", spec) for i, spec in enumerate(specs))
        self._is_either = is_either

    def check(self, event: Event) -> Verdict:
        """Whether the data passes; an event without data does."""
        if not self._comparisons or event.data is None:
            return PASSED
        document = readable(event)
        if document is None:
            return undecided("data", "the data is not JSON")
        return combined(self._comparisons, document, "data", is_either=self._is_either)


class Comparison:
    """One value of the data compared with a list, of which any may match."""

    def __init__(self, where: str, spec: DataFilter) -> None:
        self._where, self._spec = f"{where} {spec.path}", spec
        self._error = ""
        self._form: Callable[[Result], Any] = _FORMS.get(spec.type, _text)
        self._matches: tuple[Matches, ...] = ()
        self._render: Callable[[Any], str] | None = None
        try:
            self._path = paths.compile_path(spec.path)
        except InvalidPath as error:
            self._path, self._error = paths.compile_path(""), str(error)
            return
        if spec.template:
            try:
                self._render = _template(spec.template)
            except UserError as error:
                self._error = f"template: {error}"
                return
        if spec.type not in TYPES:
            self._error = f"unknown type {spec.type!r}"
        elif not spec.value:
            self._error = "there is no value to compare with"
        else:
            self._matches = tuple(_lenient(spec.type, spec.comparator, value) for value in spec.value)

    def difference(self, document: Document) -> str:
        """Nothing when the value in a document matches, else how it differs; FilterError when that cannot be said."""
        try:
            found = document.get(self._path)
            if not found.exists:
                raise FilterError("there is no such value in the data")
            if self._error:
                raise FilterError(self._error)
            if self._render is not None:
                found = _rendered(self._render, found)
            value = self._form(found)
            for matches in self._matches:
                if matches(value):
                    return ""
        except (FilterError, InvalidPath, ParameterError) as error:
            raise FilterError(f"{self._where}: {error}") from error
        return f"{self._where}: {self._explain(found)}"

    def _explain(self, found: Result) -> str:
        spec = self._spec
        text = shown(found.text)
        if spec.type != "string":
            sign = spec.comparator if spec.type == "number" and spec.comparator not in ("", "=") else ""
            wanted = " or ".join(spec.value)
            return f"{text or 'null'} is not {sign}{' ' if sign else ''}{wanted}"
        if spec.comparator == "!=":
            return f"{text!r} matches {' and '.join(spec.value)}"
        if spec.comparator not in ("", "="):
            return f"strings cannot be compared with {spec.comparator}"
        if len(spec.value) == 1:
            return f"{text!r} does not match {spec.value[0]}"
        return f"{text!r} matches none of {', '.join(spec.value)}"


def _template(text: str) -> Callable[[Any], str]:
    # Only now: most filters have no template, and the library takes 200 ms to load.
    from events import templates

    return templates.compile(text).render


def _rendered(render: Callable[[Any], str], found: Result) -> Result:
    """What a template makes of a value: a string."""
    from events.templates import rendered_or_none

    text = rendered_or_none(render(found.text))
    if text is None:
        raise FilterError("the template gives nothing")
    return Result(Kind.STRING, quoted(text))


def readable(event: Event) -> Document | None:
    """The data of an event, to read paths from; None when it is not JSON."""
    document = event.document()
    if document is None and paths.is_valid(text := event.text()):
        return Document(text)
    return document


# What is compared.


def _text(found: Result) -> str:
    return found.text


def _number(found: Result) -> float:
    if found.kind is not Kind.STRING:
        return found.number
    parsed = parse_float(found.text)
    return 0.0 if parsed is None else parsed


def _bool(found: Result) -> bool:
    if found.kind is Kind.STRING:
        return found.text.lower() in _TRUE
    return found.kind is Kind.TRUE or (found.kind is Kind.NUMBER and found.number != 0)


_FORMS: Mapping[str, Callable[[Result], Any]] = MappingProxyType({"bool": _bool, "number": _number, "string": _text})


def parse_float(text: str) -> float | None:
    """A number as Go's ParseFloat reads it (underscores, hexadecimal, infinity), None when it is not one."""
    form = _FLOAT.fullmatch(text)
    if form is None:
        return None
    if form["hex"]:
        try:
            return float.fromhex(text.replace("_", ""))
        except OverflowError:
            return float("-inf" if text[0] == "-" else "inf")
    return float(text)


# What it is compared with.


def _lenient(kind: str, comparator: str, value: str) -> Matches:
    """A matcher that fails when it is reached, if it cannot be compiled."""
    try:
        return matcher(kind, comparator, value)
    except UserError as error:
        message = str(error)

        def fail(_value: Any) -> bool:
            raise FilterError(message)

        return fail


def matcher(kind: str, comparator: str, value: str) -> Matches:
    """A test for values of one type; UserError when `value` does not fit the type."""
    if kind == "number":
        return _number_matcher(comparator, value)
    return _bool_matcher(value) if kind == "bool" else _string_matcher(comparator, value)


def _bool_matcher(value: str) -> Matches:
    if value not in _TRUE and value not in _FALSE:
        raise UserError(f"{value!r} is not a bool", cure="write true or false")
    wanted = value in _TRUE
    return lambda found: bool(found is wanted)


def _number_matcher(comparator: str, value: str) -> Matches:
    wanted = parse_float(value)
    if wanted is None or (wanted in (float("inf"), float("-inf")) and "inf" not in value.lower()):
        raise UserError(f"{value!r} is not a number", cure="write it without spaces, such as 42 or 2.5")
    compare = _COMPARISONS.get(comparator)
    return _never if compare is None else lambda found: compare(found, wanted)


def _never(_value: Any) -> bool:
    return False


def _string_matcher(comparator: str, pattern: str) -> Matches:
    search = _search(pattern)
    if comparator in ("", "="):
        return search
    return (lambda text: not search(text)) if comparator == "!=" else _never


def _search(pattern: str) -> Matches:
    """An unanchored search for an RE2 pattern."""
    if literal := _LITERAL.fullmatch(pattern):
        start, text, end = literal.groups()
        if start and end:
            return lambda found: bool(found == text)
        if start:
            return lambda found: bool(found.startswith(text))
        return (lambda found: bool(found.endswith(text))) if end else lambda found: text in found
    try:
        search = regexes.compile(pattern).search
    except ValueError as error:
        raise UserError(f"pattern {pattern!r}: {error}", cure="patterns are RE2") from None
    return lambda text: search(text.encode("utf-8", "replace")) is not None


def is_exact_looking(path: str, value: str) -> bool:
    """Whether a pattern without anchors reads as if the whole value was meant.

    Kept narrow, because most plain patterns do what their authors want: references of git, branches, environments.
    """
    if not _PLAIN_WORD.fullmatch(value):
        return False
    field = path.rpartition(".")[2].lower().replace("_", "").replace("-", "")
    return value.startswith("refs/") or value in _EXACT_WORDS or field in _EXACT_FIELDS


def validate(specs: Sequence[DataFilter], problems: Problems) -> None:
    """Contract D.15, and values that cannot be compared."""
    for index, spec in enumerate(specs):
        _validate_one(spec, problems.at(f"data[{index}]"))


def _validate_one(spec: DataFilter, problems: Problems) -> None:
    for field in ("path", "type", "value"):
        if not getattr(spec, field):
            problems.error(field, "required")
    if spec.comparator not in _COMPARISONS:
        problems.error("comparator", f"unknown comparator {spec.comparator!r}", "one of >= > = != < <=")
    if spec.template:
        try:
            _template(spec.template)
        except UserError as error:
            problems.error("template", error.message, error.cure)
    if spec.path:
        try:
            paths.compile_path(spec.path)
        except InvalidPath as error:
            problems.error("path", str(error))
    if spec.type and spec.type not in TYPES:
        cure = did_you_mean(spec.type, TYPES) or f"one of {', '.join(TYPES)}"
        problems.warn("type", f"unknown type {spec.type!r}: no event can pass", cure)
    else:
        _validate_values(spec, problems)


def _validate_values(spec: DataFilter, problems: Problems) -> None:
    for index, value in enumerate(spec.value):
        if not value:
            problems.error(f"value[{index}]", "required", "to match an empty string write ^$")
            continue
        try:
            matcher(spec.type, spec.comparator, value)
        except UserError as error:
            # A number or bool that is none fails for each event, as upstream; another value may match before it.
            say = problems.error if spec.type == "string" else problems.warn
            say(f"value[{index}]", error.message, error.cure)
            continue
        if spec.type == "string" and spec.comparator in ("", "=", "!=") and is_exact_looking(spec.path, value):
            message = f"{value!r} is looked for anywhere in the text: it also matches '{value}-2'"
            problems.warn(f"value[{index}]", message, f"write ^{re.escape(value)}$ for this value only")
    if spec.comparator == "!=" and len(set(spec.value)) > 1 and spec.type != "bool":
        message = "any of the values may differ, so with several of them nearly every event passes"
        problems.warn("value", message, "write one filter for each value")
    if spec.type == "string" and spec.comparator not in ("", "=", "!="):
        problems.warn("comparator", f"strings cannot be compared with {spec.comparator}: no event can pass")
    if spec.type == "bool" and spec.comparator not in ("", "="):
        problems.warn("comparator", f"{spec.comparator} counts as = for a bool", "swap true and false instead")
