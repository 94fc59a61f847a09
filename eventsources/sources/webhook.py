"""HTTP requests as events. Contract: eventsources 3.1; what all HTTP sources share is in section 2 and `webhooks`.

Ours: form posts may name a charset, PUT, PATCH and DELETE work, limits hold for forms too, errors are sent once.
"""

from __future__ import annotations

import asyncio

from pydantic import Field

from events import rawjson
from events.errors import InvalidEvent
from events.problems import Problems, did_you_mean
from eventsources.base import EventSourceFilter, Source, SourceContext, Spec
from eventsources.webhooks import (
    Answer,
    Refused,
    Request,
    WebhookSpec,
    decode,
    document,
    header_json,
    is_form,
    parse_form,
)

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class WebhookSourceSpec(WebhookSpec, Spec):
    """An endpoint whose requests become events. Contract: eventsources 3.1."""

    filter: EventSourceFilter | None = Field(None, description="Which requests become events.")


class WebhookSource(Source[WebhookSourceSpec]):
    """One endpoint; the sender's 200 follows the bus's confirmation."""

    Spec, event_type, active_passive = WebhookSourceSpec, "webhook", False

    def __init__(self, spec: WebhookSourceSpec) -> None:
        super().__init__(spec)
        self._metadata = rawjson.dumps(spec.metadata) if spec.metadata else b""

    @classmethod
    def validate(cls, spec: WebhookSourceSpec, problems: Problems) -> None:
        spec.check(problems)
        if not spec.method:
            problems.warn("method", "is empty: no request matches it", f"one of {', '.join(_METHODS)}")
        elif spec.method not in _METHODS:
            cure = did_you_mean(spec.method.upper(), _METHODS) or f"one of {', '.join(_METHODS)}"
            problems.warn("method", f"{spec.method!r} is not supported: every request is refused", cure)

    async def listen(self, context: SourceContext) -> None:
        async with context.http.route(self.spec, context, self._receive):
            context.started()
            await asyncio.get_running_loop().create_future()

    async def _receive(self, request: Request) -> None:
        if request.method != self.spec.method:
            raise Refused(Answer(400, "http method does not match"))
        if request.method not in _METHODS:
            raise Refused(Answer(400, f"unsupoorted method: {request.method}"))
        body = await _body(request)
        await request.emit(document(header_json(request.headers), body, self._metadata))


async def _body(request: Request) -> bytes:
    """The `body` of the event's data, as JSON."""
    raw = b"" if request.method == "GET" else await request.body()
    if request.method == "GET" or (request.method == "DELETE" and not raw):
        return rawjson.dumps(parse_form(request.query)[0])
    if is_form(request.header("Content-Type")):
        fields, problem = parse_form(decode(raw))
        if problem:
            raise Refused(Answer(500, problem * 2))  # upstream's senders get it twice
        return rawjson.dumps(fields)
    try:
        return rawjson.compact(raw)
    except InvalidEvent as error:
        # Upstream's words: the error of its encoder, which meets the body there.
        raise InvalidEvent(f"json: error calling MarshalJSON for type *json.RawMessage: {error}") from error
