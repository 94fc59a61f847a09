"""successCondition and failureCondition of resource templates. Contract: workflows B.2. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from events import paths
from events.local.workflows.errors import WorkflowError

_TERM = re.compile(
    r"\s*(?P<not>!?)\s*(?P<path>[^\s=!<>,()]+)\s*"
    r"(?:(?P<sign>==|=|!=|>|<)\s*(?P<value>[^,]*)|(?P<word>in|notin)\s*\((?P<values>[^)]*)\))?\s*(?:,|$)"
)


@dataclass(frozen=True)
class Requirement:
    """One term; `text` is how it is shown."""

    text: str
    path: str
    sign: str
    values: tuple[str, ...]

    def holds(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object meets it."""
        found = paths.read(json.dumps(obj), self.path)
        value = found.text if found.exists else ""
        if self.sign in ("exists", "!"):
            return found.exists == (self.sign == "exists")
        if self.sign in (">", "<"):
            try:
                first, second = float(value), float(self.values[0])
            except ValueError:
                return False
            return first > second if self.sign == ">" else first < second
        is_in = found.exists and value in self.values
        return not is_in if self.sign in ("!=", "notin") else is_in


def parse(text: str) -> list[Requirement]:
    """The terms of a condition; WorkflowError when it is none."""
    found, at = [], 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or term.end() == at:
            raise WorkflowError(f"cannot parse the condition {text!r} at {text[at:]!r}")
        at = term.end()
        sign = term["sign"] or term["word"] or ("!" if term["not"] else "exists")
        values = term["value"] if term["sign"] else term["values"]
        several = tuple(one.strip() for one in (values or "").split(",")) if term["word"] else ((values or "").strip(),)
        shown = f"{term['path']} {sign} {values.strip()}" if values is not None else term["path"]
        found.append(Requirement(shown, term["path"], "==" if sign == "=" else sign, several))
    return found


def judged(obj: Mapping[str, Any], success: str, failure: str) -> bool | None:
    """True and False: it is decided, None: not yet. WorkflowError names the failure."""
    for one in parse(failure) if failure else ():
        if one.holds(obj):
            raise WorkflowError(f"failure condition '{one.text}' evaluated true")
    if not success:
        return True
    return True if all(one.holds(obj) for one in parse(success)) else None
