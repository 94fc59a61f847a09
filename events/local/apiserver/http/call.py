"""One request for a resource, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from aiohttp import web

from events.local.apiserver.access.front import Entered
from events.local.apiserver.entries import Entry
from events.local.apiserver.http import negotiation, responses
from events.local.apiserver.http.negotiation import Form
from events.local.apiserver.objects import bodies, options, versions
from events.local.apiserver.objects.options import Options
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError

Object = dict[str, Any]
Query = Mapping[str, list[str]]


def too_large(limit: int) -> StatusError:
    """413."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


@dataclass
class Call:
    """`namespace` is empty for what lies in none, and for all of them."""

    request: web.BaseRequest
    entered: Entered
    resource: Resource
    query: Query
    body: bytes
    warnings: list[str] = field(default_factory=list)

    @property
    def verb(self) -> str:
        return self.entered.wanted.verb

    @property
    def namespace(self) -> str:
        return self.entered.wanted.namespace if self.resource.namespaced else ""

    @property
    def name(self) -> str:
        return self.entered.wanted.name

    @property
    def subresource(self) -> str:
        return self.entered.wanted.subresource

    @property
    def content_type(self) -> str:
        return self.request.headers.get("Content-Type", "")

    @property
    def agent(self) -> str:
        return self.request.headers.get("User-Agent", "")

    @property
    def accept(self) -> str:
        return self.request.headers.get("Accept", "")

    @cached_property
    def form(self) -> Form:
        """Raises StatusError 406."""
        return negotiation.negotiated(self.accept, is_watch=self.verb == "watch", is_custom=self.resource.is_custom)

    @cached_property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def one(self, key: str) -> str:
        """The first value of a query's parameter."""
        found = self.query.get(key)
        return found[0] if found else ""

    def options(self, kind: str, *, is_apply: bool = False) -> Options:
        """Raises StatusError 422."""
        found = options.parse(kind, self.query, self.entered.user, self.agent, self.now, is_apply=is_apply)
        found.warnings = self.warnings
        return found

    def parsed(self, kind: str = "") -> tuple[Object, list[str]]:
        """The body. Raises StatusError 400 and 415."""
        if self.resource.is_custom and bodies.media_type(self.content_type) == bodies.PROTOBUF:
            raise bodies.unsupported((bodies.JSON, bodies.YAML))
        return bodies.parsed(self.body, self.content_type, kind or self.resource.kind)

    @property
    def is_pretty(self) -> bool:
        return responses.is_pretty(self.one("pretty") if "pretty" in self.query else None, self.agent)

    def answer(self, it: Object, *, status: int = 200) -> web.Response:
        """An object of any kind, in the form that was asked for where it can have one."""
        return responses.of_object(self.shaped(it), self.form, status=status, pretty=self.is_pretty)

    def answer_entry(self, entry: Entry) -> web.Response:
        """A stored object; its text is taken as it lies."""
        if self.form == Form() and not self.is_pretty:
            return responses.of_bytes(versions.text(self.resource, entry))
        return self.answer(versions.shown(self.resource, entry))

    def shaped(self, it: Object) -> Object:
        """The object, its metadata alone, or a table of one row. Raises StatusError 406."""
        from events.local.apiserver.http import shapes

        return shapes.of_one(self.resource, it, self.form, self.one("includeObject"), self.now.timestamp())
