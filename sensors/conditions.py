"""Step 9. Which sets of dependencies make a trigger fire: names, `&&`, `||`, parentheses. Contract: sensors B.1, B.2.

Upstream hands the text to two expression languages that were made for something else, and takes whatever they make of
it; here is a parser for the documented language, so that everything else is refused where its author looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from events.errors import UserError
from events.problems import Problems, did_you_mean

RESERVED = frozenset(("not", "in", "and", "or", "true", "false", "matches", "contains", "startsWith", "endsWith"))
_MAX_DEPTH = 50
_NAME = re.compile(r"[^\W\d_][\w-]*")
_TOKEN = re.compile(r"\s*(&&|\|\||[()]|[^\W\d_][\w-]*|$)")
_RULE = "use the names of dependencies, && and ||, and parentheses"
_CURES = {
    "and": "write &&",
    "or": "write ||",
    "not": "conditions cannot say that an event is absent",
    "!": "conditions cannot say that an event is absent",
    "&": "write &&",
    "|": "write ||",
    ",": "write && or ||",
}

Satisfied = Callable[[AbstractSet[str]], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """The conditions of one trigger, compiled."""

    normalised: str
    """The expression without spaces."""
    dependencies: tuple[str, ...]
    """The names in it, each once, in order of first appearance: the only events this trigger takes."""
    is_stateful: bool
    """Whether events have to wait for others; if not, each fires alone."""
    satisfied_by: Satisfied
    """Whether this set of names makes the trigger fire."""


def compile(expression: str | None, dependency_names: Sequence[str]) -> Condition:
    """A condition over these dependencies, all of them when there is no expression; UserError when it is not one."""
    text = expression if expression and expression.strip() else ""
    known = frozenset(dependency_names)
    if not text:
        if not dependency_names:
            raise UserError("there are no dependencies", cure="name at least one event to wait for")
        for name in dependency_names:
            check_name(name, known)
        text = "&&".join(dependency_names)
    tokens = _tokens(text)
    satisfied = _Parser(tokens, known).parse()
    names = dict.fromkeys(token for token in tokens if token in known)
    normalised = "".join(tokens)
    return Condition(normalised, tuple(names), "&" in normalised, satisfied)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            rest = text[at:].lstrip()
            column = len(text) - len(rest) + 1
            raise UserError(f"{rest[0]!r} at column {column} has no meaning here", cure=_CURES.get(rest[0], _RULE))
        at = found.end()
        if found[1]:
            tokens.append(found[1])
    return tokens


class _Parser:
    """Recursive descent over the tokens; `&&` binds tighter than `||`."""

    def __init__(self, tokens: Sequence[str], known: AbstractSet[str]) -> None:
        self._tokens, self._known = tokens, known
        self._at = self._depth = 0

    def parse(self) -> Satisfied:
        satisfied = self._either()
        if self._next:
            raise self._unexpected("after a complete condition")
        return satisfied

    @property
    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _skip(self, token: str) -> bool:
        if self._next != token:
            return False
        self._at += 1
        return True

    def _either(self) -> Satisfied:
        parts = [self._both()]
        while self._skip("||"):
            parts.append(self._both())
        return _any_of(parts)

    def _both(self) -> Satisfied:
        parts = [self._one()]
        while self._skip("&&"):
            parts.append(self._one())
        return _all_of(parts)

    def _one(self) -> Satisfied:
        if self._skip("("):
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise UserError(f"more than {_MAX_DEPTH} parentheses inside each other")
            satisfied = self._either()
            self._depth -= 1
            if not self._skip(")"):
                raise self._unexpected("where a parenthesis should close")
            return satisfied
        name = self._next
        if not name or not _NAME.fullmatch(name):
            raise self._unexpected("where a dependency should be named")
        check_name(name, self._known)
        self._at += 1
        return _one_of(name)

    def _unexpected(self, place: str) -> UserError:
        token = self._next
        what = repr(token) if token else "nothing"
        return UserError(f"there is {what} {place}", cure=_CURES.get(token, _RULE))


def check_name(name: str, known: AbstractSet[str]) -> None:
    """UserError unless this is the name of one dependency, and of only one."""
    if name in RESERVED:
        cure = "rename the dependency" if name in known else _CURES.get(name, _RULE)
        raise UserError(f"{name!r} is a reserved word", cure=cure)
    if name not in known:
        cure = did_you_mean(name, known) or f"there are {', '.join(sorted(known))}"
        raise UserError(f"there is no dependency {name!r}", cure=cure)
    if _NAME.fullmatch(name) is None:
        cure = "rename the dependency: a letter, then letters, digits, - and _"
        raise UserError(f"{name!r} cannot stand in conditions", cure=cure)
    twins = [other for other in known if other != name and _folded(other) == _folded(name)]
    if twins:
        # Upstream takes them for the same name; an object must not change its meaning on the way here.
        raise UserError(f"{name!r} and {twins[0]!r} differ only in - and _", cure="rename one of them")


def _folded(name: str) -> str:
    return name.replace("-", "_")


class _Names:
    """A set of names, any or all of which must be there: what most conditions are."""

    def __init__(self, names: Iterable[str], *, is_any: bool) -> None:
        self.names, self.is_any = frozenset(names), is_any

    def __call__(self, present: AbstractSet[str]) -> bool:
        return not self.names.isdisjoint(present) if self.is_any else self.names <= present


def _one_of(name: str) -> Satisfied:
    return _Names((name,), is_any=False)


def _merged(parts: list[Satisfied], *, is_any: bool) -> tuple[frozenset[str], list[Satisfied]]:
    """The names that can be looked up together, and the parts that cannot."""
    names: frozenset[str] = frozenset()
    rest = []
    for part in parts:
        if isinstance(part, _Names) and (part.is_any == is_any or len(part.names) == 1):
            names |= part.names
        else:
            rest.append(part)
    return names, rest


def _all_of(parts: list[Satisfied]) -> Satisfied:
    if len(parts) == 1:
        return parts[0]
    names, rest = _merged(parts, is_any=False)
    if not rest:
        return _Names(names, is_any=False)
    return lambda present: names <= present and all(part(present) for part in rest)


def _any_of(parts: list[Satisfied]) -> Satisfied:
    if len(parts) == 1:
        return parts[0]
    names, rest = _merged(parts, is_any=True)
    if not rest:
        return _Names(names, is_any=True)
    return lambda present: not names.isdisjoint(present) or any(part(present) for part in rest)


def validate(expression: str | None, dependency_names: Sequence[str], problems: Problems) -> Condition | None:
    """What is wrong with the conditions of a trigger, at the place that `problems` stands for; else the conditions."""
    try:
        return compile(expression, dependency_names)
    except UserError as error:
        problems.error("", error.message, error.cure)
        return None
