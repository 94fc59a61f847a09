"""What every area shares: a recorded case, our answer to it, and how the two are compared.

An area is a module with `run(case) -> Outcome`. Most say `judge(case, answer, INTENTS)`, where `answer` is what our
public functions make of the input and `INTENTS` maps a flaw id to a rule: from the case to what we want instead.
"""

from __future__ import annotations

import base64
import enum
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from events.errors import KeryxError
from events.event import Event, decode

ROOT = Path(__file__).parents[2]
DIFFERENCES = ROOT / "docs" / "differences.md"
SINGLE_CASES = "## Single cases"


@dataclass(frozen=True)
class Case:
    """One line of a file: an input and what upstream answered."""

    id: str
    area: str
    input: dict[str, Any]
    expect: dict[str, Any]
    flaw: str = ""

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]


@dataclass(frozen=True)
class Error:
    """Not a value: an error, of whatever words."""

    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"error: {self.text}" if self.text else "error"


class Verdict(enum.Enum):
    """How a case ended."""

    SAME = "as upstream"
    BY_FLAW = "departure by flaw"
    BY_CASE = "departure by case"
    NOT_COVERED = "not covered yet"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """The end of one case, with what there is to say about it."""

    verdict: Verdict
    expected: Any = None
    got: Any = None
    is_excusable: bool = True
    """Whether a row of docs/differences.md may explain a failure."""


class NotCovered(Exception):
    """This version has not got what the case is about."""


Intent = Callable[[Case], Any]
AS_UPSTREAM: Any = object()
"""What an intent says when upstream's answer is right for this input."""


def recorded(case: Case) -> Any:
    """Upstream's answer; a crash counts as an error."""
    if "panic" in case.expect:
        return Error(case.expect["panic"])
    return case.expect["value"] if case.expect["ok"] else Error(case.expect["error"])


def judge(case: Case, got: Any, intents: Mapping[str, Intent] | None = None, *, wanted: Any = AS_UPSTREAM) -> Outcome:
    """Compare an answer with the intent, where the case shows a flaw, else with what upstream said."""
    upstream = recorded(case) if wanted is AS_UPSTREAM else wanted
    intent = (intents or {}).get(case.flaw)
    expected = intent(case) if intent else AS_UPSTREAM
    if expected is AS_UPSTREAM or same(expected, upstream):
        return Outcome(Verdict.SAME if same(got, upstream) else Verdict.FAILED, upstream, got)
    return Outcome(Verdict.BY_FLAW if same(got, expected) else Verdict.FAILED, expected, got)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def slim(value: Any) -> Any:
    """Without what upstream's encoder adds or leaves out: nulls, empty values, zeros and false."""
    if isinstance(value, dict):
        slimmed = {key: slim(one) for key, one in value.items()}
        return {key: one for key, one in slimmed.items() if one not in (None, "", [], {}, 0, False)}
    return [slim(one) for one in value] if isinstance(value, list) else value


def attempt(answer: Callable[[], Any]) -> Any:
    """An answer, or the error that it ended in."""
    try:
        return answer()
    except KeryxError as error:
        return Error(str(error))


def payload(raw: Mapping[str, Any]) -> bytes | None:
    """The data of an event, or of a message, as the corpus writes it."""
    if "data_base64" in raw:
        return base64.b64decode(raw["data_base64"])
    return raw["data"].encode() if "data" in raw else None


def event(raw: Mapping[str, Any]) -> Event:
    """An event of an input, read from the bus."""
    members = {name: value for name, value in raw["context"].items() if value}
    data = payload(raw)
    if data is not None:
        members["data_base64"] = base64.b64encode(data).decode()
    return decode(json.dumps(members).encode())


def events(case: Case) -> dict[str, Event]:
    """The events of a case, by dependency."""
    return {name: event(raw) for name, raw in (case.input.get("events") or {}).items()}


def text(data: bytes | None) -> Any:
    """Bytes as results have them: text, or base64 when they are none."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def read(path: Path) -> Iterator[Case]:
    """The cases of a file, which may be gzipped."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                identity, area = row["id"], row["area"]
                if "/" not in identity:  # the cases of workflows: areas such as `validate` are others' names, too
                    identity, area = f"workflows/{identity}", f"workflows.{area}"
                yield Case(identity, area, row["input"], row["expect"], row.get("flaw", ""))


def as_bytes(value: Any) -> bytes:
    """What `text` was given."""
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()


@dataclass(frozen=True)
class Differences:
    """What docs/differences.md says: ids of its rows, and the cases it lists one by one."""

    ids: frozenset[str]
    cases: frozenset[str]


@cache
def differences() -> Differences:
    """The document, read."""
    general, _, single = DIFFERENCES.read_text(encoding="utf-8").partition(SINGLE_CASES)
    rows = re.findall(r"^\| ([^|]+) \|", general, re.MULTILINE)
    return Differences(
        frozenset(name for row in rows for name in row.replace(",", " ").split()),
        frozenset(re.findall(r"`([\w.]+/[^`]+)`", single)),
    )
