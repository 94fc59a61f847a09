"""Which objects a resource source wants: the server's part as a selector, the rest compiled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import Field

from events import paths, regexes
from events.errors import EventError, InvalidPath, UserError
from events.event import parse_time
from events.kube.api import Object
from events.model import Model
from events.problems import Problems
from eventsources.fields import require

Check = Callable[[Object, paths.Document], bool]
EQUAL = ("", "=", "==")
LABELS = (*EQUAL, "!=", "in", "notin", "exists", "!", "gt", "lt")


class Selector(Model):
    """A condition on a label or field."""

    key: str = Field("", description="Label, or path of a field.")
    operation: str | None = Field(None, description="How key and value compare; = when absent.")
    value: str = Field("", description="Value, or values separated by commas.")

    @property
    def text(self) -> str:
        """As a term of a label selector; UserError for an operation that is none."""
        key, value, operation = self.key, self.value, self.operation or "="
        match operation:
            case "=" | "==" | "!=":
                return f"{key}{operation}{value}"
            case "in" | "notin":
                return f"{key} {operation} ({value})"
            case "exists":
                return key
            case "!":
                return f"!{key}"
            case "gt" | "lt":
                return f"{key}{'>' if operation == 'gt' else '<'}{value}"
        raise UserError(f"{operation!r} is no operation", cure=f"one of {', '.join(LABELS[1:])}")


class ResourceFilter(Model):
    """Which objects."""

    prefix: str = Field("", description="Beginning of the name.")
    labels: list[Selector] | None = Field(None, description="Labels that objects have.")
    fields: list[Selector] | None = Field(None, description="Fields that objects have.")
    created_by: str | None = Field(None, description="Objects made at or before this time (RFC 3339).")
    after_start: bool | None = Field(None, description="Only what happens after the start.")

    def check(self, problems: Problems) -> None:
        """Contract 3.32; what Argo Events finds out when it starts is a warning."""
        for name, selectors in (("labels", self.labels), ("fields", self.fields)):
            for index, selector in enumerate(selectors or ()):
                at = problems.at(f"{name}[{index}]")
                require(at, key=selector.key)
                try:
                    _ = selector.text if name == "labels" else _field(selector)
                except UserError as error:
                    at.warn(error.path, f"{error.message}: the source never starts", error.cure)
        try:
            self.created_before()
        except UserError as error:
            problems.warn("createdBy", f"{error.message}: the source never starts", error.cure)

    def created_before(self) -> datetime | None:
        """`createdBy` as a time; UserError."""
        if not self.created_by:
            return None
        try:
            return parse_time(self.created_by)
        except EventError as error:
            raise UserError(str(error), path="filter.createdBy", cure="such as 2026-12-24T18:00:00Z") from error

    @property
    def label_selector(self) -> str:
        """The server's part."""
        return ",".join(selector.text for selector in self.labels or ())

    def compiled(self) -> Callable[[Object], bool]:
        """Whether an object passes all that the server does not decide; UserError for what cannot be compiled."""
        checks: list[Check] = [_field(selector) for selector in self.fields or ()]
        if self.prefix:
            checks.append(lambda obj, _: str(obj["metadata"].get("name", "")).startswith(self.prefix))
        if (limit := self.created_before()) is not None:
            checks.append(lambda obj, _: (made := created(obj)) is not None and made <= limit)
        return lambda obj: _all(checks, obj)


def _all(checks: Sequence[Check], obj: Object) -> bool:
    if not checks:
        return True
    document = paths.Document(orjson.dumps(obj).decode())
    return all(check(obj, document) for check in checks)


def created(obj: Object) -> datetime | None:
    """When it was made, if it says so."""
    try:
        return parse_time(str(obj["metadata"].get("creationTimestamp")))
    except EventError:
        return None


def _field(selector: Selector) -> Check:
    operation = selector.operation or ""
    if operation not in (*EQUAL, "!="):
        raise UserError(f"{operation!r} is no operation on fields", path="operation", cure="one of =, ==, !=")
    try:
        path, pattern = paths.compile_path(selector.key), regexes.compile(selector.value)
    except InvalidPath as error:
        raise UserError(str(error), path="key", cure="a path such as status.phase") from error
    except ValueError as error:
        raise UserError(str(error), path="value", cure="an RE2 expression") from error
    is_wanted = operation != "!="

    def check(_: Object, document: paths.Document) -> bool:
        found: Any = document.get(path)
        return found.exists and (pattern.search(found.text.encode()) is not None) is is_wanted

    return check
