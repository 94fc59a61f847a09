"""Selectors of queries, `labelSelector` and `fieldSelector`: read, checked against a kind, matched against objects.

Meaning and refusals are those of the API. The structured selectors inside objects (`matchLabels`) are in
`validation.selectors`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from events.local.apiserver import names
from events.local.apiserver.resources import Object, Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import causes

NAME, NAMESPACE = "metadata.name", "metadata.namespace"
_INT64 = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)
_LARGEST = (1 << 63) - 1


def _refused(says: str) -> StatusError:
    return StatusError(400, "BadRequest", says)


# Labels


@dataclass(frozen=True)
class Requirement:
    """One condition on one label. `operator` is `in`, `notin`, `=`, `==`, `!=`, `>`, `<`, `!` or `exists`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it."""
        value = labels.get(self.key)
        if self.operator in _EQUAL:
            return value is not None and value in self.values
        if self.operator in _UNEQUAL:
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        number, bound = _integer(value or ""), _integer(self.values[0])
        if number is None or bound is None:
            return False
        return number > bound if self.operator == ">" else number < bound

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        listed = ",".join(self.values)
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({listed})"
        return f"{self.key}{self.operator}{listed}"


_EQUAL, _UNEQUAL = frozenset({"in", "=", "=="}), frozenset({"notin", "!="})


def _integer(text: str) -> int | None:
    """A whole number of 64 bits."""
    if not _INT64.match(text):
        return None
    number = int(text)
    return number if -_LARGEST - 1 <= number <= _LARGEST else None


@dataclass(frozen=True)
class Labels:
    """A label selector: all its requirements, by key."""

    requirements: tuple[Requirement, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether it asks for nothing."""
        return not self.requirements

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(one.matches(labels) for one in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


@lru_cache(maxsize=512)
def labels(text: str) -> Labels:
    """Read a label selector. Raises `StatusError` 400 with what a real server says."""
    return Labels(tuple(sorted(_Reader(text).requirements(), key=lambda one: one.key)))


_END, _WORD = "end", "word"
_TOKEN = re.compile(r"[ \t\r\n]*(?:(?P<sign>==|!=|[=!(),<>])|(?P<word>[^ \t\r\n=!(),<>\0]+)\0?|(?P<end>\0|\Z))")
_SIGNS = {"in", "notin", "=", "==", "!=", ">", "<"}


class _Reader:
    """The grammar, one token ahead. `in` and `notin` are words everywhere but after a key."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._place = 0
        place, kind = 0, ""
        while kind != _END:
            found = _TOKEN.match(text, place)
            assert found is not None  # every character is one of the three
            place = found.end()
            literal = found["sign"] or found["word"] or ""
            kind = _END if found["end"] is not None else _WORD if found["word"] else literal
            self._tokens.append((kind, literal))

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._place]

    def _take(self) -> tuple[str, str]:
        found = self._tokens[self._place]
        self._place += 1
        return found

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        kind, literal = self._next()
        if kind == _END:
            return found
        if kind not in (_WORD, "!"):
            raise _refused(f"found '{literal}', expected: !, identifier, or 'end of string'")
        while True:
            found.append(self._requirement())
            kind, literal = self._take()
            if kind == _END:
                return found
            if kind != ",":
                raise _refused(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._next()
            if kind not in (_WORD, "!"):
                raise _refused(f"found '{literal}', expected: identifier after ','")

    def _wrong(self, says: str) -> StatusError:
        return _refused(f"unable to parse requirement: {says}")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        is_absent = kind == "!"
        if is_absent:
            kind, key = self._take()
        if kind != _WORD:
            raise self._wrong(f"found '{key}', expected: identifier")
        if wrong := names.qualified_name(key):
            raise self._wrong(_said(causes.invalid("", key, "; ".join(wrong))))
        if is_absent:
            return Requirement(key, "!")
        if self._next()[0] in (_END, ","):
            return Requirement(key, "exists")
        _, operator = self._take()
        if operator not in _SIGNS:
            raise self._wrong(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._list() if operator in ("in", "notin") else self._exact()
        self._check(key, operator, values)
        return Requirement(key, operator, values)

    def _list(self) -> tuple[str, ...]:
        kind, literal = self._take()
        if kind != "(":
            raise self._wrong(f"found '{literal}' expected: '('")
        kind, literal = self._next()
        if kind == ")":
            self._take()
            return ("",)
        if kind not in (_WORD, ","):
            raise self._wrong(f"found '{literal}', expected: ',', ')' or identifier")
        found: set[str] = set()
        while True:
            kind, literal = self._take()
            ahead, next_literal = self._tokens[min(self._place, len(self._tokens) - 1)]
            if kind == _WORD:
                found.add(literal)
                if ahead not in (",", ")"):
                    raise self._wrong(f"found '{next_literal}', expected: ',' or ')'")
            elif kind == ",":
                if not found or ahead in (",", ")"):
                    found.add("")
            else:
                raise self._wrong(f"found '{literal}', expected: ',', or identifier")
            if ahead == ")":
                self._take()
                return tuple(sorted(found))

    def _exact(self) -> tuple[str, ...]:
        if self._next()[0] in (_END, ","):
            return ("",)
        kind, literal = self._take()
        if kind != _WORD:
            raise self._wrong(f"found '{literal}', expected: identifier")
        return (literal,)

    def _check(self, key: str, operator: str, values: tuple[str, ...]) -> None:
        found: list[str] = []
        if operator in "<>" and _integer(values[0]) is None:
            says = "for 'Gt', 'Lt' operators, the value must be an integer"
            found.append(_said(causes.invalid("values[0]", values[0], says)))
        for index, value in enumerate(values):
            if wrong := names.label_value(value):
                found.append(_said(causes.invalid(f"values[{index}][{key}]", value, "; ".join(wrong))))
        if found:
            raise self._wrong(found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _said(cause: causes.Cause) -> str:
    return f"{cause['field']}: {cause['message']}"


# Fields


@dataclass(frozen=True)
class Term:
    """One field and the value that it must have, or must not have."""

    field: str
    value: str
    is_equal: bool = True

    def __str__(self) -> str:
        value = re.sub(r"[\\,=]", lambda found: f"\\{found[0]}", self.value)
        return f"{self.field}{'=' if self.is_equal else '!='}{value}"


@dataclass(frozen=True)
class Fields:
    """A field selector: all its terms. A field that an object lacks is empty."""

    terms: tuple[Term, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether it asks for nothing."""
        return not self.terms

    @cached_property
    def name(self) -> str:
        """The one `metadata.name` that it asks for, or nothing."""
        return next((one.value for one in self.terms if one.is_equal and one.field == NAME), "")

    def matches(self, values: Mapping[str, str]) -> bool:
        """Whether an object with these values (see `values`) is selected."""
        return all((values.get(one.field, "") == one.value) is one.is_equal for one in self.terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


_PIECE = re.compile(r"(?:\\.|[^\\,]|\\\Z)*", re.DOTALL)
_SIGN = re.compile(r"!=|==|=")


@lru_cache(maxsize=512)
def fields(text: str) -> Fields:
    """Read a field selector. Raises `StatusError` 400 with what a real server says."""
    found: list[Term] = []
    for piece in sorted(_pieces(text)):
        if not piece:
            continue
        sign = _SIGN.search(piece)
        if sign is None:
            raise _refused(f"invalid selector: '{text}'; can't understand '{piece}'")
        term = Term(piece[: sign.start()], _plain(piece[sign.end() :]), sign[0] != "!=")
        if term.field or term.value:
            found.append(term)
    return Fields(tuple(found))


def _pieces(text: str) -> list[str]:
    """The text cut at commas that are not escaped."""
    found: list[str] = []
    place = 0
    while place <= len(text):
        piece = _PIECE.match(text, place)
        assert piece is not None  # it may be empty
        found.append(piece[0])
        place = piece.end() + 1
    return found


def _plain(text: str) -> str:
    """A value without its escapes."""
    found: list[str] = []
    characters = iter(text)
    for character in characters:
        if character in ",=":
            raise _refused(f"invalid field selector: unescaped character in value: {ord(character)}")
        if character == "\\":
            escaped = next(characters, "")
            if not escaped or escaped not in "\\,=":
                raise _refused(f"invalid field selector: invalid escape sequence: \\{escaped}")
            character = escaped
        found.append(character)
    return "".join(found)


# Fields of kinds

_EVENTS = "events.k8s.io"
_NEW_WORDS = {"involvedObject": "regarding", "reportingComponent": "reportingController"}
_READ_FROM = {("batch", "Job", "status.successful"): "status.succeeded"}
_NUMBERS, _FLAGS = (
    frozenset({"status.replicas", "status.successful"}),
    frozenset({"spec.hostNetwork", "spec.unschedulable"}),
)
_NEVER = frozenset({"status.podIPs"})
"""Fields that may be selected, but that no object has."""


@dataclass(frozen=True)
class _Known:
    """What may be selected of a kind: the words of a query, each with the one that `values` has."""

    words: Mapping[str, str]
    refusal: Callable[[str], str]
    reads: tuple[tuple[str, Callable[[Object], Any], str], ...]


_KNOWN: WeakKeyDictionary[Resource, _Known] = WeakKeyDictionary()


def _known(resource: Resource) -> _Known:
    found = _KNOWN.get(resource)
    if found is None:
        found = _KNOWN[resource] = _learn(resource)
    return found


def _learn(resource: Resource) -> _Known:
    own = [path.removeprefix(".") for path in resource.selectable]
    words = {NAME: NAME, **{name: name for name in own}}
    is_plain = not resource.is_custom and not (own and resource.group in ("", _EVENTS, "batch"))
    if resource.namespaced or is_plain:
        words[NAMESPACE] = NAMESPACE
    if resource.group == _EVENTS:
        words = {_in_new_words(word): name for word, name in words.items()}
    if (resource.group, resource.kind) == ("", "Pod"):
        words["spec.host"] = "spec.nodeName"
    reads = []
    for name in own:
        if name not in _NEVER:
            path = _READ_FROM.get((resource.group, resource.kind, name), name)
            zero = "" if resource.is_custom else "0" if name in _NUMBERS else "false" if name in _FLAGS else ""
            reads.append((name, _reader(path), zero))
    return _Known(words, _refusal(resource, is_plain=is_plain), tuple(reads))


def _in_new_words(name: str) -> str:
    first, dot, rest = name.partition(".")
    return f"{_NEW_WORDS.get(first, first)}{dot}{rest}"


def _refusal(resource: Resource, *, is_plain: bool) -> Callable[[str], str]:
    if is_plain:
        return lambda name: f'{causes.quoted(name)} is not a known field selector: only "{NAME}", "{NAMESPACE}"'
    if (resource.group, resource.kind) == ("batch", "Job"):
        return lambda name: f"field label {causes.quoted(name)} not supported for Job"
    return lambda name: f"field label not supported: {name}"


def _reader(path: str) -> Callable[[Object], Any]:
    *parents, last = path.split(".")

    def read(it: Object) -> Any:
        for name in parents:
            it = it.get(name) or {}
            if not isinstance(it, dict):
                return None
        return it.get(last)

    return read


def checked(selector: Fields, resource: Resource) -> Fields:
    """The selector in the words that `values` uses for the kind.

    Raises `StatusError` 400 for a field that cannot be selected, in the words of that kind.
    """
    known = _known(resource)
    for one in selector.terms:
        if one.field not in known.words:
            raise _refused(known.refusal(one.field))
    return Fields(tuple(Term(known.words[one.field], one.value, one.is_equal) for one in selector.terms))


def values(resource: Resource, it: Object) -> dict[str, str]:
    """The selectable fields of an object, as texts; what it lacks is empty."""
    metadata = it["metadata"]
    found = {NAME: metadata.get("name", ""), NAMESPACE: metadata.get("namespace", "")}
    known = _known(resource)
    if resource.storage == "events":
        return found | _of_event(known, it)
    for name, read, zero in known.reads:
        value = read(it)
        found[name] = zero if value is None else value if isinstance(value, str) else causes.shown(value)
    return found


def _of_event(known: _Known, it: Object) -> dict[str, str]:
    """Events are selected by the words of `v1`, whichever they are written in."""
    if "regarding" in it or "reportingController" in it:
        from events.local.apiserver.validation.builtin import events

        it = events.converted(it, "v1")
    found = {name: read(it) or "" for name, read, _ in known.reads}
    source = (it.get("source") or {}).get("component")
    return {**found, "source": source or it.get("reportingComponent") or ""}
