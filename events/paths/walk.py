"""Reading: takes an `Expression` through a raw document to its `Result`.

One place where depth is counted: every step down, every pipe and every nested path is one of `MAX_STEPS`, so neither a
hostile document nor a hostile path can use up the stack.
"""

from __future__ import annotations

from dataclasses import replace

from events.errors import InvalidPath
from events.paths import modifiers, query, scan
from events.paths.result import UNKNOWN, Kind, Result, found, missing, parse, unquoted
from events.paths.syntax import Element, Expression, Key, Literal, Modifier, Multipath, Query

MAX_STEPS = 128


def evaluate(text: str, path: Expression, steps: int = 0) -> Result:
    """What the path leads to in the text; positions are relative to this text."""
    computed = False
    while True:
        steps = _counted(steps)
        head = path.head
        if head is None:
            walk = _Walk(text, steps)
            walk.start(path)
            if walk.pipe is None:
                return replace(walk.value, index=UNKNOWN, indexes=()) if computed else walk.value
            text, path, computed = walk.value.raw, walk.pipe, True
            continue
        computed = True
        text = _computed(text, head, steps)
        if head.rest is None:
            outcome = parse(text)
            return replace(outcome, index=UNKNOWN)
        path = head.rest


def _counted(steps: int) -> int:
    if steps >= MAX_STEPS:
        raise InvalidPath(f"path or document nested too deep: {MAX_STEPS} steps are allowed")
    return steps + 1


def _computed(text: str, head: Modifier | Literal | Multipath, steps: int) -> str:
    if isinstance(head, Literal):
        return head.raw
    if isinstance(head, Modifier):
        if head.name == "dig":
            return _dig(text, Expression(head.argument), steps)
        return modifiers.apply(head.name, text, head.argument)
    parts = modifiers.Builder()
    for name, path in head.selectors:
        value = evaluate(text, path, steps)
        if value.exists:
            parts.add(f"{name}:{value.raw}" if head.opening == "{" else value.raw)
    return parts.joined(head.opening)


def _dig(text: str, path: Expression, steps: int) -> str:
    """What the path leads to from the value and from everything inside it, outermost first."""
    parts = modifiers.Builder()
    pending = [(0, text, steps)]
    while pending:
        start, whole, depth = pending.pop()
        depth = _counted(depth)
        here = parse(whole[start : scan.end_of_value(whole, start)] if depth > steps + 1 else whole)
        value = evaluate(here.raw, path, depth)
        if value.exists:
            parts.add(value.raw)
        if here.kind is Kind.JSON:
            pending.extend([(begin, here.raw, depth) for begin, _ in modifiers.values(here.raw)][::-1])
    return parts.joined("[")


class _Walk:
    """One way through one text; methods say whether the search is over."""

    def __init__(self, text: str, steps: int) -> None:
        self.text, self.steps = text, steps
        self.value = missing()
        self.pipe: Expression | None = None

    def start(self, path: Expression) -> None:
        if path.lines is not None:
            self.array(0, path.lines, self.steps)
            return
        begin = len(self.text) - len(self.text.lstrip(" \t\n\r"))
        self.enter(begin, path, self.steps)

    def enter(self, begin: int, path: Expression, steps: int) -> bool:
        first = self.text[begin : begin + 1]
        if first == "{":
            return self.object(begin + 1, path, steps)
        return first == "[" and self.array(begin + 1, path, steps)

    def object(self, inside: int, path: Expression, steps: int) -> bool:
        steps = _counted(steps)
        key: Key = path.key
        self.pipe = key.pipe or self.pipe
        name, matches, rest = key.name, key.matches, key.rest
        for quoted, begin, end in scan.members(self.text, inside, ends=rest is None):
            plain = quoted[1:-1] if "\\" not in quoted else unquoted(quoted)
            if not (matches(plain) if matches else plain == name):
                continue
            if rest is None:
                self.value = found(self.text, begin, end)
                return True
            # A member that leads nowhere does not end the search: another may match the wildcard, or have the same key.
            if self.enter(begin, rest, steps):
                return True
        return False

    def array(self, inside: int, path: Expression, steps: int) -> bool:
        steps = _counted(steps)
        element: Element = path.element
        if element.collect is not None:
            self.collect(inside, element.collect, steps)
            self.pipe = element.pipe or self.pipe
            return True
        if element.query is not None:
            if element.rest is None:
                self.pipe = element.pipe or self.pipe
            return self.query(inside, element.query, element, steps)
        self.pipe = element.pipe or self.pipe
        if element.counts:
            count = sum(1 for _ in scan.elements(self.text, inside))
            self.value = Result(Kind.NUMBER, str(count))
            return True
        return element.index >= 0 and self.index(inside, element, steps)

    def index(self, inside: int, element: Element, steps: int) -> bool:
        elements = scan.elements(self.text, inside, ends=element.rest is None)
        for position, (begin, end) in enumerate(elements):
            if position == element.index:
                if element.rest is not None:
                    return self.enter(begin, element.rest, steps)
                self.value = found(self.text, begin, end)
                return True
        return False

    def collect(self, inside: int, path: Expression, steps: int) -> None:
        parts, indexes = modifiers.Builder(), []
        for begin, end in scan.elements(self.text, inside):
            value = evaluate(self.text[begin:end], path, steps)
            if value.exists:
                parts.add(value.raw)
                indexes.append(value.index + begin if value.index >= 0 else UNKNOWN)
        self.value = Result(Kind.JSON, parts.joined("["), indexes=tuple(indexes))

    def query(self, inside: int, wanted: Query, element: Element, steps: int) -> bool:
        parts, indexes = modifiers.Builder(), []
        for begin, end in scan.elements(self.text, inside):
            here = found(self.text, begin, end)
            if not self.accepts(wanted, here, steps):
                continue
            value = here
            if element.rest is not None:
                self.pipe = element.pipe or self.pipe
                value = evaluate(here.raw, element.rest, steps)
                if value.index >= 0:
                    value = replace(value, index=value.index + begin)
                value = replace(value, indexes=tuple(at + begin for at in value.indexes if at >= 0))
            if not wanted.every:
                self.value = value
                return True
            if value.exists:
                parts.add(value.raw)
                indexes.append(value.index)
        if wanted.every and not self.value.exists:
            self.value = Result(Kind.JSON, parts.joined("["), indexes=tuple(indexes))
        return False

    def accepts(self, wanted: Query, here: Result, steps: int) -> bool:
        if wanted.left is None:
            return query.accepts(wanted.operator, wanted.right, here if here.kind is not Kind.JSON else missing())
        if here.kind is not Kind.JSON:
            return False
        return query.accepts(wanted.operator, wanted.right, evaluate(here.raw, wanted.left, steps))
