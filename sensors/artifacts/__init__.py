"""Where the resource of a k8s or argoWorkflow trigger comes from, as JSON text of one object. Contract: sensors D.16.

A kind of location is one reader in `READERS`; `inline` and `resource` need nothing from outside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import orjson

from events import yamls
from events.errors import ActionError, UserError
from events.kube import objects
from events.problems import Problems
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import TriggerContext

Reader = Callable[[ArtifactLocation, TriggerContext], Awaitable[str]]


async def _inline(location: ArtifactLocation, _context: TriggerContext) -> str:
    return location.inline or ""


async def _resource(location: ArtifactLocation, _context: TriggerContext) -> str:
    return objects.encoded(location.resource).decode()


# Kind -> what reads its text, YAML or JSON, at every attempt. A new kind is a module beside this one and a row here.
READERS: Mapping[str, Reader] = MappingProxyType({"inline": _inline, "resource": _resource})


class Artifact:
    """A location being read: its text at every attempt, parsed only when it is another one than before."""

    def __init__(self, location: ArtifactLocation, context: TriggerContext) -> None:
        self._location, self._context = location, context
        self._text, self._json = "", ""

    async def load(self) -> str:
        """JSON text of the object; ActionError when it cannot be had."""
        kind = next(iter(self._location.given()), "")
        reader = READERS.get(kind)
        if reader is None:
            raise ActionError(_missing(kind))
        text = await reader(self._location, self._context)
        if not self._json or text != self._text:
            try:
                self._text, self._json = text, to_json(text)
            except UserError as error:
                raise ActionError(f"artifact {kind!r}: {error}") from error
        return self._json


def to_json(text: str, *, on_duplicate: Callable[[str], None] = lambda _message: None) -> str:
    """JSON text of the one object in `text`, which is YAML or JSON; UserError with line and column."""
    try:
        obj = orjson.loads(text)
    except orjson.JSONDecodeError:
        obj = yamls.load_one(text, on_duplicate=on_duplicate)
    if not isinstance(obj, dict):
        raise UserError("is not an object")
    try:
        return objects.encoded(obj).decode()
    except ActionError as error:  # too deep
        raise UserError(str(error)) from error


def validate(location: ArtifactLocation | None, problems: Problems) -> None:
    """What is wrong with a location, with paths relative to it."""
    given = location.given() if location else []
    if location is None or not given:
        problems.error("", "required", f"give one of: {', '.join(READERS)}")
        return
    kind, *others = given
    for other in others:
        problems.warn(other, f"ignored: {kind!r} is given, too, and comes first")
    if kind not in READERS:
        problems.error(kind, _missing(kind))
    elif kind == "inline":
        found = problems.at("inline")
        try:
            to_json(location.inline or "", on_duplicate=lambda message: found.warn("", message))
        except UserError as error:
            found.error("", str(error))


def _missing(kind: str) -> str:
    return f"artifact {kind!r} comes in a later version" if kind else "the source names no artifact"
