"""What an HTTP GET returns as an artifact. Contract: sensors D.16.

Flaw Z4: upstream verifies certificates only with `verifyCert: true` and cuts a long answer short without a word. Here
they are verified unless `verifyCert: false`, and an answer that is too long is an error. Every attempt asks the server,
with the ETag of the last answer, so an unchanged artifact is not sent again (P5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from events.credentials import TLSConfig
from events.errors import ActionError
from sensors.artifacts.locations import URLArtifact
from sensors.artifacts.reading import Refused, decoded, too_large
from sensors.base import TriggerContext

if TYPE_CHECKING:
    from sensors.http_client import Document

LIMIT = 512 * 1024
SECONDS = 10.0
"""Until the whole answer must be there."""
_OK, _NOT_MODIFIED, _TOO_MANY = 200, 304, 429
_UNVERIFIED = TLSConfig(insecure_skip_verify=True)


class UrlReader:
    """One URL; keeps the last answer that had an ETag."""

    def __init__(self, location: URLArtifact, context: TriggerContext, seconds: float = SECONDS) -> None:
        self._location, self._context, self._seconds = location, context, seconds
        self._etag, self._origin, self._text = "", "", ""

    async def read(self) -> str:
        """The body of a 200."""
        answer = await self._get(self._etag)
        if answer.status == _NOT_MODIFIED and self._etag and answer.url != self._origin:
            # Redirected elsewhere than before: that server's tags are not the last one's.
            answer = await self._get("")
        if answer.status == _NOT_MODIFIED and self._etag:
            return self._text
        return self._take(answer)

    async def _get(self, etag: str) -> Document:
        from sensors import http_client

        try:
            url, authorization = http_client.parse_url(self._location.path)
        except ActionError as error:
            raise Refused(str(error)) from error
        headers = http_client.no_headers()
        for name, value in (("Authorization", authorization), ("If-None-Match", etag)):
            if value:
                headers[name] = value
        request = http_client.Request("GET", url, http_client.complete(headers))
        tls = self._context.secrets.tls(_UNVERIFIED) if self._location.verify_cert is False else None
        return await http_client.fetch(self._context.http(), request, tls=tls, seconds=self._seconds, limit=LIMIT)

    def _take(self, answer: Document) -> str:
        name = answer.name
        if answer.status != _OK:
            is_passing = answer.status >= 500 or answer.status == _TOO_MANY
            raise (ActionError if is_passing else Refused)(f"{name}: status {answer.status}")
        if answer.is_cut:
            raise too_large(name, LIMIT)
        if answer.encoding not in ("", "identity"):
            raise Refused(f"{name}: the answer is encoded as {answer.encoding!r}, which nobody asked for")
        text = decoded(answer.body, name)
        self._etag, self._origin, self._text = answer.etag, answer.url, text if answer.etag else ""
        return text
