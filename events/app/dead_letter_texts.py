"""Dead letters as a person or a program reads them: the output of `keryx dlq`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import orjson

from eventbus import dead_letters
from eventbus.dead_letters import DeadLetter, Head, Listed
from events import rawjson
from events.event import Event, now_text

_HEADINGS: tuple[str, ...] = ("ID", "SENSOR", "TRIGGER", "REASON", "AGE", "TRIES", "REDRIVES", "ERROR")
_CELL = 60
"""Characters of a column."""

# ---- for a person


class Table:
    """Letters as lines of columns, as many at a time as there are; the first line has the headings."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._widths = [0] * len(_HEADINGS)
        self._is_begun = False

    def lines(self, letters: Iterable[Head]) -> Iterator[str]:
        """The next lines."""
        rows = [] if self._is_begun else [_HEADINGS]
        rows += [self._row(letter) for letter in letters]
        self._is_begun = True
        self._widths = [max(width, *map(len, cells)) for width, *cells in zip(self._widths, *rows, strict=True)]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)).rstrip()

    def _row(self, letter: Head) -> tuple[str, ...]:
        names = (printable(letter.id), _cell(letter.sensor), _cell(letter.trigger), _cell(letter.reason))
        counts = (age(letter.failed_at, self._now), str(letter.attempts), str(letter.redrives))
        return (*names, *counts, _cell(letter.detail))


def age(moment: datetime, now: datetime) -> str:
    """`45s`, `12m`, `3h`, `9d`."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def description(letter: DeadLetter, now: datetime) -> Iterator[str]:
    """All of a letter, for a person."""
    rows = [
        ("ID", letter.id),
        ("Sensor", letter.sensor),
        ("Trigger", letter.trigger),
        ("Reason", letter.reason),
        ("Error", letter.detail),
        ("Failed", f"{letter.failed_at:%Y-%m-%d %H:%M:%S} UTC, {age(letter.failed_at, now)} ago"),
        ("Attempts", str(letter.attempts)),
        ("Redrives", str(letter.redrives)),
        ("Firing", letter.firing_id),
        ("Cannot be redriven", dead_letters.obstacle(letter)),
    ]
    for name, value in rows:
        if value:
            yield f"{name}: {printable(value)}"
    for dependency, event in letter.events.items():
        yield ""
        yield from _event(dependency, letter.sequences.get(dependency, 0), event)
    if letter.raw is not None:
        yield ""
        yield f"On the bus, which is no event ({len(letter.raw)} bytes):"
        yield _indented(_text(letter.raw))


def _event(dependency: str, sequence: int, event: Event) -> Iterator[str]:
    yield f"Event of dependency {printable(dependency)}" + (f", number {sequence} of the bus:" if sequence else ":")
    rows = [
        ("id", event.id),
        ("source", event.source),
        ("subject", event.subject),
        ("type", event.type),
        ("time", event.time),
        *((name, str(value)) for name, value in event.extensions.items()),
    ]
    for name, value in rows:
        if value:
            yield f"  {printable(name)}: {printable(value)}"
    if event.data is not None:
        yield f"  data ({event.datacontenttype or 'no type'}, {len(event.data)} bytes):"
        yield _indented(_text(event.data))


def _text(data: bytes) -> str:
    """Data for a person: JSON in lines where that changes no number in it, text as it is, else base64."""
    try:
        tree = orjson.loads(data)
        if orjson.dumps(tree) == rawjson.compact(data):
            data = orjson.dumps(tree, option=orjson.OPT_INDENT_2)
    except ValueError:
        pass
    try:
        return printable(data.decode(), keep="\n\t")
    except UnicodeDecodeError:
        return f"base64: {base64.b64encode(data).decode()}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def printable(text: str, keep: str = "") -> str:
    """Without what a terminal would take as an order: it may come from anywhere."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape", "replace").decode() for one in text
    )


def _cell(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _CELL else f"{line[: _CELL - 1]}…"


# ---- for a program


def document(letter: Listed | DeadLetter) -> bytes:
    """A letter as one JSON object; data that is JSON is there as it was written."""
    shown: dict[str, Any] = {
        "id": letter.id,
        "namespace": letter.namespace,
        "sensor": letter.sensor,
        "trigger": letter.trigger,
        "kind": letter.kind,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "failedAt": now_text(letter.failed_at),
        "firingID": letter.firing_id,
        "sequences": dict(letter.sequences),
        "dependencies": letter.dependencies,
        "canRedrive": not dead_letters.obstacle(letter),
    }
    if isinstance(letter, DeadLetter):
        shown["events"] = {dependency: _members(event) for dependency, event in letter.events.items()}
        if letter.raw is not None:
            shown["raw"] = base64.b64encode(letter.raw).decode()
    return orjson.dumps(shown)


def _members(event: Event) -> dict[str, Any]:
    """An event as CloudEvents have it in JSON."""
    attributes = {
        "specversion": event.specversion,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
        "time": event.time,
    }
    members: dict[str, Any] = {name: value for name, value in attributes.items() if value} | dict(event.extensions)
    if event.data is not None:
        try:
            orjson.loads(event.data)
            members["data"] = orjson.Fragment(event.data)
        except ValueError:
            members["data_base64"] = base64.b64encode(event.data).decode()
    return members
